"""Community organisations and the integration of resettled migrants in four communities (Yang & Xu 2024)."""

from bayesmig.specification.blocks import (
    IndexModel,
    age,
    among,
    exposure,
    formula,
    gender,
    index_models,
    integration_index,
    likert,
    yes_no,
)
from bayesmig.specification.model import (
    Exchange,
    Factor,
    Hypothesis,
    Margin,
    ModelSpec,
    Population,
    Range,
    Study,
    Variable,
)
from bayesmig.specification.priors import LKJ, HalfNormal, Normal, PriorSet

SCORE = "sd of the first principal component of its items"

INDICES = (
    integration_index("economic", "economic_integration", "Economic integration", SCORE),
    integration_index("social", "neighbourly_interaction", "Neighbourly interaction", SCORE),
    integration_index("cultural", "behaviour_adaptation", "Behaviour adaptation", SCORE),
    integration_index("psychological", "identity_recognition", "Identity recognition", SCORE),
)

ECONOMIC_ITEMS = (
    Variable("economic_pressure", "Making ends meet", unit="1 deficit, 2 balanced, 3 surplus", minimum=1, maximum=3),
    Variable(
        "human_capital",
        "Household members with work",
        unit="share of members",
        minimum=0,
        maximum=1,
        overlaps=("employment_status",),
    ),
    Variable(
        "employment_income_per_capita",
        "Income per employed member",
        unit="yuan a month",
        minimum=0,
        overlaps=("employment_status", "household_income_level"),
    ),
)

SOCIAL_ITEMS = (
    Variable("new_friends", "Made new friends", unit="1 no, 2 yes", minimum=1, maximum=2),
    Variable("range_of_interaction", "Where new friends live", unit="1 community to 3 both", minimum=1, maximum=3),
    Variable("interaction_frequency", "Meets new friends", unit="1 occasionally to 3 daily", minimum=1, maximum=3),
)

CULTURAL_ITEMS = (
    Variable(
        "activities_with_new_friends",
        "Activities with new friends",
        unit="points, the most for joint work or activities of organisations",
        minimum=0,
        maximum=9,
        overlaps=("cbo_participation", "cbo_existence"),
    ),
    Variable("lifestyle_change", "Areas of life that changed", unit="areas", minimum=0, maximum=5),
    Variable(
        "interaction_with_city_dwellers", "Deals with townspeople", unit="1 never to 3 often", minimum=1, maximum=3
    ),
    likert("life_satisfaction", "Satisfied with life in the community"),
)

PSYCHOLOGICAL_ITEMS = (
    Variable("sense_of_belonging", "Sees oneself as a town resident", unit="1 no to 3 yes", minimum=1, maximum=3),
    Variable("mate_selection_advantage", "The site helps to find a spouse", unit="1 no, 2 yes", minimum=1, maximum=2),
    Variable("psychological_distance", "Townspeople are kind", unit="1 no, 2 yes", minimum=1, maximum=2),
)

VARIABLES = (
    *INDICES,
    Variable("community", "Community", unit="any name or number of the resettlement community"),
    yes_no("cbo_in_community", "Organisation in the community"),
    Variable("community_age", "Age of the community", unit="months since it was formed", group="community", minimum=0),
    Variable(
        "cbo_status",
        "Community organisation",
        {
            "nonparticipant_without_cbo_in_community": "None in the community",
            "nonparticipant_with_cbo_in_community": "Lives beside one",
            "participant": "Takes part",
        },
    ),
    Variable("cbo_participation", "Takes part in an organisation", {"nonparticipant": "No", "participant": "Yes"}),
    Variable(
        "cbo_existence",
        "Lives beside an organisation without taking part",
        {"otherwise": "No", "nonparticipant_with_cbo_in_community": "Yes"},
    ),
    Variable("length_of_residence", "Length of residence", unit="months until August 2020", minimum=0),
    age(),
    gender("female"),
    Variable("employment_status", "Employment", {"unemployed": "Unemployed", "off_farm_employed": "Off-farm employed"}),
    Variable(
        "household_income_level",
        "Household income",
        unit="ten times the band: 10 below 68, 20 to 201, 30 to 551, 40 to 1,001, 50 above, yuan a month",
        minimum=10,
        maximum=50,
    ),
    Variable(
        "hukou",
        "Hukou",
        {"urban": "Urban", "rural": "Rural"},
        note=(
            "Most likely coded the other way than Table 3 says. Of all respondents 10.1 % have a 1, which the table"
            " calls rural; the text says that 10.1 % had changed to an urban hukou, among people who have just left"
            " villages. The coefficients agree with the text then: those with an urban hukou are better integrated."
            " Compare coefficients of your own data with the opposite sign, or replicate the study with"
            " assuming('hukou as the text says'), which has the levels so."
        ),
    ),
    *ECONOMIC_ITEMS,
    *SOCIAL_ITEMS,
    *CULTURAL_ITEMS,
    *PSYCHOLOGICAL_ITEMS,
)

PEOPLE = ("length_of_residence", "age", "gender", "employment_status", "household_income_level", "hukou")
ORGANISATIONS = ("cbo_participation", "cbo_existence")

ECONOMIC = formula("economic_integration", *PEOPLE)
ECONOMIC_CBO = formula("economic_integration", *PEOPLE, *ORGANISATIONS)
SOCIAL = formula("neighbourly_interaction", *PEOPLE)
SOCIAL_CBO = formula("neighbourly_interaction", *PEOPLE, *ORGANISATIONS)
CULTURAL = formula("behaviour_adaptation", *PEOPLE)
CULTURAL_CBO = formula("behaviour_adaptation", *PEOPLE, *ORGANISATIONS)
PSYCHOLOGICAL = formula("identity_recognition", *PEOPLE)
PSYCHOLOGICAL_CBO = formula("identity_recognition", *PEOPLE, *ORGANISATIONS)

PRIORS = PriorSet(
    intercept=Normal(0, 0.5, why="A component score has mean zero; these people's mean is close to it."),
    slopes=Normal(0, 1, why="Two kinds of people may differ by a whole sd of an index, seldom by two."),
    sigma=HalfNormal(1, why="A component score has an sd of one, so what is left cannot be much more."),
    tau=HalfNormal(
        0.5, why="Communities of one resettlement site seldom differ by a whole sd; four of them tell little more."
    ),
    rho=LKJ(2, why="Correlations near one are unlikely before seeing data."),
    specific={
        "length_of_residence": Normal(0, 0.1, why="A year at the site seldom moves an index by over two sds."),
        "age": Normal(0, 0.05, why="Ten years of age seldom move an index by a whole sd."),
        "household_income_level": Normal(
            0, 0.1, why="One band of income, which counts ten here, seldom moves an index by over two sds."
        ),
    },
    name="cbo_spillover",
)

# Each index's items as measurements of one latent factor, which counts in units of its first item.
ECONOMIC_FACTOR = Factor(
    "economic_integration",
    ("economic_pressure", "human_capital", "employment_income_per_capita"),
    marker="economic_pressure",
)
SOCIAL_FACTOR = Factor(
    "neighbourly_interaction", ("new_friends", "range_of_interaction", "interaction_frequency"), marker="new_friends"
)
CULTURAL_FACTOR = Factor(
    "behaviour_adaptation",
    ("lifestyle_change", "activities_with_new_friends", "interaction_with_city_dwellers", "life_satisfaction"),
    marker="lifestyle_change",
)
PSYCHOLOGICAL_FACTOR = Factor(
    "identity_recognition",
    ("mate_selection_advantage", "sense_of_belonging", "psychological_distance"),
    marker="mate_selection_advantage",
)

FACTOR_PRIORS = PriorSet(
    slopes=Normal(
        0, 0.5, relative=True, why="One sd of a predictor seldom moves a factor by over one sd of its marker item."
    ),
    sigma=HalfNormal(1, relative=True, why="A factor varies no more than the item that shows it best."),
    name="cbo_spillover, latent factors",
)

# Numbers and levels run from low to high along each variable's latent scale, so that correlations have a sign.
MONTHS = "Table 3 for mean and sd over all; how months divide, and that nobody is older than the community, is assumed"

POPULATION = Population(
    n=287,
    groups={"community": 4},
    margins=(
        Margin(
            "cbo_status",
            {
                "nonparticipant_without_cbo_in_community": 187,
                "nonparticipant_with_cbo_in_community": 54,
                "participant": 46,
            },
            source="the text's 65.2, 18.9 and 15.9 percent",
        ),
        *among(
            "cbo_status",
            "nonparticipant_without_cbo_in_community",
            Margin("cbo_in_community", {"no": 1}, source="the definition"),
            Margin("cbo_participation", {"nonparticipant": 1}, source="the definition"),
            Margin("cbo_existence", {"otherwise": 1}, source="the definition"),
        ),
        *among(
            "cbo_status",
            "nonparticipant_with_cbo_in_community",
            Margin("cbo_in_community", {"yes": 1}, source="the definition"),
            Margin("cbo_participation", {"nonparticipant": 1}, source="the definition"),
            Margin("cbo_existence", {"nonparticipant_with_cbo_in_community": 1}, source="the definition"),
        ),
        *among(
            "cbo_status",
            "participant",
            Margin("cbo_in_community", {"yes": 1}, source="the definition"),
            Margin("cbo_participation", {"participant": 1}, source="the definition"),
            Margin("cbo_existence", {"otherwise": 1}, source="the definition"),
        ),
        *among(
            "cbo_in_community",
            "no",
            Margin("community", {"LT": 132, "XT": 55}, assumed=True, source="communities are named, not counted"),
        ),
        *among(
            "cbo_in_community",
            "yes",
            Margin("community", {"TF": 35, "HC": 65}, assumed=True, source="communities are named, not counted"),
        ),
        *among("community", "XT", Margin("community_age", {"26": 1}, source="Table 1: formed in June 2018")),
        *among("community", "HC", Margin("community_age", {"20": 1}, source="Table 1: formed in December 2018")),
        *among("community", "TF", Margin("community_age", {"16": 1}, source="Table 1: formed in April 2019")),
        *among("community", "LT", Margin("community_age", {"8": 1}, source="Table 1: formed in December 2019")),
        *among(
            "cbo_in_community",
            "no",
            Margin(
                "length_of_residence <= community_age",
                {
                    "1": 3,
                    "2": 10,
                    "3": 18,
                    "4": 25,
                    "5": 32,
                    "6": 31,
                    "7": 27,
                    "8": 20,
                    "9": 13,
                    "10": 5,
                    "11": 2,
                    "12": 1,
                },
                source=MONTHS,
            ),
        ),
        *among(
            "cbo_in_community",
            "yes",
            Margin(
                "length_of_residence <= community_age",
                {
                    "4": 1,
                    "5": 3,
                    "6": 2,
                    "7": 4,
                    "8": 4,
                    "9": 4,
                    "10": 5,
                    "11": 5,
                    "12": 5,
                    "13": 8,
                    "14": 8,
                    "15": 9,
                    "16": 8,
                    "17": 9,
                    "18": 9,
                    "19": 8,
                    "20": 8,
                },
                source=MONTHS,
            ),
        ),
        Margin("age", mean=57.241, sd=13.067, whole=True, source="Table 3"),
        Margin("gender", {"female": 156, "male": 131}, source="Table 3; the text says 45.7 percent women instead"),
        Margin(
            "employment_status", {"unemployed": 225, "off_farm_employed": 62}, source="Table 3: 21.6 percent employed"
        ),
        Margin(
            "household_income_level",
            {"10": 33, "20": 52, "30": 71, "40": 66, "50": 65},
            source=(
                "Table 3 for mean and sd, times ten: only a predictor ten times as wide as the printed bands 1 to 5"
                " has the constants and standard errors of Table 4; how the bands divide is assumed"
            ),
        ),
        Margin(
            "hukou",
            {"urban": 258, "rural": 29},
            source="Table 3; the text says instead that 10.1 percent changed to urban",
        ),
    ),
    correlations={
        ("length_of_residence", "hukou"): Range(0.1, 0.3),
        ("length_of_residence", "employment_status"): Range(0.1, 0.3),
        ("length_of_residence", "household_income_level"): Range(0.05, 0.2),
        ("age", "gender"): Range(0.05, 0.25),
        ("age", "employment_status"): Range(-0.4, 0.1),
        ("age", "household_income_level"): Range(-0.2, 0.1),
        ("employment_status", "household_income_level"): Range(0.2, 0.4),
        ("cbo_status", "hukou"): Range(0.2, 0.5),
        ("cbo_status", "employment_status"): Range(0.1, 0.3),
        ("cbo_status", "household_income_level"): Range(0.1, 0.3),
    },
)

# Table 4 compares both kinds of people beside an organisation with those who have none: the total effect of one on
# participants, and its spillover on the others. The direct effect of taking part is the difference between the two, the
# hypotheses called joining.
WITH = ", with organisations"
MODELS = (
    IndexModel(1, "Table 4", ECONOMIC, (ECONOMIC_FACTOR,), FACTOR_PRIORS),
    IndexModel(2, "Table 4", ECONOMIC_CBO, (ECONOMIC_FACTOR,), FACTOR_PRIORS, also=WITH),
    IndexModel(3, "Table 4", SOCIAL, (SOCIAL_FACTOR,), FACTOR_PRIORS),
    IndexModel(4, "Table 4", SOCIAL_CBO, (SOCIAL_FACTOR,), FACTOR_PRIORS, also=WITH),
    IndexModel(5, "Table 4", CULTURAL, (CULTURAL_FACTOR,), FACTOR_PRIORS),
    IndexModel(6, "Table 4", CULTURAL_CBO, (CULTURAL_FACTOR,), FACTOR_PRIORS, also=WITH),
    IndexModel(7, "Table 4", PSYCHOLOGICAL, (PSYCHOLOGICAL_FACTOR,), FACTOR_PRIORS),
    IndexModel(8, "Table 4", PSYCHOLOGICAL_CBO, (PSYCHOLOGICAL_FACTOR,), FACTOR_PRIORS, also=WITH),
)

TAKES_PART, LIVES_BESIDE = "cbo_participation[participant]", "cbo_existence[nonparticipant_with_cbo_in_community]"
# One predictor of three levels in the place of two dummies, whose margins are those of people who can be.
STATUS = {
    "model_2_status": ModelSpec(
        formula("economic_integration", *PEOPLE, "cbo_status"),
        title="Model 2 with one predictor for organisations",
        priors=PRIORS,
        estimator="ols",
    ),
    "model_4_status": ModelSpec(
        formula("neighbourly_interaction", *PEOPLE, "cbo_status"),
        title="Model 4 with one predictor for organisations",
        priors=PRIORS,
        estimator="ols",
    ),
    "model_6_status": ModelSpec(
        formula("behaviour_adaptation", *PEOPLE, "cbo_status"),
        title="Model 6 with one predictor for organisations",
        priors=PRIORS,
        estimator="ols",
    ),
    "model_8_status": ModelSpec(
        formula("identity_recognition", *PEOPLE, "cbo_status"),
        title="Model 8 with one predictor for organisations",
        priors=PRIORS,
        estimator="ols",
    ),
}

TENTH = (0.1, "A tenth of an sd of an index would not be noticed by anybody.")
EFFECTS = exposure(TAKES_PART, LIVES_BESIDE, share=0.46)  # 15.9 of 34.8 percent
DIRECT, OVERALL = EFFECTS["direct"], EFFECTS["overall"]
WITH_ORGANISATIONS = ("model_2", "model_4", "model_6", "model_8")
RESULTS = "Section 4.2, Table 4"

HYPOTHESES = (
    Hypothesis(
        "H1",
        f"{TAKES_PART} > 0",
        WITH_ORGANISATIONS,
        "partly supported",
        RESULTS,
        "Participants are better integrated in all four dimensions than people in communities without organisations.",
        absent=TENTH,
    ),
    Hypothesis(
        "H1a",
        f"{TAKES_PART} > 0",
        ("model_2",),
        "not supported",
        RESULTS,
        "Participants are better integrated economically.",
        absent=TENTH,
    ),
    Hypothesis(
        "H1b",
        f"{TAKES_PART} > 0",
        ("model_4",),
        "supported",
        RESULTS,
        "Participants have more to do with their neighbours.",
        absent=TENTH,
    ),
    Hypothesis(
        "H1c",
        f"{TAKES_PART} > 0",
        ("model_6",),
        "supported",
        RESULTS,
        "Participants have adapted more to how one behaves in town.",
        absent=TENTH,
    ),
    Hypothesis(
        "H1d",
        f"{TAKES_PART} > 0",
        ("model_8",),
        "supported",
        RESULTS,
        "Participants see themselves more as people of the town.",
        absent=TENTH,
    ),
    Hypothesis(
        "H2",
        f"{LIVES_BESIDE} > 0",
        WITH_ORGANISATIONS,
        "partly supported",
        RESULTS,
        "Where there are organisations, those who take no part are better integrated in all four dimensions too.",
        absent=TENTH,
    ),
    Hypothesis(
        "H2a",
        f"{LIVES_BESIDE} > 0",
        ("model_2",),
        "not supported",
        RESULTS,
        "Those who live beside an organisation are better integrated economically.",
        absent=TENTH,
    ),
    Hypothesis(
        "H2b",
        f"{LIVES_BESIDE} > 0",
        ("model_4",),
        "supported",
        RESULTS,
        "Those who live beside an organisation have more to do with their neighbours.",
        absent=TENTH,
    ),
    Hypothesis(
        "H2c",
        f"{LIVES_BESIDE} > 0",
        ("model_6",),
        "supported",
        RESULTS,
        "Those who live beside an organisation have adapted more to how one behaves in town.",
        absent=TENTH,
    ),
    Hypothesis(
        "H2d",
        f"{LIVES_BESIDE} > 0",
        ("model_8",),
        "supported",
        RESULTS,
        "Those who live beside an organisation see themselves more as people of the town.",
        absent=TENTH,
    ),
    Hypothesis(
        "no economic effect",
        f"abs({TAKES_PART}) < absent and abs({LIVES_BESIDE}) < absent",
        ("model_2",),
        "no effect",
        "Sections 4.2 and 5.2",
        "Organisations make no difference to economic integration.",
        absent=TENTH,
    ),
    Hypothesis(
        "negative for participants",
        f"{TAKES_PART} < 0",
        ("model_2",),
        "no effect",
        "Sections 4.2 and 5.2",
        "Participants are worse integrated economically than people in communities without organisations, where the"
        " paper sees no effect.",
        absent=TENTH,
    ),
    Hypothesis(
        "joining, economic",
        f"{DIRECT} > 0",
        ("model_2",),
        "not tested",
        "Section 4.2, Table 4",
        "Those who take part are better integrated economically than those who live beside an organisation and do not,"
        " which is the direct effect.",
        absent=TENTH,
    ),
    Hypothesis(
        "joining",
        f"{DIRECT} > 0",
        ("model_4", "model_6", "model_8"),
        "not tested",
        "Section 6",
        "Taking part does more than living beside an organisation, as the advice to join presumes.",
        absent=TENTH,
    ),
    Hypothesis(
        "communities with organisations",
        f"{OVERALL} > 0",
        ("model_4", "model_6", "model_8"),
        "claimed",
        "Sections 5.2 and 6",
        "People of communities with organisations are better integrated on average, whether they take part or not.",
        absent=TENTH,
    ),
    Hypothesis(
        "all but economic",
        {
            "model_2": f"abs({TAKES_PART}) < absent",
            "model_4": f"{TAKES_PART} > 0",
            "model_6": f"{TAKES_PART} > 0",
            "model_8": f"{TAKES_PART} > 0",
        },
        WITH_ORGANISATIONS,
        "claimed",
        "Section 5.2",
        "Participants are better integrated in all dimensions but the economic one, in which there is no difference.",
        absent=TENTH,
    ),
)

READINGS = {
    "household_income_level": "household_income_level / 10",
    "nonparticipant_without_cbo_in_community": "cbo_status[nonparticipant_without_cbo_in_community] > 0",
    "changed_to_urban": "hukou[urban] > 0",
}

study = Study(
    name="cbo_spillover",
    title="Community-based organisations and the social integration of resettled migrants in T County",
    citation=(
        "Yang, C. and Xu, H. (2024). Direct and spillover effects: how do community-based organizations impact the"
        " social integration of passive migrants? Sustainability 16(11), 4530."
    ),
    doi="10.3390/su16114530",
    variables=VARIABLES,
    models={**index_models(*MODELS, group="community", priors=PRIORS), **STATUS},
    data_statement=(
        "The data are available from the authors upon request only. Each index is the first principal component of its"
        " items, with mean 0 and sd 1; loadings are not printed. Whether an organisation exists is a property of four"
        " communities, two with and two without, so its coefficient rests on four observations of its cause however"
        " many people were asked: compare each model with its multilevel counterpart. Household income is described in"
        " bands from 1 to 5, but the constants and standard errors of Table 4 belong to a predictor ten times as"
        " wide; here it counts from 10 to 50. The text has the shares of women and of urban hukou the other way round"
        " than Table 3; assuming('hukou as the text says') and assuming('gender as the text says') read the table so."
        " Length of residence is in months."
    ),
    population=POPULATION,
    alternatives={
        "hukou as the text says": Exchange("hukou", ("urban", "rural")),
        "gender as the text says": Exchange("gender", ("female", "male")),
    },
    hypotheses=HYPOTHESES,
    readings=READINGS,
)
