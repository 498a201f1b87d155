"""Community support and the integration of relocated migrants in five sites (Pan, Li, Jia & Zhou 2024)."""

from bayesmig.specification.blocks import (
    IndexModel,
    about,
    among,
    assumed,
    each,
    formula,
    gender,
    index_models,
    integration_index,
    interactions,
    likert,
)
from bayesmig.specification.model import Factor, Hypothesis, Margin, ModelSpec, Population, Range, Study, Variable
from bayesmig.specification.priors import LKJ, HalfNormal, Normal, PriorSet

POINTS = "points from 0 to 100"

INDICES = (
    Variable("social_integration", "Social integration (all dimensions)", unit=POINTS, minimum=0, maximum=100),
    integration_index("psychological", "psychological_identity", "Psychological identity", POINTS, 0, 100),
    integration_index("economic", "economic_integration", "Economic integration", POINTS, 0, 100),
    integration_index("social", "communicative_integration", "Communicative integration", POINTS, 0, 100),
    integration_index("cultural", "cultural_acceptance", "Cultural acceptance", POINTS, 0, 100),
)

PSYCHOLOGICAL_ITEMS = (
    likert("enjoy_and_continue_living", "Likes the community and wants to stay"),
    likert("confidence_in_integrating", "Confident of fitting in"),
    likert("happier_than_before", "Happier than before the move"),
)

ECONOMIC_ITEMS = (
    likert("perceived_income_change", "Income has risen since the move", overlaps=("income_change",)),
    likert("income_satisfaction", "Satisfied with income", overlaps=("income_change",)),
    likert("living_cost_acceptance", "Living costs are bearable"),
)

SOCIAL_ITEMS = (
    likert("neighbour_socialising", "Spends time with new neighbours"),
    likert("social_activity_participation", "Takes part in gatherings"),
    likert("local_friends", "Has local friends"),
)

CULTURAL_ITEMS = (
    likert(
        "customs_difference",
        "Customs differ little from the old village's",
        note=(
            "The question asks whether customs differ much from the old village's, and its coding is not printed. It"
            " enters cultural acceptance with a positive weight, so a higher score must stand for less difference."
        ),
    ),
    likert("dialect_communication", "Understands the local dialect"),
)

SUPPORT_ITEMS = (
    likert("training_satisfaction", "Satisfied with vocational training"),
    likert("environmental_amenity", "Environmental amenity"),
    likert("housing_security", "Housing security"),
    likert("spatial_accessibility", "Spatial accessibility"),
    likert("spatial_security", "Spatial security"),
)

VARIABLES = (
    *INDICES,
    Variable("site", "Resettlement site", unit="any name or number"),
    Variable(
        "resettlement_mode",
        "Resettlement mode",
        {
            "original_village": "In the original village",
            "nearby_township": "In a nearby township",
            "cities_towns": "In cities or towns",
        },
        group="site",
    ),
    gender(),
    Variable("age", "Age", {"0_18": "Up to 18", "19_45": "19 to 45", "46_69": "46 to 69", "over_69": "Over 69"}),
    Variable("ethnicity", "Ethnicity", {"han": "Han", "ethnic_minority": "Minority"}),
    Variable("marital_status", "Marital status", {"married": "Married", "not_married": "Not married"}),
    Variable("household_size", "Household members", {"under_4": "Under 4", "4": "4", "over_4": "Over 4"}),
    Variable(
        "education",
        "Education",
        {
            "no_education": "None",
            "elementary_school": "Elementary school",
            "middle_school": "Middle school",
            "high_school_or_secondary_vocational": "High or vocational school",
            "college_or_bachelor": "College or bachelor",
        },
    ),
    Variable(
        "income_change", "Income since the move", {"decreased": "Decreased", "same": "Same", "increased": "Increased"}
    ),
    Variable("livelihood_change", "Livelihood", {"unchanged": "Unchanged", "changed": "Changed"}),
    Variable(
        "length_of_residence",
        "Length of residence",
        {"under_0.5_year": "Under half a year", "0.5_to_1_year": "Half to one year", "over_1_year": "Over one year"},
    ),
    Variable(
        "relocation_distance",
        "Relocation distance",
        {
            "under_3_km": "Under 3 km",
            "3_to_15_km": "3 to 15 km",
            "15_to_40_km": "15 to 40 km",
            "over_40_km": "Over 40 km",
        },
    ),
    *SUPPORT_ITEMS,
    *PSYCHOLOGICAL_ITEMS,
    *ECONOMIC_ITEMS,
    *SOCIAL_ITEMS,
    *CULTURAL_ITEMS,
)

PREDICTORS = (
    "gender",
    "age",
    "ethnicity",
    "marital_status",
    "household_size",
    "education",
    "income_change",
    "livelihood_change",
    "length_of_residence",
    "relocation_distance",
    "training_satisfaction",
    "environmental_amenity",
    "housing_security",
    "spatial_accessibility",
    "spatial_security",
)

STANDARDISED = {
    "gender": "person",
    "age": "person",
    "ethnicity": "person",
    "marital_status": "person",
    "household_size": "person",
    "education": "person",
    "income_change": "person",
    "livelihood_change": "person",
    "length_of_residence": "person",
    "relocation_distance": "person",
    "training_satisfaction": "person",
    "environmental_amenity": "person",
    "housing_security": "person",
    "spatial_accessibility": "person",
    "spatial_security": "person",
}

COMPOSITE = formula("social_integration", *PREDICTORS)
PSYCHOLOGICAL = formula("psychological_identity", *PREDICTORS)
ECONOMIC = formula("economic_integration", *PREDICTORS)
SOCIAL = formula("communicative_integration", *PREDICTORS)
CULTURAL = formula("cultural_acceptance", *PREDICTORS)

PRIORS = PriorSet(
    intercept=Normal(0, 0.2, why="All is standardised, so the average outcome is zero."),
    slopes=Normal(
        0, 0.3, why="One sd of a predictor, or of a category's column, seldom moves an index by over half of its sd."
    ),
    sigma=HalfNormal(1, why="The index has an sd of one, so what is left cannot be more."),
    tau=HalfNormal(0.5, why="Sites seldom differ by a whole sd of an index; a handful of them tells little more."),
    rho=LKJ(2, why="Correlations near one are unlikely before seeing data."),
    name="community_support",
)

# Each index's items as measurements of one latent factor, which counts in units of its marker; two items that correlate
# by 0.14 are too few for that, and theirs counts in sds of its residual.
PSYCHOLOGICAL_FACTOR = Factor(
    "psychological_identity",
    ("enjoy_and_continue_living", "confidence_in_integrating", "happier_than_before"),
    marker="enjoy_and_continue_living",
)
ECONOMIC_FACTOR = Factor(
    "economic_integration",
    ("income_satisfaction", "perceived_income_change", "living_cost_acceptance"),
    marker="income_satisfaction",
)
SOCIAL_FACTOR = Factor(
    "communicative_integration",
    ("neighbour_socialising", "social_activity_participation", "local_friends"),
    marker="neighbour_socialising",
)
CULTURAL_FACTOR = Factor("cultural_acceptance", ("customs_difference", "dialect_communication"))
# The composite is a sum of three components; no single factor stands behind it, so each component has its own, with
# correlated residuals, and their coefficients are summed with the composite's weights.
COMPOSITE_FACTORS = (PSYCHOLOGICAL_FACTOR, ECONOMIC_FACTOR, SOCIAL_FACTOR)

FACTOR_PRIORS = PriorSet(
    slopes=Normal(
        0, 0.3, relative=True, why="One sd of a predictor seldom moves a factor by over half an sd of its marker item."
    ),
    sigma=HalfNormal(1, relative=True, why="A factor varies no more than the item that shows it best."),
    rho=LKJ(2, why="Correlations near one are unlikely before seeing data."),
    name="community_support, latent factors",
)
TWO_ITEMS_PRIORS = PriorSet(
    slopes=Normal(
        0, 0.15, why="In residual sds of the factor; 25 predictors then explain a third of it at first sight."
    ),
    loading=Normal(
        0.5, 0.25, relative=True, why="Two items cannot say which of them measures better; both show it about half."
    ),
    name="community_support, two items",
)

TABLE_2 = "Table 2, valid answers"
ANSWERS = "Table 2 for mean and sd; how the answers divide is assumed"
VILLAGE = "the definition of the modes by distance; Table 2 for all together"

PEOPLE = (
    Margin("gender", {"male": 190, "female": 118}, source=TABLE_2),
    Margin("age", {"0_18": 24, "19_45": 160, "46_69": 117, "over_69": 19}, source=TABLE_2),
    Margin("ethnicity", {"han": 146, "ethnic_minority": 174}, clustering=0.2, source=TABLE_2),
    Margin("marital_status", {"married": 232, "not_married": 87}, source=TABLE_2),
    Margin("household_size", {"under_4": 46, "4": 59, "over_4": 214}, source=TABLE_2),
    Margin(
        "education",
        {
            "no_education": 50,
            "elementary_school": 92,
            "middle_school": 127,
            "high_school_or_secondary_vocational": 31,
            "college_or_bachelor": 22,
        },
        source=TABLE_2,
    ),
    Margin("income_change", {"decreased": 35, "same": 189, "increased": 95}, source=TABLE_2),
    Margin("livelihood_change", {"unchanged": 162, "changed": 157}, source=TABLE_2),
    Margin("length_of_residence", {"under_0.5_year": 35, "0.5_to_1_year": 109, "over_1_year": 177}, source=TABLE_2),
    Margin("training_satisfaction", {"1": 3, "2": 24, "3": 76, "4": 114, "5": 106}, source=ANSWERS),
    Margin("environmental_amenity", {"1": 1, "2": 5, "3": 55, "4": 140, "5": 122}, source=ANSWERS),
    Margin("housing_security", {"1": 4, "2": 22, "3": 73, "4": 108, "5": 116}, source=ANSWERS),
    Margin("spatial_accessibility", {"1": 1, "2": 6, "3": 37, "4": 100, "5": 179}, source=ANSWERS),
    Margin("spatial_security", {"1": 1, "2": 10, "3": 50, "4": 113, "5": 149}, source=ANSWERS),
)

# Levels run from low to high along each variable's latent scale, so that correlations have a sign.
CORRELATIONS = {
    ("age", "marital_status"): Range(-0.5, -0.3),
    ("age", "education"): Range(-0.6, -0.4),
    ("education", "marital_status"): Range(0.1, 0.3),
    ("education", "income_change"): Range(0.0, 0.2),
    ("livelihood_change", "income_change"): Range(0.1, 0.3),
    ("age", "livelihood_change"): Range(-0.2, 0.0),
    ("household_size", "age"): Range(-0.1, 0.1),
    ("length_of_residence", "relocation_distance"): Range(-0.2, 0.0),
    ("income_change", "training_satisfaction"): Range(0.1, 0.3),
    ("training_satisfaction", "environmental_amenity"): Range(0.3, 0.5),
    ("training_satisfaction", "housing_security"): Range(0.3, 0.5),
    ("training_satisfaction", "spatial_accessibility"): Range(0.2, 0.4),
    ("training_satisfaction", "spatial_security"): Range(0.2, 0.4),
    ("environmental_amenity", "housing_security"): Range(0.5, 0.6),
    ("environmental_amenity", "spatial_accessibility"): Range(0.4, 0.5),
    ("environmental_amenity", "spatial_security"): Range(0.5, 0.6),
    ("housing_security", "spatial_accessibility"): Range(0.4, 0.5),
    ("housing_security", "spatial_security"): Range(0.5, 0.6),
    ("spatial_accessibility", "spatial_security"): Range(0.4, 0.5),
}

POPULATION = Population(
    n=323,
    groups={"site": 5},
    margins=(
        Margin("site", {"A": 42, "B": 24, "C": 53, "D": 72, "E": 132}, source="Table 1"),
        *among("site", "A", Margin("resettlement_mode", {"original_village": 1}, source="Table 1")),
        *among("site", "B", Margin("resettlement_mode", {"nearby_township": 1}, source="Table 1")),
        *among("site", "C", Margin("resettlement_mode", {"cities_towns": 1}, source="Table 1")),
        *among("site", "D", Margin("resettlement_mode", {"cities_towns": 1}, source="Table 1")),
        *among("site", "E", Margin("resettlement_mode", {"cities_towns": 1}, source="Table 1")),
        *among(
            "resettlement_mode", "original_village", Margin("relocation_distance", {"under_3_km": 1}, source=VILLAGE)
        ),
        *among(
            "resettlement_mode", "nearby_township", Margin("relocation_distance", {"3_to_15_km": 1}, source=VILLAGE)
        ),
        *among(
            "resettlement_mode",
            "cities_towns",
            Margin(
                "relocation_distance",
                {"under_3_km": 10, "3_to_15_km": 23, "15_to_40_km": 137, "over_40_km": 87},
                source=VILLAGE,
            ),
        ),
        *PEOPLE,
    ),
    correlations=CORRELATIONS,
)

WHOLE_SAMPLE = "as in the whole sample (Table 2); not printed for cities and towns"

CITIES_TOWNS = Population(
    n=257,
    groups={"site": 3},
    margins=(
        Margin("site", {"C": 53, "D": 72, "E": 132}, source="Table 1"),
        Margin("resettlement_mode", {"cities_towns": 1}, source="the definition"),
        Margin(
            "relocation_distance",
            {"under_3_km": 10, "3_to_15_km": 23, "15_to_40_km": 137, "over_40_km": 87},
            assumed=True,
            source="what Table 2 leaves when all of the village lie under 3 km and all of the township under 15",
        ),
        *assumed(WHOLE_SAMPLE, *PEOPLE),
    ),
    correlations=CORRELATIONS,
)

WHOLE = (
    IndexModel(1, "Table 5", COMPOSITE, COMPOSITE_FACTORS, FACTOR_PRIORS),
    IndexModel(2, "Table 5", PSYCHOLOGICAL, (PSYCHOLOGICAL_FACTOR,), FACTOR_PRIORS),
    IndexModel(3, "Table 5", ECONOMIC, (ECONOMIC_FACTOR,), FACTOR_PRIORS),
    IndexModel(4, "Table 5", SOCIAL, (SOCIAL_FACTOR,), FACTOR_PRIORS),
    IndexModel(5, "Table 5", CULTURAL, (CULTURAL_FACTOR,), TWO_ITEMS_PRIORS),
)
TOWNS = (
    IndexModel(6, "Table 6", COMPOSITE, COMPOSITE_FACTORS, FACTOR_PRIORS, "cities and towns"),
    IndexModel(7, "Table 6", PSYCHOLOGICAL, (PSYCHOLOGICAL_FACTOR,), FACTOR_PRIORS, "cities and towns"),
    IndexModel(8, "Table 6", ECONOMIC, (ECONOMIC_FACTOR,), FACTOR_PRIORS, "cities and towns"),
    IndexModel(9, "Table 6", SOCIAL, (SOCIAL_FACTOR,), FACTOR_PRIORS, "cities and towns"),
    IndexModel(10, "Table 6", CULTURAL, (CULTURAL_FACTOR,), TWO_ITEMS_PRIORS, "cities and towns"),
)

TENTH = (0.1, "By convention a standardised coefficient below a tenth is less than a small effect.")
WHOLE_RESULTS, TOWN_RESULTS = "Results, Table 5", "Results on cities and towns, Table 6"
SUPPORTS = ("environmental_amenity", "housing_security", "spatial_accessibility", "spatial_security")

HYPOTHESES = (
    Hypothesis(
        "community support",
        "environmental_amenity > 0 and spatial_security > 0",
        ("model_1",),
        "supported",
        f"{WHOLE_RESULTS}; Discussion",
        "People who find their community pleasant and safe are better integrated.",
        absent=TENTH,
    ),
    Hypothesis(
        "training",
        "training_satisfaction > 0",
        ("model_1",),
        "supported",
        f"{WHOLE_RESULTS}; Discussion",
        "People who are satisfied with vocational training are better integrated.",
        absent=TENTH,
    ),
    Hypothesis(
        "training first",
        each("training_satisfaction > {}", SUPPORTS),
        ("model_1",),
        "claimed",
        WHOLE_RESULTS,
        "Of policy and the four kinds of community support, training goes with integration most.",
    ),
    Hypothesis(
        "amenity and security next",
        each("environmental_amenity > {0} and spatial_security > {0}", ("housing_security", "spatial_accessibility")),
        ("model_1",),
        "claimed",
        WHOLE_RESULTS,
        "Amenity and safety of the surroundings go with integration more than dwelling and access do.",
    ),
    Hypothesis(
        "psychological",
        each("{} > 0", SUPPORTS),
        ("model_2",),
        "claimed",
        WHOLE_RESULTS,
        "All four kinds of community support go with psychological identity.",
        absent=TENTH,
    ),
    Hypothesis(
        "amenity",
        "environmental_amenity > 0",
        ("model_2", "model_3", "model_4"),
        "claimed",
        WHOLE_RESULTS,
        "Amenity goes with identity, economic and communicative integration alike.",
        absent=TENTH,
    ),
    Hypothesis(
        "training, economic",
        "training_satisfaction > 0",
        ("model_3",),
        "claimed",
        WHOLE_RESULTS,
        "Satisfaction with training goes with economic integration.",
        absent=TENTH,
    ),
    Hypothesis(
        "the old",
        "age[over_69] > 0",
        ("model_1", "model_2", "model_4"),
        "claimed",
        f"{WHOLE_RESULTS}; Discussion",
        "People over 69 are better integrated than minors: as a whole, psychologically, and in communication.",
        absent=TENTH,
    ),
    Hypothesis(
        "the old, economic",
        "age[over_69] > 0",
        ("model_3",),
        "claimed",
        "Results, summary of Table 5",
        "People over 69 are better integrated economically than minors; the table prints the other sign.",
        absent=TENTH,
    ),
    Hypothesis(
        "the middle-aged",
        "age[46_69] > 0",
        ("model_1",),
        "claimed",
        "Results, summary of Table 5",
        "People of 46 to 69 are better integrated than minors.",
        absent=TENTH,
    ),
    Hypothesis(
        "schooling, time and income",
        "education[middle_school] > 0 and education[high_school_or_secondary_vocational] > 0"
        " and length_of_residence[0.5_to_1_year] > 0 and length_of_residence[over_1_year] > 0"
        " and income_change[increased] > 0",
        ("model_1",),
        "claimed",
        f"{WHOLE_RESULTS}; Discussion",
        "More school, more time since the move and a higher income than before go with integration.",
    ),
    Hypothesis(
        "education, communication",
        "education[middle_school] > 0 and education[high_school_or_secondary_vocational] > 0"
        " and education[college_or_bachelor] > 0",
        ("model_4",),
        "claimed",
        "Discussion",
        "People with more than elementary school are better integrated in communication; no star says so.",
        absent=TENTH,
    ),
    Hypothesis(
        "education",
        "education[middle_school] > 0 and education[high_school_or_secondary_vocational] > 0"
        " and education[college_or_bachelor] > 0",
        ("model_3",),
        "claimed",
        WHOLE_RESULTS,
        "People with more than elementary school are better integrated economically than those without any.",
        absent=TENTH,
    ),
    Hypothesis(
        "income",
        "income_change[same] > 0 and income_change[increased] > 0",
        ("model_3",),
        "claimed",
        WHOLE_RESULTS,
        "People whose income did not fall are better integrated economically.",
        absent=TENTH,
    ),
    Hypothesis(
        "livelihood",
        "livelihood_change[changed] < 0",
        ("model_3",),
        "claimed",
        WHOLE_RESULTS,
        "People who had to change their livelihood are worse integrated economically.",
        absent=TENTH,
    ),
    Hypothesis(
        "large households",
        "household_size[over_4] < 0",
        ("model_3",),
        "claimed",
        WHOLE_RESULTS,
        "Households of more than four are worse integrated economically than those of fewer than four.",
        absent=TENTH,
    ),
    Hypothesis(
        "time",
        "length_of_residence[0.5_to_1_year] > 0 and length_of_residence[over_1_year] > 0",
        ("model_4",),
        "claimed",
        WHOLE_RESULTS,
        "People who moved more than half a year ago are better integrated in communication.",
        absent=TENTH,
    ),
    Hypothesis(
        "distance",
        "relocation_distance[over_40_km] < 0",
        ("model_4",),
        "claimed",
        WHOLE_RESULTS,
        "People who moved more than 40 km are worse integrated in communication than those who moved under 3 km.",
        absent=TENTH,
    ),
    Hypothesis(
        "ethnicity",
        "abs(ethnicity[ethnic_minority]) < absent",
        ("model_1", "model_2", "model_3", "model_4", "model_5"),
        "no effect",
        "Discussion, Table 5",
        "Minorities and Han are integrated alike.",
        absent=TENTH,
    ),
    Hypothesis(
        "culture",
        each("abs({}) < absent", ("training_satisfaction", *SUPPORTS)),
        ("model_5",),
        "no effect",
        WHOLE_RESULTS,
        "Neither training nor community support makes a difference to cultural acceptance.",
        absent=TENTH,
    ),
    Hypothesis(
        "women in towns",
        "gender[female] < 0",
        ("model_9",),
        "claimed",
        TOWN_RESULTS,
        "In cities and towns women are worse integrated in communication than men.",
        absent=TENTH,
    ),
    Hypothesis(
        "training in towns",
        "training_satisfaction > 0",
        ("model_6", "model_7", "model_8", "model_9"),
        "claimed",
        TOWN_RESULTS,
        "In cities and towns satisfaction with training goes with integration, cultural acceptance apart.",
        absent=TENTH,
    ),
    Hypothesis(
        "livelihood in towns",
        "livelihood_change[changed] > 0",
        ("model_9",),
        "claimed",
        TOWN_RESULTS,
        "In cities and towns people who had to change their livelihood are better integrated in communication.",
        absent=TENTH,
    ),
    Hypothesis(
        "livelihood in towns, economic",
        "livelihood_change[changed] > 0",
        ("model_8",),
        "claimed",
        TOWN_RESULTS,
        "In cities and towns people who had to change their livelihood are better integrated economically too, as the"
        " sentence reads; the table prints the other sign.",
        absent=TENTH,
    ),
    Hypothesis(
        "surroundings in towns",
        "environmental_amenity > 0 and housing_security > 0 and spatial_security > 0",
        ("model_6",),
        "claimed",
        "Discussion",
        "In cities and towns comfort and the safety of both dwelling and surroundings go with integration.",
        absent=TENTH,
    ),
    Hypothesis(
        "dwelling in towns",
        "housing_security > 0",
        ("model_6",),
        "claimed",
        TOWN_RESULTS,
        "In cities and towns people who are satisfied with their dwelling are better integrated.",
        absent=TENTH,
    ),
    Hypothesis(
        "security in towns",
        "spatial_security > 0",
        ("model_8",),
        "claimed",
        TOWN_RESULTS,
        "In cities and towns people who feel safer are better integrated economically.",
        absent=TENTH,
    ),
    Hypothesis(
        "towns differ",
        "resettlement_mode[cities_towns]:training_satisfaction > 0",
        ("towns_differ",),
        "claimed",
        "Discussion; Tables 5 and 6 are compared, of which one contains the other",
        "In cities and towns training goes with integration more than in the original village.",
        absent=TENTH,
    ),
)

READINGS = {
    "site_A": "site[A] > 0",
    "site_B": "site[B] > 0",
    "site_C": "site[C] > 0",
    "site_D": "site[D] > 0",
    "site_E": "site[E] > 0",
    "respondents": "people",
    "valid_questionnaires": "people",
    "age 18_45": "age[19_45] > 0",
    "over_15_km": "relocation_distance[15_to_40_km] + relocation_distance[over_40_km] > 0",
    "economy_dimension": "(perceived_income_change + income_satisfaction + living_cost_acceptance) / 3",
    "society_dimension": "(neighbour_socialising + social_activity_participation + local_friends) / 3",
    "psychology_dimension": "(enjoy_and_continue_living + confidence_in_integrating + happier_than_before) / 3",
    "culture_dimension": "(customs_difference + dialect_communication) / 2",
    "community_support_4_items": "environmental_amenity housing_security spatial_accessibility spatial_security",
}

MODE_PRIORS = PriorSet(
    intercept=PRIORS.intercept,
    slopes=PRIORS.slopes,
    sigma=PRIORS.sigma,
    tau=PRIORS.tau,
    rho=PRIORS.rho,
    specific={
        "resettlement_mode": Normal(0, 1, why="Two modes of resettlement may differ by a whole sd, seldom by two."),
    },
    name="community_support, modes",
)

# The paper compares the 257 in cities and towns with the 323 that contain them; these models compare within one.
MODES = {
    "modes": ModelSpec(
        formula("social_integration", *PREDICTORS, "resettlement_mode"),
        title="Model 1 with the mode of resettlement",
        priors=MODE_PRIORS,
        standardise={"social_integration": "person", **STANDARDISED},
        estimator="ols",
    ),
    "towns_differ": ModelSpec(
        formula(
            "social_integration",
            *PREDICTORS,
            "resettlement_mode",
            interactions("resettlement_mode", ["training_satisfaction", *SUPPORTS]),
        ),
        title="Model 1 with effects of training and support that differ by mode",
        priors=MODE_PRIORS,
        standardise={"social_integration": "person", **STANDARDISED},
        estimator="ols",
    ),
}

study = Study(
    name="community_support",
    title="Community support and the social integration of relocated migrants in Anshun",
    citation=(
        "Pan, Z., Li, Y., Jia, Z. and Zhou, Z. (2024). Community support as a driver for social integration in ex-situ"
        " poverty alleviation relocation communities: a case study in China. Humanities and Social Sciences"
        " Communications 11."
    ),
    doi="10.1057/s41599-024-03650-w",
    variables=VARIABLES,
    models={**index_models(*WHOLE, *TOWNS, group="site", priors=PRIORS, standardise=STANDARDISED), **MODES},
    data_statement=(
        "The article says that its data are in the article and its supplement; only the printed tables are used here."
        " Models 6 to 10 and their counterparts are about resettlement in cities and towns: of data of your own keep"
        " these rows only. Coefficients are printed standardised, also those of categories, without constants or"
        " standard errors; so every column is standardised here as well. Eleven answers from 1 to 5 make four"
        " components (varimax), which enter in points from 0 to 100; their sds are not printed. The printed"
        " coefficients of the composite are those of its first three components weighted by their explained variance,"
        " without the fourth, except in the five rows of training and community support of Table 5. Eight cells of"
        " Table 6 on distance and two loadings of Table 3 cannot be read in the source text."
    ),
    population=POPULATION,
    populations=about(CITIES_TOWNS, *TOWNS),
    hypotheses=HYPOTHESES,
    readings=READINGS,
)
