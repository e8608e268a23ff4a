"""What is trained on the structures that were kept."""
