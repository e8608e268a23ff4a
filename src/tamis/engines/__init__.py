"""Programs of others that tamis starts."""
