"""Joins a sample's runs and trims them with fastp, refusing reads that are not whole."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from seqharvest.errors import InputError, SeqharvestError


def main() -> int:
    """Write the trimmed reads and fastp's JSON; exit 2 when the reads are not whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mate1", type=Path, nargs="+", required=True, help="FASTQ of each run")
    parser.add_argument("--mate2", type=Path, nargs="*", default=[], help="none: single-end")
    parser.add_argument("--out", type=Path, nargs=2, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    try:
        trim(given)
    except SeqharvestError as error:
        print(f"trim: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def trim(given: argparse.Namespace) -> None:
    """Do the work of `main`; raises `InputError` naming the file and what is wrong with it."""
    for file in given.mate1 + given.mate2:
        check_whole(file)
    joined = [given.out[0].parent / f"joined_{mate}.fastq.gz" for mate in (1, 2)]
    command = [
        *("fastp", "--in1", str(join(given.mate1, joined[0])), "--out1", str(given.out[0])),
        # compression 1: read twice by the next rules, then thrown away
        *("--compression", "1", "--thread", str(given.threads)),
        *("--json", str(given.json), "--html", "/dev/null"),
    ]
    if given.mate2:
        command += ["--in2", str(join(given.mate2, joined[1])), "--out2", str(given.out[1])]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(ended.stderr)
    for path in joined:
        path.unlink(missing_ok=True)
    # fastp's exit code is 0 here: it drops the rest of the longer mate with a (misspelt) warning.
    if "different read numbers" in ended.stderr:
        raise InputError(
            f"the mates {given.mate1[0]} and {given.mate2[0]} differ in their number of reads",
            "fetch the sample's runs again; one of the files is not whole",
        )
    if ended.returncode != 0:
        raise InputError(f"fastp ended with {ended.returncode}", "see its message above")
    given.out[1].touch()
    if not json.loads(given.json.read_text())["filtering_result"]["passed_filter_reads"]:
        raise InputError(
            f"no read of {given.mate1[0]} is left after trimming",
            "look at the sample's qualities in the QC report, and exclude it",
        )


def check_whole(file: Path) -> None:
    """Raise `InputError` for a gzip file that is cut off: fastp would take it as it is."""
    ended = subprocess.run(
        ["gzip", "--test", str(file)], capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise InputError(
            f"{file} is cut off or corrupt ({ended.stderr.strip()})", "fetch the run again"
        )


def join(files: list[Path], joined: Path) -> Path:
    """Give one file of all runs; gzip members in a row are a gzip file."""
    if len(files) == 1:
        return files[0]
    with joined.open("wb") as sink:
        for file in files:
            with file.open("rb") as source:
                shutil.copyfileobj(source, sink, 1 << 20)
    return joined


if __name__ == "__main__":
    sys.exit(main())
