"""From a file to a design: surveys read and matched, columns checked, encoded and named.

Beside ``bm.read_survey`` and ``bm.codebook``, users find here ``match``, which holds a survey against what the models
of a study need and returns a ``Match``; ``write_codebook`` and ``translated``, which bring other names and codes into
a study's codebook; ``missing_answers``; ``within_between``, which splits variables into group means and
deviations (a ``WithinBetween``); and ``chunks``, for rows that do not fit into memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.data.contexts import WithinBetween as WithinBetween
    from bayesmig.data.contexts import within_between as within_between
    from bayesmig.data.matching import Match as Match
    from bayesmig.data.matching import match as match
    from bayesmig.data.matching import translated as translated
    from bayesmig.data.matching import write_codebook as write_codebook
    from bayesmig.data.surveys import missing_answers as missing_answers
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
