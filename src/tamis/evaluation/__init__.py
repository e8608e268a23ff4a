"""Measurements on a trained potential: errors, properties, dynamics."""
