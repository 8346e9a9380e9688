"""A demo sample's whole way in the pipeline image, where `make images` has built one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPO
from tests.snakemake_workflows import local_run
from tests.snakemake_workflows.local_run import RELEASE, Bucket

pytestmark = pytest.mark.e2e


@dataclass
class Image:
    """A container of the image; chroot isolation needs no privilege that a build has not."""

    container: str

    def run(self, command: list[str], folders: list[Path], cwd: Path, **environment: str) -> Any:
        """Run a command with these folders, each at its own path, as the image's user."""
        options = [f"--volume={folder}:{folder}" for folder in folders]
        given = [f"{name}={value}" for name, value in environment.items()]
        inside = ["env", "-C", str(cwd), *given, *command]
        return subprocess.run(
            ["buildah", "run", "--isolation", "chroot", *options, self.container, "--", *inside],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


class ImageBucket(Bucket):
    """A bucket whose workflows run in the image, with the image's own code and tools."""

    def __init__(self, root: Path, image: Image, demo: Path) -> None:
        super().__init__(root)
        self.image, self.demo = image, demo

    def run(
        self, workflow: str, target: str, config: dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        given = self.root / f"{workflow}.yaml"
        given.write_text(yaml.safe_dump({"release": RELEASE, **config}))
        snakefile = f"/opt/seqharvest/snakemake_workflows/{workflow}/workflow/Snakefile"
        options = ["--cores", "2", "--snakefile", snakefile, "--configfile", str(given)]
        found: subprocess.CompletedProcess[str] = self.image.run(
            ["snakemake", target, *options, "--scheduler", "greedy", "--show-failed-logs"],
            [self.root, self.demo],
            self.root,
            SEQHARVEST_REFERENCE_CACHE=str(self.root / "cache"),
        )
        return found


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    tag = REPO / ".local" / "images" / "pipeline.tag"
    if not tag.exists() or shutil.which("buildah") is None:
        pytest.skip("no image of buildah's here: run `make images`")
    name = f"localhost/seqharvest-pipeline:{tag.read_text().strip()}"
    made = subprocess.run(["buildah", "from", "--pull-never", name], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"{name} is gone: run `make images`")
    container = made.stdout.strip()
    yield Image(container)
    subprocess.run(["buildah", "rm", container], capture_output=True, check=True)


def test_a_demo_sample_is_checked_and_analysed_in_the_image(image: Image, tmp_path: Path) -> None:
    demo = local_run.make_demo(tmp_path / "demo")
    root = local_run.make_bucket(tmp_path / "bucket", demo).root
    for folder in (demo, root):  # the image's user is not who runs the tests
        for path in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
            path.chmod(0o777)
    bucket = ImageBucket(root, image, demo)
    built = local_run.build_release(bucket, demo)
    assert built.returncode == 0, built.stdout
    sheet = [("SRX9000001", "paired", "SRR9000001,SRR9000002", "reverse")]
    for workflow, output in (("qc", "metrics.json"), ("analysis", "quant.sf.gz")):
        ended = bucket.run_samples(workflow, sheet)
        assert ended.returncode == 0, ended.stdout
        assert (bucket.sample(workflow, "SRX9000001") / output).stat().st_size > 0
    assert (root / f"reference/release={RELEASE}/release.json").stat().st_uid == 1000
