"""Many trials: which ones, where they run, what is done already."""
