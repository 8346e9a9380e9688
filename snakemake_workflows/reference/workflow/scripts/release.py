"""Joins the records of a release's parts into release.json."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def main() -> int:
    """Write release.json: objects with md5 and size, counts, what was dropped, tool versions."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("release", "fasta", "gtf"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--made", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    document: dict[str, Any] = {
        "release": given.release,
        "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "sources": {"fasta": given.fasta, "gtf": given.gtf},
        "objects": {},
        "tools": {},
        "parameters": {},
    }
    for made in given.made:
        part = json.loads(made.read_text())
        for name in ("objects", "tools", "parameters"):
            document[name].update(part.pop(name, {}))
        document.update(part)
    given.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
