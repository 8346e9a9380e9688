"""Start, stop and show the local stack: `python -m local.stack up|down|status|env`."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from local.airflow_api import Airflow
from local.config import (
    FETCH_POOL,
    FETCHES_AT_ONCE,
    HEAD_POOL,
    HEADS_AT_ONCE,
    REPOSITORY,
    StackConfig,
)
from seqharvest.errors import InputError, SeqharvestError

START_SECONDS = 180
STOP_SECONDS = 60


def up(config: StackConfig) -> None:
    """Start every part that is not running, wait until each is healthy, and say so line by line.

    Raises `SeqharvestError` for a taken port or a part that does not become healthy.
    """
    if not running(config):
        prepare(config)
        supervise(config)
    started = time.monotonic()
    for part, healthy in health_checks(config).items():
        wait_for(part, healthy, config, started + START_SECONDS)
        print(f"  {part:<22} up after {time.monotonic() - started:4.0f} s", flush=True)
        if part == "batch":
            bootstrap(config)
        if part == "airflow-api-server":
            bootstrap_airflow(config)


def down(config: StackConfig) -> None:
    """Stop every part and wait for the last process to end; the state stays."""
    if not running(config):
        print("the local stack is not running")
        return
    supervisorctl(config, "shutdown")
    deadline = time.monotonic() + STOP_SECONDS
    while running(config) or pid_alive(config):
        if time.monotonic() > deadline:
            raise SeqharvestError(
                f"the stack has not stopped after {STOP_SECONDS} s",
                f"look at {config.log_folder}/supervisord.log",
            )
        time.sleep(0.2)
    print(f"stopped; state stays in {config.state}")


def status(config: StackConfig) -> bool:
    """Print each part's health and address; return whether all of them are healthy."""
    if not running(config):
        print("the local stack is not running: start it with 'make up' or 'make demo'")
        return False
    good = True
    for part, healthy in health_checks(config).items():
        state = "healthy" if healthy() else "NOT HEALTHY"
        good &= state == "healthy"
        base = "execution" if part == "airflow-execution-api" else part.split("-")[0]
        print(f"  {part:<22} {state:<12} {config.url(base)}  log: {log_of(config, part)}")
    return good


def prepare(config: StackConfig) -> None:
    """Check the ports, make the folders, Airflow's database and its users."""
    socket_path = str(config.state / "supervisor.sock")
    if len(socket_path) > 100:  # sun_path holds 108 bytes
        raise InputError(f"the path {socket_path} is too long", "clone to a shorter path")
    for part, port in config.ports.items():
        check_port(part, port)
    for folder in (config.log_folder, config.airflow_home):
        folder.mkdir(parents=True, exist_ok=True)
    passwords = config.airflow_home / "passwords.json"
    if not passwords.exists():
        users = {"admin": "admin", "demo": "demo", "viewer": "viewer"}
        passwords.write_text(json.dumps(users))
    migrate(config)


def migrate(config: StackConfig) -> None:
    """Bring Airflow's database to the installed version, once for each version."""
    stamp = config.airflow_home / "migrated"
    version = requirement("apache-airflow")
    if stamp.exists() and stamp.read_text() == version:
        return
    log = config.log_folder / "airflow-migrate.log"
    with log.open("w") as output:
        done = subprocess.run(
            ["airflow", "db", "migrate"],
            env={**os.environ, **config.environment()},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        raise SeqharvestError("Airflow's database could not be made", f"look at {log}")
    stamp.write_text(version)


def requirement(package: str) -> str:
    """The pinned version line of a package."""
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))


def check_port(part: str, port: int) -> None:
    """Raise `InputError` when the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"port {port} for {part} is taken ({error.strerror})",
                f"stop what listens there, or set SEQHARVEST_LOCAL_{part.upper()}_PORT",
            ) from error


def supervise(config: StackConfig) -> None:
    """Start supervisord, which starts the parts and restarts one that dies."""
    done = subprocess.run(
        ["supervisord", "-c", str(REPOSITORY / "local" / "supervisord.conf")],
        env={**os.environ, **config.environment()},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SeqharvestError(
            f"supervisord did not start: {(done.stderr or done.stdout).strip().splitlines()[-1]}",
            f"look at {config.log_folder}/supervisord.log",
        )


def bootstrap(config: StackConfig) -> None:
    """Make what infrastructure code makes in the cloud: bucket, table, catalogue, queues."""
    subprocess.run(
        [sys.executable, "-m", "local.bootstrap"],
        env={**os.environ, **config.environment()},
        check=True,
    )


def bootstrap_airflow(config: StackConfig) -> None:
    """Make the pools that bound how many head jobs, and arrays of fetches, there are at once."""
    airflow = Airflow(config.url("airflow"))
    airflow.ensure_pool(HEAD_POOL, HEADS_AT_ONCE, "Head jobs at once")
    airflow.ensure_pool(FETCH_POOL, FETCHES_AT_ONCE, "Arrays of fetches at once")


def health_checks(config: StackConfig) -> dict[str, Callable[[], bool]]:
    """A health check for each part, in the order in which they are waited for."""

    def answers(part: str, path: str) -> Callable[[], bool]:
        return lambda: fetch(config.url(part) + path) is not None

    def airflow_part(name: str) -> Callable[[], bool]:
        def healthy() -> bool:
            body = fetch(f"{config.url('airflow')}/api/v2/monitor/health")
            return bool(body) and json.loads(body or "{}")[name]["status"] == "healthy"

        return healthy

    return {
        "ministack": answers("ministack", "/_ministack/health"),
        "batch": answers("batch", "/health"),
        "archive": answers("archive", "/health"),
        "airflow-api-server": answers("airflow", "/api/v2/version"),
        "airflow-execution-api": answers("execution", "/execution/health"),
        "airflow-scheduler": airflow_part("scheduler"),
        "airflow-dag-processor": airflow_part("dag_processor"),
        "airflow-triggerer": airflow_part("triggerer"),
    }


def fetch(url: str) -> str | None:
    """The body behind a URL, or None when nobody answers 200 there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return str(reply.read().decode())
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return None


def wait_for(part: str, healthy: Callable[[], bool], config: StackConfig, deadline: float) -> None:
    """Wait until the part is healthy; raise with the end of its log when it is not in time."""
    while not healthy():
        if time.monotonic() > deadline or not running(config):
            log = log_of(config, part)
            tail = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
            raise SeqharvestError(f"{part} did not start: {' | '.join(tail)}", f"look at {log}")
        time.sleep(0.3)


def log_of(config: StackConfig, part: str) -> Path:
    """Where a part writes its log."""
    return config.log_folder / f"{part}.log"


def running(config: StackConfig) -> bool:
    """Whether this stack's supervisor answers."""
    path = config.state / "supervisor.sock"
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def pid_alive(config: StackConfig) -> bool:
    """Whether the process in the supervisor's pid file still exists."""
    try:
        os.kill(int((config.state / "supervisord.pid").read_text()), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return True


def supervisorctl(config: StackConfig, *arguments: str) -> str:
    """Run one supervisorctl command against this stack and return what it prints."""
    done = subprocess.run(
        ["supervisorctl", "-c", str(REPOSITORY / "local" / "supervisord.conf"), *arguments],
        env={**os.environ, **config.environment()},
        capture_output=True,
        text=True,
    )
    return done.stdout


def print_environment(config: StackConfig) -> None:
    """Print `export` lines, for commands that talk to the stack."""
    for name, value in config.environment().items():
        print(f"export {name}={shlex.quote(value)}")


def main() -> None:
    """Run one of up, down, status, env."""
    commands = {"up": up, "down": down, "status": status, "env": print_environment}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=commands)
    config = StackConfig.from_environment()
    os.environ["PATH"] = config.environment()["PATH"]
    try:
        result = commands[parser.parse_args().command](config)
    except SeqharvestError as error:
        sys.exit(f"seqharvest: {error}")
    sys.exit(1 if result is False else 0)


if __name__ == "__main__":
    main()
