"""Reads a GTF into arrays: exons, reading frames, and which transcript speaks for its gene."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from seqharvest.errors import InputError
from seqharvest.splicing.models import RANKS, Annotation
from seqharvest.splicing.ragged import Flags, Ints

_FIELDS = ("contig", "source", "feature", "start", "end", "score", "strand", "frame", "notes")
_WANTED = pa.array(["transcript", "exon", "CDS", "Selenocysteine"])
_BLOCK = 8 << 20  # bytes parsed at a time
_TAGS = (  # what a line says and the rank that it gives, best first; RANKS says what for
    ('"MANE_Select"', "MANE_Select"),
    ('"MANE Select"', "MANE_Select"),  # RefSeq
    ('"MANE_Plus_Clinical"', "MANE_Plus_Clinical"),
    ('"MANE Plus Clinical"', "MANE_Plus_Clinical"),
    ('"Ensembl_canonical"', "canonical"),
    ('"RefSeq Select"', "canonical"),
    ('"appris_principal', "principal"),
    ('"basic"', "basic"),
)
_BIOTYPES = ("transcript_biotype", "transcript_type", "gene_biotype", "gene_type")
_DECAY = frozenset({"nonsense_mediated_decay", "non_stop_decay"})
_START_UNKNOWN = ('"cds_start_NF"', '"mRNA_start_NF"')
_END_UNKNOWN = ('"cds_end_NF"', '"mRNA_end_NF"')


def read_gtf(path: Path) -> Annotation:
    """Read a GTF, plain or gzipped; a transcript in two places is kept at the first.

    Raises `InputError` for a file that is no GTF or has no exon.
    """
    rows = _Rows()
    for batch in _batches(path):
        rows.add(batch)
    if not rows.exons:
        raise InputError(f"GTF {path} has no exon", "give the annotation in GTF format")
    return rows.annotation()


class _Rows:
    """Gathers the records of a GTF batch by batch; ids become numbers at once."""

    def __init__(self) -> None:
        self.contigs: dict[str, int] = {}
        self.ids: dict[str, int] = {}
        self.lines: list[str] = []  # the notes of a transcript's first record
        self.places: list[tuple[int, bool]] = []
        self.exons: list[Ints] = []
        self.cds: list[Ints] = []
        self.recoded: list[Ints] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the records of a batch that matter."""
        batch = batch.filter(pc.is_in(batch.column("feature"), _WANTED))
        named = pc.extract_regex(batch.column("notes"), r'transcript_id "?(?P<id>[^";]+)')
        batch = batch.filter(named.is_valid())
        if not batch.num_rows:
            return
        ids = pc.struct_field(named.drop_null(), "id").dictionary_encode()
        codes = ids.indices.to_numpy()
        contig = self._contigs(batch.column("contig"))
        minus = pc.equal(batch.column("strand"), "-").to_numpy(zero_copy_only=False)
        transcript = self._transcripts(ids.dictionary.to_pylist(), codes, contig, minus, batch)
        places = np.array(self.places, np.int64).reshape(-1, 2)[transcript]
        here = (places[:, 0] == contig) & (places[:, 1] == minus)
        start, end = (batch.column(name).to_numpy() for name in ("start", "end"))
        feature = batch.column("feature")
        for name, kept in (("exon", self.exons), ("CDS", self.cds), ("Selenocysteine", None)):
            is_it = here & pc.equal(feature, name).to_numpy(zero_copy_only=False)
            if kept is None:
                self.recoded.append(np.stack([contig, minus, start], axis=1)[is_it])
            elif name == "CDS":
                frame = _frames(batch.column("frame"))
                kept.append(np.stack([transcript, start, end, frame])[:, is_it])
            else:
                kept.append(np.stack([transcript, start, end])[:, is_it])

    def annotation(self) -> Annotation:
        """Sort what was gathered, so that the order in the file does not matter."""
        known = [_Notes(line) for line in self.lines]
        places = np.array(self.places, np.int64)
        ids = list(self.ids)
        order = sorted(range(len(ids)), key=lambda i: (places[i][0], known[i].gene, ids[i]))
        number = np.empty(len(ids), np.int64)
        number[order] = np.arange(len(ids))
        cds_start, cds_end, cut_frame = self._frames(number, places[:, 1].astype(bool)[order])
        genes: dict[str, int] = {}
        for i in order:
            genes.setdefault(known[i].gene, len(genes))
        names = {known[i].gene: known[i].gene_name for i in reversed(order)}
        exons = np.concatenate(self.exons, axis=1)
        start_unknown = cut_frame | np.array([known[i].start_unknown for i in order])
        end_unknown = np.array([known[i].end_unknown for i in order])
        rank = np.array([known[i].rank for i in order])
        rank[start_unknown | end_unknown] = RANKS.index("incomplete")
        rank[cds_start == 0] = RANKS.index("noncoding")
        return Annotation(
            contigs=tuple(self.contigs),
            gene_ids=list(genes),
            gene_names=[names[gene] for gene in genes],
            transcript_ids=[ids[i] for i in order],
            biotypes=[known[i].biotype for i in order],
            contig=places[order, 0],
            minus=places[order, 1].astype(bool),
            gene=np.array([genes[known[i].gene] for i in order]),
            rank=rank,
            start_unknown=start_unknown,
            end_unknown=end_unknown,
            cds_start=cds_start,
            cds_end=cds_end,
            exon_transcript=number[exons[0]],
            exon_start=exons[1],
            exon_end=exons[2],
            recoded=np.unique(np.concatenate(self.recoded), axis=0),
        )

    def _contigs(self, column: pa.Array) -> Ints:
        encoded = column.dictionary_encode()
        numbers = [
            self.contigs.setdefault(name, len(self.contigs))
            for name in encoded.dictionary.to_pylist()
        ]
        return np.array(numbers, np.int64)[encoded.indices.to_numpy()]

    def _transcripts(
        self, names: list[str], codes: Ints, contig: Ints, minus: Flags, batch: pa.RecordBatch
    ) -> Ints:
        _, first = np.unique(codes, return_index=True)
        numbers = np.empty(len(names), np.int64)
        notes = batch.column("notes")
        for code, name in enumerate(names):
            if name not in self.ids:
                at = int(first[code])
                self.ids[name] = len(self.ids)
                self.lines.append(notes[at].as_py())
                self.places.append((int(contig[at]), bool(minus[at])))
            numbers[code] = self.ids[name]
        return numbers[codes]

    def _frames(self, number: Ints, minus: Flags) -> tuple[Ints, Ints, Flags]:
        """Leftmost and rightmost coding base, and whether the first codon is cut off."""
        start, end = np.zeros(len(number), np.int64), np.zeros(len(number), np.int64)
        cut = np.zeros(len(number), bool)
        cds = np.concatenate(self.cds, axis=1) if self.cds else np.zeros((4, 0), np.int64)
        transcript = number[cds[0]]
        order = np.lexsort((cds[1], transcript))
        transcript, cds = transcript[order], cds[:, order]
        if len(transcript):
            edge = np.flatnonzero(transcript[1:] != transcript[:-1])
            first = np.concatenate([[0], edge + 1])
            last = np.concatenate([edge, [len(transcript) - 1]])
            owner = transcript[first]
            start[owner], end[owner] = cds[1, first], cds[2, last]
            cut[owner] = np.where(minus[owner], cds[3, last], cds[3, first]) != 0
        return start, end, cut


class _Notes:
    """The ninth field of a transcript's first record."""

    __slots__ = ("biotype", "end_unknown", "gene", "gene_name", "rank", "start_unknown")

    def __init__(self, text: str) -> None:
        self.gene = _attribute(text, "gene_id")
        self.gene_name = _attribute(text, "gene_name") or _attribute(text, "gene") or self.gene
        found = (_attribute(text, name) for name in _BIOTYPES)
        self.biotype = next(filter(None, found), "")
        self.start_unknown = any(tag in text for tag in _START_UNKNOWN)
        self.end_unknown = any(tag in text for tag in _END_UNKNOWN)
        rank = next((rank for tag, rank in _TAGS if tag in text), "coding")
        self.rank = RANKS.index("decay" if self.biotype in _DECAY else rank)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with path.open("rb") as handle:
        packed = "gzip" if handle.read(2) == b"\x1f\x8b" else None
    types: dict[str, Any] = dict.fromkeys(_FIELDS, pa.string())
    types |= {"start": pa.int64(), "end": pa.int64()}
    try:
        with pa.input_stream(str(path), compression=packed) as source:
            yield from csv.open_csv(
                source,
                csv.ReadOptions(column_names=_FIELDS, block_size=_BLOCK, use_threads=False),
                csv.ParseOptions(
                    delimiter="\t", quote_char=False, invalid_row_handler=_comments_only
                ),
                csv.ConvertOptions(
                    column_types=types,
                    include_columns=[n for n in _FIELDS if n not in ("source", "score")],
                ),
            )
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"GTF {path} cannot be read: {error}", "give the annotation in GTF format"
        ) from error


def _comments_only(row: Any) -> str:
    return "skip" if row.text is None or row.text.startswith("#") else "error"


def _frames(column: pa.Array) -> Ints:
    known = pc.is_in(column, pa.array(["1", "2"]))
    frames: Ints = pc.if_else(known, column, "0").cast(pa.int64()).to_numpy()
    return frames


def _attribute(text: str, name: str) -> str:
    match = _pattern(name).search(text)
    return match[1] if match else ""


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf'(?:^|;)\s*{name} "?([^";]+)"?')
