"""What is measured on a trained potential."""
