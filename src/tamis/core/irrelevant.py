"""Keys of a configuration that change no result: one table for names of folders, MLflow, reports and resolvers."""

PLACES = ("root", "cache", "base_url", "verify")
"""Keys of ``dataset``: where its files are, and whether their checksum is compared."""
REFERENCES = ("reference", "reference_source")
"""Keys of ``dataset``: what measured properties are compared with; they change no structure and no label."""
TRANSFER = ("transfer",)
"""Keys of ``dataset``: further sets on which potentials are measured; they change nothing of the data set itself."""
RESOURCES = ("scratch", "n_jobs")
"""Keys of any part: where and with what it works."""
PICTURES = ("parity_plot", "plots")
"""Keys of any part: what is drawn."""
NODES = ("store", "objective", "artifacts", "choices")
"""Nodes of a trial: where things are kept, what a search looks at, and what names the choices had."""
NO_TRIAL = ("hydra", "tracking", "plan", "protocol", "search")
"""Nodes of a composed configuration that say nothing of the trial."""
