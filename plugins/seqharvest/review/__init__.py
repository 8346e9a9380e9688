"""The review gate as people meet it: the page in Airflow, Required Actions, reminders, policy."""
