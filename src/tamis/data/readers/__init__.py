"""Readers of files with structures: one file a format, and a line in ``formats.READERS``."""
