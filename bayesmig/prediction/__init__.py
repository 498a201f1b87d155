"""What a model says of people and of populations.

Beside ``bm.predict``, ``bm.poststratify`` and ``bm.simulate``, users find here ``composition``, which holds a sample
beside a census, ``rake``, which makes a census of its margins, ``Poststratification``, which ``bm.poststratify``
returns, and ``precision``, which says what a study of some size would find (a ``Precision``) if predictors are as
``Planned``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.prediction.designs import Planned as Planned
    from bayesmig.prediction.designs import Precision as Precision
    from bayesmig.prediction.designs import precision as precision
    from bayesmig.prediction.poststratification import Poststratification as Poststratification
    from bayesmig.prediction.poststratification import composition as composition
    from bayesmig.prediction.poststratification import rake as rake
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
