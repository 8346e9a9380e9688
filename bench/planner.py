"""Plan the bench's project as a `plan_*` stage does, without Airflow and the registry.

`python -m bench.planner SAMPLES` writes the manifests and prints, as JSON, what it planned.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from bench import project
from seqharvest.inventory import complete_samples
from seqharvest.settings import settings
from seqharvest.stages import manifests
from seqharvest.workflows import Workflow

WORKFLOW = Workflow(name=project.WORKFLOW, version="1", outputs=project.OUTPUTS, defaults={})


def plan(count: int) -> list[dict[str, Any]]:
    """Return the shards of the samples that are not complete."""
    found = complete_samples(
        settings().bucket, WORKFLOW, project.FINGERPRINT, project.PROJECT, project.samples(count)
    )
    item = {"project": project.PROJECT, "release": project.RELEASE}
    # What the registry keeps of a sample; the whole list, as the stage has it.
    wanted = [
        {"sample": name, "layout": "paired", "runs": [{"accession": project.RUN}]}
        for name in found.missing
    ]
    return manifests.write_shards(WORKFLOW, item, wanted)


def main() -> None:
    """Plan, and say how much memory it took."""
    shards = plan(int(sys.argv[1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"shards": shards, "mib": peak}))


if __name__ == "__main__":
    main()
