"""Registers accessions by hand: `python -m seqharvest.archives.register GSE110004 SRP126328`."""

from __future__ import annotations

import argparse
import getpass
import logging
import sys
from collections.abc import Sequence

from seqharvest.archives import geo, resolve
from seqharvest.archives.http import ArchiveClient
from seqharvest.errors import SeqharvestError


def main(arguments: Sequence[str] | None = None) -> int:
    """Register each accession; the exit code is that of the last one that failed, else 0."""
    parser = argparse.ArgumentParser(prog="seqharvest.archives.register", description=__doc__)
    parser.add_argument("accession", nargs="+", help="GSE…, PRJ…, SRP…, SAM…, SRX… or SRR…")
    parser.add_argument("--by", default=getpass.getuser(), help="who registers (default: you)")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be taken")
    options = parser.parse_args(arguments)
    code = 0
    with geo.ncbi_client() as ncbi, ArchiveClient() as portal:
        for accession in options.accession:
            try:
                if options.dry_run:
                    line = _preview(accession, ncbi, portal)
                else:
                    line = _register(accession, options.by, ncbi, portal)
                print(f"{accession}: {line}")
            except SeqharvestError as error:
                print(f"{accession}: {error}", file=sys.stderr)
                code = error.exit_code
    return code


def _register(accession: str, by: str, ncbi: ArchiveClient, portal: ArchiveClient) -> str:
    from seqharvest.registry import Registry  # boto3: a preview starts without it

    done = resolve.register(Registry(), accession, by, ncbi=ncbi, portal=portal)
    return (
        f"project {done['project']}: {done['samples']} samples, {done['new_samples']} new,"
        f" {done['left_out']} runs left out"
    )


def _preview(accession: str, ncbi: ArchiveClient, portal: ArchiveClient) -> str:
    found = resolve.resolve(accession, ncbi=ncbi, portal=portal)
    lines = [f"project {found.project} ({found.organism}): {len(found.samples)} samples"]
    lines += [
        f"  {sample.sample}\t{sample.layout}\t{','.join(run.accession for run in sample.runs)}"
        f"\t{sample.title}"
        for sample in found.samples
    ]
    lines += [f"  left out {entry['run']}: {entry['reason']}" for entry in found.left_out]
    return "\n".join(lines)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(main())
