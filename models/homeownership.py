"""Homeownership of 1,736 rural migrant households in Chinese cities (dissertation, chapter 3; CHFS 2015)."""

from bayesmig.specification.blocks import (
    age,
    among,
    each,
    formula,
    gender,
    household_size,
    members,
    region,
    share_of_members,
    varying_intercept,
    yes_no,
)
from bayesmig.specification.model import Hypothesis, Margin, ModelSpec, Population, Range, Study, Variable
from bayesmig.specification.priors import LKJ, HalfNormal, Normal, PriorSet

OUTCOME = "homeownership"

VARIABLES = (
    Variable(OUTCOME, "Homeownership", unit="1 owns a home in the city of residence, 0 does not", minimum=0, maximum=1),
    Variable("province", "Province", unit="any name or number"),
    Variable("city", "City", unit="any name or number, not used twice in different provinces"),
    Variable(
        "household_type",
        "Household type",
        {"rural_migrant": "Rural migrants only", "mixed_status": "Mixed status"},
    ),
    members("urban_pension_members", "Members with urban pension"),
    members("local_health_insurance_members", "Members with local health insurance"),
    members("unemployment_insurance_members", "Members with unemployment insurance"),
    members("work_injury_insurance_members", "Members with work injury insurance"),
    members("maternity_insurance_members", "Members with maternity insurance"),
    members("housing_provident_fund_members", "Members with housing provident fund"),
    share_of_members("urban_local_hukou_share", "Members with this city's urban hukou"),
    share_of_members("rural_migrant_share", "Rural migrants in the household"),
    age(),
    gender(),
    household_size(),
    Variable(
        "education", "Education of adults", unit="mean level; 3 junior, 4 senior high school", minimum=1, maximum=9
    ),
    Variable("household_income", "Household income", unit="10,000 yuan a year"),
    members("employee_members", "Employees"),
    members("public_sector_members", "Members in the public sector"),
    members("contract_members", "Members with a work contract"),
    members("temporary_job_members", "Members in temporary jobs"),
    members("farmer_members", "Members working as farmers"),
    members("self_employed_members", "Self-employed members"),
    share_of_members("intraprovincial_migrant_share", "Intraprovincial migrants in the household"),
    yes_no("split_household", "Split household"),
    yes_no("agricultural_production", "Agricultural production last year"),
    members("nonlocal_health_insurance_members", "Members with health insurance elsewhere"),
    region("province"),
    Variable("median_housing_price", "Median housing price", unit="10,000 yuan", group="city", minimum=0),
)

INSURANCE = (
    "urban_pension_members",
    "local_health_insurance_members",
    "unemployment_insurance_members",
    "work_injury_insurance_members",
    "maternity_insurance_members",
    "housing_provident_fund_members",
)

HOUSEHOLD = (
    "urban_local_hukou_share",
    "rural_migrant_share",
    "age",
    "gender",
    "household_size",
    "education",
    "household_income",
)

EMPLOYMENT = (
    "employee_members",
    "public_sector_members",
    "contract_members",
    "temporary_job_members",
    "farmer_members",
    "self_employed_members",
)

TIES = (
    "intraprovincial_migrant_share",
    "split_household",
    "agricultural_production",
    "nonlocal_health_insurance_members",
)

CONTEXT = ("region", "median_housing_price")

PLACES = varying_intercept("province", "city")

CONTRAST = Normal(0, 1, why="Two kinds of households or places seldom differ sevenfold in their odds of owning.")

SHARE = Normal(0, 2, why="From no member to all of them is the largest step there is; it may multiply odds by fifty.")

EMPLOYMENT_PRIORS = PriorSet(
    intercept=Normal(
        -0.7, 1, why="About a third of the households own; nearly all or nearly none of them would be surprising."
    ),
    slopes=Normal(
        0, 0.5, why="One more member who is so, or one level of schooling, seldom multiplies the odds of owning by e."
    ),
    sigma=HalfNormal(1, why="A binary outcome has no residual sd, so this prior is not used."),
    tau=HalfNormal(1, why="Odds in two cities or provinces alike in all else seldom differ more than twentyfold."),
    rho=LKJ(2, why="Correlations near one are unlikely before seeing data."),
    specific={"farmer_members": CONTRAST},
    name="homeownership, employment",
)

PREDICTOR_PRIORS = {
    "farmer_members": CONTRAST,
    "urban_local_hukou_share": SHARE,
    "rural_migrant_share": SHARE,
    "intraprovincial_migrant_share": SHARE,
    "age": Normal(0, 0.05, why="Ten years of age seldom multiply the odds of owning by more than e."),
    "household_income": Normal(0, 0.05, why="Another 100,000 yuan a year seldom multiply the odds by more than e."),
    "median_housing_price": Normal(
        0, 0.01, why="Homes dearer by a million yuan seldom divide the odds by over e squared."
    ),
    "gender": CONTRAST,
    "split_household": CONTRAST,
    "agricultural_production": CONTRAST,
    "region": CONTRAST,
}

PRIORS = PriorSet(
    intercept=EMPLOYMENT_PRIORS.intercept,
    slopes=EMPLOYMENT_PRIORS.slopes,
    sigma=EMPLOYMENT_PRIORS.sigma,
    tau=EMPLOYMENT_PRIORS.tau,
    rho=EMPLOYMENT_PRIORS.rho,
    specific=PREDICTOR_PRIORS,
    name="homeownership",
)

NARROW = Normal(
    0,
    0.2,
    why="The six insurances come with the same formal job, so data hardly tell them apart; each is likely to be small.",
)

SHARED_INSURANCE_PRIORS = PriorSet(
    intercept=PRIORS.intercept,
    slopes=PRIORS.slopes,
    sigma=PRIORS.sigma,
    tau=PRIORS.tau,
    rho=PRIORS.rho,
    specific={
        **PREDICTOR_PRIORS,
        "urban_pension_members": NARROW,
        "local_health_insurance_members": NARROW,
        "unemployment_insurance_members": NARROW,
        "work_injury_insurance_members": NARROW,
        "maternity_insurance_members": NARROW,
        "housing_provident_fund_members": NARROW,
    },
    name="homeownership, shared insurance",
)

AT_LEAST_ONE = "Table 3.1 for the share with at least one; how many there are beyond is assumed"
MEAN = "Table 3.1 for the mean; the sd is assumed"
PERCENT = "Table 3.1"

RURAL_MIGRANT = among(
    "household_type",
    "rural_migrant",
    Margin("household_size", mean=2.76, sd=1.5, minimum=1, maximum=10, whole=True, source=MEAN),
    Margin(
        "urban_pension_members <= household_size",
        {"0": 68.5, "1": 17, "2": 12, "3": 2.5},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "local_health_insurance_members <= household_size",
        {"0": 66.9, "1": 15, "2": 11, "3": 6, "4": 1.1},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "unemployment_insurance_members <= household_size",
        {"0": 76.4, "1": 15.6, "2": 8},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "work_injury_insurance_members <= household_size",
        {"0": 73.4, "1": 17.6, "2": 9},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "maternity_insurance_members <= household_size",
        {"0": 80.5, "1": 13.5, "2": 6},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "housing_provident_fund_members <= household_size",
        {"0": 84.9, "1": 10.6, "2": 4.5},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin("urban_local_hukou_share", {"0": 1}, source="the definition: all members are rural migrants"),
    Margin("rural_migrant_share", {"1": 1}, source="the definition: all members are rural migrants"),
    Margin("age", mean=37.4, sd=11, minimum=16, maximum=90, whole=True, source=MEAN),
    Margin("gender", {"male": 68.1, "female": 31.9}, source=PERCENT),
    Margin("education", mean=3.5, sd=1.2, minimum=1, maximum=9, clustering=0.05, source=MEAN),
    Margin("household_income", mean=7.7156, sd=10, minimum=0, maximum=200, clustering=0.05, source=MEAN),
    Margin(
        "employee_members <= household_size",
        {"0": 8, "1": 37, "2": 47, "3": 6, "4": 2},
        assumed=True,
        source="counts are not printed",
    ),
    Margin("public_sector_members <= household_size", {"0": 88.3, "1": 9.7, "2": 2}, source=AT_LEAST_ONE),
    Margin("contract_members <= household_size", {"0": 65.3, "1": 22.7, "2": 12}, clustering=0.1, source=AT_LEAST_ONE),
    Margin(
        "temporary_job_members <= household_size",
        {"0": 77.3, "1": 15.2, "2": 7.5},
        clustering=0.05,
        source=AT_LEAST_ONE,
    ),
    Margin("farmer_members <= household_size", {"0": 99.3, "1": 0.5, "2": 0.2}, source=AT_LEAST_ONE),
    Margin(
        "self_employed_members <= household_size", {"0": 78, "1": 11, "2": 11}, clustering=0.05, source=AT_LEAST_ONE
    ),
    Margin("intraprovincial_migrant_share", {"0": 49.8, "0.5": 5.2, "1": 45}, clustering=0.3, source=AT_LEAST_ONE),
    Margin("split_household", {"no": 91.5, "yes": 8.5}, source=PERCENT),
    Margin("agricultural_production", {"no": 91.2, "yes": 8.8}, source=PERCENT),
    Margin(
        "nonlocal_health_insurance_members <= household_size",
        {"0": 37.2, "1": 17, "2": 21, "3": 15, "4": 7, "5": 2.8},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
)

MIXED_STATUS = among(
    "household_type",
    "mixed_status",
    Margin("household_size", mean=3.86, sd=1.4, minimum=2, maximum=12, whole=True, source=MEAN),
    Margin(
        "urban_pension_members <= household_size",
        {"0": 35.5, "1": 30, "2": 26, "3": 7, "4": 1.5},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "local_health_insurance_members <= household_size",
        {"0": 39.7, "1": 27, "2": 20, "3": 10, "4": 3.3},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "unemployment_insurance_members <= household_size",
        {"0": 61.4, "1": 24, "2": 13, "3": 1.6},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "work_injury_insurance_members <= household_size",
        {"0": 59.7, "1": 25, "2": 14, "3": 1.3},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "maternity_insurance_members <= household_size",
        {"0": 64.9, "1": 22.5, "2": 11.5, "3": 1.1},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "housing_provident_fund_members <= household_size",
        {"0": 66.1, "1": 22, "2": 11, "3": 0.9},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "urban_local_hukou_share",
        {"0": 25, "0.2": 15, "0.25": 20, "0.33": 25, "0.5": 15},
        assumed=True,
        source="not printed; about what the printed coefficients need for the printed ownership of both types",
    ),
    Margin(
        "rural_migrant_share",
        {"0.2": 15, "0.25": 25, "0.33": 30, "0.5": 30},
        assumed=True,
        source="not printed; at most a half, so that shares never sum to more than all members",
    ),
    Margin("age", mean=40.0, sd=12, minimum=16, maximum=90, whole=True, source=MEAN),
    Margin("gender", {"male": 61.9, "female": 38.1}, source=PERCENT),
    Margin("education", mean=3.9, sd=1.3, minimum=1, maximum=9, clustering=0.05, source=MEAN),
    Margin("household_income", mean=12.0080, sd=16, minimum=0, maximum=300, clustering=0.05, source=MEAN),
    Margin(
        "employee_members <= household_size",
        {"0": 8, "1": 32, "2": 45, "3": 11, "4": 4},
        assumed=True,
        source="counts are not printed",
    ),
    Margin("public_sector_members <= household_size", {"0": 75.4, "1": 18.6, "2": 6}, source=AT_LEAST_ONE),
    Margin(
        "contract_members <= household_size",
        {"0": 48.4, "1": 31.6, "2": 18, "3": 2},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
    Margin(
        "temporary_job_members <= household_size", {"0": 82.5, "1": 13, "2": 4.5}, clustering=0.05, source=AT_LEAST_ONE
    ),
    Margin("farmer_members <= household_size", {"0": 99.6, "1": 0.4}, source=AT_LEAST_ONE),
    Margin(
        "self_employed_members <= household_size", {"0": 79.4, "1": 12.6, "2": 8}, clustering=0.05, source=AT_LEAST_ONE
    ),
    Margin(
        "intraprovincial_migrant_share",
        {"0": 56.9, "0.25": 13.1, "0.33": 12, "0.5": 13, "1": 5},
        clustering=0.3,
        source=AT_LEAST_ONE,
    ),
    Margin("split_household", {"no": 70.3, "yes": 29.7}, source=PERCENT),
    Margin("agricultural_production", {"no": 91.2, "yes": 8.8}, source=PERCENT),
    Margin(
        "nonlocal_health_insurance_members <= household_size",
        {"0": 35.9, "1": 24, "2": 20, "3": 12, "4": 6, "5": 2.1},
        clustering=0.1,
        source=AT_LEAST_ONE,
    ),
)

# 145 cities, five in a province, are an assumption: the number of cities is not printed. With 20, 38 and 23 % of owners
# by region and 22.6 % altogether, at most a sixth of the households of rural migrants live in the central region.
# More members in the public sector make owning 50 % more likely, self-employed ones 65 %, if nothing else is compared,
# and in Table 3.2 next to nothing: so they go with what makes it likely there.
POPULATION = Population(
    n=1736,
    groups={"city": 145, "province": 29},
    margins=(
        Margin("household_type", {"rural_migrant": 1046, "mixed_status": 690}, clustering=0.1, source="Table 3.1"),
        *RURAL_MIGRANT,
        *MIXED_STATUS,
        Margin(
            "region",
            {"eastern": 11, "central": 8, "western": 10},
            people={"eastern": 62, "central": 9, "western": 29},
            source="the provinces that the text lists; of the 29 it lists 28, the last is assumed to be western",
        ),
        Margin(
            "median_housing_price",
            assumed=True,
            mean=60,
            sd=35,
            minimum=10,
            maximum=300,
            source="not printed; lower inland, as the text says",
        ),
    ),
    correlations={
        ("urban_pension_members", "local_health_insurance_members"): Range(0.3, 0.5),
        ("urban_pension_members", "unemployment_insurance_members"): Range(0.7, 0.85),
        ("urban_pension_members", "work_injury_insurance_members"): Range(0.65, 0.85),
        ("urban_pension_members", "maternity_insurance_members"): Range(0.65, 0.8),
        ("urban_pension_members", "housing_provident_fund_members"): Range(0.6, 0.75),
        ("unemployment_insurance_members", "work_injury_insurance_members"): Range(0.85, 0.95),
        ("unemployment_insurance_members", "maternity_insurance_members"): Range(0.85, 0.95),
        ("unemployment_insurance_members", "housing_provident_fund_members"): Range(0.75, 0.85),
        ("work_injury_insurance_members", "maternity_insurance_members"): Range(0.85, 0.95),
        ("work_injury_insurance_members", "housing_provident_fund_members"): Range(0.75, 0.85),
        ("maternity_insurance_members", "housing_provident_fund_members"): Range(0.75, 0.85),
        ("contract_members", "urban_pension_members"): Range(0.5, 0.7),
        ("contract_members", "unemployment_insurance_members"): Range(0.6, 0.75),
        ("contract_members", "work_injury_insurance_members"): Range(0.6, 0.75),
        ("contract_members", "maternity_insurance_members"): Range(0.55, 0.7),
        ("contract_members", "housing_provident_fund_members"): Range(0.55, 0.7),
        ("contract_members", "public_sector_members"): Range(0.3, 0.5),
        ("contract_members", "self_employed_members"): Range(-0.5, -0.3),
        ("contract_members", "temporary_job_members"): Range(-0.35, -0.2),
        ("employee_members", "contract_members"): Range(0.5, 0.65),
        ("employee_members", "temporary_job_members"): Range(0.3, 0.45),
        ("employee_members", "self_employed_members"): Range(0.3, 0.45),
        ("employee_members", "household_size"): Range(0.3, 0.5),
        ("employee_members", "household_income"): Range(0.2, 0.4),
        ("local_health_insurance_members", "nonlocal_health_insurance_members"): Range(-0.6, -0.4),
        ("nonlocal_health_insurance_members", "household_size"): Range(0.4, 0.6),
        ("local_health_insurance_members", "household_size"): Range(0.1, 0.3),
        ("urban_local_hukou_share", "rural_migrant_share"): Range(-0.5, -0.2),
        ("urban_local_hukou_share", "local_health_insurance_members"): Range(0.1, 0.3),
        ("education", "contract_members"): Range(0.2, 0.4),
        ("education", "urban_pension_members"): Range(0.2, 0.4),
        ("education", "household_income"): Range(0.2, 0.4),
        ("education", "age"): Range(-0.4, -0.2),
        ("self_employed_members", "temporary_job_members"): Range(-0.3, -0.15),
        ("public_sector_members", "urban_local_hukou_share"): Range(0.35, 0.45),
        ("public_sector_members", "urban_pension_members"): Range(0.35, 0.45),
        ("public_sector_members", "education"): Range(0.25, 0.35),
        ("self_employed_members", "household_income"): Range(0.35, 0.45),
        ("self_employed_members", "household_size"): Range(0.35, 0.45),
        ("self_employed_members", "urban_local_hukou_share"): Range(0.35, 0.45),
        ("self_employed_members", "local_health_insurance_members"): Range(0.1, 0.2),
        ("self_employed_members", "age"): Range(0.15, 0.25),
        ("self_employed_members", "intraprovincial_migrant_share"): Range(0.2, 0.3),
        ("region", "median_housing_price"): Range(-0.5, -0.2),
        ("household_size", "split_household"): Range(0.1, 0.3),
        ("household_size", "age"): Range(0.0, 0.2),
    },
)

TENTH = (0.1, "Odds that change by less than a tenth move a share of a third by about two points.")
RESULTS = "Section Empirical Results, Table 3.2"
MINOR_INSURANCE = INSURANCE[2:]

HYPOTHESES = (
    Hypothesis(
        "insurance",
        "urban_pension_members > 0 and local_health_insurance_members > 0",
        ("table_3_2",),
        "supported",
        f"{RESULTS}; Concluding Remarks",
        "Households with more members in pensions and health insurance of the city own a home more often.",
        absent=TENTH,
    ),
    Hypothesis(
        "minor insurances",
        each("{} > 0", MINOR_INSURANCE),
        ("table_3_2",),
        "not supported",
        RESULTS,
        "Households with more members in each of the four other insurances own a home more often.",
    ),
    Hypothesis(
        "substitution",
        "urban_pension_members < 0",
        ("table_3_2",),
        "not supported",
        "Sections on theory and Concluding Remarks",
        "A home takes the place of a pension, so that those who have one lack the other.",
    ),
    Hypothesis(
        "hukou",
        "urban_local_hukou_share > 0 and rural_migrant_share < 0",
        ("table_3_2",),
        "claimed",
        RESULTS,
        "Households with more holders of the city's hukou, and fewer rural migrants, own a home more often.",
        absent=TENTH,
    ),
    Hypothesis(
        "life cycle",
        "age > 0 and education > 0 and household_size > 0 and household_income > 0",
        ("table_3_2",),
        "claimed",
        RESULTS,
        "Older, better educated, larger and richer households own a home more often.",
    ),
    Hypothesis(
        "employment",
        each("abs({}) < absent", EMPLOYMENT),
        ("table_3_2",),
        "no effect",
        RESULTS,
        "All else equal, jobs make no difference to owning a home.",
        absent=TENTH,
    ),
    Hypothesis(
        "employment alone",
        "public_sector_members > 0 and self_employed_members > 0 and contract_members > 0"
        " and temporary_job_members < 0",
        ("employment_only",),
        "claimed",
        "Section Empirical Results, in the text only",
        "Compared by jobs alone, the public sector, self-employment and contracts go with owning, temporary jobs not.",
        absent=TENTH,
    ),
    Hypothesis(
        "ties",
        "intraprovincial_migrant_share > 0 and split_household[yes] < 0 and nonlocal_health_insurance_members < 0",
        ("table_3_2",),
        "claimed",
        RESULTS,
        "Households that moved within the province, live together and are not insured elsewhere own a home more often.",
        absent=TENTH,
    ),
    Hypothesis(
        "farming",
        "agricultural_production[yes] < 0",
        ("table_3_2",),
        "not supported",
        RESULTS,
        "Households that still farm own a home in the city less often.",
        absent=TENTH,
    ),
    Hypothesis(
        "central region",
        "region[central] > 0",
        ("table_3_2",),
        "claimed",
        RESULTS,
        "Households in the central region own a home more often than those in the east.",
        absent=TENTH,
    ),
    Hypothesis(
        "regions without places",
        "region[central] > 0 and region[western] > 0",
        ("single_level",),
        "claimed",
        "Section Empirical Results, in the text only",
        "Without provinces and cities in the model, both inner regions own a home more often than the east.",
        absent=TENTH,
    ),
)

READINGS = {
    "rural_migrant_eastern": "household_type[rural_migrant] > 0 and region[eastern] > 0",
    "rural_migrant_central": "household_type[rural_migrant] > 0 and region[central] > 0",
    "rural_migrant_western": "household_type[rural_migrant] > 0 and region[western] > 0",
    "households": "people",
    "owns_home_in_city": "homeownership > 0",
    "at_least_one_member": "{} > 0",
    "no_member": "{} < 1",
    "pension": "urban_pension_members",
    "health_insurance": "local_health_insurance_members",
    "unemployment_insurance": "unemployment_insurance_members",
    "work_injury_insurance": "work_injury_insurance_members",
    "maternity_insurance": "maternity_insurance_members",
    "housing_fund": "housing_provident_fund_members",
    "household_income": "household_income * 10000",
    "public_sector": "public_sector_members",
    "contract": "contract_members",
    "temporary_job": "temporary_job_members",
    "farmer": "farmer_members",
    "self_employed": "self_employed_members",
    "intra_provincial_migrant": "intraprovincial_migrant_share",
    "nonlocal_health_insurance": "nonlocal_health_insurance_members",
}

study = Study(
    name="homeownership",
    title="Homeownership of rural migrant households in Chinese cities",
    citation="Doctoral dissertation, chapter 3: social insurance and homeownership of rural migrants (CHFS 2015).",
    variables=VARIABLES,
    models={
        "table_3_2": ModelSpec(
            formula(OUTCOME, *INSURANCE, *HOUSEHOLD, *EMPLOYMENT, *TIES, *CONTEXT, PLACES),
            title="Table 3.2: homeownership, with varying intercepts of provinces and cities",
            family="bernoulli",
            priors=PRIORS,
            printed=("Table 3.2", "main"),
        ),
        "employment_only": ModelSpec(
            formula(OUTCOME, *EMPLOYMENT, PLACES),
            title="Employment alone, a partial model of which the text gives two figures",
            family="bernoulli",
            priors=EMPLOYMENT_PRIORS,
        ),
        "single_level": ModelSpec(
            formula(OUTCOME, *INSURANCE, *HOUSEHOLD, *EMPLOYMENT, *TIES, *CONTEXT),
            title="Table 3.2 without provinces and cities",
            family="bernoulli",
            priors=PRIORS,
        ),
        "shared_insurance": ModelSpec(
            formula(OUTCOME, *INSURANCE, *HOUSEHOLD, *EMPLOYMENT, *TIES, *CONTEXT, PLACES),
            title="Table 3.2 with a narrow prior that the six insurances share",
            family="bernoulli",
            priors=SHARED_INSURANCE_PRIORS,
        ),
    },
    data_statement=(
        "The China Household Finance Survey gives its microdata out on application only; the sample is the urban"
        " households of 2015 with at least one rural migrant who lives in the city. Table 3.2 prints coefficients, odds"
        " ratios and p, neither an intercept nor standard errors, and the number of cities is not printed. The text"
        " names robust errors (for these take errors='cluster') and no weights. Percentages of members enter"
        " as shares from 0 to 1, income and housing prices in 10,000 yuan. Insurance and jobs count members in the"
        " survey city, local health insurance members elsewhere too. Of employment alone the text says that one"
        " more member in the public sector makes owning 50 % more likely and one more self-employed member 65 %; of the"
        " model without places, that owning is significantly more frequent in the central and in the western region."
    ),
    population=POPULATION,
    errors={"table_3_2": "cluster"},
    hypotheses=HYPOTHESES,
    readings=READINGS,
)
