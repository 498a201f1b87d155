"""What can go wrong, as a tree::

    BayesmigError (a ValueError)
    ├── NotFound               a study, model or printed table that does not exist
    ├── SpecificationError     a formula, prior or codebook entry that cannot be meant
    ├── DataError              data that do not fit the specification
    │   ├── UnknownColumn      a name in the formula that is no column
    │   └── UnknownLevel       a value outside the codebook's levels
    ├── EngineRefusal          an engine or estimator that cannot fit this design
    └── InferenceFailure       a fit that was tried and cannot be trusted

Every message says what was asked, what came, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BayesmigError(ValueError):
    """Root of every error that bayesmig raises on purpose."""


class NotFound(BayesmigError):
    """A study, model or printed table that does not exist."""


class SpecificationError(BayesmigError):
    """A formula, prior or codebook entry that cannot be meant."""


class DataError(BayesmigError):
    """Data that do not fit the specification."""


class UnknownColumn(DataError):
    """A name in the formula that is no column of the data."""


class UnknownLevel(DataError):
    """A value outside the levels that the codebook allows."""


class EngineRefusal(BayesmigError):
    """An engine or estimator that cannot fit this design; the message names one that can."""


class InferenceFailure(BayesmigError):
    """A fit that was tried and cannot be trusted; nothing is returned."""


def listing(names: Iterable[object], most: int = 12) -> str:
    """Names separated by commas, cut after ``most`` with the number left out."""
    items = [str(name) for name in names]
    if len(items) <= most:
        return ", ".join(items) if items else "none"
    return ", ".join(items[:most]) + f" and {len(items) - most} more"


def closest(name: object, allowed: Iterable[object]) -> str:
    """``" (closest: 'x')"`` for the allowed name most like ``name``, else an empty string."""
    options = {str(option).casefold(): str(option) for option in allowed}
    found = difflib.get_close_matches(str(name).casefold(), options, n=1, cutoff=0.5)
    return f" (closest: {options[found[0]]!r})" if found else ""
