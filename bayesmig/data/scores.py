"""Answers in words on a scale, such as "disagree" to "agree", as numbers that keep their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayesmig.contract.names import as_code
from bayesmig.data.columns import NUMBERS, as_codes, is_categorical, plain
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.errors import DataError, UnknownColumn, closest, listing, require

Order = Sequence[str] | Mapping[str, Sequence[str]]
SPACED = 1e-9


def score(
    data: AnyFrame,
    items: str | Sequence[str],
    *,
    reverse: Sequence[str] = (),
    order: Order | None = None,
    between: tuple[float, float] | None = None,
    missing: Sequence[object] = (),
) -> pd.DataFrame:
    """Turn labelled answers on a scale into numbers, as a sum, an index or a linear model needs them.

    Parameters
    ----------
    data : pandas.DataFrame
        One row a person; it is not changed. From :func:`read_survey`, or any other.
    items : str or sequence of str
        Columns whose answers are steps of a scale.
    reverse : sequence of str
        Those of the items whose scale is turned round, so that a high score means the same everywhere: of 1 to 5, 2
        becomes 4.
    order : sequence of str, or mapping of str to sequence, optional
        The answers from the lowest to the highest, which then count 1, 2, 3 and so on; of all items, or by item.
        Not needed where the file says which number stands for which label, or a category is ordered.
    between : (float, float), optional
        Lowest and highest score that there can be; the ends of the labelled codes unless given.
    missing : sequence, optional
        Codes or labels that are no answers, such as ``[8, "不知道"]``.

    Returns
    -------
    pandas.DataFrame
        The same frame with these columns as floats. The words stay in ``attrs["scores"]`` (column to score to label),
        from which :func:`codebook` says range and ends of the scale; ``attrs["notes"]`` says how each was scored.

    Raises
    ------
    UnknownColumn, DataError
        For a column or answer that is not there, answers in words without an order, codes with a gap (is 9 an answer
        of 1, 2, 3, 4, 9?), and scores outside the scale.

    Notes
    -----
    What it means: a score says that the steps between answers are of equal size. Where that is doubtful, take the
    answers as ordered, by ``family="cumulative"`` or a :class:`Factor` with ``scale="ordinal"``.

    Examples
    --------
    >>> data = pd.DataFrame({"safe": ["agree", "disagree", None], "afraid": ["disagree", "agree", "neither"]})
    >>> steps = ["disagree", "neither", "agree"]
    >>> score(data, ["safe", "afraid"], order=steps, reverse=["afraid"])
       safe  afraid
    0   3.0     3.0
    1   1.0     1.0
    2   NaN     2.0
    """
    data = frame_of(data)
    names = [items] if isinstance(items, str) else list(items)
    orders = dict(order) if isinstance(order, Mapping) else dict.fromkeys(names, order) if order else {}
    for argument, given, allowed in (("items", names, data), ("reverse", reverse, names), ("order", orders, names)):
        if isinstance(given, str):
            raise DataError(f"{argument}={given!r}: give a list, as in [{given!r}].")
        require(given, allowed, f"{argument} names ", error=UnknownColumn)
    declared, scores = data.attrs.get("levels", {}), data.attrs.get("scores", {})
    columns: dict[str, pd.Series] = {}
    words: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    for name in names:
        known = declared.get(name) or scores.get(name, {})
        scored = scored_column(data[name], known, orders.get(name), missing, between)
        columns[name], words[name] = _turned(name, *scored, between) if name in reverse else scored
        notes += [_said(name, words[name], name in reverse)] if words[name] else []
    found = data.assign(**columns)
    about = data.attrs
    found.attrs = {
        **about,
        "levels": type(declared)({name: levels for name, levels in declared.items() if name not in columns}),
        "scores": type(scores)({**scores, **words}),
        "notes": [*about.get("notes", ()), *notes],
    }
    return found


def scored_column(
    column: pd.Series,
    declared: Mapping[str, str],
    order: Sequence[str] | None = None,
    missing: Sequence[object] = (),
    between: tuple[float, float] | None = None,
) -> tuple[pd.Series, dict[str, str]]:
    """One column as scores, and what each score is called.

    ``declared``: code to label, as the file has them. ``order``, ``missing``, ``between``: as :func:`score` takes them.
    """
    name, column = str(column.name), plain(column)
    none = set(map(as_code, missing))
    for code, label in declared.items():
        none |= {code, label, f"{label} ({code})"} if {code, label} & none else set()
    declared = {code: label for code, label in declared.items() if code not in none}
    column = column.mask(as_codes(column).isin(none))
    if order:
        scale = {as_code(step): float(place) for place, step in enumerate(order, 1)}
        words = {as_code(place): as_code(step) for place, step in enumerate(order, 1)}
    elif is_categorical(column) and declared:
        scale = {label: _number(name, code) for code, label in declared.items()}
        scale |= {f"{label} ({code})": _number(name, code) for code, label in declared.items()}  # told apart by codes
        words = dict(declared)
    elif is_categorical(column) and column.cat.ordered:
        steps = [as_code(step) for step in column.cat.categories if as_code(step) not in none]
        numbers = {step: number for step in steps if (number := _as_float(step)) is not None}
        known = len(numbers) == len(steps)
        scale = numbers if known else {step: float(place) for place, step in enumerate(steps, 1)}
        words = {} if known else {as_code(place): step for step, place in scale.items()}
    elif pd.api.types.infer_dtype(column, skipna=True) in NUMBERS:
        values = pd.to_numeric(column).astype(float)
        words = dict(declared) if len(declared) > 1 else {}
        _check_scale(name, values, words, between)
        return values, words
    else:
        answers = sorted(set(map(str, column.dropna())))
        raise DataError(
            f"{name!r} has answers in words whose order is not known: {listing(map(repr, answers), 7)}. Say it, as in"
            " order=[lowest, ..., highest]."
        )
    given = as_codes(column)
    odd = given[given.notna() & ~given.isin(list(scale))]
    if len(odd):
        raise DataError(
            f"{name!r} has the answer {odd.iloc[0]!r} in {int((odd == odd.iloc[0]).sum())} rows, which is none of"
            f" {listing(map(repr, words.values() or scale), 9)}{closest(odd.iloc[0], scale)}; name what is no answer in"
            " missing=."
        )
    values = given.map(scale).astype(float)
    _check_scale(name, values, words, between)
    return values, words


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _number(name: str, code: str) -> float:
    number = _as_float(code)
    if number is None:
        raise DataError(f"{name!r} has the code {code!r}, which is no number; say the order of its answers in order=.")
    return number


def _check_scale(name: str, values: pd.Series, words: Mapping[str, str], between: tuple[float, float] | None) -> None:
    """Refuse scores that leave the scale, and codes among which one is likely to be no answer."""
    codes = sorted(_number(name, code) for code in words)
    used = np.unique(values.dropna())
    if between is None and len(codes) > 2 and set(used) <= set(codes):
        steps = np.diff(codes)
        if np.ptp(steps) > SPACED:
            listed = ", ".join(f"{code} “{words[code]}”" for code in sorted(words, key=float))
            raise DataError(
                f"the codes of {name!r} are not evenly spaced ({listed}). If some are no answers, name them in"
                f" missing=; if all are, say between=({codes[0]:g}, {codes[-1]:g})."
            )
    ends = between or ((codes[0], codes[-1]) if codes else None)
    if ends is None:
        return
    outside = values[(values < ends[0]) | (values > ends[1])]
    if len(outside):
        raise DataError(
            f"{name!r} has {outside.iloc[0]:g} in {int((outside == outside.iloc[0]).sum())} rows, outside its scale"
            f" from {ends[0]:g} to {ends[1]:g}; name codes that are no answers in missing=, or give the scale in"
            " between=."
        )


def _turned(
    name: str, values: pd.Series, words: Mapping[str, str], between: tuple[float, float] | None
) -> tuple[pd.Series, dict[str, str]]:
    """A scale from its other end."""
    codes = [float(code) for code in words]
    if between is None and not codes:
        raise DataError(
            f"reverse={name!r}: nothing says where the scale of these numbers ends; give it, as in between=(1, 5)."
        )
    low, high = between or (min(codes), max(codes))
    turned = {as_code(low + high - float(code)): word for code, word in words.items()}
    return low + high - values, dict(sorted(turned.items(), key=lambda pair: float(pair[0])))


def _said(name: str, words: Mapping[str, str], is_reversed: bool) -> str:
    low, high = min(words, key=float), max(words, key=float)
    turned = ", reversed" if is_reversed else ""
    return f"{name} is a score from {low} “{words[low]}” to {high} “{words[high]}”{turned}"
