"""Figures carry the numbers of the summaries, in the codebook's words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fontTools.ttLib import TTFont
from matplotlib import font_manager

import bayesmig as bm
from bayesmig import plots
from bayesmig.contract import schema
from bayesmig.contract.seal import seal
from bayesmig.data.rows import design_of
from bayesmig.errors import BayesmigError, NotFound
from bayesmig.inference.fitting import estimate, fit
from bayesmig.plots import style
from bayesmig.printed.literature import published
from bayesmig.results.summaries import coefficients, interaction_lines, variance_components, varying_effects
from bayesmig.specification.catalogue import study
from bayesmig.specification.model import ModelSpec, Variable

mpl.use("Agg")

SPEC = ModelSpec(
    "trust ~ hukou * poverty + gender + (1 | area)",
    variables=(
        Variable("trust", "Trust", unit="points", minimum=0, maximum=9),
        Variable("hukou", "Hukou", {"local": "Local", "rural": "Rural migrant", "urban": "Urban migrant"}),
        Variable("poverty", "Area poverty", unit="recipients", group="area"),
        Variable("gender", "Gender", {"man": "Man", "woman": "Woman"}),
    ),
    standardise={"poverty": "area"},
)


def survey(areas: int = 8) -> pd.DataFrame:
    """Twenty people in each area; poverty and hukou interact."""
    rng = np.random.default_rng(1)
    area = np.repeat(np.arange(areas), 20)
    n = len(area)
    data = pd.DataFrame(
        {
            "area": area,
            "poverty": rng.uniform(10, 90, areas)[area],
            "hukou": rng.choice(["local", "rural", "urban"], n),
            "gender": rng.choice(["man", "woman"], n),
        }
    )
    data["trust"] = 5 - 0.02 * data["poverty"] * (data["hukou"] == "rural") + rng.normal(0, 0.5, areas)[area]
    return data.assign(trust=data["trust"] + rng.normal(0, 0.5, n))


@pytest.fixture(scope="module")
def posterior() -> xr.DataTree:
    return fit(SPEC, survey(), seed=1)


@pytest.fixture(scope="module")
def ml() -> xr.DataTree:
    return estimate(SPEC, survey())


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def _points(container) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and intervals that an error bar of a forest plot draws."""
    line, _, (bars,) = container
    return line.get_xdata(), np.array([segment[:, 0] for segment in bars.get_segments()])


def test_forest_draws_every_source_at_its_numbers(posterior, ml):
    ax = plots.forest({"ML": ml, "posterior": posterior})
    for container, tree, kind in zip(ax.containers, (ml, posterior), ("ci", "eti"), strict=True):
        table = coefficients(tree).drop(index="intercept")
        centre, bounds = _points(container)
        np.testing.assert_allclose(centre, table["estimate"])
        np.testing.assert_allclose(bounds, table[[f"{kind}95_lower", f"{kind}95_upper"]])


def test_forest_draws_printed_numbers_with_their_standard_errors():
    tree = published(study("social_trust"), "table_6")
    ax = plots.forest({"printed": tree}, terms=["area_poverty"])
    centre, bounds = _points(ax.containers[0])
    np.testing.assert_allclose(centre, [-0.403])
    np.testing.assert_allclose(bounds, [[-0.403 - 1.96 * 0.094, -0.403 + 1.96 * 0.094]], rtol=1e-4)


def test_forest_draws_a_value_printed_without_error_as_a_point():
    tree = published(study("social_trust"), "table_6").copy(deep=True)
    tree["published"]["beta_se"][:] = np.nan
    ax = plots.forest({"printed": seal(tree)})
    assert np.isfinite(ax.containers[0][0].get_xdata()).all()


def test_forest_groups_levels_under_their_variable(posterior):
    labels = [label.get_text().strip() for label in plots.forest(posterior).get_yticklabels()]
    assert labels == [
        "Hukou (vs Local)",
        "Rural migrant",
        "Urban migrant",
        "Area poverty, per SD",
        "Hukou × Area poverty, per SD",
        "Rural migrant",
        "Urban migrant",
        "Gender: Woman (vs Man)",
    ]


def test_forest_says_which_interval_each_source_has(posterior, ml):
    legend = plots.forest({"ML": ml, "posterior": posterior}).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["ML, 95 % CI", "posterior, 95 % interval"]


def test_forest_differs_by_marker_and_fill_not_by_colour_alone(posterior, ml):
    lines = [container[0] for container in plots.forest({"ML": ml, "posterior": posterior}).containers]
    assert len({line.get_marker() for line in lines}) == 2
    assert len({line.get_markerfacecolor() for line in lines}) == 2


def test_forest_takes_terms_in_the_order_asked(posterior):
    ax = plots.forest({"posterior": posterior}, terms=["poverty", "intercept"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Area poverty, per SD", "Intercept"]


def test_forest_names_the_closest_term_when_one_is_unknown(posterior):
    with pytest.raises(NotFound, match="closest: 'poverty'"):
        plots.forest({"posterior": posterior}, terms=["povertyy"])


def test_forest_refuses_an_empty_mapping():
    with pytest.raises(BayesmigError, match="at least one result"):
        plots.forest({})


def test_caterpillar_draws_sorted_effects_and_fills_the_clear_ones(posterior):
    ax = plots.caterpillar(posterior, "area")
    effects = varying_effects(posterior, "area").sort_values("estimate", ascending=False)
    markers, bars = ax.collections[1], ax.collections[0]
    np.testing.assert_allclose(markers.get_offsets()[:, 0], effects["estimate"])
    drawn = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(drawn, effects[["eti95_lower", "eti95_upper"]])
    white = (markers.get_facecolors()[:, :3] == 1).all(axis=1)
    np.testing.assert_array_equal(white, (effects["eti95_lower"] <= 0) & (effects["eti95_upper"] >= 0))
    assert [label.get_text() for label in ax.get_yticklabels()] == [str(level) for level in effects.index]


def test_caterpillar_of_many_groups_leaves_their_names_out():
    tree = fit("trust ~ 1 + (1 | area)", survey(areas=100), seed=1)
    ax = plots.caterpillar(tree, "area")
    assert not ax.get_yticklabels()
    assert ax.get_ylabel() == "100 groups, sorted"


def test_interaction_draws_lines_and_bands_in_original_units(posterior):
    ax = plots.interaction(posterior, "poverty", "hukou")
    expected = interaction_lines(posterior, "poverty", "hukou")
    assert [line.get_label() for line in ax.lines] == ["Local", "Rural migrant", "Urban migrant"]
    for line, level in zip(ax.lines, ("local", "rural", "urban"), strict=True):
        rows = expected[expected["hukou"] == level]
        np.testing.assert_allclose(line.get_xdata(), rows["poverty"])
        np.testing.assert_allclose(line.get_ydata(), rows["estimate"])
    data = survey()["poverty"]
    np.testing.assert_allclose(ax.get_xlim(), (data.min(), data.max()))
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    assert ax.get_xlabel() == "Area poverty, recipients"
    assert ax.get_ylabel() == "Trust, points, 0 to 9"


def test_interaction_labels_do_not_overlap(posterior):
    ax = plots.interaction(posterior, "poverty", "hukou")
    ax.figure.canvas.draw()
    named = [text for text in ax.texts if text.get_text() in ("Local", "Rural migrant", "Urban migrant")]
    boxes = sorted((text.get_window_extent() for text in named), key=lambda box: box.y0)
    assert all(lower.y1 <= upper.y0 + 1 for lower, upper in pairwise(boxes))


@pytest.mark.parametrize(
    "draw",
    [
        lambda tree, ax: plots.forest({"posterior": tree}, ax=ax),
        lambda tree, ax: plots.caterpillar(tree, "area", ax=ax),
        lambda tree, ax: plots.interaction(tree, "poverty", "hukou", ax=ax),
        lambda tree, ax: plots.slopes(tree, "hukou", "poverty", draws=50, ax=ax),
        lambda tree, ax: plots.prior_posterior(tree, ax=ax),
        lambda tree, ax: plots.vpc(tree, ax=ax),
        lambda tree, ax: plots.shrinkage(tree, "area", draws=50, ax=ax),
        lambda tree, ax: plots.group_dots(tree, "area", "poverty", draws=50, ax=ax),
    ],
    ids=["forest", "caterpillar", "interaction", "slopes", "prior_posterior", "vpc", "shrinkage", "group_dots"],
)
def test_every_figure_draws_on_the_axes_given_and_states_what_it_shows(draw, posterior):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert draw(posterior, ax) is ax
    assert ax.get_title(loc="left")
    assert ax.get_xlabel()


def _renamed(label: str) -> xr.DataTree:
    """A fit in which one level carries this label."""
    hukou = Variable("hukou", label, {"local": "Local", "rural": f"{label} 1", "urban": f"{label} 2"})
    spec = ModelSpec("trust ~ hukou", variables=(hukou,))
    return fit(spec, survey(), seed=1)


def test_labels_are_never_read_as_mathematics():
    ax = plots.forest(_renamed("cost $x_1$ \\frac"))
    ax.figure.canvas.draw()
    assert "cost $x_1$ \\frac (vs Local)" in [label.get_text() for label in ax.get_yticklabels()]
    assert not any(label.get_parse_math() for label in ax.get_yticklabels())


@pytest.fixture(scope="module")
def font_file(tmp_path_factory):
    """A folder with a font of no machine: that of matplotlib, which says that one sign is every Chinese character."""
    font = TTFont(font_manager.findfont("DejaVu Sans"))
    for table in font["cmap"].tables:
        table.cmap |= {
            ord(character): table.cmap[ord("X")] for character in "户口类型城市本地" if ord("X") in table.cmap
        }
    for record in font["name"].names:
        record.string = str(record).replace("DejaVu Sans", "Han of these tests")
    path = tmp_path_factory.mktemp("fonts") / "han.ttf"
    font.save(path)
    return path


@pytest.fixture
def fonts_of_the_system(font_file, monkeypatch):
    """That font is installed since matplotlib looked, and no other one has Chinese characters."""
    monkeypatch.setattr(style, "CJK_FONTS", ("Han of these tests",))
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    looks = []

    def find() -> list[str]:
        looks.append(1)
        return [str(font_file), __file__]

    monkeypatch.setattr(font_manager, "findSystemFonts", find)
    style._look_again.cache_clear()
    yield looks
    style._look_again.cache_clear()


def test_a_font_installed_since_matplotlib_looked_is_found_once(fonts_of_the_system):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.forest(_renamed("type of household"))
        assert not fonts_of_the_system
        for _ in range(2):
            ax = plots.forest(_renamed("户口类型"))
            ax.figure.canvas.draw()  # a character without a glyph would be warned of
    assert fonts_of_the_system == [1]
    assert "Han of these tests" in ax.get_yticklabels()[0].get_fontfamily()


def test_chinese_labels_are_drawn_with_a_font_that_has_them():
    if not style._installed_cjk():
        pytest.skip("no font with Chinese characters is installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plots.forest(_renamed("户口类型"))
        ax.figure.canvas.draw()


def test_without_a_chinese_font_one_warning_names_one(monkeypatch):
    monkeypatch.setattr(style, "CJK_FONTS", ("Noto Sans CJK SC of nowhere",))
    with pytest.warns(UserWarning, match="Install 'Noto Sans CJK SC of nowhere'") as caught:
        plots.forest(_renamed("户口类型"))
    assert len([warning for warning in caught if "Install" in str(warning.message)]) == 1


def test_dumbbell_joins_the_extremes_of_every_term():
    trust = bm.study("social_trust")
    results = {
        "printed": bm.published(trust, "table_6"),
        "posterior": bm.published_posterior(trust, "table_6", seed=1),
    }
    ax = bm.plots.dumbbell(results, ["age", "area_poverty"])
    printed, posterior = (bm.coefficients(tree).loc["area_poverty", "estimate"] for tree in results.values())
    bars = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2 and list(line.get_ydata()) == [1, 1]]
    assert any(sorted([printed, posterior]) == pytest.approx(sorted(bar)) for bar in bars)
    with pytest.raises(bm.BayesmigError, match="two results or more"):
        bm.plots.dumbbell({"printed": results["printed"]})


def test_slopes_along_a_number_are_those_of_the_coefficients(posterior):
    ax = plots.slopes(posterior, "hukou", "poverty", draws=4000)
    scaling = schema.read(posterior, "scaling")["poverty"]
    beta = posterior["posterior"]["beta"].stack(draw_=("chain", "draw"))
    for line, level in zip([line for line in ax.lines if line.get_linewidth() == 1.9], ("rural", "urban"), strict=True):
        z = (np.asarray(line.get_xdata()) - scaling["mean"]) / scaling["sd"]
        own, with_poverty = (beta.sel(term=f"hukou[{level}]{more}").to_numpy() for more in ("", ":poverty"))
        np.testing.assert_allclose(line.get_ydata(), (own + z[:, None] * with_poverty).mean(axis=1), atol=1e-9)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["Rural migrant vs Local", "Urban migrant vs Local"]
    assert ax.get_xlabel() == "Area poverty, recipients"
    assert ax.get_ylabel() == "Difference: Trust, points, 0 to 9"
    data = survey()["poverty"]
    np.testing.assert_allclose(ax.get_xlim(), (data.min(), data.max()))


def test_slopes_by_a_category_have_a_marker_for_each_level(posterior):
    ax = plots.slopes(posterior, "poverty", "hukou", draws=4000)
    beta = posterior["posterior"]["beta"].stack(draw_=("chain", "draw"))
    main = beta.sel(term="poverty").to_numpy()
    each = [main, *(main + beta.sel(term=f"hukou[{level}]:poverty").to_numpy() for level in ("rural", "urban"))]
    heights = ax.collections[-1].get_offsets()[:, 1]
    np.testing.assert_allclose(heights, [draws.mean() for draws in each], atol=1e-9)
    bars = np.array([segment[:, 1] for segment in ax.collections[-2].get_segments()])
    np.testing.assert_allclose(bars, [np.quantile(draws, [0.025, 0.975]) for draws in each], atol=1e-9)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Local", "Rural migrant", "Urban migrant"]
    assert ax.get_ylabel().startswith("Change per SD: Trust")


def test_slopes_of_an_estimate_have_walds_band(ml):
    ax = plots.slopes(ml, "poverty", "hukou")
    main = bm.coefficients(ml).loc["poverty"]
    bars = ax.collections[-2].get_segments()[0][:, 1]
    np.testing.assert_allclose(bars, main[["ci95_lower", "ci95_upper"]].astype(float), rtol=1e-6)


def test_slopes_of_no_predictor_are_refused(posterior):
    with pytest.raises(BayesmigError, match="closest: 'poverty'"):
        plots.slopes(posterior, "hukou", "povertyy")
    with pytest.raises(BayesmigError, match="closest: 'hukou'"):
        plots.slopes(posterior, "hukuo", "poverty")


def test_prior_and_posterior_count_in_spreads_of_the_prior(posterior):
    ax = plots.prior_posterior(posterior, ["hukou[rural]", "sigma", "tau_area[intercept]"])
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["Hukou: Rural migrant", "Residual SD", "Area: SD of the intercept"]
    prior = design_of(posterior).priors.slopes[
        list(posterior["posterior"]["term"].to_numpy()).index("hukou[rural]") - 1
    ]
    draws = posterior["posterior"]["beta"].sel(term="hukou[rural]").to_numpy().ravel()
    lines = [line for line in ax.lines if len(line.get_xdata()) > 100]
    before, after = lines[0], lines[1]
    assert np.asarray(before.get_xdata())[np.argmin(before.get_ydata())] == pytest.approx(
        0, abs=0.026
    )  # half the step of the curve
    # rows are drawn upwards from the baseline 0; a kernel estimate of 4,000 draws is centred where they are
    height = -np.asarray(after.get_ydata())
    centre = np.average(after.get_xdata(), weights=height)
    assert centre == pytest.approx((draws.mean() - prior.mean) / prior.sd, abs=0.02)
    shares = [text.get_text() for text in ax.texts if text.get_text().endswith("%")]
    width = np.diff(np.quantile(draws, [0.025, 0.975]))[0] / (2 * 1.96 * prior.sd)
    assert float(shares[0].rstrip("%")) == pytest.approx(100 * width, abs=1)  # rounding; 20,000 draws of the prior
    with pytest.raises(NotFound, match="closest: 'poverty'"):
        plots.prior_posterior(posterior, ["povertyy"])


def test_a_prior_that_is_as_good_as_flat_has_no_row():
    from bayesmig.specification.priors import Normal, preset

    priors = preset("mlwin").changed(**{"gender[woman]": Normal(0, 1)})
    tree = fit(SPEC.with_priors(priors), survey(), seed=1)
    assert [label.get_text() for label in plots.prior_posterior(tree).get_yticklabels()] == ["Gender: Woman"]
    with pytest.raises(NotFound, match="'poverty' with a proper prior"):
        plots.prior_posterior(tree, ["poverty"])


def test_vpc_draws_the_share_of_every_grouping_factor(posterior):
    table = variance_components(posterior)
    ax = plots.vpc(posterior)
    row = table.loc["vpc_area"]
    curve = max(ax.lines, key=lambda line: len(line.get_xdata()))
    x, density = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    assert np.trapezoid(density, x) == pytest.approx(1, abs=0.01)  # mirrored, so that nothing falls beyond the ends
    assert np.trapezoid(density * x, x) == pytest.approx(row["estimate"], abs=0.02)  # the kernel at the ends
    (bar,) = [line for line in ax.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(bar.get_xdata(), [row["eti95_lower"], row["eti95_upper"]])
    assert f"{row['estimate']:.2f}" in ax.get_legend().get_texts()[0].get_text()
    with pytest.raises(BayesmigError, match="no share of variance"):
        plots.vpc(fit("trust ~ gender", survey(), seed=1))


def test_shrinkage_sets_raw_means_beside_those_of_the_model(posterior):
    data = survey()
    data = pd.concat([data, data[data["area"] == 1].iloc[:1].assign(area=99, poverty=data["poverty"].max())])
    tree = fit(SPEC, data, seed=1)
    ax = plots.shrinkage(tree, "area", draws=4000)
    raw, pooled = ax.collections[-2].get_offsets(), ax.collections[-1].get_offsets()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[-1] == "99 (1)"
    means = data.groupby("area")["trust"].mean()
    np.testing.assert_allclose(raw[:, 0], [means[int(label.split()[0])] for label in labels])
    expected = bm.margins(tree, by="area", random="sample").set_index("area")["estimate"]
    np.testing.assert_allclose(pooled[:, 0], [expected[label.split()[0]] for label in labels])
    moved = np.abs(raw[:, 0] - pooled[:, 0])
    assert moved[-1] > 2 * moved[:-1].max()  # a group of one is mostly chance
    with pytest.raises(BayesmigError, match="closest: 'area'"):
        plots.shrinkage(tree, "areas")


def test_group_dots_set_expected_outcomes_beside_the_groups_own_values():
    data = survey(12).drop(index=range(15))  # area 0 has five people
    tree = fit(SPEC, data, seed=1)
    ax = plots.group_dots(tree, "area", "poverty", draws=4000)
    dots, own = ax.collections[-1], data.groupby("area")["poverty"]
    expected = bm.margins(tree, by="area", random="sample").set_index("area")["estimate"]
    order = [str(name) for name in expected.index]
    at = dots.get_offsets()
    np.testing.assert_allclose(at[:, 0], [own.first()[int(name)] for name in order])
    np.testing.assert_allclose(at[:, 1], expected)
    sizes = dict(zip(order, dots.get_sizes(), strict=True))
    assert sizes["0"] == pytest.approx(sizes["1"] / 4)  # areas of dots count people
    names = [text.get_text() for text in ax.texts if text.get_text() in order]
    assert 0 < len(names) <= 12
    with pytest.raises(BayesmigError, match=r"along='povety'.*closest: 'poverty'"):
        plots.group_dots(tree, "area", "povety")
    people = data.assign(age=np.arange(len(data)) % 50)
    ages = fit("trust ~ age + (1 | area)", people, seed=1)
    with pytest.raises(BayesmigError, match=r"'age' is no characteristic of area: in '0' it goes from"):
        plots.group_dots(ages, "area", "age")


@pytest.mark.parametrize("family", ["bernoulli", "cumulative", "binomial", "poisson", "student"])
def test_new_figures_draw_every_family_with_nested_groups_and_chinese_labels(family, fonts_of_the_system):
    from fabricated import posterior as made_up
    from fabricated import specification
    from fabricated import survey as people

    tree = made_up(specification(family, "hukou * x + (1 + x | city/area)"), people())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.shrinkage(tree, "city:area")
        plots.caterpillar(tree, "city", "x")
        plots.prior_posterior(tree)
        plots.slopes(tree, "hukou", "x", scale="response")
        if family in ("bernoulli", "cumulative", "binomial", "student"):
            plots.vpc(tree)
