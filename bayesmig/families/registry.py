"""All families there are, found by looking into the modules that hold them."""

from __future__ import annotations

from bayesmig.families import binary, bounded, brackets, counts, gaussian, nominal, ordered, positive, truncated, zeros
from bayesmig.families.record import Family, Parameter

FAMILIES: dict[str, Family] = {
    family.name: family
    for module in (gaussian, binary, ordered, nominal, counts, positive, bounded, zeros, brackets, truncated)
    for family in vars(module).values()
    if isinstance(family, Family)
}

# of a specification whose outcome is a factor: no choice of the user's, so it is not in the list
LATENT = Family(name="latent", links=("identity",), outcome="latent")


def scalars() -> dict[str, Parameter]:
    """Parameters that families add to the coefficients, save thresholds, by name."""
    return {parameter.name: parameter for family in FAMILIES.values() for parameter in family.scalars}


def meant_by(name: str) -> str | None:
    """What a family's name in another program means here."""
    return next(
        (family.called_elsewhere[name] for family in FAMILIES.values() if name in family.called_elsewhere), None
    )
