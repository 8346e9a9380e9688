"""An AWS Batch endpoint for one machine: every job is a real process, no containers."""
