"""The Dockerfiles against what they promise; `make images` builds them and looks inside."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPO

IMAGES = ("pipeline", "airflow")
DOCKER = REPO / "docker"


def dockerfile(image: str) -> str:
    return (DOCKER / f"{image}.Dockerfile").read_text()


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_copied_is_here_and_not_ignored(image: str) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(image), re.M)
    sources = [source for line in copied for source in line.split()]
    assert sources and all((REPO / source).exists() for source in sources)
    kept = set(re.findall(r"^!(.+)$", (REPO / ".dockerignore").read_text(), re.M))
    assert {Path(source).parts[0] for source in sources} <= kept


@pytest.mark.parametrize("image", IMAGES)
def test_python_comes_from_the_locked_set(image: str) -> None:
    locked = {
        re.split(r"[=\[]", line)[0]
        for line in (REPO / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = (DOCKER / f"{image}.in").read_text().splitlines()
    names = {re.split(r"[=\[]", line)[0] for line in wanted if line and not line.startswith("#")}
    assert names <= locked
    assert f"-c /build/requirements.txt -r /build/{image}.in" in dockerfile(image)


def test_tools_are_those_of_the_workflows_environments() -> None:
    apt = dict(re.findall(r"^ +([a-z-]+)=([\w.]+)\*", dockerfile("pipeline"), re.M))
    apt["star"] = apt["rna-star"]
    for path in (REPO / "snakemake_workflows").glob("*/workflow/envs/*.yaml"):
        for wanted in yaml.safe_load(path.read_text())["dependencies"]:
            name, _, version = wanted.partition("=")
            if name in apt:
                assert apt[name] == version.lstrip("="), f"{path}: {wanted}"


@pytest.mark.parametrize("image", IMAGES)
def test_nobody_is_root_and_modules_are_found(image: str) -> None:
    text = dockerfile(image)
    assert re.findall(r"^USER (.+)$", text, re.M) == ["1000"]
    assert (
        "PYTHONPATH=/opt/seqharvest/plugins:/opt/seqharvest/snakemake_workflows" in text
        and "SEQHARVEST_HOME=/opt/seqharvest" in text
    )


def test_scripts_are_sound() -> None:
    for script in ("build.sh", "check.sh"):
        assert subprocess.run(["bash", "-n", DOCKER / script]).returncode == 0
