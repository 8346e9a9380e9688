"""Splicing: events from annotation and junctions, how much of each, and whether it is destroyed."""
