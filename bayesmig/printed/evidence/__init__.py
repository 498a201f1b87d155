"""What a printed coefficient is worth.

A table prints B with its standard error, or with p, or with stars only. Each of them is rounded, and each says
something else about the error: the SE itself, an interval as wide as the rounding of p, or an interval as wide
as the stars' legend. A printed cell is therefore read as the weighted set of pairs (estimate, error) that would
have been printed so; everything else in this package follows from that set and a prior.

``source`` is a :class:`~bayesmig.Study` (``model`` is then its key) or the path of a folder of CSV files
(``model`` is then the printed name, ``"Model 1"``, or with its table, ``"Table 5/Model 1"``). Of the folder only
``coefficients.csv`` is required, of its columns only ``model``, ``term``, ``estimate`` and one of ``std_error``,
``p_value``, or ``p_lower`` with ``p_upper``, the bounds of p that the stars stand for.

``tables`` reads what is printed of one model, ``cells`` imports it and says what each cell means, ``posterior``
imports ``cells``. On these rest ``sums`` (simple slopes), ``credibility`` (readers' priors) and ``significance``
(power, errors of sign and magnitude), ``confounding`` (what is left out), which do not know each other; ``synthesis``
puts several papers together. Agreement of fits with print reads trees only, in :mod:`bayesmig.results.refits`.
Nothing is imported here: the functions are reached as ``bayesmig.published_posterior`` and the like, or in their own
modules.
"""
