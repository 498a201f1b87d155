"""Data that reproduce a printed table.

Predictors are drawn from what a study prints or assumes about its sample
(:class:`~bayesmig.specification.model.Population`) by :mod:`~bayesmig.replication.reconstruction.predictors`. The
outcome is then made so that a fit returns the printed coefficients and variances: exactly for numbers
(:mod:`~bayesmig.replication.reconstruction.continuous`), and as nearly as answers of 0 and 1 allow for binary outcomes
(:mod:`~bayesmig.replication.reconstruction.binary`). :mod:`~bayesmig.replication.reconstruction.provenance` says what
was honoured, what was not, and what was assumed.
"""

from bayesmig.replication.reconstruction.build import reconstruct, standard_errors
from bayesmig.replication.reconstruction.discrepancies import measure_discrepancies
from bayesmig.replication.reconstruction.provenance import answer_spread

__all__ = ["answer_spread", "measure_discrepancies", "reconstruct", "standard_errors"]
