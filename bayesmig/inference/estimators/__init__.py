"""Estimators: the frequentist counterparts, which give a point and its error."""
