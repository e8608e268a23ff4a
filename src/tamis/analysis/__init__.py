"""Conclusions from many records."""
