"""Latent spaces, and how structures are chosen in them."""
