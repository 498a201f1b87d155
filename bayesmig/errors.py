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
from collections.abc import Collection, Iterable


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
    """``" (closest: 'x')"`` for the allowed name most like ``name``, all of them if several are equally like it."""
    asked = str(name).casefold()
    likeness = {str(option): difflib.SequenceMatcher(None, asked, str(option).casefold()).ratio() for option in allowed}
    best = max(likeness.values(), default=0.0)
    found = [repr(option) for option, ratio in likeness.items() if ratio == best]
    return f" (closest: {' or '.join(found)})" if best >= 0.5 and len(found) <= 3 else ""


def require(
    names: Iterable[object],
    allowed: Collection[object],
    before: str,
    after: str = "",
    there: str = "; there are",
    *,
    then: str = "",
    most: int = 12,
    error: type[BayesmigError] = BayesmigError,
) -> None:
    """Refuse the first name that is not among those allowed.

    The error says ``before``, the name, ``after``, the name most like it, ``there``, those allowed, and ``then``.
    """
    for name in names:
        if name not in allowed:
            raise error(f"{before}{name!r}{after}{closest(name, allowed)}{there} {listing(allowed, most)}.{then}")
