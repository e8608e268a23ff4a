"""From records to MLflow."""

from tamis.tracking.none import NoTracker, tracker_of
from tamis.tracking.tracker import Child, Tracker

__all__ = ["Child", "NoTracker", "Tracker", "tracker_of"]
