"""What a reader sees: the page, the terminal, and the words they share.

Beside ``bm.report`` and ``bm.table``, users find here ``guideline``, which fills in a guideline of reporting, and
``for_maketables``, which hands a result to the package maketables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.reporting import terminal as terminal
    from bayesmig.reporting import words as words
    from bayesmig.reporting.checklists import guideline as guideline
    from bayesmig.reporting.plugin import for_maketables as for_maketables
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
