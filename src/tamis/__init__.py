"""tamis: prune the training set of an interatomic potential, retrain it, measure what that did."""

__version__ = "0.1.0"
