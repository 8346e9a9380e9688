"""The head job of the bench's workflow: `python -m bench.head s3://bench/manifests/….json`."""

import sys

from bench.planner import WORKFLOW
from seqharvest import head
from seqharvest.workflows import WORKFLOWS

if __name__ == "__main__":
    WORKFLOWS[WORKFLOW.name] = WORKFLOW
    sys.exit(head.main())
