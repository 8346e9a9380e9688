"""The Airflow operators of Seqharvest."""
