"""Command line of the local Batch endpoint: `python -m local.batch --port 4567 --state DIR`."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from local.batch.api import application
from local.batch.config import Config, machine_memory_mib

REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY_SHARE = 0.75  # of the machine's, for jobs; the rest is the local stack's


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s batch %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    config = _config(arguments)
    config.state.mkdir(parents=True, exist_ok=True)
    lock = (config.state / "lock").open("w")
    try:
        # Two endpoints on one state would take each other's jobs for lost ones.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        listener = _listen(config)
    except BlockingIOError:
        print(f"another Batch endpoint already uses {config.state}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot listen on {config.url}: {error.strerror}", file=sys.stderr)
        return 1
    asyncio.run(_serve(config, listener))
    return 0


async def _serve(config: Config, listener: socket.socket) -> None:
    # uvicorn raises the signal that ended it once more; by then there is nothing left to end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(
        uvicorn.Config(
            application(config),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
            lifespan="on",
        )
    )
    await server.serve(sockets=[listener])


def _listen(config: Config) -> socket.socket:
    """Take the port before jobs are touched."""
    # asyncio turns Nagle's 40 ms off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((config.host, config.port))
    listener.listen(128)
    return listener


def _config(arguments: Sequence[str] | None) -> Config:
    python = Path(sys.executable).parent
    parser = argparse.ArgumentParser(prog="python -m local.batch", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4567)
    parser.add_argument("--state", type=Path, required=True, help="folder of all state")
    parser.add_argument(
        "--vcpus", type=float, default=os.cpu_count() or 1, help="for jobs (default: the cores)"
    )
    parser.add_argument(
        "--memory-mib",
        type=int,
        default=int(machine_memory_mib() * MEMORY_SHARE),
        help="for jobs (default: three quarters of the machine's)",
    )
    parser.add_argument(
        "--job-path",
        default=f"{python}:/usr/local/bin:/usr/bin:/bin",
        help="PATH of jobs (default: this Python's folder, then the system's)",
    )
    parser.add_argument(
        "--job-env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="more environment of jobs, as an image's ENV would give; may be repeated",
    )
    parser.add_argument("--grace", type=float, default=30.0, help="seconds from TERM to KILL")
    parser.add_argument(
        "--minimum-timeout", type=int, default=60, help="least attemptDurationSeconds (AWS: 60)"
    )
    parser.add_argument(
        "--enforce-memory", action="store_true", help="kill jobs that use more than they asked for"
    )
    given = parser.parse_args(arguments)
    if given.vcpus <= 0 or given.memory_mib <= 0:
        parser.error("--vcpus and --memory-mib must be above 0")
    return Config(
        state=given.state.resolve(),
        host=given.host,
        port=given.port,
        vcpus=given.vcpus,
        memory_mib=given.memory_mib,
        job_path=given.job_path,
        job_environment=_image_environment(given.job_env, parser),
        grace=given.grace,
        minimum_timeout=given.minimum_timeout,
        enforce_memory=given.enforce_memory,
        region=os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
    )


def _image_environment(pairs: list[str], parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return what the pipeline image's ENV lines would give every job."""
    folders = (REPOSITORY / "plugins", REPOSITORY / "snakemake_workflows", REPOSITORY)
    environment = {
        "SEQHARVEST_HOME": str(REPOSITORY),
        "PYTHONPATH": ":".join(map(str, folders)),
    }
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            parser.error(f"--job-env {pair!r} is not NAME=VALUE")
        environment[name] = value
    return environment


if __name__ == "__main__":
    sys.exit(main())
