"""Tells bulk short-read RNA-Seq, which the platform can use, from everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from seqharvest.archives.model import Run

# Short-read platforms: STAR and salmon as we run them are wrong for long reads.
SHORT_READ_PLATFORMS = frozenset({"ILLUMINA", "BGISEQ", "DNBSEQ", "ELEMENT", "ULTIMA"})
# Below this mean length a read rarely spans a junction: small-RNA libraries, mostly.
SHORTEST_READ = 30
# Longer than any short-read machine makes, so the platform is wrongly given.
LONGEST_READ = 1000

# What submitters write although the library is labelled as plain RNA-Seq. "Single-cell" alone
# is no sign: bulk libraries of sorted cells start from "single-cell suspensions".
_SINGLE_CELL = re.compile(
    r"\b(sc|sn)[ -]?rna[ -]?seq|\bsingle[ -](cell|nucle(us|i))[ -](rna|transcriptom)"
    r"|10x genomics|\bchromium (single|next|controller|x\b)|\bdrop-?seq\b|\bin-?drops?\b"
    r"|\bcel-?seq2?\b|\bmars-?seq|\bseq-?well\b|\bsplit-?seq\b|\bvisium\b",
    re.IGNORECASE,
)
_SMALL_RNA = re.compile(r"\b(mi|small|s|sm|pi)[ -]?rna[ -]?(seq|librar|sequencing)", re.IGNORECASE)
_AMPLICON = re.compile(r"\bamplicon|\b16s\b|\btargeted (rna|sequencing|panel)", re.IGNORECASE)
_OTHER_ASSAY = re.compile(
    r"\b(chip|atac|dnase|faire|mnase|medip|gro|pro|ribo|clip|eclip|iclip|rip|merip|cage|hi-?c"
    r"|bisulfite|wgs|wes)[ -]?seq|\b(wgbs|rrbs|hi-c)\b|\bcut ?& ?(run|tag)\b"
    r"|\bribosome (profiling|footprint)",
    re.IGNORECASE,
)
_RNA_SEQ = re.compile(r"\b(m|total)?rna[ -]?seq", re.IGNORECASE)


def unfit(run: Run, organisms: Sequence[str] = ()) -> str:
    """Say why a run is not bulk short-read RNA-Seq of a wanted organism; empty when it is.

    Without `organisms` any is wanted.
    """
    return next(_reasons(run, organisms), "")


def mean_read_length(run: Run) -> float:
    """Return the mean length of a read in bases, 0 when not published."""
    mates = 2 if run.layout == "paired" else 1
    return run.bases / (run.spots * mates) if run.spots else 0.0


def _reasons(run: Run, organisms: Sequence[str]) -> Iterator[str]:
    if run.controlled:
        yield f"controlled access: {run.controlled}"
    if not run.experiment:
        yield "it has no experiment"
    yield from _label_reasons(run)
    yield from _platform_reasons(run)
    yield from _title_reasons(run)
    if organisms and not any(_is(run.organism, wanted) for wanted in organisms):
        yield f"organism {run.organism or 'not given'} is not wanted"
    if run.spots == 0:
        yield "it has no reads"
    if not run.fastq and not run.sra_size and not run.sra_mb:
        yield "neither FASTQ nor .sra is public"


def _label_reasons(run: Run) -> Iterator[str]:
    """What the library's own labels say."""
    source, strategy = run.source.upper(), run.strategy.upper()
    if "SINGLE CELL" in source:
        yield f"single-cell: library source is {run.source}"
    if strategy != "RNA-SEQ":
        yield f"library strategy is {run.strategy or 'not given'}"
    if source != "TRANSCRIPTOMIC":
        dna = "DNA labelled RNA-Seq: " if "GENOMIC" in source else ""
        yield f"{dna}library source is {run.source or 'not given'}"
    if run.selection.lower() == "size fractionation":
        yield "small RNA: the library is selected by size"


def _platform_reasons(run: Run) -> Iterator[str]:
    if run.platform.upper() not in SHORT_READ_PLATFORMS:
        yield f"platform {run.platform or 'not given'} is not a short-read one"
    mean = mean_read_length(run)
    if 0 < mean < SHORTEST_READ:
        yield f"small RNA: mean read is under {SHORTEST_READ} bases"
    if mean > LONGEST_READ:
        yield f"long reads: mean read is over {LONGEST_READ} bases"


def _title_reasons(run: Run) -> Iterator[str]:
    """What titles and protocol tell of a library that is labelled as RNA-Seq."""
    # An experiment's title at GEO is "GSM1: title; organism; RNA-Seq": the label again.
    own = f"{run.title} | {run.metadata.get('library_name', '')}"
    protocol = run.metadata.get("library_construction_protocol", "")
    if "bulk" in protocol.lower():  # one text for all samples of a mixed series
        protocol = ""
    if match := _SINGLE_CELL.search(own) or _SINGLE_CELL.search(protocol):
        yield f"single-cell: its title or protocol says {match.group()!r}"
    for kind, pattern in (
        ("small RNA", _SMALL_RNA),
        ("amplicon", _AMPLICON),
        ("another assay", _OTHER_ASSAY),
    ):
        if not _RNA_SEQ.search(own) and (match := pattern.search(own)):
            yield f"{kind}: its title says {match.group()!r}"


def _is(organism: str, wanted: str) -> bool:
    """Whether an organism is the wanted one, or a strain or subspecies of it."""
    own, ask = organism.lower().strip(), wanted.lower().strip()
    return own == ask or own.startswith(f"{ask} ")
