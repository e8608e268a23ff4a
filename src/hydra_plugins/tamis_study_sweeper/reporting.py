"""What a job calls while it runs: ``from hydra_plugins.tamis_study_sweeper.reporting import report``."""

from hydra_plugins.tamis_study_sweeper._reporting import Listener, listening, report

__all__ = ["Listener", "listening", "report"]
