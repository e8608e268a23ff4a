"""What may be concluded from many records."""
