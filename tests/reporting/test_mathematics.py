"""Equations of every model: well formed in each notation, and about the right things."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from fabricated import CASES, posterior, specification, survey
from reporting.people import ATTACK
from reporting.people import posterior as fitted

from bayesmig.printed.literature import published
from bayesmig.reporting.mathematics import Sign, equations, in_words, latex, mathml, omml
from bayesmig.specification.catalogue import studies, study

PRINTED = [(name, key) for name in studies() for key, spec in study(name).models.items() if spec.printed]


def check_notations(lines):
    for line in lines:
        written = latex(line)
        assert written.count("{") - written.count(r"\{") == written.count("}") - written.count(r"\}")
        for text in (mathml(line), omml(line)):
            tree = ElementTree.fromstring(text)  # refuses what is not well formed
            assert "script" not in {element.tag for element in tree.iter()}


@pytest.mark.parametrize(("family", "link"), CASES)
def test_every_family_has_equations_and_sentences(family, link):
    spec = specification(family, "x * hukou + poverty + (1 + x | area) + (1 | city)", link)
    tree = posterior(spec, survey())
    lines = equations(tree)
    check_notations(lines)
    written = [latex(line) for line in lines]
    distributions = {
        "gaussian": r"\text{Normal}",
        "student": r"\text{Student t}",
        "bernoulli": r"\text{Bernoulli}",
        "binomial": r"\text{Binomial}",
        "cumulative": r"\leq k",
        "poisson": r"\text{Poisson}",
        "negative_binomial": r"\text{Negative binomial}",
        "sequential": r"= k \mid",
        "adjacent": r"\leq k+1",
        "lognormal": r"\text{Log-normal}",
        "gamma": r"\text{Gamma} ( \mu_{i} , \alpha )",
        "beta": r"\text{Beta} ( \mu_{i} , \phi )",
        "zero_inflated_beta": r"\text{Zero-inflated beta} ( \mu_{i} , \phi , \pi )",
        "zero_one_inflated_beta": r"\text{Zero-one-inflated beta} ( \mu_{i} , \phi , \omega , \pi )",
        "interval_gaussian": r"\text{Normal} ( \eta_{i} , \sigma^{2} )",
        "interval_lognormal": r"\text{Log-normal} ( \eta_{i} , \sigma^{2} )",
        "truncated_gaussian": r"\text{Truncated normal} ( \eta_{i} , \sigma^{2} )",
        "truncated_lognormal": r"\text{Truncated log-normal} ( \eta_{i} , \sigma^{2} )",
        "truncated_poisson": r"\text{Truncated Poisson} ( \lambda_{i} )",
        "truncated_negative_binomial": r"\text{Truncated negative binomial} ( \lambda_{i} , \phi )",
        "categorical": r"\text{Categorical logit}",
        "hurdle_poisson": r"\text{Hurdle Poisson} ( \lambda_{i} , \pi )",
        "hurdle_negative_binomial": r"\text{Hurdle negative binomial}",
        "hurdle_lognormal": r"\text{Hurdle log-normal}",
        "hurdle_gamma": r"\text{Hurdle gamma}",
        "zero_inflated_poisson": r"\text{Zero-inflated Poisson}",
        "zero_inflated_negative_binomial": r"\text{Zero-inflated negative binomial}",
    }
    assert distributions[family] in written[0]
    copies = 2 if family == "categorical" else 1  # three categories, of which one is the reference
    assert sum(line.startswith(r"\eta_{") for line in written) == copies
    assert sum(r"\text{cor}" in line for line in written) == copies  # of intercept and x by area
    assert sum(line.startswith("u_") for line in written) == 3 * copies
    sentences = " ".join(in_words(tree))
    assert "Each area" in sentences
    assert "Each city" in sentences
    assert ("log odds" in sentences) == (link == "logit")


@pytest.mark.parametrize(("name", "key"), PRINTED)
def test_every_printed_model_has_equations(name, key):
    tree = published(study(name), key)
    lines = equations(tree)
    check_notations(lines)
    predictor = " ".join(latex(line) for line in lines)
    terms = [str(term) for term in tree["published"]["term"].to_numpy() if str(term) != "intercept"]
    blocks = {re.sub(r"\[[^\]]*\]", "", term) for term in terms}
    numbered = {int(number) for number in re.findall(r"\\beta_\{(\d+)", predictor)}
    assert numbered - {0} == set(range(1, len(blocks) + 1))  # a coefficient for every variable and product


def test_the_model_of_groups_is_as_it_was_specified():
    written = [latex(line) for line in equations(fitted())]
    assert written[0] == r"\text{社会信任}_{i} \sim \text{Normal} ( \eta_{i} , \sigma^{2} )"
    assert r"\beta_{1 , \text{户口[i]}}" in written[1]
    assert r"\text{Area poverty}_{\text{area[i]}}" in " ".join(written)
    assert written[-1] == r"u_{\text{area}} \sim \text{Normal} ( 0 , \tau_{\text{area}}^{2} )"


def test_labels_are_escaped_in_every_notation():
    equation = (Sign(f"{ATTACK} & 50 %", "words"), Sign("\x07", "words"))
    assert r"\& 50 \%" in latex(equation)
    for text in (mathml(equation[:1]), omml(equation)):
        ElementTree.fromstring(text)
        assert "<script" not in text
