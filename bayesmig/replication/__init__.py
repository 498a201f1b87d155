"""A paper's models in every way, with its own or with reconstructed data.

Beside ``bm.reconstruct`` and ``bm.replicate``, users find here ``replicate_study`` and ``replicate_all``, for all
models of one study and of all, which return ``Replication`` and ``Overview``; ``Verdicts``, which ``bm.hypotheses``
returns, and ``verdicts_of`` replications that there are; ``printed_descriptives``, ``predicted_descriptives``,
``measure_discrepancies``, ``standard_errors`` and ``answer_spread``, which say how far data, and the table itself, are
from what is printed; and ``ranges``, how far conclusions hang on what is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.replication import overview as overview
    from bayesmig.replication.descriptives import predicted_descriptives as predicted_descriptives
    from bayesmig.replication.descriptives import printed_descriptives as printed_descriptives
    from bayesmig.replication.overview import Overview as Overview
    from bayesmig.replication.overview import replicate_all as replicate_all
    from bayesmig.replication.papers import Replication as Replication
    from bayesmig.replication.papers import replicate_study as replicate_study
    from bayesmig.replication.reconstruction.build import standard_errors as standard_errors
    from bayesmig.replication.reconstruction.discrepancies import measure_discrepancies as measure_discrepancies
    from bayesmig.replication.reconstruction.provenance import answer_spread as answer_spread
    from bayesmig.replication.unprinted import ranges as ranges
    from bayesmig.replication.verdicts import Verdicts as Verdicts
    from bayesmig.replication.verdicts import verdicts_of as verdicts_of
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
