"""From several answers to one number: principal components, indices of them, and reliability.

Users find here ``components``, which returns ``Components``, ``composite``, and ``reliability``, which returns
``Reliability``. Latent factors are models: ``bm.Factor`` describes one and ``bm.results`` reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.measurement.consistency import Reliability as Reliability
    from bayesmig.measurement.consistency import reliability as reliability
    from bayesmig.measurement.principal import Components as Components
    from bayesmig.measurement.principal import components as components
    from bayesmig.measurement.principal import composite as composite
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
