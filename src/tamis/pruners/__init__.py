"""How structures are chosen: one file a method."""
