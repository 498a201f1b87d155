"""Pictures of a report: which a result has, and each as SVG for a page and as PNG for Word."""

from __future__ import annotations

import hashlib
import html
import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import xarray as xr

from bayesmig import plots
from bayesmig.contract import schema
from bayesmig.contract.names import columns_of
from bayesmig.data.writing import printable
from bayesmig.errors import BayesmigError
from bayesmig.plots.checks import predicted_height
from bayesmig.plots.coefficients import forest_height
from bayesmig.plots.expectations import prior_outcomes, prior_predictive_height
from bayesmig.plots.groups import caterpillar_height
from bayesmig.plots.labels import term_rows
from bayesmig.plots.maps import map_height
from bayesmig.plots.priors import prior_posterior_height, proper_priors
from bayesmig.plots.style import BAND, COLOURS, GREY, INK, PLANE_HEIGHT, RULE, WIDTH
from bayesmig.reporting.rankings import Ranking, ranking_of
from bayesmig.reporting.words import quantity
from bayesmig.specification.model import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRINT_DPI = 200
PAGE_WIDTH = 5.2  # inches: letters can be read on a telephone, and are no larger than text on a screen
# what a page's style says of each colour, so that a picture is dark where the page is
THEME = {INK: "ink", "#000000": "ink", "#ffffff": "paper", GREY: "soft", RULE: "rule", BAND: "wash"}
THEME |= {
    shade: f"series-{k}"
    for k, colour in enumerate(COLOURS[1:], 1)
    for shade in (colour.lower(), "#" + bytes(round(0.7 * part) for part in bytes.fromhex(colour[1:])).hex())
}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
LINES_OF_ONE_STYLE = re.compile(
    r'<path d="[^"]*"(?P<style> clip-path="[^"]*" style="fill: none;[^"]*")/>\s*(?:<path d="[^"]*"(?P=style)/>\s*)+'
)


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn when it is asked for, as SVG on a page and as PNG in Word; some have a table to sort."""

    heading: str
    caption: str
    height: float
    draw: Callable[..., Axes]
    ranking: Ranking | None = None
    is_focus: bool = False

    @property
    def described(self) -> str:
        return f"{self.heading}. {self.caption}"

    @property
    def svg(self) -> str:
        key = "figure-" + hashlib.sha256(self.heading.encode()).hexdigest()[:8]
        return figure_svg(self.draw, (PAGE_WIDTH, self.height), self.described, key)

    @property
    def png(self) -> bytes:
        return _drawn(self.draw, (WIDTH, self.height), "png", dpi=PRINT_DPI)


def figures_of(
    tree: xr.DataTree,
    results: Mapping[str, xr.DataTree],
    focus: tuple[str, str] | None = None,
    outlines: tuple[Any, str] | None = None,
) -> list[Figure]:
    """Forest, interaction, map, caterpillars, predictions by group and priors, those that this model has."""
    spec = ModelSpec.from_json(tree.attrs["spec"])
    draws = tree["posterior"].to_dataset()
    figures = [forest_of(results)]
    if focus and set(focus) in [set(columns_of(str(term))) for term in draws["term"].to_numpy()]:
        head = f"{quantity(spec, focus[0])} by {quantity(spec, focus[1])}"
        caption = "Parallel lines would say that the predictor works alike for everybody."
        figures.append(Figure(head, caption, PLANE_HEIGHT, partial(plots.interaction, tree, *focus), is_focus=True))
    if outlines is not None:
        head = f"Map: {quantity(spec, outlines[1])}"
        caption = "Areas that are near a half on the last map are not known to differ from the average."
        drawn = partial(_mapped, tree, *outlines)
        figures.append(Figure(head, caption, 3 * map_height(outlines[0], PAGE_WIDTH), drawn))
    for group in schema.groups(draws):
        caption = "Each row is one group's deviation from a group at the mean, after the predictors."
        height = caterpillar_height(draws.sizes[group])
        for effect in map(str, draws[f"{group}_effect"].to_numpy()):
            what = "intercepts" if effect == "intercept" else f"effects of {quantity(spec, effect)}"
            drawn = partial(plots.caterpillar, tree, group, effect)
            head, ranking = f"Varying {what}: {quantity(spec, group)}", ranking_of(tree, group, effect)
            figures.append(Figure(head, caption, height, drawn, ranking))
    return figures + _figures_of_data(tree, spec) if _has_rows(tree) else figures


def _mapped(tree: xr.DataTree, frame: Any, by: str, ax: Axes) -> Axes:
    """Three maps, one below the other, in the place of an empty picture."""
    figure = ax.figure
    ax.remove()
    return plots.map(tree, frame, by, axes=figure.subplots(3, 1))[0]


def _figures_of_data(tree: xr.DataTree, spec: ModelSpec) -> list[Figure]:
    """What is drawn from the data that a tree holds."""
    figures = []
    kinds = max(len(schema.read(tree, "categories")), 1)
    several = [term.group for term in spec.parsed.memberships]  # which people are not parted by
    for group in (group for group in schema.groups(tree["posterior"].to_dataset()) if group not in several):
        head = f"Predicted and observed: {quantity(spec, group)}"
        caption = "Groups outside their interval have something that the model does not know; a few are so by chance."
        height = predicted_height(tree["posterior"].sizes[group], kinds)
        figures.append(Figure(head, caption, height, partial(plots.predicted, tree, group)))
    rows = len(proper_priors(tree))
    if rows:
        caption = "A posterior as wide as its prior says that the data know nothing of the parameter."
        drawn = partial(plots.prior_posterior, tree)
        figures.append(Figure("Prior and posterior", caption, prior_posterior_height(rows), drawn))
    return figures


def before_the_data(tree: xr.DataTree) -> tuple[str, Figure | None]:
    """What the priors expect of the outcome, in words and as a picture; or why nothing can be said of it."""
    try:
        found = prior_outcomes(tree)
    except BayesmigError as reason:
        return f"What the priors expect before the data is not shown: {reason}", None
    caption = "Priors that expect what nobody could answer say less than everybody knows."
    height = prior_predictive_height(len(found.rows))
    return str(found), Figure("What the priors expect", caption, height, partial(plots.prior_predictive, tree))


def _has_rows(tree: xr.DataTree) -> bool:
    """Whether a tree holds one data set whose rows can be predicted."""
    whole = "data" in tree.children and int(tree.attrs.get("imputations", 1)) == 1
    spec = ModelSpec.from_json(tree.attrs["spec"])
    return whole and not spec.factors and not spec.impute


def forest_of(results: Mapping[str, xr.DataTree], name: str = "") -> Figure:
    """Coefficients of one model by several results; its name tells several on a page apart."""
    tree = results["posterior"]
    terms = [str(term) for term in tree["posterior"]["term"].to_numpy()]
    agree = "Where the markers of a row lie on top of each other, the sources agree."
    alone = "An interval that excludes zero leaves little doubt of the coefficient's sign."
    height = forest_height(len(term_rows(ModelSpec.from_json(tree.attrs["spec"]), terms)), len(results))
    head, caption = f"Coefficients{name and f': {name}'}", agree if len(results) > 1 else alone
    return Figure(head, caption, height, partial(plots.forest, results))


def figure_svg(draw: Callable[..., Axes], size: tuple[float, float], alt: str, key: str) -> str:
    """A figure as inline SVG, described for those who cannot see it.

    Letters are drawn as paths, so that Chinese looks the same on a machine without the font. Identifiers get
    the figure's key in front, because several figures share one page.
    """
    drawn = _drawn(draw, size, "svg", metadata=NO_METADATA, transparent=True, salt=key).decode("utf-8")
    svg = re.sub(r"<!--.*?-->", "", drawn, flags=re.DOTALL)
    svg = _slimmed(svg[svg.index("<svg") :])
    svg = re.sub(
        r"\b(fill|stroke): (#\w{6})\b",
        lambda found: f"{found[1]}: var(--{THEME[found[2]]}, {found[2]})" if found[2] in THEME else found[0],
        svg,
    )
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", svg)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{html.escape(printable(alt))}">{rest}'


def _slimmed(svg: str) -> str:
    """Coordinates to a hundredth of a point, and lines of one style as one path: a third where groups are thousands."""
    rounded = re.sub(
        r' (?:d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]).replace("\n", ""), svg
    )
    return LINES_OF_ONE_STYLE.sub(
        lambda run: f'<path d="{"".join(re.findall(r' d="([^"]*)"', run[0]))}"{run["style"]}/>\n', rounded
    )


def _drawn(draw: Callable[..., Axes], size: tuple[float, float], form: str, salt: str = "", **options: Any) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the figure itself says which font to install
        figure = Figure(figsize=size, layout="constrained")
        draw(ax=figure.add_subplot())
        stream = io.BytesIO()
        figure.savefig(stream, format=form, **options)
    return stream.getvalue()
