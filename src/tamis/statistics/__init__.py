"""What may be concluded from learning curves: the primary endpoint, its intervals, and the hypothesis of tamis."""
