"""The demo's data: a small genome, its annotation, and reads whose truth is known."""
