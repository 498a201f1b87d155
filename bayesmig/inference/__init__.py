"""From a design to a tree: the verbs ``fit`` and ``estimate``, and the engines and estimators behind them."""
