"""Do our DAGs load in the Airflow image? Piped into its interpreter by docker/check.sh."""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

home = tempfile.mkdtemp()
os.environ["AIRFLOW_HOME"] = home
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{home}/airflow.db"
os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"] = f"{home}/logs"
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

for name in ("airflow", "seqharvest.settings"):
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.cached or not Path(spec.cached).is_file():
        sys.exit(f"{name} is absent or not byte-compiled")

from airflow.dag_processing.dagbag import DagBag  # noqa: E402 - after its settings

bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
if bag.import_errors:
    sys.exit(f"DAGs do not load: {bag.import_errors}")
wanted = {"geo_sweep", "sample_intake", "rnaseq_project", "reference_build"}
if not wanted <= set(bag.dags):
    sys.exit(f"DAGs are absent: {wanted - set(bag.dags)}")
