"""Latent spaces, budgets, and pruners: how structures are chosen."""
