"""The tables of splicing as the lake describes its own; `sample` only where there is one."""

from __future__ import annotations

from seqharvest.lake.schemas import Column, Table

_EVENT = Column(
    "event_id",
    "string",
    "",
    "gene:type:contig:left flank:block[:2nd block]:right flank:strand; the same in every project",
)
_GENE = (
    Column("gene_id", "string", "", "Gene id of the release's GTF"),
    Column("gene_name", "string", "", "Gene name; the id where the GTF has none"),
)
_CLASSES = "productive, nonproductive, undetermined or noncoding"
_TRANSCRIPT = Column(
    "transcript_id",
    "string",
    "",
    "Transcript it was judged on; null where none fits",
    nullable=True,
)
_FIT = Column(
    "fit",
    "string",
    "",
    "exact: the transcript has one of the forms; sites: both splice sites around; overlap: exons "
    "around; annotated: the transcript is annotated with it",
    nullable=True,
)
#: What a verdict was judged by: the same columns wherever there is one.
_JUDGED = (
    Column(
        "stop_to_junction",
        "bigint",
        "nt",
        "From the stop codon's last base to the last junction; negative behind it",
        nullable=True,
    ),
    Column("start_to_stop", "bigint", "nt", "Open reading frame without its stop", nullable=True),
    Column(
        "start_proximal",
        "boolean",
        "",
        "Stop within 150 nt of the start: may escape",
        nullable=True,
    ),
    Column("stop_exon_length", "bigint", "nt", "Exon that the stop begins in", nullable=True),
    Column(
        "long_stop_exon", "boolean", "", "That exon is over 407 nt: may escape decay", nullable=True
    ),
    Column("last_exon_length", "bigint", "nt", "Last exon of the isoform", nullable=True),
    Column("long_last_exon", "boolean", "", "The last exon is over 407 nt", nullable=True),
    Column("same_stop", "boolean", "", "The stop is the transcript's own one", nullable=True),
)

SPLICING_EVENTS = Table(
    "splicing_events",
    "Splicing events of annotation and samples, and which of their two forms is destroyed",
    (
        _EVENT,
        Column("event_type", "string", "", "Type, such as cassette_exon"),
        *_GENE,
        Column("chrom", "string", "", "Chromosome or contig"),
        Column("strand", "string", "", "+ or -"),
        Column("start", "bigint", "nt", "First base (from 1) that only the inclusion form has"),
        Column("end", "bigint", "nt", "Last of these bases, inclusive"),
        Column("start_2", "bigint", "nt", "The same of the exclusion form's exon", nullable=True),
        Column("end_2", "bigint", "nt", "Last base of the exclusion form's exon", nullable=True),
        Column("flank_start", "bigint", "nt", "Last base on the left that both forms have"),
        Column("flank_end", "bigint", "nt", "First base on the right that both forms have"),
        Column("length", "bigint", "nt", "Length of the bases between start and end"),
        Column("annotated_inclusion", "boolean", "", "The GTF has all of the inclusion form"),
        Column("annotated_exclusion", "boolean", "", "The GTF has all of the exclusion form"),
        Column("inclusion_class", "string", "", f"{_CLASSES}: the form with the bases"),
        Column("inclusion_rule", "string", "", "Rule that gave the inclusion form's class"),
        Column("exclusion_class", "string", "", f"{_CLASSES}: the form without the bases"),
        Column("exclusion_rule", "string", "", "Rule that gave the exclusion form's class"),
        Column(
            "nonproductive_form",
            "string",
            "",
            "inclusion, exclusion, both or none; null where a form's class is not known",
            nullable=True,
        ),
        _TRANSCRIPT,
        Column("transcript_rank", "string", "", "What that one is to its gene", nullable=True),
        _FIT,
        Column("transcripts", "bigint", "", "Coding transcripts that fit as well"),
        Column("agreeing", "bigint", "", "Those of them that give both forms the same class"),
    ),
    sort=("gene_id", "event_id"),
    measure="length",
)

EVENT_ISOFORMS = Table(
    "event_isoforms",
    "Each form of each event on each coding transcript that fits: its class and why",
    (
        _EVENT,
        *_GENE,
        Column("form", "string", "", "inclusion or exclusion"),
        Column("transcript_id", "string", "", "Transcript that the form was put into"),
        Column("transcript_rank", "string", "", "What it is to its gene, such as MANE_Select"),
        Column("fit", "string", "", _FIT.description),
        Column("class", "string", "", _CLASSES),
        Column("rule", "string", "", "Rule that gave the class"),
        *_JUDGED,
        Column("first", "boolean", "", "The transcript whose class the event has"),
    ),
    sort=("gene_id", "event_id", "form", "transcript_id"),
    measure="start_to_stop",
)

EVENT_PSI = Table(
    "event_psi",
    "Percent spliced in of each event in each sample with a read over it",
    (
        Column("sample", "string", "", "Sample id"),
        _EVENT,
        _GENE[0],
        Column("event_type", "string", "", "Type, such as cassette_exon"),
        Column(
            "inclusion_reads_left", "bigint", "reads", "Over the inclusion form's left junction"
        ),
        Column(
            "inclusion_reads_right", "bigint", "reads", "Over its right junction", nullable=True
        ),
        Column(
            "exclusion_reads_left", "bigint", "reads", "Over the exclusion form's left junction"
        ),
        Column(
            "exclusion_reads_right", "bigint", "reads", "Over its right junction", nullable=True
        ),
        Column("inclusion", "double", "reads", "Mean over the inclusion form's junctions"),
        Column("exclusion", "double", "reads", "Mean over the exclusion form's junctions"),
        Column("psi", "double", "", "inclusion / (inclusion + exclusion), 0 to 1"),
        Column("psi_low", "double", "", "Lower bound, 95 % beta posterior interval"),
        Column("psi_high", "double", "", "Upper bound, 95 % beta posterior interval"),
    ),
    sort=("gene_id", "event_id", "sample"),
    measure="inclusion",
)

JUNCTION_CLASSES = Table(
    "junction_classes",
    "What becomes of transcripts with each junction of annotation and samples",
    (
        Column("chrom", "string", "", "Chromosome or contig"),
        Column("intron_start", "bigint", "nt", "First base of the intron, counted from 1"),
        Column("intron_end", "bigint", "nt", "Last base of the intron, inclusive"),
        Column("strand", "string", "", "+, -, or . where it cannot be told"),
        Column("gene_id", "string", "", "Gene it was judged in; null where none", nullable=True),
        Column("gene_name", "string", "", "Its name", nullable=True),
        Column("annotated", "boolean", "", "Whether the release's GTF has the junction"),
        Column("class", "string", "", _CLASSES),
        Column("rule", "string", "", "Rule that gave the class"),
        _TRANSCRIPT,
        Column("transcript_rank", "string", "", "What that one is to its gene", nullable=True),
        _FIT,
        Column("event_id", "string", "", "Event whose form has it, where asked", nullable=True),
        *_JUDGED,
        Column("productive_transcripts", "bigint", "", "Annotated with it and productive"),
        Column("nonproductive_transcripts", "bigint", "", "Annotated with it and nonproductive"),
    ),
    sort=("chrom", "intron_start", "intron_end", "strand"),
    measure="productive_transcripts",
)

TRANSCRIPT_CLASSES = Table(
    "transcript_classes",
    "What becomes of each coding transcript of the annotation, read as it is annotated",
    (
        *_GENE,
        Column("transcript_id", "string", "", "Transcript id of the release's GTF"),
        Column("transcript_rank", "string", "", "What it is to its gene, such as MANE_Select"),
        Column("biotype", "string", "", "As the GTF has it; empty where it has none"),
        Column("class", "string", "", _CLASSES),
        Column("rule", "string", "", "Rule that gave the class"),
        *_JUDGED,
    ),
    sort=("gene_id", "transcript_id"),
    measure="start_to_stop",
)
