"""A Hydra sweeper for Optuna studies that resume and survive (docs/search.md).

Hydra executes every module of a plugin again when it scans for plugins, but for those whose name begins with an
underscore: classes that are compared or caught live in the latter.
"""
