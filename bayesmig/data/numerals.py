"""Text that is a number: decimal commas, thousands, units, percentages, digits and signs of other scripts.

Whether a comma or a dot begins the decimals is decided by the whole column, and where that leaves both open by the
other columns of the file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.errors import listing

NEARLY_ALL = 0.95  # of the answers, which must be numbers; a convention
DOMINANT = 0.5  # share of numbers from which on "refused" stands for a missing number
NO_NUMBER = ("NA", "NaN", "nan", ".", "NULL", "#N/A", "#NULL!")  # of programs that write a missing number as text
NO_ANSWER = frozenset(  # of people; in small letters
    """
    -,--,---,..,...,…,/,?,n/a,na,n.a.,null,none,missing,unknown,refused,refusal,dk,don't know,no answer,not applicable
    not available,not stated,k.a.,keine angabe,weiß nicht,sans réponse,ne sait pas,nr,no sabe,no contesta
    #div/0!,#value!,#ref!,#num!,#name?,拒绝回答,拒答,不知道,不清楚,不适用,未回答,未填,缺失,无回答,不详,未知,(跳过),(空)
    """.strip()
    .replace("\n    ", ",")
    .split(",")
)
DECIMAL_SIGNS = (".", ",")
DIGITS_KEPT = 15  # by a float; longer numbers are names
UNITS = {  # what is one unit, by the words for it
    word.strip(): words.split(",")[0]
    for words in (
        "years,year,yr,yrs,y,years old,yo,y/o,岁,周岁,年,jahr,jahre,jahren,an,ans,año,años,anni",
        "months,month,mon,个月,monat,monate,mois,meses",
        "weeks,week,wk,wks,周,星期,woche,wochen",
        "days,day,d,天,日,tag,tage,jour,jours,días",
        "hours,hour,h,hr,hrs,小时,std,stunde,stunden,heure,heures",
        "minutes,minute,min,mins,分钟,minuten",
        "seconds,second,s,sec,secs,秒,秒钟,sekunden",
        "km,公里,千米,kilometres,kilometers",
        "m,米,metres,meters,meter",
        "cm,厘米",
        "mm,毫米",
        "miles,mile,mi",
        "kg,公斤,千克",
        "g,克",
        "m²,m2,㎡,平方米,平米,平方,sqm,sq m,qm",
        "km²,km2,平方公里,平方千米",
        "ha,公顷",
        "mu,亩",
        "people,人,persons,person,personen,personnes,名",
        "households,户",
        "times,次,x",
        "pieces,个,套,间,本",
        "points,分,pts,pt,point",
        "°C,℃,°c",
        "yuan,元,圆,块,rmb,cny,人民币,¥,￥,元/月,元/年,yen,円",
        "euro,€,eur,euros",
        "dollars,$,us$,usd,dollar,hk$,nt$,a$,c$,r$",
        "pounds,£,gbp",
        "francs,chf,fr,sfr",
        "kr,sek,nok,dkk,kronor,kroner",
        "₹,rs,inr,rupees",
        "₽,rub,руб",
        "₩,krw,won,원",
        "zł,pln",
        "%,per cent,percent,pct,prozent,percentage points,pp",
        "‰",
    )
    for word in words.split(",")
}
SCALES = {1e3: "千,k,thousand,tsd", 1e4: "万,萬", 1e6: "百万,mio,million", 1e8: "亿,億"}
FACTORS = {word: factor for factor, words in SCALES.items() for word in words.split(",")}
SIGNS = dict.fromkeys("−–‐‑﹣", "-") | dict.fromkeys("’ʼ′´`", "'")
DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{4}年\d{1,2}月(\d{1,2}日)?)"
    r"([T ]+\d{1,2}:\d\d.*)?"
    r"|\d{1,2}:\d\d(:\d\d.*)?"
)
PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")  # as programs write numbers
SPLIT = re.compile(r"(?P<lead>\D*?)(?P<body>[.,]?\d(?:[\d.,' ]*\d)?(?:[eE][+-]?\d+)?)(?P<tail>\D.*)?", re.DOTALL)
INDIAN = "|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
FORMS = {  # of unsigned numbers, by the sign that begins their decimals
    sign: re.compile(
        rf"(?:\d+|[1-9]\d{{0,2}}([{other}' ])\d{{3}}(?:\1\d{{3}})*{INDIAN if sign == '.' else ''}|(?=[{sign}]))"
        rf"(?:[{sign}]\d*)?(?:[eE][+-]?\d+)?"
    )
    for sign, other in (DECIMAL_SIGNS, DECIMAL_SIGNS[::-1])
}


class Numeral(NamedTuple):
    """A number in a cell, its sign and its unit taken off."""

    body: str
    negative: bool = False
    bracketed: bool = False
    unit: str = ""
    factor: float = 1.0
    is_known: bool = True  # the unit

    def plain(self, decimal: str) -> str | None:
        """As Python writes it, with all printed digits; none where it is no number with this decimal sign."""
        if not FORMS[decimal].fullmatch(self.body):
            return None
        digits = re.sub(r"[^\d.,eE+-]", "", self.body).replace("," if decimal == "." else ".", "").replace(",", ".")
        return f"-{digits}" if self.negative else digits

    def value(self, decimal: str) -> float:
        text = self.plain(decimal)
        return np.nan if text is None else float(text) * self.factor

    @property
    def is_name(self) -> bool:
        """Whether its digits are a name: leading zeros, or more than a float keeps."""
        digits = re.sub(r"\D", "", self.body)
        return bool(re.match(r"0\d", self.body)) or (self.body.isdigit() and len(digits) > DIGITS_KEPT)


def tidy(text: str) -> str:
    """A cell with ordinary digits, blanks, minus signs and apostrophes.

    >>> tidy(" −１\u00a0２３４，５ ")
    '-1 234,5'
    """
    return text.strip() if text.isascii() else "".join(map(_ordinary, text)).strip()


def _ordinary(sign: str) -> str:
    if sign in SIGNS or sign.isascii():
        return SIGNS.get(sign, sign)
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category == "Zs":
        return " "
    if category == "Cf":
        return ""
    return chr(ord(sign) - 0xFEE0) if "\uff01" <= sign <= "\uff5e" else sign


def numeral(text: str) -> Numeral | None:
    """The number that a cell shows, with whatever unit.

    >>> numeral("￥1,234.5").plain("."), numeral("45岁").unit, numeral("(12)").plain("."), numeral("18-25").is_known
    ('1234.5', 'years', '-12', False)
    """
    found = SPLIT.fullmatch(tidy(text))
    if found is None:
        return None
    lead, body, tail = (found[part] or "" for part in ("lead", "body", "tail"))
    bracketed = lead.startswith("(") and tail.endswith(")")
    if bracketed:
        lead, tail = lead[1:], tail[:-1]
    lead = lead.strip()
    negative, before = "-" in (lead[:1], lead[-1:]), lead.strip("+- ")
    if before and _unit(before)[0] is None:
        return None  # a word before a number names something: "Area 3"
    unit = before + tail.strip(" .")
    name, factor = _unit(unit)
    return Numeral(body, negative or bracketed, bracketed, unit if name is None else name, factor, name is not None)


def is_number_or_date(text: str) -> bool:
    """Whether a cell shows a number, with whatever unit is known, or a date; a range such as 18-25 is neither.

    >>> [is_number_or_date(text) for text in ("1,234", "35%", "45岁", "2025-01-02", "18-25", "Area 3")]
    [True, True, True, True, False, False]
    """
    if DATE.fullmatch(tidy(text)):
        return True
    found = numeral(text)
    return found is not None and found.is_known and any(found.plain(sign) is not None for sign in DECIMAL_SIGNS)


def _unit(text: str) -> tuple[str | None, float]:
    """One name for a unit, and what its numbers are multiplied by; no name for what is not known."""
    word = text.casefold().strip()
    if not word or word in UNITS:
        return UNITS.get(word, ""), 1.0
    for scale, factor in FACTORS.items():
        rest = word.removeprefix(scale).strip(" .")
        if word.startswith(scale) and (not rest or rest in UNITS):
            return UNITS.get(rest, ""), factor
    return None, 1.0


@dataclass(frozen=True, eq=False)
class TextColumn:
    """A column of text, whose cells are looked at once where they are alike."""

    name: str
    column: pd.Series
    forced: bool = False  # a number because somebody said so

    @cached_property
    def _found(self) -> tuple[Codes, list[str]]:
        places, cells = pd.factorize(self.column)
        return places.astype(np.int64), [str(cell).strip() for cell in cells]

    @property
    def cells(self) -> list[str]:
        return self._found[1]

    @cached_property
    def counts(self) -> Codes:
        """Rows that have each cell."""
        places = self._found[0]
        return np.bincount(places[places >= 0], minlength=len(self.cells))

    @cached_property
    def empty(self) -> Flags:
        return np.array([not cell for cell in self.cells], bool)

    @cached_property
    def _none(self) -> Flags:
        """Cells by which a program says that there is no number."""
        return np.array([cell in NO_NUMBER for cell in self.cells], bool)

    @cached_property
    def _quick(self) -> Array | None:
        """Numbers as Python writes them, where all cells are."""
        answers = pd.Series(self.cells, dtype=object).mask(self.empty | self._none, None)
        numbers = pd.to_numeric(answers, errors="coerce").to_numpy(dtype=float)
        odd = ~(np.isfinite(numbers) | self.empty | self._none)
        return None if odd.any() else numbers

    @cached_property
    def _numerals(self) -> list[Numeral | None]:
        found = [None if gone else numeral(cell) for cell, gone in zip(self.cells, self._none, strict=True)]
        if all(each is None or each.bracketed for each in found):
            return [None] * len(found)  # numbers in brackets beside others are negative; all of them may be anything
        return found

    @cached_property
    def _kept(self) -> list[Numeral | None]:
        """Numerals of one unit, which some of them may leave out."""
        weights: dict[str, int] = {}
        for each, count in zip(self._numerals, self.counts, strict=True):
            if each is not None and each.unit and (each.is_known or self.forced):
                weights[each.unit] = weights.get(each.unit, 0) + int(count)
        unit = max(weights, key=lambda name: weights[name], default="")
        return [
            each if each is not None and each.unit in ("", unit) and (each.is_known or self.forced) else None
            for each in self._numerals
        ]

    @cached_property
    def _is_mixed(self) -> bool:
        """Whether bare numbers stand beside percentages or thousands, and may be counted in another unit."""
        if self._quick is not None:
            return False
        kept = [each for each in self._kept if each is not None]
        scaled = any(each.factor != 1 or each.unit in ("%", "‰") for each in kept)
        return scaled and any(not each.unit and each.factor == 1 for each in kept)

    def _values(self, decimal: str) -> Array:
        if decimal == "." and self._quick is not None:
            return self._quick
        return np.array([np.nan if each is None else each.value(decimal) for each in self._kept], float)

    @cached_property
    def names(self) -> Flags:
        """Cells whose digits are a name."""
        if self._quick is not None:
            return np.array([bool(re.match(r"[+-]?(?:0\d|\d{16,}$)|\+\d{8,}$", cell)) for cell in self.cells], bool)
        return np.array([each is not None and each.is_name for each in self._numerals], bool)

    def _share(self, decimal: str) -> float:
        """Share of numbers among the answers."""
        fine = np.isfinite(self._values(decimal))
        asked = ~self.empty & ~self._none
        filled = self.counts @ asked
        if self.counts @ fine >= DOMINANT * filled:
            asked[
                [place for place in np.flatnonzero(asked & ~fine) if tidy(self.cells[place]).casefold() in NO_ANSWER]
            ] = False
        return float(self.counts @ fine) / max(int(self.counts @ asked), 1)

    @cached_property
    def fitting(self) -> tuple[str, ...]:
        """Decimal signs with which nearly all answers are numbers."""
        if self._quick is not None and not np.isfinite(self._quick).any():
            return ()
        if self.forced:
            shares = {sign: self._share(sign) for sign in DECIMAL_SIGNS}
            return tuple(sign for sign in DECIMAL_SIGNS if shares[sign] == max(shares.values()) > 0)
        if self.names.any():
            return ()
        if self._is_whole:
            return DECIMAL_SIGNS
        if self._is_mixed:
            return ()
        fitting = tuple(sign for sign in DECIMAL_SIGNS if self._fits(sign))
        even = tuple(sign for sign in fitting if len(fitting) > 1 and not self._is_uneven(sign))
        return even or fitting

    def _fits(self, decimal: str) -> bool:
        if decimal == "," and self._quick is not None and not self._is_grouped:
            return False
        odd = np.flatnonzero(~(np.isfinite(self._values(decimal)) | self.empty | self._none))
        return self._share(decimal) >= NEARLY_ALL and not any(
            map(str.isdigit, "".join(self.cells[place] for place in odd))
        )

    def _is_uneven(self, decimal: str) -> bool:
        """Whether decimals end in zeros although others have none, as no program writes them: "1,200" beside "900"."""
        kept = [each.body for each in self._kept if each is not None]
        return any(decimal in body and body.endswith("0") for body in kept) and any(map(str.isdecimal, kept))

    @cached_property
    def _is_whole(self) -> bool:
        """Whether there is no sign to wonder about."""
        return self._quick is not None and not any("." in cell for cell in self.cells)

    @cached_property
    def _is_grouped(self) -> bool:
        """Whether every dot of plain numbers could stand before three digits of a thousand, or there is none."""
        return all(
            FORMS[","].fullmatch(cell.lstrip("+-"))
            for cell, gone in zip(self.cells, self.empty | self._none, strict=True)
            if not gone
        )

    @cached_property
    def is_open(self) -> bool:
        """Whether comma and dot could both begin the decimals, and it makes a difference."""
        if len(self.fitting) < 2 or self._is_whole:
            return False
        return not np.array_equal(self._values("."), self._values(","), equal_nan=True)

    @property
    def as_text(self) -> pd.Series:
        """The column without blanks around cells and without empty text."""
        places = self._found[0]
        return (
            pd.Series([cell or None for cell in self.cells] + [None], dtype=object)
            .take(places)
            .set_axis(self.column.index)
        )

    @property
    def is_plain(self) -> bool:
        """Whether all cells are numbers as programs write them."""
        return self._quick is not None

    def numbers(self, decimal: str) -> tuple[pd.Series, Flags, list[str]]:
        """The column as numbers, which cells say that there is none (their text stays), and what to say of it."""
        values = self._values(decimal)
        gone = ~np.isfinite(values) & ~self.empty
        found: pd.Series = pd.Series(values)
        if gone.any():
            found = found.astype(object).mask(gone, pd.Series(self.cells, dtype=object))
        places = self._found[0]
        notes = [*self._rewritten(decimal, values), *self._left_out(gone & ~self._none)]
        return found.reindex(places).set_axis(self.column.index), np.append(gone, False)[places], notes

    def _rewritten(self, decimal: str, values: Array) -> Iterator[str]:
        """What is noted of numbers that no program would write so."""
        where = [] if decimal == "." and self.is_plain else np.flatnonzero(np.isfinite(values)).tolist()
        places = [place for place in where if not _says(self.cells[place], values[place])]
        doubt = ""
        if self.is_open:
            other = next(sign for sign in DECIMAL_SIGNS if sign != decimal)
            place = self._doubtful
            places = places or [place]
            doubt = f" ({self.cells[place]!r} as {values[place]:.12g}; decimal={other!r} makes it"
            doubt += f" {self._values(other)[place]:.12g})"
        if places:
            first = places[0]
            yield (
                f"{self.name}: text such as {self.cells[first]!r} is read as a number, here"
                f" {values[first]:.12g}{doubt}; text=[{self.name!r}] leaves it as it is"
            )

    def _left_out(self, words: Flags) -> Iterator[str]:
        if words.any():
            shown = listing(f"{self.cells[place]!r} ({self.counts[place]} rows)" for place in np.flatnonzero(words))
            yield f"{self.name}: counted as no answer, because they are no numbers: {shown}"

    @property
    def _doubtful(self) -> int:
        """A cell that is another number with another decimal sign."""
        return int(np.flatnonzero(self._values(".") != self._values(","))[0])

    def question(self) -> str:
        """What to ask of text that looks like numbers and is none; empty where it does not."""
        asked = ~self.empty & ~self._none
        filled = int(self.counts @ asked)
        if not filled:
            return ""
        start, cells = f"{self.name} stays text", np.array(self.cells, dtype=object)
        dated = np.array([bool(DATE.fullmatch(tidy(cell))) for cell in self.cells], bool)
        if self.counts @ dated >= NEARLY_ALL * filled:
            return f"{start}: dates or times such as {cells[dated][0]!r}; compute a number, such as years since"
        like = np.array([each is not None and not any(map(str.isdigit, each.unit)) for each in self._numerals], bool)
        names = self.names & asked
        if self.counts @ like < DOMINANT * filled or self.counts @ names >= DOMINANT * filled:
            return ""
        remedy = f"numbers=[{self.name!r}] reads the numbers and counts the rest as no answer"
        if names.any():
            return f"{start}: the digits of {cells[names][0]!r} look like a name; {remedy}"
        if self.is_open:
            one, other = (self._values(sign)[self._doubtful] for sign in DECIMAL_SIGNS)
            return (
                f"{start}: {cells[self._doubtful]!r} may be {one:.12g} or {other:.12g}; say decimal='.' or decimal=','"
            )
        if self._is_mixed:
            return f"{start}: some of its numbers have a unit that changes them and some have none; write all alike"
        kept = np.array([each is not None for each in self._kept], bool)
        odd = cells[asked & ~kept]
        if not len(odd):
            first = next(cell for cell in cells[asked] if not PLAIN.fullmatch(cell))
            return f"{start}: no one meaning of comma, dot and blank makes numbers of all, as in {first!r}"
        return f"{start}: {listing(map(repr, odd), 5)} {'beside numbers' if kept.any() else 'with a number'}; {remedy}"


def _says(text: str, value: float) -> bool:
    """Whether a text is this number as programs write it."""
    return bool(PLAIN.fullmatch(text)) and float(text) == value


def decimal_sign(columns: Sequence[TextColumn], likely: str) -> str:
    """Which sign begins the decimals of a file, by the columns that leave no doubt; none where they disagree."""
    sure = {column.fitting[0] for column in columns if len(column.fitting) == 1}
    return sure.pop() if len(sure) == 1 else "" if sure else likely
