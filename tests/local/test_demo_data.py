"""The demo's data keeps its promises: annotation, reading frames, decay rule, reads and truth."""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from local.demo_data.generate import generate
from seqharvest.errors import InputError

PAIRS = 3000
STOPS = {"TAA", "TAG", "TGA"}


@dataclass
class Transcript:
    gene: str
    biotype: str
    chrom: str
    strand: str
    parts: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def introns(self) -> list[tuple[int, int]]:
        exons = sorted(self.parts["exon"])
        return [(left[1] + 1, right[0] - 1) for left, right in pairwise(exons)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "GSE900001"
    generate(out, seed=1, pairs=PAIRS)
    return out


@pytest.fixture(scope="module")
def genome(demo: Path) -> dict[str, str]:
    records = (demo / "reference/genome.fa").read_text().split(">")[1:]
    return {r.partition("\n")[0]: r.partition("\n")[2].replace("\n", "") for r in records}


def read_gtf(path: Path) -> dict[str, Transcript]:
    """A reader of its own, so that the writer is not tested with itself."""
    found: dict[str, Transcript] = {}
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        chrom, _, feature, start, end, _, strand, _, notes = line.split("\t")
        about = dict(re.findall(r'(\w+) "([^"]*)"', notes))
        if "transcript_id" in about:
            name = about["transcript_id"]
            new = Transcript(about["gene_id"], about["transcript_biotype"], chrom, strand)
            found.setdefault(name, new).parts[feature].append((int(start), int(end)))
    return found


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def sequence(genome: dict[str, str], t: Transcript, spans: list[tuple[int, int]]) -> str:
    forward = "".join(genome[t.chrom][start - 1 : end] for start, end in sorted(spans))
    return forward if t.strand == "+" else complement(forward)


def complement(text: str) -> str:
    return text.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def before_last_junction(t: Transcript) -> int:
    """Bases between the stop codon's end and the last junction of the transcript."""
    last = max if t.strand == "+" else min
    stop_spans, exons = t.parts["stop_codon"], t.parts["exon"]
    if t.strand == "+":
        end = last(e for _, e in stop_spans)
        edge = max(exons)[0]
        return sum(max(0, min(e, edge - 1) - max(s, end + 1) + 1) for s, e in exons)
    end = last(s for s, _ in stop_spans)
    edge = min(exons)[1]
    return sum(max(0, min(e, end - 1) - max(s, edge + 1) + 1) for s, e in exons)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    names = ("reference/genes.gtf", "fastq/SRR9000005_1.fastq.gz", "truth/junctions.tsv")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, seed=seed, pairs=200, samples=("treated_1",))
    for name in names:
        first, again, other = ((tmp_path / x / name).read_bytes() for x in "abc")
        assert first == again
        assert first != other


def test_an_unknown_sample_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sample treated_9"):
        generate(tmp_path / "x", samples=("treated_9",))
    assert not list(tmp_path.iterdir())


def test_every_annotated_frame_starts_with_atg_ends_with_a_stop_and_is_open_between(
    demo: Path, genome: dict[str, str]
) -> None:
    coding = [t for t in read_gtf(demo / "reference/genes.gtf").values() if t.parts["CDS"]]
    assert len({t.gene for t in coding}) >= 40
    assert {t.strand for t in coding} == {"+", "-"}
    for t in coding:
        frame = sequence(genome, t, t.parts["CDS"])
        codons = [frame[i : i + 3] for i in range(0, len(frame), 3)]
        assert codons[0] == "ATG" and len(codons[-1]) == 3 and not STOPS & set(codons)
        assert sequence(genome, t, t.parts["stop_codon"]) in STOPS
        assert sequence(genome, t, t.parts["start_codon"]) == "ATG"


def test_introns_are_canonical_and_unambiguous(demo: Path, genome: dict[str, str]) -> None:
    for t in read_gtf(demo / "truth/all_isoforms.gtf").values():
        for start, end in t.introns():
            text = genome[t.chrom][start - 2 : end + 1]
            around = text if t.strand == "+" else complement(text)
            assert around[1:3] == "GT" and around[-3:-1] == "AG"
            assert around[0] != "G" and around[-1] != "G"


def test_the_decay_rule_holds_for_what_is_annotated_and_for_what_is_not(demo: Path) -> None:
    productive = {
        row["transcript_id"]: row["productive"] == "1"
        for row in read_table(demo / "truth/isoforms.tsv")
    }
    biotypes = set()
    for name, t in read_gtf(demo / "truth/all_isoforms.gtf").items():
        biotypes.add(t.biotype)
        if t.parts["CDS"]:
            decays = before_last_junction(t) > 50
            assert decays == (t.biotype == "nonsense_mediated_decay") == (not productive[name])
    assert biotypes >= {"protein_coding", "nonsense_mediated_decay", "retained_intron", "rRNA"}


def test_each_kind_of_event_is_there_annotated_and_as_pseudoexon(demo: Path) -> None:
    events = read_table(demo / "truth/events.tsv")
    seen = Counter((e["event_type"], e["annotated"], e["productive"]) for e in events)
    for kind in ("poison_exon", "exon_skip", "retained_intron", "alt_5ss", "alt_3ss"):
        assert seen[(kind, "1", "0")] and seen[(kind, "0", "0")]
    for kind in ("cassette_exon", "alt_5ss", "alt_3ss"):
        assert seen[(kind, "1", "1")] and seen[(kind, "0", "1")]
    known = read_gtf(demo / "reference/genes.gtf")
    for event in events:
        assert (event["transcript_id"] in known) == (event["annotated"] == "1")


def test_true_junctions_are_the_introns_of_the_isoforms(demo: Path) -> None:
    def introns(path: Path) -> set[tuple[str, int, int]]:
        return {(t.chrom, *i) for t in read_gtf(path).values() for i in t.introns()}

    known = introns(demo / "reference/genes.gtf")
    every = introns(demo / "truth/all_isoforms.gtf")
    for row in read_table(demo / "truth/junctions.tsv"):
        junction = (row["chrom"], int(row["intron_start"]), int(row["intron_end"]))
        assert junction in every
        assert (junction in known) == (row["annotated"] == "1")


def test_reads_come_from_the_genes_in_the_true_numbers_and_reverse_stranded(
    demo: Path, genome: dict[str, str]
) -> None:
    words: dict[str, str] = {}
    for t in read_gtf(demo / "truth/all_isoforms.gtf").values():
        text = sequence(genome, t, t.parts["exon"])
        words.update({text[i : i + 24]: t.gene for i in range(len(text) - 23)})
    counted: Counter[str] = Counter()
    for mate in (1, 2):
        for read in fastq(demo / f"fastq/SRR9000003_{mate}.fastq.gz"):
            sense = complement(read) if mate == 1 else read
            hits = (words.get(sense[i : i + 24]) for i in range(77))
            counted[next(filter(None, hits), "none")] += 1
    truth = {
        row["gene_id"]: 2 * int(row["fragments"])
        for row in read_table(demo / "truth/genes.tsv")
        if row["sample"] == "SRX9000002"
    }
    assert sum(truth.values()) == 2 * PAIRS
    assert counted == {gene: n for gene, n in truth.items() if n}


def fastq(path: Path) -> list[str]:
    with gzip.open(path, "rt") as lines:
        return [line.rstrip() for i, line in enumerate(lines) if i % 4 == 1]


@pytest.fixture(scope="module")
def star(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("STAR"):
        pytest.skip("STAR is not installed")
    work = tmp_path_factory.mktemp("star")
    index = ["--runMode", "genomeGenerate", "--sjdbOverhang", "99", "--genomeSAindexNbases", "8"]
    files = ["--genomeFastaFiles", str(demo / "reference/genome.fa")]
    run_star(work, [*index, *files, "--sjdbGTFfile", str(demo / "reference/genes.gtf")])
    for run in ("SRR9000003", "SRR9000008"):
        mates = [str(demo / f"fastq/{run}_{mate}.fastq.gz") for mate in (1, 2)]
        output = ["--outSAMtype", "None", "--outFileNamePrefix", f"{run}."]
        run_star(work, ["--readFilesIn", *mates, "--readFilesCommand", "zcat", *output])
    return work


def run_star(work: Path, arguments: list[str]) -> None:
    command = ["STAR", "--genomeDir", "index", *arguments]
    subprocess.run(command, cwd=work, check=True, capture_output=True)


def unique_percent(work: Path, run: str) -> float:
    text = (work / f"{run}.Log.final.out").read_text()
    found = re.search(r"Uniquely mapped reads % \|\s+([\d.]+)%", text)
    assert found
    return float(found[1])


def test_star_maps_the_good_sample_and_not_the_bad_one(star: Path) -> None:
    assert unique_percent(star, "SRR9000003") > 98
    assert unique_percent(star, "SRR9000008") < 30


def test_star_finds_the_true_junctions_and_their_reads(star: Path, demo: Path) -> None:
    found = {}
    for line in (star / "SRR9000003.SJ.out.tab").read_text().splitlines():
        chrom, start, end, _, _, _, unique, *_ = line.split("\t")
        found[(chrom, start, end)] = int(unique)
    truth = {
        (row["chrom"], row["intron_start"], row["intron_end"]): row
        for row in read_table(demo / "truth/junctions.tsv")
        if row["sample"] == "SRX9000002"
    }
    # One read with an error beside a junction may look like another junction; three do not.
    assert {junction for junction, reads in found.items() if reads >= 3} <= set(truth)
    well_covered = {j: row for j, row in truth.items() if int(row["reads"]) >= 3}
    assert set(well_covered) <= set(found)
    for junction, row in well_covered.items():
        assert abs(found[junction] - int(row["reads_star"])) <= 3
