"""Planned studies: many trials, each run once, ever (``tamis-study``)."""
