"""Benchmarks: each runs its peer and ours on the same work, and prints a table with the ratio."""
