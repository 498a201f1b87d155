"""Rules on means and standard deviations of whole answers, dummies and dimensions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from bayesmig.printed.auditing.intervals import Interval, shown, total
from bayesmig.printed.auditing.rules import LIKELY, PROVED, Certainty, Finding, Outcome, rule
from bayesmig.printed.auditing.tables import PublishedTables
from bayesmig.printed.literature import WHOLE_SAMPLE, named


def possible_mean(mean: Interval, n: int, items: int = 1) -> bool:
    """Whether n whole answers to so many items can have a mean in an interval (GRIM).

    >>> possible_mean(Interval.printed("5.19"), 28), possible_mean(Interval.printed("5.18"), 28)
    (False, True)
    """
    cells = n * items
    return math.floor(mean.upper * cells + 1e-9) >= math.ceil(mean.lower * cells - 1e-9)


def possible_sd(mean: Interval, sd: Interval, n: int, lowest: float = -math.inf, highest: float = math.inf) -> bool:
    """Whether n whole answers can have a mean and a sample sd in two intervals (GRIMMER).

    For every possible sum S of the answers some sum of squares Q must lie within the rounding of the sd, be at
    least what the evenest answers give and at most what the most extreme give, and be odd exactly if S is.

    >>> possible_sd(Interval.printed("7.3"), Interval.printed("2.51"), 12)
    False
    """
    for answers in range(math.ceil(mean.lower * n - 1e-9), math.floor(mean.upper * n + 1e-9) + 1):
        low = max(0.0, sd.lower) ** 2 * (n - 1) + answers**2 / n
        high = sd.upper**2 * (n - 1) + answers**2 / n
        whole, extra = divmod(answers, n)
        evenest = whole * whole * (n - extra) + (whole + 1) ** 2 * extra
        low = max(low, evenest)
        if math.isfinite(lowest) and math.isfinite(highest):
            high = min(high, _most_extreme(answers, n, int(lowest), int(highest)))
        first = math.ceil(low - 1e-7)
        first += (first - answers) % 2
        if first <= high + 1e-7:
            return True
    return False


def _most_extreme(answers: int, n: int, lowest: int, highest: int) -> float:
    """The largest sum of squares of n whole answers on a scale with a given sum: all but one at the ends."""
    above = answers - n * lowest
    span = highest - lowest
    if not 0 <= above <= n * span:
        return -math.inf
    full, rest = divmod(above, span)
    others = n - full - (1 if rest else 0)
    return full * highest**2 + ((lowest + rest) ** 2 if rest else 0) + others * lowest**2


def _whole_answers(tables: PublishedTables) -> dict[str, tuple[int, int]]:
    """Scale of every item whose answers are whole numbers, as its labelled codes say."""
    found: dict[str, tuple[int, int]] = {}
    questionnaire = tables.questionnaire
    if "scale_labels" not in questionnaire:
        return found
    for row in questionnaire.itertuples(index=False):
        low, high = str(row.scale_min), str(row.scale_max)
        if "=" in str(row.scale_labels) and low.isdigit() and high.isdigit():
            found[str(row.item)] = int(low), int(high)
    return found


@dataclass(frozen=True)
class _Answers:
    """The printed moments of n whole answers on a scale, and how sure n is."""

    where: tuple[str, str, str]
    printed: Mapping[str, str]
    n: int
    scale: tuple[int, int]
    certainty: Certainty


def _granular(tables: PublishedTables) -> Iterator[_Answers]:
    """Means of whole answers over the analysed sample; nothing where tables are weighted.

    n is printed beside the mean, or that of the analysed sample, if everybody in it answered. A variable that a
    table describes for several groups has means over their members only, so these need an n of their own.
    """
    analysed = tables.count("n_analysed")
    if tables.weighted:
        return
    scales = _whole_answers(tables)
    times = Counter((table, variable, level) for table, _, variable, level in tables.statistics)
    for (table, group, variable, level), printed in tables.statistics.items():
        scale = (0, 1) if level else scales.get(variable)
        own = "n" in printed and not level
        n = int(float(printed["n"])) if own else analysed
        alone = not level and (own or times[table, variable, level] == 1)
        described = group in WHOLE_SAMPLE or alone
        if scale and n and n > 1 and described and "mean" in printed:
            yield _Answers((table, group, named(variable, level)), printed, n, scale, PROVED if own else LIKELY)


@rule("possible means", source="GRIM: Brown and Heathers 2017", kind="samples")
def check_means(tables: PublishedTables) -> Iterator[Outcome]:
    """The mean of n whole answers is a whole number over n, which many printed means cannot be.

    Items count as whole if the questionnaire labels their codes; dummies always. n is printed with the mean, else the
    ``n_analysed`` of the design file; then the finding is called likely, since answers may be missing, and the repair
    names the fewest missing answers that would do. Percentages in the prose are dummies too, unless they repeat what
    a table says of the same variable. Powerless where n exceeds ten to the number of decimals and where tables are
    weighted.
    """
    texts = [(cell, cell.printed["mean"], Interval.printed(cell.printed["mean"])) for cell in _granular(tables)]
    in_tables = [(_variable(cell), mean) for cell, _, mean in texts]
    for cell in _shares_in_prose(tables):
        text = cell.printed["percent"]
        share = Interval.printed(text).scaled(0.01)
        if not any(name == _variable(cell) and mean.within(share) for name, mean in in_tables):
            texts.append((cell, f"{text} %", share))
    for cell, text, mean in texts:
        n = cell.n
        if (mean.upper - mean.lower) * n >= 1:
            continue
        near = [math.floor(mean.middle * n) / n, math.ceil(mean.middle * n) / n]
        yield Finding.unless(
            possible_mean(mean, n),
            cell.where,
            (text, f"n {n}"),
            Interval(*near),
            f"no {n} whole answers have a mean that prints as {text}; the nearest are {shown(near[0])} and"
            f" {shown(near[1])}. Are answers missing, or were other cases described than analysed?",
            cell.certainty,
            partial(_missing, mean, n),
        )


def _shares_in_prose(tables: PublishedTables) -> Iterator[_Answers]:
    n = tables.count("n_analysed")
    if n is None or n < 2 or tables.weighted:
        return
    for (table, group, variable, level), printed in tables.statistics.items():
        if table == "prose" and group in WHOLE_SAMPLE and level and "percent" in printed:
            yield _Answers((table, group, named(variable, level)), printed, n, (0, 1), LIKELY)


def _variable(cell: _Answers) -> str:
    """The variable of a cell, without its level."""
    return cell.where[2].partition("[")[0]


def _missing(mean: Interval, n: int) -> str:
    """The fewest missing answers with which the mean is possible."""
    size = next((size for size in range(n - 1, n // 2, -1) if possible_mean(mean, size)), None)
    return f"n {size}, with {n - size} answer{'s' * (n - size > 1)} missing" if size else ""


@rule("possible standard deviations", source="GRIMMER: Anaya 2016; analytic form: Allard 2018", kind="samples")
def check_sds(tables: PublishedTables) -> Iterator[Outcome]:
    """The sd of n whole answers with a given mean can take few values.

    Only asked where the mean itself is possible and the sd does not exceed the largest on the scale, so that
    one slip is reported once. Allows division by n too. n as for possible means. Powerless for large n, weighted
    tables and other than whole answers.
    """
    for cell in _granular(tables):
        if "sd" not in cell.printed:
            continue
        mean, sd, n = Interval.printed(cell.printed["mean"]), Interval.printed(cell.printed["sd"]), cell.n
        largest = _largest_sd(mean, cell.scale, n)
        if not possible_mean(mean, n) or sd.lower > largest:
            continue
        inflated = sd.scaled(math.sqrt(n / (n - 1)))
        yield Finding.unless(
            possible_sd(mean, sd, n, *cell.scale) or possible_sd(mean, inflated, n, *cell.scale),
            cell.where,
            (cell.printed["sd"], f"mean {cell.printed['mean']}, n {n}"),
            Interval(0.0, largest),
            f"no {n} whole answers with mean {cell.printed['mean']} have an sd that prints as {cell.printed['sd']}."
            " Are answers missing, or is one of the two misprinted?",
            cell.certainty,
        )


def _largest_sd(mean: Interval, scale: tuple[float, float], n: int) -> float:
    """Half of the answers at each end, as near as the mean allows; divided by n - 1."""
    low, high = scale
    at = min(max((low + high) / 2, mean.lower), mean.upper)
    return math.sqrt(max(0.0, (high - at) * (at - low)) * n / (n - 1))


@rule(
    "largest standard deviation", source="Bhatia and Davis 2000: variance <= (max - mean)(mean - min)", kind="samples"
)
def check_largest_sds(tables: PublishedTables) -> Iterator[Outcome]:
    """On a scale from min to max the sd is at most sqrt((max - mean)(mean - min)), times sqrt(n / (n - 1)).

    The ends are those of the questionnaire, or the printed min and max. Holds for any numbers and any weights.
    Powerless where no ends are known. Without n the factor is taken as sqrt(2).
    """
    ends = {
        str(row.item): (float(str(row.scale_min)), float(str(row.scale_max)))
        for row in tables.questionnaire.itertuples(index=False)
        if row.scale_min and row.scale_max
    }
    n = max(2, tables.count("n_analysed") or 2)
    for (table, group, variable, level), printed in tables.statistics.items():
        scale = (0.0, 1.0) if level else ends.get(variable)
        if {"min", "max"} <= set(printed):
            scale = Interval.printed(printed["min"]).middle, Interval.printed(printed["max"]).middle
        if scale is None or not {"mean", "sd"} <= set(printed):
            continue
        mean, sd = Interval.printed(printed["mean"]), Interval.printed(printed["sd"])
        largest = _largest_sd(mean, scale, n)
        yield Finding.unless(
            sd.lower <= largest + 1e-9,
            (table, group, named(variable, level)),
            (printed["sd"], f"mean {printed['mean']} on {scale[0]:g} to {scale[1]:g}"),
            Interval(0.0, largest),
            f"answers from {scale[0]:g} to {scale[1]:g} with mean {printed['mean']} have an sd of at most"
            f" {shown(largest)}; {printed['sd']} is printed. Is there an answer off the scale?",
        )


@rule("mean and sd of a dummy", source="variance of a dummy = p (1 - p)", kind="samples")
def check_dummies(tables: PublishedTables) -> Iterator[Outcome]:
    """A dummy's sd is sqrt(p (1 - p)), divided by n or by n - 1.

    Powerless where no sd is printed. Holds with weights, up to the same factor.
    """
    n = max(2, tables.count("n_analysed") or 2)
    for (table, group, variable, level), printed in tables.statistics.items():
        if not level or not {"mean", "sd"} <= set(printed):
            continue
        mean, sd = Interval.printed(printed["mean"]), Interval.printed(printed["sd"])
        ends = sorted(math.sqrt(max(0.0, p * (1 - p))) for p in (mean.lower, mean.upper))
        top = 0.5 if mean.contains(0.5) else ends[1]
        expected = Interval(ends[0], top * math.sqrt(n / (n - 1)))
        yield Finding.unless(
            sd.meets(expected),
            (table, group, named(variable, level)),
            (printed["sd"], f"mean {printed['mean']}"),
            expected,
            f"a dummy with mean {printed['mean']} has sd {expected}; {printed['sd']} is printed. Which is meant?",
        )


@rule("coding of a dummy", source="a table's mean is the share that the text gives", kind="samples")
def check_coding(tables: PublishedTables) -> Iterator[Outcome]:
    """The mean of a dummy in a table against the share of a level in the text.

    The same level must have the same share. Another level of a variable with two must have the rest: where it
    has the same number instead, table and text name the two levels the other way round. Powerless where
    the text gives no share.
    """
    means = {
        (variable, level): (table, printed["mean"])
        for (table, group, variable, level), printed in tables.statistics.items()
        if level and "mean" in printed and group in WHOLE_SAMPLE and table != "prose"
    }
    named_levels: dict[str, set[str]] = {}
    for variable, level in means:
        named_levels.setdefault(variable, set()).add(level)
    for (table, group, variable, level), printed in tables.statistics.items():
        if (
            table != "prose"
            or group not in WHOLE_SAMPLE
            or "percent" not in printed
            or len(named_levels.get(variable, ())) != 1
        ):
            continue
        [coded] = named_levels[variable]
        where, text = means[variable, coded]
        mean, share = Interval.printed(text), Interval.printed(printed["percent"]).scaled(0.01)
        others = Interval.exact(1) - share
        if level != coded and not (others.meets(mean) or share.meets(mean)):
            continue
        expected = share if level == coded else others
        yield Finding.unless(
            expected.meets(mean),
            (where, group, named(variable, coded)),
            (text, f"{printed['percent']} % {level}"),
            expected,
            f"the table gives {text} as the share of {coded}, and the text {printed['percent']} % as that of"
            f" {level}. Which level is coded 1?",
            PROVED if level == coded else LIKELY,
        )


@rule("means printed twice", source="one sample has one mean", kind="samples")
def check_repeated_means(tables: PublishedTables) -> Iterator[Outcome]:
    """A mean that both the text and a table give, for the same group. Powerless where it is given once."""
    for (table, group, variable, level), printed in tables.statistics.items():
        if table == "prose" or "mean" not in printed:
            continue
        other = tables.statistics.get(("prose", group, variable, level), {})
        if "mean" in other:
            text, prose = printed["mean"], other["mean"]
            yield Finding.unless(
                Interval.printed(text).meets(Interval.printed(prose)),
                (table, group, named(variable, level)),
                (text, prose),
                Interval.printed(prose),
                f"the table gives a mean of {text}, the text {prose}. Which is meant?",
            )


@rule("mean of a dimension", source="the mean of a sum is the sum of the means", kind="samples")
def check_dimensions(tables: PublishedTables) -> Iterator[Outcome]:
    """The mean of ``<dimension>_dimension`` is the mean of its items' means.

    Powerless where an item's mean is not printed. Missing answers shift it a little: called likely.
    """
    items: dict[str, list[str]] = {}
    for row in tables.questionnaire.itertuples(index=False):
        items.setdefault(str(row.dimension), []).append(str(row.item))
    for (table, group, variable, _), printed in tables.statistics.items():
        parts = [
            tables.statistics.get((table, group, item, ""), {}).get("mean", "")
            for item in items.get(variable.removesuffix("_dimension"), [])
        ]
        if not variable.endswith("_dimension") or "mean" not in printed or not parts or not all(parts):
            continue
        expected = total([Interval.printed(text) for text in parts]).scaled(1 / len(parts))
        yield Finding.unless(
            Interval.printed(printed["mean"]).meets(expected),
            (table, group, variable),
            (printed["mean"], " ".join(parts)),
            expected,
            f"the items' means give {expected} for their dimension; {printed['mean']} is printed. Which is meant?",
            LIKELY,
        )
