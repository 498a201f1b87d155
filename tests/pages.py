"""Pages of the documentation: their code runs, and shows what they say it shows."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

DOCS = Path(__file__).parents[1] / "docs"
GIVEN = Path(__file__).parent / "data"  # what pages give readers to download


def blocks(page: Path) -> Iterator[tuple[str, str | None]]:
    """Pairs of a page: a block of Python, and the output that it states below, if any."""
    fenced = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M)
    for place, (language, text) in enumerate(fenced):
        if language == "python":
            after = fenced[place + 1 : place + 2]
            yield text, after[0][1] if after and after[0][0] == "text" else None


def alike(one: str, other: str, tolerance: float) -> bool:
    """Equal words, or numbers that are near enough."""
    one, other = (word.strip("[],;").replace("\N{MINUS SIGN}", "-") for word in (one, other))
    try:
        return one == other or abs(float(one) - float(other)) <= tolerance
    except ValueError:
        return False


def check_page(name: str, tolerance: float, in_words: bool = False) -> int:
    """Run a page's code in order and compare what it prints; the number of blocks that state an output.

    ``in_words``: the page says what some blocks print in words, or not at all.
    """
    namespace: dict[str, object] = {"__name__": Path(name).stem}
    compared = 0
    with pd.option_context("display.width", 200, "display.max_columns", 20):
        for code, stated in blocks(DOCS / name):
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown):
                exec(compile(code, name, "exec", dont_inherit=True), namespace)
            if in_words and stated is None:
                continue
            got, expected = shown.getvalue().split(), (stated or "").split()
            assert len(got) == len(expected), f"got\n{shown.getvalue()}\nexpected\n{stated}"
            wrong = [pair for pair in zip(got, expected, strict=True) if not alike(*pair, tolerance)]
            assert not wrong, f"{wrong} in\n{shown.getvalue()}"
            compared += stated is not None
    return compared
