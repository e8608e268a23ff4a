"""The comparison over half-pools: its table, its endpoints, its questions and their answers."""
