"""Everything the audit asks of the four papers, each checked by hand against the printed page."""

import dataclasses

import numpy as np
import pytest

from bayesmig.printed.auditing import Interval, audit, read_tables

# rule, where, and the printed numbers that do not agree
FINDINGS = {
    "social_trust": [
        ("printed digits", "Table 6, main, neighbourhood_type[relocation_housing]", "0.1333 | 38 with 3 decimals"),
        ("percentages sum to 100", "Table 1, survey_2013, education", "94.49 | 0.64 5.26 33.59 21.67 33.33"),
        ("percentages sum to 100", "Table 2, urban_local, in_group_trust", "101.04 | 0.00 1.62 17.75 64.79 16.88"),
        ("percentages sum to 100", "Table 2, rural_local, in_group_trust", "97.39 | 0.00 0.00 23.02 47.50 26.87"),
        ("percentages sum to 100", "Table 2, urban_migrant, in_group_trust", "100.35 | 1.36 0.53 37.00 52.96 8.50"),
        ("percentages sum to 100", "Table 2, rural_migrant, in_group_trust", "100.98 | 0.00 4.90 32.51 54.67 8.90"),
        (
            "percentages sum to 100",
            "Table 5, migrant_share_0_10, out_group_trust",
            "97.74 | 1.18 13.43 36.49 40.69 5.95",
        ),
        (
            "percentages sum to 100",
            "Table 5, migrant_share_10_25, out_group_trust",
            "99.14 | 1.00 8.70 47.58 35.33 6.53",
        ),
        (
            "percentages sum to 100",
            "Table 5, migrant_share_25_50, out_group_trust",
            "100.08 | 0.44 7.54 40.75 38.95 12.40",
        ),
        (
            "percentages sum to 100",
            "Table 5, migrant_share_50_76, out_group_trust",
            "100.57 | 0.48 17.48 32.10 42.81 7.70",
        ),
        ("sample sizes across the paper", "prose, hukou", "1418 | 1420"),
        ("sample sizes across the paper", "Table 1, migrant", "243 | 244"),
        (
            "variance components against the answers",
            "Table 6, main, out_group_trust",
            "0.623 + 0.250 | answers in Table 3",
        ),
        (
            "variance components against the answers",
            "Table 6, main, out_group_trust",
            "0.623 + 0.250 | answers in Table 5",
        ),
        *(
            (
                "standard errors of groups' contrasts",
                f"Table 6, main, neighbourhood_type[{level}]",
                f"{error} | between variance 0.250, 35 groups",
            )
            for level, error in (("relocation_housing", "0.118"), ("work_unit", "0.111"))
        ),
    ],
    "homeownership": [
        ("odds ratio against B", "Table 3.2, main, intraprovincial_migrant_share", "1.924 | 0.665"),
        ("odds ratio against B", "Table 3.2, main, region[central]", "1.704 | 0.626"),
        ("odds ratio against B", "Table 3.2, main, region[western]", "1.125 | 0.198"),
        ("odds ratio against B", "Table 3.2, main, median_housing_price", "0.997 | -0.002"),
        ("odds ratio against the text", "Table 3.2, main, region[central]", "87 % | 1.704"),
        ("odds ratio against the text", "Table 3.2, main, urban_pension_members", "37 % | 1.447"),
        ("odds ratio against the text", "Table 3.2, main, local_health_insurance_members", "17.3 % | 1.188"),
        ("people in households", "Table 3.1, household_size", "6244 | 1046 households of 2.76; 690 households of 3.86"),
    ],
    "cbo_spillover": [
        ("possible means", "Table 2, behaviour_adaptation, activities_with_new_friends", "1.480 | n 287"),
        ("possible means", "Table 2, behaviour_adaptation, interaction_with_city_dwellers", "1.593 | n 287"),
        ("possible means", "Table 2, behaviour_adaptation, life_satisfaction", "2.879 | n 287"),
        ("possible means", "Table 2, neighbourly_interaction, range_of_interaction", "1.953 | n 287"),
        ("possible means", "Table 2, identity_recognition, mate_selection_advantage", "1.751 | n 287"),
        ("possible means", "Table 2, identity_recognition, psychological_distance", "1.337 | n 287"),
        ("possible means", "Table 3, full_sample, cbo_participation[participant]", "0.159 | n 287"),
        (
            "possible means",
            "Table 3, full_sample, cbo_existence[nonparticipant_with_cbo_in_community]",
            "0.189 | n 287",
        ),
        ("possible means", "Table 3, full_sample, gender[male]", "0.457 | n 287"),
        ("possible means", "Table 3, full_sample, household_income_level", "3.273 | n 287"),
        ("possible means", "prose, full_sample, education[below_elementary]", "71.89 % | n 287"),
        (
            "possible standard deviations",
            "Table 2, economic_integration, economic_pressure",
            "0.560 | mean 1.394, n 287",
        ),
        (
            "possible standard deviations",
            "Table 2, behaviour_adaptation, lifestyle_change",
            "1.104 | mean 1.456, n 287",
        ),
        (
            "possible standard deviations",
            "Table 2, identity_recognition, sense_of_belonging",
            "0.974 | mean 2.108, n 287",
        ),
        (
            "largest standard deviation",
            "Table 2, identity_recognition, mate_selection_advantage",
            "0.748 | mean 1.751 on 1 to 2",
        ),
        (
            "largest standard deviation",
            "Table 2, identity_recognition, psychological_distance",
            "0.664 | mean 1.337 on 1 to 2",
        ),
        ("coding of a dummy", "Table 3, full_sample, gender[male]", "0.457 | 45.7 % female"),
        ("coding of a dummy", "Table 3, full_sample, hukou[rural]", "0.101 | 10.1 % changed_to_urban"),
        (
            "AIC against the outcome's sd",
            "Table 4, Model 3, Model 4, neighbourly_interaction",
            "1 by definition | AIC 769, 759",
        ),
        (
            "AIC against the outcome's sd",
            "Table 4, Model 7, Model 8, identity_recognition",
            "1 by definition | AIC 752, 742",
        ),
        (
            "standard errors against sd and VIF",
            "Table 4, Model 2, Model 4, Model 6, Model 8, cbo_participation[participant]",
            "0.104 0.205 0.193 0.199 | sd 0.366, VIF 2.10",
        ),
        (
            "standard errors against sd and VIF",
            "Table 4, Model 2, Model 4, Model 6, Model 8, household_income_level",
            "0.002 0.004 0.004 0.004 | sd 1.306, VIF 1.08",
        ),
        (
            "standard errors against sd and VIF",
            "Table 4, Model 2, Model 4, Model 6, Model 8, hukou[rural]",
            "0.094 0.185 0.173 0.179 | sd 0.302, VIF 1.04",
        ),
        ("constant against means", "Table 4, Model 1, intercept", "-2.044 | mean of economic_integration 0"),
        ("constant against means", "Table 4, Model 2, intercept", "-2.072 | mean of economic_integration 0"),
        ("constant against means", "Table 4, Model 3, intercept", "-1.796 | mean of neighbourly_interaction 0"),
        ("constant against means", "Table 4, Model 4, intercept", "-1.567 | mean of neighbourly_interaction 0"),
        ("constant against means", "Table 4, Model 5, intercept", "-1.768 | mean of behaviour_adaptation 0"),
        ("constant against means", "Table 4, Model 6, intercept", "-1.477 | mean of behaviour_adaptation 0"),
        ("constant against means", "Table 4, Model 7, intercept", "-0.727 | mean of identity_recognition 0"),
        ("constant against means", "Table 4, Model 8, intercept", "-0.502 | mean of identity_recognition 0"),
    ],
    "community_support": [
        ("claims of the text against B", "Table 5, Model 3, age[over_69]", "-0.157 | > 0"),
        ("printed digits", "Table 6, Model 10, f", "0 | 3 decimals elsewhere"),
        ("printed digits", "Table 6, Model 10, adjusted_r2", "0 | 3 decimals elsewhere"),
        ("ratios within a row", "Table 1, site_E, sampling_proportion", "2.17 | 132 of 1259"),
        (
            "whole mean against group means",
            "Table 4, psychological_identity",
            "71.37 | 66.50 (n 42) 66.13 (n 24) 72.77 (n 257)",
        ),
        (
            "whole mean against group means",
            "Table 4, economic_integration",
            "53.61 | 53.57 (n 42) 52.6 (n 24) 53.78 (n 257)",
        ),
        (
            "whole mean against group means",
            "Table 4, communicative_integration",
            "56.50 | 68.41 (n 42) 58.44 (n 24) 54.26 (n 257)",
        ),
        (
            "whole mean against group means",
            "Table 4, cultural_acceptance",
            "14.12 | 16.41 (n 42) 13.58 (n 24) 13.81 (n 257)",
        ),
        (
            "whole mean against group means",
            "Table 4, social_integration",
            "57.61 | 60.08 (n 42) 54.24 (n 24) 57.59 (n 257)",
        ),
        (
            "valid answers against the models' n",
            "Table 5, Model 1, Model 2, Model 3, Model 4, Model 5, relocation_distance",
            "323 | 306",
        ),
        ("possible means", "Table 2, full_sample, income_satisfaction", "3.346 | n 323"),
        ("possible means", "Table 2, full_sample, perceived_income_change", "3.293 | n 323"),
        ("possible means", "Table 2, full_sample, local_friends", "3.264 | n 323"),
        ("possible means", "Table 2, full_sample, enjoy_and_continue_living", "4.177 | n 323"),
        ("possible means", "Table 2, full_sample, confidence_in_integrating", "4.227 | n 323"),
        ("possible means", "Table 2, full_sample, happier_than_before", "4.081 | n 323"),
        ("possible means", "Table 2, full_sample, customs_difference", "3.298 | n 323"),
        ("possible standard deviations", "Table 2, full_sample, spatial_accessibility", "0.787 | mean 4.39, n 323"),
        ("largest standard deviation", "Table 2, full_sample, dialect_communication", "2.962 | mean 4.498 on 1 to 5"),
        (
            "composite rows",
            "Table 5, social_integration, training_satisfaction",
            "0.300 | 0.053 | 0.125 | 0.096 | 0.023",
        ),
        (
            "composite rows",
            "Table 5, social_integration, environmental_amenity",
            "0.178 | 0.165 | 0.211 | 0.144 | 0.002",
        ),
        ("composite rows", "Table 5, social_integration, housing_security", "0.080 | 0.207 | -0.017 | 0.110 | 0.145"),
        (
            "composite rows",
            "Table 5, social_integration, spatial_accessibility",
            "0.066 | 0.101 | 0.099 | -0.066 | -0.075",
        ),
        ("composite rows", "Table 5, social_integration, spatial_security", "0.157 | 0.113 | 0.043 | -0.048 | 0.100"),
        (
            "composite rows",
            "Table 6, social_integration, education[high_school_or_secondary_vocational]",
            "0.144 | -0.001 | 0.226 | 0.016 | 0.040",
        ),
        (
            "composite rows",
            "Table 6, social_integration, education[college_or_bachelor]",
            "0.054 | 0.184 | -0.090 | -0.007 | 0.084",
        ),
        (
            "composite weights",
            "Table 5, social_integration, cultural_acceptance",
            "10.581 % against 19.433 % | 20 rows of Table 5",
        ),
        ("communality against loadings", "Table 3, neighbour_socialising", "0.764 | 0.853 0.053 0.026 0.155"),
        ("explained variance against loadings", "Table 3, economic_integration", "18.026 | 11 loadings"),
    ],
}
CHECKS = {"social_trust": 114, "homeownership": 86, "cbo_spillover": 356, "community_support": 567}


@pytest.mark.parametrize("name", FINDINGS)
def test_findings_are_those_checked_by_hand(name):
    found = audit(name)
    assert [(item.rule, item.where, " | ".join(item.printed)) for item in found.items] == FINDINGS[name]


def test_the_power_of_the_audit_does_not_shrink():
    checks = {name: sum(audit(name).applied.values()) for name in FINDINGS}
    assert checks == CHECKS


SE_RULE = "standard errors against sd and VIF"
SUPPORT = [
    "training_satisfaction",
    "environmental_amenity",
    "housing_security",
    "spatial_accessibility",
    "spatial_security",
]


@pytest.mark.parametrize(("index_moves", "by"), [(True, 1), (False, -1)])
def test_either_reading_of_the_support_rows_repairs_table_5(index_moves, by):
    tables = read_tables("community_support")
    cells = tables.coefficients.copy()
    support = cells[(cells["table"] == "Table 5") & cells["term"].isin(SUPPORT)]
    for outcome, rows in support.groupby("outcome"):
        assert rows["term"].tolist() == SUPPORT
        if (outcome == "social_integration") == index_moves:
            cells.loc[rows.index, "estimate"] = np.roll(rows["estimate"], by)
    repaired = dataclasses.replace(tables, coefficients=cells)
    assert [item.row for item in audit(repaired, rules=["composite rows"]).items if item.table == "Table 5"] == []


def test_one_loading_repairs_communality_and_explained_variance():
    tables = read_tables("community_support")
    loadings = tables.loadings.copy()
    cell = (loadings["item"] == "neighbour_socialising") & (loadings["component"] == "economic_integration")
    assert loadings.loc[cell, "loading"].tolist() == ["0.026"]
    loadings.loc[cell, "loading"] = "0.096"
    rules = ["communality against loadings", "explained variance against loadings"]
    assert audit(dataclasses.replace(tables, loadings=loadings), rules=rules).findings.empty


def test_income_ten_times_as_wide_repairs_every_constant():
    tables = read_tables("cbo_spillover")
    rows = tables.descriptives.copy()
    for statistic, text in (("mean", "32.73"), ("sd", "13.06")):
        at = (
            (rows["table"] == "Table 3")
            & (rows["variable"] == "household_income_level")
            & (rows["statistic"] == statistic)
        )
        rows.loc[at, "value"] = text
    found = audit(dataclasses.replace(tables, descriptives=rows), rules=["constant against means", SE_RULE])
    assert "household_income_level" not in found.findings["row"].tolist()
    assert found.summary.loc["constant against means", "findings"] == 0


@pytest.mark.parametrize("name", FINDINGS)
def test_what_is_printed_lies_outside_of_what_is_expected(name):
    for item in audit(name, rules=["constant against means", "odds ratio against B", "composite rows"]).items:
        assert not Interval.printed(item.printed[0]).meets(item.expected), item
