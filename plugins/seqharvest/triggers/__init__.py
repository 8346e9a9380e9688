"""The Airflow triggers of Seqharvest: what a deferred task waits for, in the triggerer."""
