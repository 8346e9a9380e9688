"""Where the local stack keeps its state, on which ports it listens, what its processes see."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
HEAD_VCPUS = 1  # for head jobs together: a head waits more than it works
HEAD_POOL = "seqharvest_heads"  # in Airflow: how many head jobs there are at once
HEADS_AT_ONCE = 4  # what fits into HEAD_VCPUS
FETCH_POOL = "seqharvest_fetches"  # in Airflow: how many arrays of fetches there are at once
FETCHES_AT_ONCE = 4
PORTS = {"airflow": 8080, "execution": 8081, "ministack": 4566, "batch": 4567, "archive": 4568}


def worker_vcpus() -> int:
    """Cores for worker jobs together: this machine's, but at least what one index build asks."""
    return max(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class StackConfig:
    """One stack: a state folder and five loopback ports; several may run side by side."""

    state: Path
    ports: dict[str, int]

    @classmethod
    def from_environment(cls) -> StackConfig:
        """Read `SEQHARVEST_LOCAL_STATE` and `SEQHARVEST_LOCAL_<PART>_PORT`."""
        state = os.environ.get("SEQHARVEST_LOCAL_STATE", str(REPOSITORY / ".local" / "state"))
        ports = {
            part: int(os.environ.get(f"SEQHARVEST_LOCAL_{part.upper()}_PORT", port))
            for part, port in PORTS.items()
        }
        return cls(Path(state).resolve(), ports)

    def url(self, part: str) -> str:
        """Address of a part on loopback."""
        return f"http://127.0.0.1:{self.ports[part]}"

    @property
    def log_folder(self) -> Path:
        """Folder of the processes' logs."""
        return self.state / "logs"

    @property
    def airflow_home(self) -> Path:
        """Airflow's own folder: database, task logs, password file."""
        return self.state / "airflow"

    def identity(self) -> dict[str, str]:
        """What tells this stack from another: for the environment of commands about it."""
        names = {f"SEQHARVEST_LOCAL_{p.upper()}_PORT": str(n) for p, n in self.ports.items()}
        return {"SEQHARVEST_LOCAL_STATE": str(self.state), **names}

    def aws(self) -> dict[str, str]:
        """The only difference between this stack and AWS: addresses, and keys that open nothing."""
        return {
            "AWS_ENDPOINT_URL": self.url("ministack"),
            "AWS_ENDPOINT_URL_BATCH": self.url("batch"),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def seqharvest(self) -> dict[str, str]:
        """Seqharvest's settings here (see plugins/seqharvest/settings.py)."""
        archive = self.url("archive")
        return {
            "SEQHARVEST_HOME": str(REPOSITORY),
            "SEQHARVEST_REFERENCE_CACHE": str(self.state / "reference_cache"),
            "SEQHARVEST_EUTILS_URL": f"{archive}/entrez/eutils",
            "SEQHARVEST_GEO_URL": f"{archive}/geo/query/acc.cgi",
            "SEQHARVEST_ENA_PORTAL_URL": f"{archive}/ena/portal/api",
            "SEQHARVEST_SRA_URL": archive,
            # Not there: prefetch, whose requests uvicorn refuses (a NUL follows their body), is
            # to fail here instead of asking NCBI.
            "SEQHARVEST_SDL_URL": f"{archive}/sdl/2/retrieve",
            "SEQHARVEST_ENA_FASTQ_SCHEME": "http",
            "SEQHARVEST_NCBI_EMAIL": "demo@localhost",
            "SEQHARVEST_REVIEW_URL": self.url("airflow"),
            "SEQHARVEST_HEAD_POOL": HEAD_POOL,
            "SEQHARVEST_FETCH_POOL": FETCH_POOL,
            # A laptop's stack answers at once: ask more often than in the cloud.
            "SEQHARVEST_BATCH_POLL_SECONDS": "2",
            "SEQHARVEST_INTAKE_POLL_SECONDS": "2",
            "SEQHARVEST_APPROVAL_POLL_SECONDS": "2",
            "PYTHONPATH": os.pathsep.join(
                str(path)
                for path in (
                    REPOSITORY / "plugins",
                    REPOSITORY / "snakemake_workflows",
                    REPOSITORY,
                )
            ),
        }

    def airflow(self) -> dict[str, str]:
        """Airflow's configuration; the reasons are in docs/decisions.md."""
        home = self.airflow_home
        return {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            # SQLite held up at 8 and broke at 32 (40 mapped tasks).
            "AIRFLOW__CORE__PARALLELISM": "6",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,demo:admin,viewer:viewer",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            # Tasks talk to an api-server of their own: in one process on SQLite, a click's audit
            # entry waits in the event loop for a task's transaction, which waits for that loop.
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url('execution')}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.ports["airflow"]),
            "AIRFLOW__API__BASE_URL": self.url("airflow"),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
            "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "True",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            # Tasks of a scheduler that was killed are taken over after this many seconds, and a
            # killed task is noticed after so many; both are 300 by default.
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            # apache/airflow #72716: a deferred task resuming within the heartbeat may be failed.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def environment(self) -> dict[str, str]:
        """Everything the stack's processes, and commands that talk to it, need to see."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '/usr/bin:/bin')}"
        return {
            **self.identity(),
            **self.aws(),
            **self.seqharvest(),
            **self.airflow(),
            "SEQHARVEST_LOCAL_VCPUS": str(HEAD_VCPUS + worker_vcpus()),
            "PATH": path,
            "LANG": "C.UTF-8",
        }
