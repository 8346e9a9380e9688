"""Quality control: what is measured on a sample, and what a person is told about it."""
