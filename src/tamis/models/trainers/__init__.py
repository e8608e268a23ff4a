"""The field's own trainers as models: each runs outside programs and takes their files over."""
