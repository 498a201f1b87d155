"""The regression table: the same numbers in every form, and what it says of them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import docx
import numpy as np
import pandas as pd
import pytest
from fabricated import CASES, specification
from fabricated import posterior as made_up
from fabricated import survey as invented
from reporting.people import ATTACK, NASTY, SPEC, VARIABLES, answers, likeliest, owners, posterior, survey

from bayesmig.checking.validation import loo
from bayesmig.errors import BayesmigError
from bayesmig.inference.fitting import estimate, fit
from bayesmig.inference.sandwich import adjust
from bayesmig.printed.evidence.posterior import published_posterior
from bayesmig.printed.literature import published
from bayesmig.replication.remarks import number
from bayesmig.reporting.grids import TEX
from bayesmig.reporting.plugin import for_maketables
from bayesmig.reporting.tables import Table, table
from bayesmig.results.summaries import coefficients, r2, variance_components
from bayesmig.specification.catalogue import studies, study
from bayesmig.specification.model import Factor, ModelSpec, Variable


@pytest.fixture(scope="module")
def both():
    return table({"ML": likeliest(), "posterior": posterior()}, title=NASTY)


def expected(shown):
    """Label and cells of every line with numbers, as the table itself holds them; Word may not hold control signs."""
    return [(_plain(line.label), list(line.cells)) for line in shown.grid.lines if line.cells]


def _plain(text):
    return " ".join(text.replace("\x07", "").split())


class Cells(HTMLParser):
    """Rows of the body of a table: label, and number and bracket of each cell."""

    def __init__(self, source):
        super().__init__()
        self.rows, self.tag, self.tags = [], "", []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.tag = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append(["", ""])

    def handle_endtag(self, tag):
        self.tag = "td" if tag == "small" else ""

    def handle_data(self, text):
        if self.tag in ("th", "td", "small"):
            self.rows[-1][-1][self.tag == "small"] += text


def from_html(shown, folder):
    body = shown.to_html().split("<tbody>")[1].split("</tbody>")[0]
    rows = Cells(body).rows
    return [(_plain(row[0][0]), [tuple(cell) for cell in row[1:]]) for row in rows if len(row) > 1]


def from_word(shown, folder):
    path = shown.save(folder / "table.docx")
    rows = []
    for row in docx.Document(path).tables[0].rows[1:]:
        if len(row._tr.tc_lst) > 1:
            cells = [tuple([*cell.text.split("\n"), ""][:2]) for cell in row.cells]
            rows.append((_plain(cells[0][0]), cells[1:]))
    return rows


def from_latex(shown, folder):
    body = shown.to_latex().split(r"\endlastfoot")[1].split(r"\bottomrule")[0]
    rows = []
    for line in body.splitlines():
        if " & " not in line:
            continue
        cells = [_untex(part) for part in re.split(r"(?<!\\)&", line.removesuffix("*").removesuffix(r"\\"))]
        if cells[0]:
            rows.append((cells[0], [(text, "") for text in cells[1:]]))
        else:
            label, above = rows[-1]
            rows[-1] = (label, [(text, below) for (text, _), below in zip(above, cells[1:], strict=True)])
    return rows


def _untex(text):
    text = re.sub(r"\$\^\{([-\d]+)\}\$", lambda found: found[1].translate(RAISED), text.replace(r"\quad ", ""))
    for sign, written in sorted(TEX.items(), key=lambda pair: -len(pair[1])):
        if sign != "\\":
            text = text.replace(written, sign)
    return _plain(text.replace(TEX["\\"], "\\"))


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def from_markdown(shown, folder):
    lines = [line for line in shown.to_markdown().splitlines() if line.startswith("| ")]
    rows = []
    for line in lines[2:]:
        label, *cells = [re.sub(r"\\(.)", r"\1", part).strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]]
        pairs = [tuple([*re.split(r" (?=[\[(])", cell, maxsplit=1), ""][:2]) for cell in cells]
        if any(cells):
            rows.append((_plain(label.removeprefix("&emsp;")), pairs))
    return rows


def from_typst(shown, folder):
    body = shown.to_typst().split("table.header")[1].split("\n", 1)[1]
    rows = []
    for line in body.splitlines():
        if not line.startswith('    "') and not line.startswith("    [#h"):
            continue
        label, *rest = re.findall(r'"((?:[^"\\]|\\.)*)"( #linebreak\(\))?', line)
        cells, below = [], False
        for text, breaks in rest:
            if below:
                cells[-1] = (cells[-1][0], text)
            else:
                cells.append((text, ""))
            below = bool(breaks)
        rows.append((_plain(label[0].replace("\\\\", "\\")), cells))
    return rows


@pytest.mark.parametrize("read", [from_html, from_word, from_latex, from_markdown, from_typst])
@pytest.mark.parametrize("below", ["interval", "error"])
def test_every_form_says_the_same(read, below, tmp_path):
    shown = table({"ML": likeliest(), "posterior": posterior()}, below=below)
    assert read(shown, tmp_path) == expected(shown)


def test_the_numbers_are_those_of_the_summaries(both):
    frame = both.frame.set_index(["row", "model"])
    for name, tree in (("ML", likeliest()), ("posterior", posterior())):
        for source in (coefficients(tree), variance_components(tree).filter(like="variance_", axis=0)):
            lower, upper = (column for column in source if column.endswith(("_lower", "_upper")))
            for term, row in source.iterrows():
                shown = frame.loc[(term, name)]
                assert shown["estimate"] == row["estimate"]
                assert (shown["lower"], shown["upper"]) == (row[lower], row[upper])
                assert shown["text"] == number(row["estimate"])
                assert shown["below"] == f"[{number(row[lower])}, {number(row[upper])}]"


def test_the_foot_has_people_groups_shares_and_where_data_come_from(both):
    foot = both.frame[both.frame["part"] == "foot"].set_index(["row", "model"])
    used = int(survey().dropna().shape[0])
    assert foot.loc[("n", "ML"), "text"] == str(used)
    assert foot.loc[("n_area", "posterior"), "text"] == "10"
    share = variance_components(posterior()).loc["vpc_area", "estimate"]
    assert foot.loc[("vpc_area", "posterior"), "estimate"] == share
    assert foot.loc[("r2_marginal", "ML"), "estimate"] == r2(likeliest()).loc["r2_marginal", "estimate"]
    assert foot.loc[("method", "ML"), "text"] == "ML"
    assert foot.loc[("method", "posterior"), "text"] == "Exact, seed 1"
    assert foot.loc[("provenance", "ML"), "text"] == "own data"


def test_measures_that_are_asked_for():
    shown = table({"ML": likeliest(), "posterior": posterior()}, measures=("loo", "aic", "bic"))
    foot = shown.frame.set_index(["row", "model"])
    assert "r2_marginal" not in foot.index.get_level_values(0)
    found = loo(posterior())
    assert foot.loc[("elpd_loo", "posterior"), "estimate"] == found.elpd
    assert foot.loc[("elpd_loo", "posterior"), "below"] == f"({number(found.se)})"
    assert foot.loc[("aic", "ML"), "estimate"] == likeliest().attrs["aic"]


def test_heads_name_the_kind_of_interval(both):
    assert [head.notes for head in both.grid.heads] == [
        ("ML estimate", "[95 % CI]"),
        ("posterior mean", "[95 % equal-tailed interval]"),
    ]
    narrow = table({"a": posterior()}, interval=0.8)
    assert narrow.grid.heads[0].notes == ("posterior mean", "[80 % equal-tailed interval]")
    kinds = narrow.frame.loc[narrow.frame["part"] != "foot", "interval"].unique()
    assert list(kinds) == ["80 % equal-tailed interval"]


def parts(shown):
    """Labels of terms under each heading of a part."""
    found, where = {}, ""
    for line in shown.grid.lines:
        where = line.label if line.kind == "part" else where
        found.setdefault(where, []).append(line.label)
    return found


def test_rows_stand_by_level(both):
    found = parts(both)
    assert list(found) == ["", "Person level", "Area level", "Cross-level interactions", "Variance components"]
    assert found[""] == ["Intercept"]
    assert "Age" in found["Person level"]
    assert "户口 (vs 本地)" in found["Person level"]
    assert found["Area level"][1:] == ["Area poverty"]
    assert found["Cross-level interactions"][1] == "户口 × Area poverty"


def test_levels_come_from_data_where_the_codebook_is_silent():
    found = parts(table({"a": fit("trust ~ poverty * age + hukou + (1 | area)", survey(), seed=1)}))
    assert found["Area level"][1:] == ["Poverty"]
    assert found["Person level"][1:] == ["Age", "Hukou (vs local)", "rural", "urban"]
    assert found["Cross-level interactions"][1:] == ["Poverty × age"]


def test_without_groups_there_are_no_levels():
    found = parts(table({"OLS": estimate("trust ~ age", survey(), method="ols")}))
    assert list(found) == ["", "Variance components"]


def test_models_of_different_predictors_leave_cells_empty():
    small = fit(ModelSpec("trust ~ age + (1 | area)", variables=VARIABLES), survey(), seed=1)
    shown = table({"small": small, "large": posterior()})
    line = next(line for line in shown.grid.lines if line.label == "Area poverty")
    assert line.cells[0] == ("", "")
    assert line.cells[1][0]
    assert [line.label for line in shown.grid.lines].count("Age") == 1


def test_models_of_different_outcomes_say_so():
    shown = table([posterior(), owners()])
    assert shown.grid.heads[0].notes[0] == "社会信任"
    assert shown.grid.heads[1].notes == ("Owns", "log odds, ML estimate", "[95 % CI]")
    assert [head.title for head in shown.grid.heads] == ["(1)", "(2)"]
    assert any("latent scale" in note for note in shown.grid.notes)


def test_ratios_are_those_of_the_summaries():
    shown = table({"ML": owners()}, exponentiate=True)
    source = coefficients(owners(), exponentiate=True)
    got = shown.frame.set_index("row").loc[source.index]
    np.testing.assert_array_equal(got["estimate"].astype(float), source["estimate"])
    assert shown.grid.heads[0].notes[0] == "odds ratio, ML estimate"
    assert any(line.label == "Median odds ratio: Area" for line in shown.grid.lines)
    with pytest.raises(BayesmigError, match="'linear' has the identity"):
        table({"ML": owners(), "linear": posterior()}, exponentiate=True)


@pytest.mark.parametrize("digits", [0, 2, 5])
def test_decimals_are_those_asked_for(digits, tmp_path):
    shown = table({"ML": likeliest()}, digits=digits)
    frame = shown.frame[shown.frame["part"] != "foot"]
    for row in frame.itertuples():
        assert float(row.text.replace("−", "-")) == round(row.estimate, digits)
        assert not re.fullmatch(r"−0(\.0*)?", row.text)
    assert from_word(shown, tmp_path) == expected(shown)
    assert shown.frame.set_index("row").loc["n", "text"] == str(survey().dropna().shape[0])


def test_thresholds_of_ordered_answers_stand_in_the_table():
    shown = table({"ML": answers()})
    found = parts(shown)
    assert found["Thresholds"][1:3] == ["低 | 中", "中 | 高"]
    cuts = answers()["estimate"]["cut"].to_numpy()
    frame = shown.frame.set_index("row")
    assert frame.loc[["cut[low|middle]", "cut[middle|high]"], "estimate"].tolist() == cuts.tolist()
    error = float(answers()["estimate"]["cut_se"][0])
    # Wald, as the interval of every other quantity on this scale: 1.96 standard errors
    assert frame.loc["cut[low|middle]", "upper"] == pytest.approx(cuts[0] + 1.959964 * error, rel=1e-6)


@pytest.mark.parametrize(("family", "link"), CASES)
def test_every_family_has_a_table(family, link, tmp_path):
    spec = specification(family, "x * hukou + poverty + (1 + x | area) + (1 | city)", link)
    tree = made_up(spec, invented())
    shown = table(tree)
    for read in (from_html, from_word, from_latex, from_markdown, from_typst):
        assert read(shown, tmp_path) == expected(shown), read.__name__
    rows = set(shown.frame["row"])
    assert set(coefficients(tree).index) < rows
    if family == "categorical":
        assert {"rho_area[often ~ intercept,often ~ x]", "tau_area[always ~ x]"} - rows <= {"tau_area[always ~ x]"}
    else:
        assert {"rho_area[intercept,x]", "vpc_area", "n_city"} - (
            {"vpc_area"} if link == "log" or "beta" in family else set()
        ) < rows
    further = set(spec.distribution.parameters) - {"sigma", "cut"}
    assert further <= rows
    if "cut" in spec.distribution.parameters:
        draws = tree["posterior"]["cut"].sel(cutpoint="never|often")
        first = shown.frame.set_index("row").loc["cut[never|often]"]
        assert first["estimate"] == pytest.approx(float(draws.mean()), rel=1e-12)  # sums in another order


@pytest.mark.parametrize("marker", [False, True])
def test_latent_factors_have_a_table(marker):
    rng = np.random.default_rng(1)
    score = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 400)
    items = {f"{name}{k}": score[:, j] + rng.normal(size=400) for j, name in enumerate("ab") for k in range(3)}
    factors = tuple(
        Factor(name, tuple(item for item in items if item[0] == name[0]), marker=f"{name[0]}0" if marker else "")
        for name in ("ability", "belonging")
    )
    tree = estimate(
        ModelSpec("ability + belonging ~ age", factors=factors), pd.DataFrame(items).assign(age=score[:, 0])
    )
    shown = table({"ML": tree})
    labels = [line.label for line in shown.grid.lines]
    assert labels[:2] == ["Ability ~ age", "Belonging ~ age"]
    assert "Loading: a1" in labels
    assert "Residual correlation of ability, belonging" in labels
    assert ("Ability: residual variance" in labels) == marker
    assert shown.frame["row"].is_unique
    first = next(line for line in shown.grid.lines if line.label == "Loading: a0")
    assert (first.cells[0] == ("1.000", "")) == marker  # fixed, so without an interval


def test_a_grouping_factor_may_be_called_factor():
    data = survey().rename(columns={"area": "factor"})
    labels = [line.label for line in table(fit("trust ~ age + (1 + age | factor)", data, seed=1)).grid.lines]
    assert "Factor: correlation of effects (intercept, age)" in labels
    assert "Factor: variance of the intercept" in labels


def test_different_references_are_refused():
    other = Variable("hukou", "户口", {"local": "本地", "rural": "农村", "urban": "城市"}, reference="rural")
    tree = fit(ModelSpec("trust ~ hukou", variables=(other,)), survey(), seed=1)
    with pytest.raises(BayesmigError, match="'hukou' is compared with 'local' in 'a' but with 'rural' in 'b'"):
        table({"a": posterior(), "b": tree})


def test_a_predictor_that_is_counted_differently_is_told():
    scaled = fit(ModelSpec("trust ~ age + (1 | area)", variables=VARIABLES, standardise={"age": "person"}), survey())
    shown = table({"raw": posterior(), "scaled": scaled})
    assert "Age" in [line.label for line in shown.grid.lines]  # not "Age, per SD", which would be wrong in one column
    assert "Age is counted differently: per unit in raw; per SD of Age in scaled." in shown.grid.notes
    elsewhere = fit(
        ModelSpec("trust ~ age", variables=VARIABLES, standardise={"age": "person"}), survey().query("age > 40"), seed=1
    )
    assert any("the samples differ" in note for note in table([scaled, elsewhere]).grid.notes)


def test_failed_checks_are_marked():
    few = fit("trust ~ age + (1 | area)", survey().query("area < 4"), seed=1)
    shown = table({"few": few, "all": posterior()})
    assert [head.title for head in shown.grid.heads] == ["few†", "all"]
    (note,) = (note for note in shown.grid.notes if note.startswith("† few"))
    assert "number of groups: 4 groups of area: their sd rests mainly on the prior" in note


def test_weights_and_adjusted_intervals_are_told():
    data = survey().assign(w=np.linspace(0.5, 2, len(survey())))
    weighted = fit(ModelSpec("trust ~ age + (1 | area)", variables=VARIABLES).with_weights("w"), data, seed=1)
    frame = table({"plain": weighted, "adjusted": adjust(weighted)}).frame.set_index(["row", "model"])
    assert frame.loc[("weights", "plain"), "text"] == "w (survey)"
    assert frame.loc[("method", "adjusted"), "text"] == "Exact, seed 1, intervals adjusted for 10 clusters"
    robust = table({"a": estimate("trust ~ age", data, method="ols", errors="robust")}).frame.set_index("row")
    assert robust.loc["method", "text"] == "OLS, robust errors"


def test_reconstructed_data_are_marked_in_every_form(tmp_path):
    data = survey().assign(provenance="reconstructed from a printed table, seed 1")
    shown = table({"made": fit(SPEC, data, seed=1), "own": posterior()})
    assert [head.title for head in shown.grid.heads] == ["made‡", "own"]
    word = "\n".join(paragraph.text for paragraph in docx.Document(shown.save(tmp_path / "t.docx")).paragraphs)
    for text in (shown.to_html(), shown.to_latex(), shown.to_markdown(), shown.to_typst(), word):
        assert "Reconstructed data: not evidence" in text
        assert "never evidence about people" in text


@pytest.mark.parametrize("name", studies())
def test_every_printed_table_can_be_set(name, tmp_path):
    chosen = study(name)
    trees = {key: published(chosen, key) for key, spec in chosen.models.items() if spec.printed}
    if not trees:
        pytest.skip("a study without printed models")
    shown = table(trees)
    for panel in (Table(shown.frame, grid) for grid in shown.grid.panels):
        for read in (from_html, from_word, from_latex, from_markdown, from_typst):
            assert read(panel, tmp_path) == expected(panel), read.__name__
    printed = shown.frame[shown.frame["row"].isin(coefficients(next(iter(trees.values()))).index)]
    assert set(printed["estimand"]) == {"printed"}


def test_printed_cells_keep_errors_and_stars_whatever_is_asked():
    trust = study("social_trust")
    pair = {"Paper": published(trust, "table_6"), "prior": published_posterior(trust, "table_6", seed=1)}
    frame = table(pair).frame.set_index(["row", "model"])
    assert (frame.loc[("area_poverty", "Paper"), ["text", "below"]] == ["−0.403***", "(0.094)"]).all()
    assert frame.loc[("area_poverty", "prior"), "below"].startswith("[")


def test_text_of_users_is_harmless(both, tmp_path):
    page = both.save(tmp_path / "t.html").read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    assert "script" not in Cells(page).tags
    assert "default-src 'none'" in page
    assert ATTACK in docx.Document(both.save(tmp_path / "t.docx")).paragraphs[0].text
    latex = both.to_latex("tab:a")
    assert r"\caption{50 \% \& a\_b \#1 \{x\} \textasciitilde{}y\textasciicircum{}2 \textbackslash{}z \$m\$" in latex
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    assert r"\label{tab:a}" in latex


def test_saved_forms_follow_the_ending(both, tmp_path):
    for ending, begins in ((".tex", "%"), (".md", "**"), (".typ", "#"), (".csv", "part,")):
        assert both.save(tmp_path / f"t{ending}").read_text(encoding="utf-8").startswith(begins)
    again = pd.read_csv(tmp_path / "t.csv", dtype=str).set_index(["row", "model"])
    assert float(again.loc[("age", "ML"), "estimate"]) == coefficients(likeliest()).loc["age", "estimate"]
    with pytest.raises(BayesmigError, match=r"ending '.xls' says no form; allowed are .docx"):
        both.save(tmp_path / "t.xls")
    with pytest.raises(BayesmigError, match="does not exist"):
        both.save(tmp_path / "nowhere" / "t.html")


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ({}, {}, "needs a result or more"),
        ({"a": 3}, {}, "model 'a': expected a DataTree"),
        ("trust", {}, "expected a DataTree"),
        (None, {"below": "errors"}, "below='errors' .closest: 'error'."),
        (None, {"measures": ("r",)}, "measures='r'"),
        (None, {"measures": "r2"}, r"give a sequence, as in measures=\('r2',\)"),
        (None, {"components": "var"}, "components='var'"),
        (None, {"digits": -1}, "digits=-1: give the number of decimals"),
        (None, {"interval": 95}, "must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(models, options, message):
    with pytest.raises(BayesmigError, match=message):
        table(posterior() if models is None else models, **options)


def test_a_single_result_needs_no_name():
    shown = table(posterior(), components="sd")
    assert shown.grid.heads[0].title == "(1)"
    assert "tau_area[intercept]" in set(shown.frame["row"])
    assert shown._repr_html_() == shown.to_html()
    assert str(shown) == shown.to_markdown()


def test_posteriors_stand_beside_statsmodels_in_maketables():
    maketables = pytest.importorskip("maketables", reason="maketables is not installed")
    import statsmodels.formula.api as smf

    data = survey().dropna()
    ols = smf.ols("trust ~ hukou + age", data).fit()
    tree = fit("trust ~ hukou + age + (1 | area)", data, seed=1)
    # maketables writes (b [l, u]) of every model into one column a model, rows by its own names
    shown = maketables.ETable([ols, for_maketables(tree)], coef_fmt="b:.6f [ci95l:.6f, ci95u:.6f]").df
    row = coefficients(tree).loc["age"]
    cell = shown.loc[("coef", "age")].iloc[1]
    assert cell == f"{row['estimate']:.6f} [{row['eti95_lower']:.6f}, {row['eti95_upper']:.6f}]"
    assert shown.loc[("coef", "hukou=rural")].iloc[0].startswith(f"{ols.params['hukou[T.rural]']:.6f}")
    assert (
        shown.loc[("coef", "hukou=rural")]
        .iloc[1]
        .startswith(f"{coefficients(tree).loc['hukou[rural]', 'estimate']:.6f}")
    )
    assert shown.loc[("stats", "Interval")].iloc[1] == "95 % equal-tailed, of the posterior"
    assert "*" not in cell
