"""The laptop's AWS: a process for each service, an archive, Airflow, and the demo."""
