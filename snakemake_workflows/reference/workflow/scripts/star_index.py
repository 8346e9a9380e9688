"""Builds the STAR index of a release and packs it into one tar."""

import argparse
import math
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from record import record

from seqharvest.annotation import contig_lengths


def main() -> int:
    """Run STAR genomeGenerate with parameters that fit the genome."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("genome", "genes", "index", "made"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("overhang", "threads", "mem-mb"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    lengths = contig_lengths(given.genome)
    chosen = {
        "genomeSAindexNbases": sa_index_bases(sum(lengths.values())),
        "genomeChrBinNbits": chromosome_bin_bits(sum(lengths.values()), len(lengths)),
        "sjdbOverhang": given.overhang,
    }
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch) / "index"
        command = [
            *("STAR", "--runMode", "genomeGenerate", "--runThreadN", str(given.threads)),
            *("--genomeDir", str(folder), "--genomeFastaFiles", str(given.genome)),
            *("--sjdbGTFfile", str(given.genes), "--outFileNamePrefix", f"{scratch}/"),
            *("--limitGenomeGenerateRAM", str(given.mem_mb * 1024 * 1024)),
        ]
        for name, value in chosen.items():
            command += [f"--{name}", str(value)]
        ended = subprocess.run(command, check=False)
        if ended.returncode != 0:
            return ended.returncode
        pack(folder, given.index)
    version = subprocess.run(["STAR", "--version"], capture_output=True, text=True, check=True)
    record(
        given.made, objects=[given.index], tools={"star": version.stdout.strip()}, parameters=chosen
    )
    return 0


def sa_index_bases(genome_length: int) -> int:
    """The manual's formula, min(14, log2(length) / 2 - 1): a longer index crashes small genomes."""
    return max(2, min(14, int(math.log2(genome_length) / 2 - 1)))


def chromosome_bin_bits(genome_length: int, contigs: int) -> int:
    """The manual's formula, min(18, log2(length / contigs)): fewer, for genomes in scaffolds."""
    return max(8, min(18, int(math.log2(genome_length / contigs))))


def pack(folder: Path, tar: Path) -> None:
    """Put a folder's files into a tar that is the same for the same files."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(tar, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name, filter=plain)


if __name__ == "__main__":
    sys.exit(main())
