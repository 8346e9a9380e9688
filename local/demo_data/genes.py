"""Builds the demo's genes: real reading frames, canonical introns, and one splicing event each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

BASES = "ACGT"
COMPLEMENT = str.maketrans("ACGT", "TGCA")
STOPS = ("TAA", "TAG", "TGA")
SENSE = [codon for a in BASES for b in BASES for c in BASES if (codon := a + b + c) not in STOPS]
NMD_DISTANCE = 50  # a stop further than this before the last junction triggers decay

Exons = list[tuple[int, int]]


@dataclass(frozen=True)
class EventPlan:
    """What a gene's second isoform is to be; `kind` "none" means the gene has only one."""

    kind: str
    annotated: bool = True
    productive: bool = True
    fractions: tuple[float, float] = (0.0, 0.0)  # of the second isoform: control, treated


@dataclass
class Isoform:
    """One transcript, in its gene's own coordinates (0-based, half-open, 5' to 3')."""

    transcript_id: str
    exons: Exons
    kind: str  # canonical, or the event that makes it
    annotated: bool
    biotype: str
    start: int  # of the start codon, in the transcript; -1 without a reading frame
    stop: int  # of the first stop codon in frame, in the transcript
    productive: bool
    fractions: tuple[float, float]

    @property
    def length(self) -> int:
        """Bases of the spliced transcript."""
        return sum(end - start for start, end in self.exons)


@dataclass
class Gene:
    """A gene on its own strand, and where `place` put it (0-based offset on the chromosome)."""

    gene_id: str
    name: str
    biotype: str
    sequence: str  # 5' to 3' of the transcribed strand
    isoforms: list[Isoform]
    event: EventPlan
    event_span: tuple[int, int] = (0, 0)  # the bases that make the difference, gene coordinates
    chrom: str = ""
    offset: int = 0
    strand: str = "+"

    def genomic(self, start: int, end: int) -> tuple[int, int]:
        """Turn a half-open span of the gene into 1-based inclusive chromosome positions."""
        if self.strand == "+":
            return self.offset + start + 1, self.offset + end
        size = len(self.sequence)
        return self.offset + size - end + 1, self.offset + size - start


@dataclass
class Draft:
    """A gene under construction: exons and introns alternate, both as text."""

    exons: list[str]
    introns: list[str]
    start: int
    extra: dict[str, int] = field(default_factory=dict)


def build_gene(rng: np.random.Generator, number: int, plan: EventPlan) -> Gene:
    """Draw genes until one keeps every promise of the plan (a few dozen draws at most)."""
    for _ in range(5000):
        gene = _assemble(rng, number, plan)
        if gene is not None:
            return gene
    raise RuntimeError(f"no gene of kind {plan.kind!r} in 5000 draws: the plan asks too much")


def build_rrna(rng: np.random.Generator, number: int) -> Gene:
    """A single-exon ribosomal RNA gene, so that the release can name its rRNA."""
    sequence = _random(rng, 1800)
    exon = [(0, len(sequence))]
    transcript = f"DEMOT{number:08d}01"
    isoform = Isoform(transcript, exon, "canonical", True, "rRNA", -1, -1, True, (1.0, 1.0))
    return Gene(f"DEMOG{number:011d}", "RNA18SD", "rRNA", sequence, [isoform], EventPlan("none"))


def splice(sequence: str, exons: Exons) -> str:
    """Join the exons."""
    return "".join(sequence[start:end] for start, end in exons)


def first_stop(transcript: str, start: int) -> int:
    """Position of the first stop codon in the frame of `start`; -1 when there is none."""
    for position in range(start, len(transcript) - 2, 3):
        if transcript[position : position + 3] in STOPS:
            return position
    return -1


def is_productive(exons: Exons, stop: int) -> bool:
    """True when a stop exists and lies at most 50 nt before the last exon junction."""
    last_junction = sum(end - start for start, end in exons[:-1])
    return stop >= 0 and last_junction - (stop + 3) <= NMD_DISTANCE


def reverse_complement(sequence: str) -> str:
    """Read the other strand."""
    return sequence.translate(COMPLEMENT)[::-1]


def _assemble(rng: np.random.Generator, number: int, plan: EventPlan) -> Gene | None:
    draft = _draft(rng, plan)
    site = int(rng.integers(1, len(draft.exons) - 3))  # ≥ 2 junctions follow the event
    main, other, span = _shape(rng, draft, site, plan)
    sequence = "".join(
        text
        for exon, intron in zip(draft.exons, [*draft.introns, ""], strict=True)
        for text in (exon, intron)
    )
    gene = Gene(f"DEMOG{number:011d}", "", "protein_coding", sequence, [], plan, span)
    gene.name = f"{_PREFIX[plan.kind]}{number}"
    canonical = _isoform(gene, main, "canonical", draft.start, 1, plan)
    if not canonical.productive:
        return None
    gene.isoforms.append(canonical)
    if plan.kind == "none":
        return gene
    second = _isoform(gene, other, plan.kind, draft.start, 2, plan)
    gene.isoforms.append(second)
    return gene if _keeps_promise(gene, canonical, second) else None


_PREFIX = {
    "none": "STDY",
    "poison_exon": "POIS",
    "cassette_exon": "CASS",
    "exon_skip": "SKIP",
    "retained_intron": "RETI",
    "alt_5ss": "DONR",
    "alt_3ss": "ACPT",
}


def _draft(rng: np.random.Generator, plan: EventPlan) -> Draft:
    """A messenger with a real reading frame, cut into exons, and introns between them."""
    count = int(rng.integers(6, 10))
    utr5, utr3 = int(rng.integers(50, 110)), int(rng.integers(150, 260))
    lengths = [utr5 + int(rng.integers(60, 130))]
    lengths += [int(n) for n in rng.integers(90, 200, count - 2)]
    coding_tail = int(rng.integers(40, 100))
    coding = sum(lengths) - utr5 + coding_tail
    coding_tail -= coding % 3
    coding -= coding % 3
    lengths.append(coding_tail + utr3)
    codons = "".join(SENSE[i] for i in rng.integers(0, len(SENSE), coding // 3 - 2))
    mrna = _random(rng, utr5) + "ATG" + codons + STOPS[int(rng.integers(3))] + _random(rng, utr3)
    cuts = np.cumsum(lengths)[:-1].tolist()
    # Without a G on either side of a junction, no other GT-AG pair explains the same read: an
    # aligner has one right answer. A codon with a C is never a stop, so the frame stays open.
    for cut in cuts:
        mrna = mrna[: cut - 1] + mrna[cut - 1 : cut + 1].replace("G", "C") + mrna[cut + 1 :]
    exons = [mrna[a:b] for a, b in zip([0, *cuts], [*cuts, len(mrna)], strict=True)]
    short = plan.kind == "retained_intron"
    introns = [_intron(rng, 90, 160 if short else 420) for _ in cuts]
    return Draft(exons, introns, utr5)


def _shape(
    rng: np.random.Generator, draft: Draft, site: int, plan: EventPlan
) -> tuple[Exons, Exons, tuple[int, int]]:
    """Work the event into intron `site`; return both isoforms' exons and the event's span."""
    if plan.kind == "poison_exon" or plan.kind == "cassette_exon":
        return _with_cassette(rng, draft, site, plan)
    if plan.kind in ("alt_5ss", "alt_3ss"):
        return _with_alternative_site(rng, draft, site, plan)
    main = _exons(draft)
    if plan.kind == "retained_intron":
        span = (main[site][1], main[site + 1][0])
        return main, [*main[:site], (main[site][0], main[site + 1][1]), *main[site + 2 :]], span
    if plan.kind == "exon_skip":
        return main, [*main[:site], *main[site + 1 :]], main[site]
    return main, main, (0, 0)


def _with_cassette(
    rng: np.random.Generator, draft: Draft, site: int, plan: EventPlan
) -> tuple[Exons, Exons, tuple[int, int]]:
    size = int(rng.integers(20, 40)) * 3
    cassette = _no_g_at_ends(_random(rng, size if plan.productive else size + 1))
    left, right = _intron(rng, 110, 300), _intron(rng, 110, 300)
    draft.introns[site] = left + cassette + right
    main = _exons(draft)
    start = main[site][1] + len(left)
    span = (start, start + len(cassette))
    return main, [*main[: site + 1], span, *main[site + 1 :]], span


def _with_alternative_site(
    rng: np.random.Generator, draft: Draft, site: int, plan: EventPlan
) -> tuple[Exons, Exons, tuple[int, int]]:
    size = int(rng.integers(6, 15)) * 3 + (0 if plan.productive else 1)
    if plan.kind == "alt_5ss":  # the exon may run on to a second donor
        extension = "GTAAGT" + _no_g_at_ends(_random(rng, size - 6))
        draft.introns[site] = extension + _intron(rng, 120, 300)
    else:  # a second acceptor lies before the first
        extension = _no_g_at_ends(_random(rng, size - 3)) + "CAG"
        draft.introns[site] = _intron(rng, 120, 300) + extension
    main = _exons(draft)
    other = list(main)
    if plan.kind == "alt_5ss":
        span = (main[site][1], main[site][1] + size)
        other[site] = (main[site][0], span[1])
    else:
        span = (main[site + 1][0] - size, main[site + 1][0])
        other[site + 1] = (span[0], main[site + 1][1])
    return main, other, span


def _isoform(
    gene: Gene, exons: Exons, kind: str, start: int, number: int, plan: EventPlan
) -> Isoform:
    stop = first_stop(splice(gene.sequence, exons), start)
    productive = is_productive(exons, stop)
    second = plan.fractions
    fractions = second if number == 2 else (1.0 - second[0], 1.0 - second[1])
    biotype = "protein_coding" if productive else "nonsense_mediated_decay"
    if kind == "retained_intron":
        biotype = "retained_intron"
    transcript = f"DEMOT{gene.gene_id[-8:]}{number:02d}"
    annotated = plan.annotated or number == 1
    return Isoform(transcript, exons, kind, annotated, biotype, start, stop, productive, fractions)


def _keeps_promise(gene: Gene, canonical: Isoform, second: Isoform) -> bool:
    """The second isoform is (not) productive as planned, for the reason the event stands for."""
    if second.productive != gene.event.productive:
        return False
    stop = _gene_position(second, second.stop)
    if second.productive:
        return stop == _gene_position(canonical, canonical.stop)
    if gene.event.kind in ("poison_exon", "retained_intron"):
        start, end = gene.event_span
        return start <= stop and _gene_position(second, second.stop + 2) < end
    return True


def _gene_position(isoform: Isoform, position: int) -> int:
    """Gene coordinate of a transcript position."""
    for start, end in isoform.exons:
        if position < end - start:
            return start + position
        position -= end - start
    raise ValueError("position behind the transcript's end")


def _exons(draft: Draft) -> Exons:
    spans, at = [], 0
    for exon, intron in zip(draft.exons, [*draft.introns, ""], strict=True):
        spans.append((at, at + len(exon)))
        at += len(exon) + len(intron)
    return spans


def _intron(rng: np.random.Generator, shortest: int, longest: int) -> str:
    """A canonical intron: GTAAGT, a body, a pyrimidine tract, CAG."""
    tract = "".join("TTC"[i] for i in rng.integers(0, 3, 14))
    body = _random(rng, int(rng.integers(shortest, longest)) - 6 - len(tract) - 3)
    return f"GTAAGT{body}{tract}CAG"


def _random(rng: np.random.Generator, size: int) -> str:
    return "".join(BASES[i] for i in rng.integers(0, 4, size))


def _no_g_at_ends(sequence: str) -> str:
    return sequence[0].replace("G", "C") + sequence[1:-1] + sequence[-1].replace("G", "C")
