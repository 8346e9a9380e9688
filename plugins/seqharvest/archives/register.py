"""Registers accessions by hand: `python -m seqharvest.archives.register GSE110004 SRP126328`."""

from __future__ import annotations

import argparse
import getpass
import logging
import sys
from collections.abc import Callable, Iterator, Sequence

from seqharvest.archives import geo, resolve
from seqharvest.archives.enrol import (
    ProjectRegistry,
    Row,
    enrol,
    failed,
    left_out,
    record_failure,
    row,
)
from seqharvest.archives.model import ResolvedProject, Series
from seqharvest.archives.resolve import Archives, open_archives
from seqharvest.errors import ArchiveError, InputError, SeqharvestError

#: Actions of a row that leave nothing to work with.
IN_VAIN = ("failed", "left out")


def register(
    registry: ProjectRegistry,
    accessions: Sequence[str],
    archives: Archives,
    *,
    by: str,
    release: str = "",
) -> list[Row]:
    """Register what each accession stands for; doing it again adds what is new.

    Takes series (a superseries as its subseries), GEO samples, studies, biosamples, experiments
    and runs. Returns rows as a sweep does; one bad accession becomes a row, and stops no other.
    """

    def take(found: ResolvedProject) -> Row:
        return enrol(registry, found, archives, by, release)

    def fail(accession: str, error: SeqharvestError) -> Row:
        project = geo.GSE.fullmatch(accession) or resolve.STUDY.fullmatch(accession)
        if project and isinstance(error, ArchiveError):
            return failed(error) | record_failure(registry, accession, by, str(error))
        return failed(error)  # a typing error is nobody's project

    return list(_rows(accessions, archives, take, fail))


def preview(accessions: Sequence[str], archives: Archives) -> list[Row]:
    """Say what registering the accessions would do; `found` holds the resolved project."""

    def take(found: ResolvedProject) -> Row:
        if not found.samples:
            why = found.controlled and f"controlled access: {found.controlled}"
            return left_out(why or f"no RNA-Seq run to take: {resolve.reasons(found.left_out)}")
        count = len(found.samples)
        return {"action": "would register", "samples": count, "new_samples": count, "found": found}

    def fail(_: str, error: SeqharvestError) -> Row:
        return failed(error)

    return list(_rows(accessions, archives, take, fail))


def _rows(
    accessions: Sequence[str],
    archives: Archives,
    take: Callable[[ResolvedProject], Row],
    fail: Callable[[str, SeqharvestError], Row],
) -> Iterator[Row]:
    for accession in dict.fromkeys(text.strip() for text in accessions):
        try:
            children = _children(accession, archives)
            if children is None:
                found = resolve.resolve(accession, archives)
                yield _row(accession, found) | take(found)
                continue
        except SeqharvestError as error:
            yield row(accession) | fail(accession, error)
            continue
        names = ", ".join(child.accession for child in children)
        yield row(accession) | {"action": "replaced", "reason": f"superseries: taken as {names}"}
        for child in children:
            try:
                found = resolve.resolve_series(child, archives)
                yield _row(child.accession, found) | take(found)
            except SeqharvestError as error:
                yield row(child.accession, title=child.title) | fail(child.accession, error)


def _children(accession: str, archives: Archives) -> list[Series] | None:
    """Return the subseries of a superseries; None for anything else."""
    if not geo.GSE.fullmatch(accession):
        return None
    series = geo.series(accession, archives.ncbi)
    if not series.superseries:
        return None
    return geo.several(geo.subseries(series, archives.ncbi), archives.ncbi)


def _row(accession: str, found: ResolvedProject) -> Row:
    return row(
        accession,
        project=found.project,
        title=found.title,
        organism=found.organism,
        left_out=len(found.left_out),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Register each accession; the exit code tells whether one was in vain."""
    parser = argparse.ArgumentParser(prog="seqharvest.archives.register", description=__doc__)
    kinds = "GSE…, GSM…, PRJ…, SRP…, SAM…, SRX… or SRR…"
    parser.add_argument("accession", nargs="+", help=kinds)
    parser.add_argument("--by", default=getpass.getuser(), help="who registers (default: you)")
    parser.add_argument("--release", default="", help="reference release; default: the settings'")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be taken")
    options = parser.parse_args(arguments)
    with open_archives() as archives:
        if options.dry_run:
            rows = preview(options.accession, archives)
        else:
            from seqharvest.registry import Registry  # boto3: a preview starts without it

            rows = register(
                Registry(), options.accession, archives, by=options.by, release=options.release
            )
    for each in rows:
        in_vain = each["action"] in IN_VAIN
        print(_line(each), file=sys.stderr if in_vain else sys.stdout)
    return InputError.exit_code if any(each["action"] in IN_VAIN for each in rows) else 0


def _line(each: Row) -> str:
    head = f"{each['series']}: {each['action']}"
    if each["samples"]:
        head += (
            f", project {each.get('project', '')}: {each['samples']} samples,"
            f" {each['new_samples']} new, {each.get('left_out', 0)} runs left out"
        )
    if each["reason"]:
        head += f": {each['reason']}"
    found = each.get("found")
    return "\n".join([head, *(_details(found) if found else ())])


def _details(found: ResolvedProject) -> Iterator[str]:
    for sample in found.samples:
        runs = ",".join(run.accession for run in sample.runs)
        yield f"  {sample.sample}\t{sample.layout}\t{runs}\t{sample.title}"
    for entry in found.left_out:
        yield f"  left out {entry['run']}: {entry['reason']}"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(main())
