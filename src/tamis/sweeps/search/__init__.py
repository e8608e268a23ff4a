"""Searches: sweeps whose trials Optuna chooses (docs/search.md)."""
