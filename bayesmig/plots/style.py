"""How every figure is laid out: colours, rules, titles, legends, and fonts for Chinese."""

from __future__ import annotations

import contextlib
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Transform

INK, GREY, RULE, BAND = "#1a1a1a", "#595959", "#dddddd", "#f6f6f6"
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8a6d00", "#56B4E9")
MARKERS = ("s", "o", "D", "^", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (7, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)))
CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "Noto Serif CJK SC",
    "Noto Sans CJK JP",  # the first of the fonts in a file of several, and all that older matplotlib sees of it
)
MOST_NAMED_GROUPS = 80
WIDTH, PLANE_HEIGHT = 6.4, 4.2  # inches; the height is that of figures with two axes of numbers


def legend_below(ax: Axes) -> None:
    """A legend under the axis label, where there is more than one series."""
    from matplotlib.transforms import ScaledTranslation

    labels = ax.get_legend_handles_labels()[1]
    if len(labels) > 1:
        figure = ax.get_figure(root=True)
        assert figure is not None
        columns = fitting(ax, 84) // (max(map(len, labels)) + 6)
        below = ax.transAxes + ScaledTranslation(0, -36 / 72, figure.dpi_scale_trans)
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(0, 0),
            bbox_transform=below,
            ncols=min(max(columns, 1), 4),
            frameon=False,
            fontsize=8.5,
            borderpad=0,
        )


def left_by(ax: Axes, points: float) -> Transform:
    from matplotlib.transforms import ScaledTranslation

    figure = ax.get_figure(root=True)
    assert figure is not None
    return ScaledTranslation(-points / 72, 0, figure.dpi_scale_trans)


def name_groups(ax: Axes, names: Sequence[str], order: str) -> None:
    """Groups from top to bottom, a row each; beyond a number that can be read only how many, and in which order."""
    ax.set_ylim(len(names) - 0.4, -0.6)
    name_rows(ax, names if len(names) <= MOST_NAMED_GROUPS else [], 8)
    if len(names) > MOST_NAMED_GROUPS:
        ax.set_ylabel(f"{len(names)} groups, {order}")


def name_rows(ax: Axes, names: Sequence[str], size: float = 8.5) -> None:
    """Names of rows on the left, without ticks."""
    ax.set_yticks(range(len(names)), [wrap(name, 34) for name in names], fontsize=size, color=INK)
    ax.tick_params(axis="y", length=0)


def new_axes(width: float, height: float) -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def rule(ax: Axes, axis: str) -> None:
    ax.grid(visible=True, axis="x" if axis == "x" else "both", color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(GREY)
    ax.tick_params(axis="both", colors=GREY, labelcolor=INK, labelsize=8.5, length=0 if axis == "both" else 3)
    for name in (ax.xaxis.label, ax.yaxis.label):
        name.set(fontsize=9, color=INK)


def set_title(ax: Axes, title: str, note: str = "", lift: float = 0, indent: float = 0, width: int = 92) -> None:
    """A bold title on the left, with a smaller line below it that says how to read the figure."""
    below = wrap(note, fitting(ax, width))
    pad = lift or (8 + 12 * (below.count("\n") + 1) if below else 8)
    text = ax.set_title(wrap(title, fitting(ax, 62)), loc="left", fontsize=11, fontweight="bold", color=INK, pad=pad)
    indent = indent or names_width(ax)
    text.set_transform(text.get_transform() + left_by(ax, indent))
    if below:
        ax.annotate(
            below, (0, 1), (-indent, 6), "axes fraction", "offset points", fontsize=8.5, color=GREY, va="bottom"
        )


def names_width(ax: Axes) -> float:
    """Points that the names of rows take on the left of the axes."""
    set_fonts(ax.get_yticklabels())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a missing font is said once, in typeset
        widths = [tick.get_window_extent().width for tick in ax.get_yticklabels()]
    figure = ax.get_figure(root=True)
    return 0.0 if figure is None else max(widths, default=0.0) * 72 / figure.dpi


def fitting(ax: Axes, characters: int) -> int:
    """How many characters fit into a figure as wide as this one, if so many fit into one of full width."""
    figure = ax.get_figure(root=True)
    return characters if figure is None else int(characters * min(1, figure.get_figwidth() / WIDTH))


def wrap(text: str, width: int, indent: str = "") -> str:
    """Broken lines; a Chinese character counts twice."""
    wide = sum(map(has_cjk, text))
    columns = width * len(text) // (len(text) + wide) if wide else width
    return textwrap.fill(text, columns, initial_indent=indent, subsequent_indent=indent)


def finished(ax: Axes, title: str, note: str = "", width: int = 92, legend: bool = True) -> Axes:
    """A figure whose data are drawn, with its legend, title and fonts."""
    if legend:
        legend_below(ax)
    set_title(ax, title, note, width=width)
    typeset(ax)
    return ax


def typeset(ax: Axes) -> None:
    """Draw every text as it is written: no mathematics, and Chinese characters as characters."""
    from matplotlib.text import Text

    texts = [text for text in ax.findobj(Text) if isinstance(text, Text)]
    if not set_fonts(texts):
        warnings.warn(
            "labels have Chinese characters but no font with them is installed; they are drawn as boxes."
            f" Install {CJK_FONTS[0]!r} (package fonts-noto-cjk) and start Python again.",
            stacklevel=4,
        )


def set_fonts(texts: Iterable[Text]) -> bool:
    """Whether every text has a font that can draw it."""
    from matplotlib import rcParams

    chinese = []
    for text in texts:
        text.set_parse_math(False)
        if has_cjk(text.get_text()):
            chinese.append(text)
    if not chinese:
        return True
    found = _installed_cjk()
    if not found:
        _look_again()
        found = _installed_cjk()
    for text in chinese:
        text.set_fontfamily([*rcParams["font.family"], *found])
    return bool(found)


def _installed_cjk() -> list[str]:
    """The first installed font with Chinese characters, if any."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in CJK_FONTS if name in installed][:1]


@cache
def _look_again() -> None:
    """Show matplotlib, once a process, the fonts installed since it wrote its list of them."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    for path in sorted(set(findSystemFonts()) - {font.fname for font in fontManager.ttflist}):
        with contextlib.suppress(
            OSError, RuntimeError, ValueError
        ):  # a file that is no font, as matplotlib passes it over
            fontManager.addfont(path)


def has_cjk(text: str) -> bool:
    return any("\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uffef" for character in text)
