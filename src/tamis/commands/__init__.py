"""The subcommands of ``tamis``, one file each."""

COMMANDS = {
    "report": "tables, figures and verdicts from folders of trials",
    "smallest": "the smallest training set that keeps a model nearly as good, with its potential",
    "describe": "what is in files of structures, before anything is computed",
    "compare": "trials side by side, or any two ways of choosing of a sweep",
    "pick": "the smallest of the training sets that were tried, with its potential",
    "best": "the best trials of a search",
    "sync": "send records to MLflow that it does not have",
    "store": "what the store of rows holds, and clearing it",
    "doctor": "which engines are here, and how to get the missing",
    "completion": "tab completion for bash and zsh",
}
"""Subcommand -> what it does; each is the module ``tamis.commands.<name>``."""
FLAGS = {"--dry-run": "hydra.sweeper.dry_run=true", "--retry-failed": "hydra.sweeper.retry_failed=true"}
"""Short forms of settings of a sweep."""
