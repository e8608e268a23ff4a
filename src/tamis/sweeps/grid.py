"""Stand-in for the module of this name."""

BASE = ("store.remember=true",)
