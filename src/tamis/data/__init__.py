"""Labelled structures: where they come from, whether they can be right, how they are split."""
