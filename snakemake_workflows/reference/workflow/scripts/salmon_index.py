"""Builds the salmon index of a release and packs it into one tar."""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from record import record
from star_index import pack


def main() -> int:
    """Run salmon index; identical transcripts are kept once and listed in the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("transcripts", "index", "made"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("kmer", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch) / "index"
        command = [
            *("salmon", "--no-version-check", "index", "--transcripts", str(given.transcripts)),
            *("--index", str(folder), "--kmerLen", str(given.kmer)),
            *("--threads", str(given.threads), "--tmpdir", f"{scratch}/tmp"),
        ]
        ended = subprocess.run(command, check=False)
        if ended.returncode != 0:
            return ended.returncode
        duplicates = identical_transcripts(folder / "duplicate_clusters.tsv")
        pack(folder, given.index)
    version = subprocess.run(["salmon", "--version"], capture_output=True, text=True, check=True)
    record(
        given.made,
        objects=[given.index],
        tools={"salmon": version.stdout.split()[-1]},
        parameters={"kmerLen": given.kmer},
        identical_transcripts=duplicates,
    )
    return 0


def identical_transcripts(path: Path) -> dict[str, list[str]]:
    """Transcripts left out of the index, by the one of the same sequence that stands for them."""
    kept: dict[str, list[str]] = {}
    if path.exists():
        with path.open(newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                kept.setdefault(row["RetainedRef"], []).append(row["DuplicateRef"])
    return kept


if __name__ == "__main__":
    sys.exit(main())
