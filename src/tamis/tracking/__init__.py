"""From records to MLflow: the one place that writes there."""

from tamis.tracking.tracker import Tracker

__all__ = ["Tracker"]
