"""Command line: `python -m local.demo_data OUT [--seed 1]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local.demo_data.generate import generate
from seqharvest.errors import InputError


def main() -> int:
    """Generate the demo's series into a folder."""
    parser = argparse.ArgumentParser(prog="local.demo_data", description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder to make; replaced when it exists")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accession", default="GSE900001", help="decides all accessions")
    parser.add_argument("--pairs", type=int, default=12_000, help="reads or pairs a run")
    parser.add_argument("--samples", default="", help="only these titles, comma separated")
    given = parser.parse_args()
    titles = tuple(filter(None, given.samples.split(",")))
    try:
        generate(
            given.out,
            seed=given.seed,
            accession=given.accession,
            pairs=given.pairs,
            samples=titles,
        )
    except InputError as error:
        print(f"local.demo_data: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
