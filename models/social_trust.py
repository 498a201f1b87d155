"""Trust between migrants and natives in 35 Shanghai neighbourhoods (Wang, Zhang & Wu 2015)."""

from bayesmig.specification.blocks import (
    age,
    formula,
    gender,
    household_size,
    hukou,
    interactions,
    varying_intercept,
    varying_slope,
)
from bayesmig.specification.model import Hypothesis, Margin, ModelSpec, Population, Range, Study, Variable
from bayesmig.specification.priors import LKJ, HalfNormal, Normal, PriorSet

OUTCOME = "out_group_trust"

VARIABLES = (
    Variable(
        OUTCOME,
        "Out-group trust",
        unit="points from 1 (distrust) to 5 (trust); 0, not applicable, is missing",
        minimum=1,
        maximum=5,
    ),
    Variable("neighbourhood", "Neighbourhood", unit="any name or number of the residential committee's area"),
    Variable(
        "area_poverty", "Area poverty", unit="residents on minimum living support", group="neighbourhood", minimum=0
    ),
    Variable(
        "neighbourhood_type",
        "Neighbourhood type",
        {
            "courtyard_housing": "Courtyard housing",
            "work_unit": "Work unit",
            "relocation_housing": "Relocation housing",
            "commodity_housing": "Commodity housing",
            "urban_villages": "Urban village",
        },
        reference="urban_villages",
        group="neighbourhood",
    ),
    Variable(
        "migrant_concentration",
        "Migrant concentration",
        unit="percent of residents",
        group="neighbourhood",
        minimum=0,
        maximum=100,
    ),
    Variable(
        "friends_location",
        "Most friends live in",
        {
            "same_neighbourhood": "Same neighbourhood",
            "different_neighbourhood_same_district": "Same district",
            "different_district_in_shanghai": "Other district of Shanghai",
            "outside_shanghai": "Outside Shanghai",
        },
        reference="different_district_in_shanghai",
    ),
    age(),
    gender(),
    Variable(
        "occupation",
        "Occupation",
        {
            "manager_or_highly_skilled": "Manager or highly skilled",
            "administrative": "Administrative",
            "service_industry": "Service industry",
            "production_and_logistics": "Production and logistics",
            "retired_or_unable_to_work": "Retired or unable to work",
            "other_occupation": "Other",
        },
        reference="other_occupation",
    ),
    hukou(),
    Variable("education", "Education", unit="level, from 1 (below elementary) to 5 (college)", minimum=1, maximum=5),
    Variable("income", "Income", unit="thousand yuan a month", minimum=0),
    Variable("tenure", "Tenure", {"owner": "Owner", "tenant": "Tenant"}),
    household_size(),
)

STANDARDISE = {
    "area_poverty": "neighbourhood",
    "migrant_concentration": "neighbourhood",
    "age": "person",
    "education": "person",
    "income": "person",
    "household_size": "person",
}

MAIN_EFFECTS = (
    "area_poverty",
    "neighbourhood_type",
    "migrant_concentration",
    "friends_location",
    "age",
    "gender",
    "occupation",
    "hukou",
    "education",
    "income",
    "tenure",
    "household_size",
)

HUKOU_INTERACTIONS = interactions("hukou", ["age", "income", "education", "area_poverty", "migrant_concentration"])

CONTRAST = Normal(0, 1, why="Two categories of people may differ by a whole point of the five, seldom by two.")

PRIORS_WITHOUT_PREDICTORS = PriorSet(
    intercept=Normal(
        3, 1, why="The average answer lies near the middle of the five points, almost surely between 1 and 5."
    ),
    slopes=Normal(
        0, 0.5, why="One sd of a predictor, or a difference between such slopes, seldom moves trust by a point."
    ),
    sigma=HalfNormal(1, why="Answers from 1 to 5 cannot have an sd above 2, and one near 1 is usual."),
    tau=HalfNormal(
        0.5, why="Neighbourhood means, or effects in neighbourhoods, seldom lie over a point from their average."
    ),
    rho=LKJ(2, why="Correlations near one are unlikely before seeing data."),
    name="social_trust",
)

PRIORS = PriorSet(
    intercept=PRIORS_WITHOUT_PREDICTORS.intercept,
    slopes=PRIORS_WITHOUT_PREDICTORS.slopes,
    sigma=PRIORS_WITHOUT_PREDICTORS.sigma,
    tau=PRIORS_WITHOUT_PREDICTORS.tau,
    rho=PRIORS_WITHOUT_PREDICTORS.rho,
    specific={
        "neighbourhood_type": CONTRAST,
        "friends_location": CONTRAST,
        "gender": CONTRAST,
        "occupation": CONTRAST,
        "hukou": CONTRAST,
        "tenure": CONTRAST,
    },
    name="social_trust",
)

# A point of trust is some two logits: the residual sd of the logistic, 1.8, over the residual sd of the answers, 0.8.
LOGIT_CONTRAST = Normal(0, 2, why="Two kinds of people or places seldom differ by more than two points of trust.")

ORDINAL_PRIORS = PriorSet(
    intercept=Normal(0, 4, why="Thresholds take the place of the intercept, so this prior is not used."),
    sigma=HalfNormal(1, why="Ordered answers have no residual sd, so this prior is not used."),
    cut=Normal(0, 4, why="Every answer is given by some; only one in a hundred gives the lowest."),
    slopes=Normal(
        0, 1, why="One sd of a predictor, or a difference between such slopes, seldom moves trust by a point."
    ),
    tau=HalfNormal(
        1, why="Neighbourhood means, or effects in neighbourhoods, seldom lie over a point from their average."
    ),
    rho=LKJ(2, why="Correlations near one are unlikely before seeing data."),
    specific={
        "neighbourhood_type": LOGIT_CONTRAST,
        "friends_location": LOGIT_CONTRAST,
        "gender": LOGIT_CONTRAST,
        "occupation": LOGIT_CONTRAST,
        "hukou": LOGIT_CONTRAST,
        "tenure": LOGIT_CONTRAST,
    },
    name="social_trust, ordered answers",
)

# Levels and counts run from low to high along each variable's latent scale, so that correlations have a sign:
# hukou towards rural migrant, tenure towards tenant, friends towards far away, housing towards urban village.
PRINTED_MARGINS = (
    Margin(
        "hukou",
        {"urban_local": 1046, "rural_local": 128, "urban_migrant": 86, "rural_migrant": 158},
        clustering=0.35,
        source="the 1,418 respondents whose hukou the text counts",
    ),
    Margin(
        "education",
        {"1": 0.64, "2": 5.26, "3": 33.59, "4": 21.67, "5": 33.33},
        clustering=0.15,
        source="Table 1, whose printed percentages sum to 94.49",
    ),
)

# Of whom Tables 2 and 3 print the answers by hukou and Tables 4 and 5 by band, 20, 32, 38 and 10 % live in the four
# bands: no other shares give the same answers altogether.
BANDS = Margin(
    "migrant_concentration",
    {
        **{"1": 1, "2": 1, "4": 1, "5": 1, "6": 1, "8": 1, "9": 1},
        **{"10.5": 1, "12": 1, "13": 1, "14": 1, "16": 1, "17": 1, "18": 1, "20": 1, "21": 1, "22": 1, "24": 1},
        **{"25.5": 1, "27": 1, "29": 1, "31": 1, "33": 1, "35": 1, "37": 1, "39": 1, "41": 1, "43": 1, "45": 1},
        **{"47": 1, "49": 1, "52": 1, "57": 1, "63": 1, "74": 1},
    },
    source="the four bands of Tables 4 and 5, whose shares Tables 2 to 5 determine; values within them are assumed",
)

ASSUMED_MARGINS = (
    Margin(
        "area_poverty",
        assumed=True,
        mean=60,
        sd=45,
        minimum=0,
        maximum=300,
        whole=True,
        source="a count of recipients without printed mean or sd",
    ),
    Margin(
        "neighbourhood_type",
        {
            "commodity_housing": 12,
            "work_unit": 8,
            "courtyard_housing": 4,
            "relocation_housing": 6,
            "urban_villages": 5,
        },
        assumed=True,
        source="five types are named, none is counted",
    ),
    Margin(
        "friends_location",
        {
            "same_neighbourhood": 45,
            "different_neighbourhood_same_district": 25,
            "different_district_in_shanghai": 20,
            "outside_shanghai": 10,
        },
        assumed=True,
        clustering=0.1,
        source="shares are not printed",
    ),
    Margin(
        "age",
        assumed=True,
        mean=52,
        sd=14,
        minimum=18,
        maximum=90,
        whole=True,
        clustering=0.05,
        source="mean and sd are not printed; heads of household answered",
    ),
    Margin("gender", {"male": 52, "female": 48}, assumed=True, source="shares are not printed"),
    Margin(
        "occupation",
        {
            "retired_or_unable_to_work": 40,
            "other_occupation": 6,
            "production_and_logistics": 14,
            "service_industry": 16,
            "administrative": 12,
            "manager_or_highly_skilled": 12,
        },
        assumed=True,
        clustering=0.1,
        source="shares are not printed in these categories",
    ),
    Margin(
        "income",
        assumed=True,
        mean=4,
        sd=3,
        minimum=0,
        maximum=30,
        clustering=0.1,
        source="unit, mean and sd are not printed",
    ),
    Margin("tenure", {"owner": 75, "tenant": 25}, assumed=True, clustering=0.15, source="shares are not printed"),
    Margin(
        "household_size",
        assumed=True,
        mean=3,
        sd=1.2,
        minimum=1,
        maximum=8,
        whole=True,
        source="mean and sd are not printed",
    ),
)

CORRELATIONS = {
    ("hukou", "migrant_concentration"): Range(0.6, 0.9),
    ("hukou", "neighbourhood_type"): Range(0.2, 0.5),
    ("migrant_concentration", "neighbourhood_type"): Range(0.3, 0.6),
    ("area_poverty", "migrant_concentration"): Range(-0.2, 0.3),
    ("area_poverty", "neighbourhood_type"): Range(0.0, 0.4),
    ("education", "neighbourhood_type"): Range(-0.5, -0.2),
    ("income", "neighbourhood_type"): Range(-0.5, -0.2),
    ("hukou", "tenure"): Range(0.4, 0.7),
    ("hukou", "age"): Range(-0.5, -0.2),
    ("hukou", "education"): Range(-0.2, 0.1),
    ("hukou", "friends_location"): Range(0.1, 0.4),
    ("age", "education"): Range(-0.5, -0.2),
    ("age", "occupation"): Range(-0.6, -0.3),
    ("age", "income"): Range(-0.3, 0.0),
    ("education", "occupation"): Range(0.3, 0.6),
    ("education", "income"): Range(0.3, 0.6),
    ("income", "occupation"): Range(0.2, 0.5),
}

POPULATION = Population(
    n=1406,
    groups={"neighbourhood": 35},
    margins=(*PRINTED_MARGINS, BANDS, *ASSUMED_MARGINS),
    correlations=CORRELATIONS,
)

# The text says that migrants are more likely to live where there is more poverty, and that places with over 50 %
# migrants are usually urban villages.
AS_TEXT = Population(
    n=1406,
    groups={"neighbourhood": 35},
    margins=(*PRINTED_MARGINS, BANDS, *ASSUMED_MARGINS),
    correlations={
        **CORRELATIONS,
        ("hukou", "migrant_concentration"): Range(0.3, 0.6),
        ("migrant_concentration", "neighbourhood_type"): Range(0.5, 0.8),
        ("area_poverty", "migrant_concentration"): Range(0.6, 0.8),
    },
)

DETERMINANTS = "Determinants of Migrant–Local Social Trust, Table 6"
TENTH = (0.1, "A tenth of a point is about an eighth of the sd among people who are alike.")

HYPOTHESES = (
    Hypothesis(
        "H1",
        "migrant_concentration > 0",
        ("table_6",),
        "supported",
        f"Conclusion, first finding; {DETERMINANTS}",
        "Where more migrants live, people trust the other group more.",
        absent=TENTH,
    ),
    Hypothesis(
        "H1 for all",
        "abs(hukou[rural_local]:migrant_concentration) < absent and abs(hukou[urban_migrant]:migrant_concentration)"
        " < absent and abs(hukou[rural_migrant]:migrant_concentration) < absent",
        ("table_6",),
        "no effect",
        DETERMINANTS,
        "What migrant concentration does is the same for every hukou.",
        absent=TENTH,
    ),
    Hypothesis(
        "H2",
        "area_poverty < 0 and hukou[rural_migrant]:area_poverty > 0 and hukou[urban_migrant]:area_poverty > 0",
        ("table_6",),
        "supported",
        f"Conclusion, second finding; {DETERMINANTS}",
        "Poverty of the area lowers the trust of urban locals, and that of either kind of migrant less.",
    ),
    Hypothesis(
        "H2 locals",
        "area_poverty < 0",
        ("table_6",),
        "supported",
        DETERMINANTS,
        "Urban locals of poorer areas trust migrants less.",
        absent=TENTH,
    ),
    Hypothesis(
        "H2 rural migrants",
        "hukou[rural_migrant]:area_poverty > 0",
        ("table_6",),
        "supported",
        DETERMINANTS,
        "Poverty of the area lowers the trust of rural migrants less than that of urban locals.",
        absent=TENTH,
    ),
    Hypothesis(
        "H2 urban migrants",
        "hukou[urban_migrant]:area_poverty > 0",
        ("table_6",),
        "supported",
        DETERMINANTS,
        "Poverty of the area lowers the trust of urban migrants less than that of urban locals.",
        absent=TENTH,
    ),
    Hypothesis(
        "migrants exempt",
        "abs(area_poverty + hukou[rural_migrant]:area_poverty) < absent and"
        " abs(area_poverty + hukou[urban_migrant]:area_poverty) < absent",
        ("table_6",),
        "claimed",
        "Abstract; Conclusion, second finding",
        "Among migrants poverty of the area makes no difference to trust.",
        absent=TENTH,
    ),
    Hypothesis(
        "rural migrants",
        "hukou[rural_migrant] > 0 and hukou[rural_migrant] > hukou[rural_local]"
        " and hukou[rural_migrant] > hukou[urban_migrant]",
        ("table_6",),
        "claimed",
        DETERMINANTS,
        "Rural migrants trust the other group more than people of any other hukou do.",
        absent=TENTH,
    ),
    Hypothesis(
        "urban villages",
        "neighbourhood_type[work_unit] > 0 and neighbourhood_type[commodity_housing] > 0",
        ("table_6",),
        "claimed",
        DETERMINANTS,
        "People in work units and in commodity housing trust more than those in urban villages.",
        absent=TENTH,
    ),
    Hypothesis(
        "friends nearby",
        "friends_location[same_neighbourhood] > 0",
        ("table_6",),
        "claimed",
        DETERMINANTS,
        "People whose friends live in their neighbourhood trust more than those with friends across the city.",
        absent=TENTH,
    ),
    Hypothesis(
        "occupation",
        "occupation[manager_or_highly_skilled] > 0",
        ("table_6",),
        "claimed",
        DETERMINANTS,
        "Managers and the highly skilled trust more than people of other occupations.",
        absent=TENTH,
    ),
    Hypothesis(
        "status",
        "abs(education) < absent and abs(income) < absent",
        ("table_6",),
        "no effect",
        DETERMINANTS,
        "Among urban locals neither education nor income makes a difference to trust.",
        absent=TENTH,
    ),
    Hypothesis(
        "neighbourhoods",
        "vpc_neighbourhood > 0.1",
        ("table_6",),
        "claimed",
        DETERMINANTS,
        "Neighbourhoods play an important role: more than a tenth of what predictors leave open lies between them.",
    ),
)

# Tables 3 and 5 count whole answers; a reconstructed answer is read as the nearest one.
READINGS = {
    "survey_2013": "people",
    "migrant_share_0_10": "migrant_concentration < 10",
    "migrant_share_10_25": "migrant_concentration > 10 and migrant_concentration < 25",
    "migrant_share_25_50": "migrant_concentration > 25 and migrant_concentration < 50",
    "migrant_share_50_76": "migrant_concentration > 50",
    "below_elementary": "education < 1.5",
    "elementary": "education > 1.5 and education < 2.5",
    "junior_secondary": "education > 2.5 and education < 3.5",
    "senior_secondary": "education > 3.5 and education < 4.5",
    "college_or_above": "education > 4.5",
    "4_or_5": "{} > 3.5",
}

study = Study(
    name="social_trust",
    title="Social trust between rural migrants and urban locals in Shanghai",
    citation=(
        "Wang, Z., Zhang, F. and Wu, F. (2015). Social trust between rural migrants and urban locals in China – "
        "exploring the effects of residential diversity and neighbourhood deprivation. Population, Space and Place."
    ),
    doi="10.1002/psp.2008",
    variables=VARIABLES,
    models={
        "table_6": ModelSpec(
            formula(OUTCOME, *MAIN_EFFECTS, HUKOU_INTERACTIONS, varying_intercept("neighbourhood")),
            title="Table 6: hukou interactions, varying neighbourhood intercepts",
            priors=PRIORS,
            standardise=STANDARDISE,
            printed=("Table 6", "main"),
        ),
        "table_6_ordinal": ModelSpec(
            formula(OUTCOME, *MAIN_EFFECTS, HUKOU_INTERACTIONS, varying_intercept("neighbourhood")),
            title="Table 6 with the answers from 1 to 5 as ordered categories",
            priors=ORDINAL_PRIORS,
            standardise=STANDARDISE,
            family="cumulative",
        ),
        "null": ModelSpec(
            formula(OUTCOME, "1", varying_intercept("neighbourhood")),
            title="Neighbourhoods only: how much of trust lies between them",
            priors=PRIORS_WITHOUT_PREDICTORS,
        ),
        "without_interactions": ModelSpec(
            formula(OUTCOME, *MAIN_EFFECTS, varying_intercept("neighbourhood")),
            title="Table 6 without its hukou interactions",
            priors=PRIORS,
            standardise=STANDARDISE,
        ),
        "varying_hukou": ModelSpec(
            formula(OUTCOME, *MAIN_EFFECTS, HUKOU_INTERACTIONS, varying_slope("hukou", "neighbourhood")),
            title="Table 6 with hukou effects that vary by neighbourhood",
            priors=PRIORS,
            standardise=STANDARDISE,
        ),
    },
    data_statement=(
        "The microdata and their weights are not public. The paper analysed weighted answers, by maximum likelihood"
        " (Stata 13, mixed); these models are unweighted. With weights of your own, in a column 'weight' say, take"
        " dataclasses.replace(spec, weights=Weights('weight', kind='survey')). All predictors were standardised"
        " according to the text; here the numerical ones are, neighbourhood figures over neighbourhoods and the others"
        " over persons, and categories are contrasts with their reference. The codes of education and the unit of"
        " income are not printed."
    ),
    population=POPULATION,
    alternatives={"as the text says": AS_TEXT},
    focus=("area_poverty", "hukou"),
    hypotheses=HYPOTHESES,
    readings=READINGS,
)
