"""The families' basis functions: one file a family."""
