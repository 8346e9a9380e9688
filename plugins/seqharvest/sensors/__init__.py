"""The Airflow sensors of Seqharvest."""
