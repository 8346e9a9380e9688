"""The lake's tables, once: columns with type, unit and meaning, for Parquet and for Glue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from seqharvest.errors import LoadError

#: Partition columns: in the key path and in Glue, not in the files.
PARTITION_KEYS = {
    "release": "Reference release the rows were computed with",
    "project": "Project the samples belong to",
}

#: Glue's name of a type and Arrow's.
ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}


@dataclass(frozen=True)
class Column:
    """A column: its Glue type, its unit ("" where it has none) and what it says."""

    name: str
    type: str
    unit: str
    description: str
    nullable: bool = False

    @property
    def comment(self) -> str:
        """Description with unit, as Glue and the documentation show it."""
        return f"{self.description} [{self.unit}]" if self.unit else self.description


@dataclass(frozen=True)
class Table:
    """A table; `sort` is the order of the rows in a file and identifies a row in its partition."""

    name: str
    description: str
    columns: tuple[Column, ...]
    sort: tuple[str, ...]
    measure: str  # the numeric column whose sum a load compares with what was written

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of the files, with the comments as field metadata."""
        return pa.schema(
            [
                pa.field(
                    column.name,
                    ARROW_TYPES[column.type],
                    nullable=column.nullable,
                    metadata={"comment": column.comment},
                )
                for column in self.columns
            ]
        )

    @property
    def glue_columns(self) -> list[dict[str, str]]:
        """The columns as Glue's API takes them."""
        return [
            {"Name": column.name, "Type": column.type, "Comment": column.comment}
            for column in self.columns
        ]

    def from_columns(self, columns: dict[str, Any]) -> pa.Table:
        """Build a table from lists or arrays by column name; `LoadError` when one does not fit."""
        try:
            return self.conform(pa.table(columns))
        except (pa.ArrowException, TypeError) as error:
            raise LoadError(f"rows for table {self.name} do not fit its schema: {error}") from error

    def from_rows(self, rows: list[dict[str, Any]]) -> pa.Table:
        """Build a table from dictionaries; keys that are no columns are left out."""
        return self.from_columns({c.name: [row.get(c.name) for row in rows] for c in self.columns})

    def conform(self, data: pa.Table, origin: str = "") -> pa.Table:
        """Return the data in this schema's column order and types.

        A nullable column that an older version did not write becomes null. Raises `LoadError`
        naming `origin` for unknown or missing columns, nulls or values that do not fit.
        """
        where = f"{origin or 'data'} for table {self.name}"
        unknown = sorted(set(data.column_names) - {column.name for column in self.columns})
        if unknown:
            raise LoadError(
                f"{where} has unknown columns {', '.join(unknown)}",
                "add them to lake/schemas.py, or raise the workflow's version and run it again",
            )
        arrays = [_conform_column(column, data, where) for column in self.columns]
        return pa.Table.from_arrays(arrays, schema=self.arrow)


def _conform_column(column: Column, data: pa.Table, where: str) -> pa.ChunkedArray | pa.Array:
    kind = ARROW_TYPES[column.type]
    if column.name not in data.column_names:
        if column.nullable:
            return pa.nulls(data.num_rows, kind)
        raise LoadError(f"{where} has no column {column.name}", "run its workflow again")
    values = data.column(column.name)
    if values.null_count and not column.nullable:
        raise LoadError(f"{where}: {values.null_count} values of {column.name} are missing")
    try:
        return values.cast(kind)
    except pa.ArrowException as error:
        raise LoadError(f"{where}: {column.name} is not {column.type}: {error}") from error


_SAMPLE = Column("sample", "string", "", "Sample id (an SRA experiment, or a private sample)")
_FINGERPRINT = Column(
    "fingerprint", "string", "", "Hash of workflow version, release and config behind the row"
)
_GENE_ID = Column("gene_id", "string", "", "Gene id of the release's GTF")
_GENE_NAME = Column(
    "gene_name", "string", "", "Gene name; the id where the GTF has none", nullable=True
)
_TPM = Column("tpm", "double", "TPM", "Transcripts per million, salmon")
_COUNTS = Column(
    "est_counts", "double", "fragments", "Fragments salmon assigns; fractional where they are many"
)
_LENGTH = Column("effective_length", "double", "nt", "Length corrected for fragment size, salmon")

GENE_QUANT = Table(
    "gene_quant",
    "Expression of each gene in each sample",
    (
        _SAMPLE,
        _GENE_ID,
        _GENE_NAME,
        _TPM,
        _COUNTS,
        _LENGTH,
        Column(
            "star_count",
            "bigint",
            "fragments",
            "Uniquely mapped fragments STAR counts on the sample's strand",
            nullable=True,
        ),
        _FINGERPRINT,
    ),
    sort=("gene_id", "sample"),
    measure="est_counts",
)

TRANSCRIPT_QUANT = Table(
    "transcript_quant",
    "Expression of each transcript in each sample",
    (
        _SAMPLE,
        Column("transcript_id", "string", "", "Transcript id of the release's GTF"),
        _GENE_ID,
        _GENE_NAME,
        _TPM,
        _COUNTS,
        _LENGTH,
        Column("length", "bigint", "nt", "Length of the transcript"),
        _FINGERPRINT,
    ),
    sort=("gene_id", "transcript_id", "sample"),
    measure="est_counts",
)

JUNCTIONS = Table(
    "junctions",
    "Splice junctions STAR found in each sample, with the reads over them",
    (
        _SAMPLE,
        Column("chrom", "string", "", "Chromosome or contig"),
        Column("intron_start", "bigint", "nt", "First base of the intron, counted from 1"),
        Column("intron_end", "bigint", "nt", "Last base of the intron, inclusive"),
        Column("strand", "string", "", "+, -, or . where undefined"),
        Column("motif", "string", "", "Intron motif, such as GT/AG; non-canonical otherwise"),
        Column("annotated", "boolean", "", "Whether the release's GTF has the junction"),
        Column("unique_reads", "bigint", "fragments", "Uniquely mapped fragments over it"),
        Column("multi_reads", "bigint", "fragments", "Multi-mapped fragments over it"),
        Column("max_overhang", "bigint", "nt", "Longest overhang on the exons of a spliced read"),
        Column("gene_id", "string", "", "Gene it lies in; null where none", nullable=True),
        _FINGERPRINT,
    ),
    sort=("chrom", "intron_start", "intron_end", "strand", "sample"),
    measure="unique_reads",
)

SAMPLES = Table(
    "samples",
    "The samples of a project, with their state and metadata",
    (
        _SAMPLE,
        Column("title", "string", "", "Title given by the submitter", nullable=True),
        Column("organism", "string", "", "Scientific name", nullable=True),
        Column("taxid", "bigint", "", "NCBI taxonomy id", nullable=True),
        Column("layout", "string", "", "paired or single"),
        Column("runs", "string", "", "Run ids, joined by commas"),
        Column("spots", "bigint", "fragments", "Spots of all runs, as sequenced", nullable=True),
        Column("source", "string", "", "geo, ena or private", nullable=True),
        Column("state", "string", "", "State in the registry at load time", nullable=True),
        Column("verdict", "string", "", "QC verdict: pass, warn or fail", nullable=True),
        Column("metadata", "string", "", "Submitter's metadata as a JSON object", nullable=True),
        *(
            Column(name, "string", "", f"{meaning}, harmonised from the metadata", nullable=True)
            for name, meaning in (
                ("tissue", "Tissue or organ"),
                ("cell_line", "Cell line"),
                ("cell_type", "Cell type"),
                ("disease", "Disease; healthy where there is none"),
                ("sex", "Sex: male, female or mixed"),
                ("age", "Age with its unit, where one is told"),
                ("treatment", "Treatment; untreated where there is none"),
                ("genotype", "Genotype; wild type where it is that"),
            )
        ),
        Column("terms", "string", "", "Version of the synonym table behind these", nullable=True),
        _FINGERPRINT,
    ),
    sort=("sample",),
    measure="spots",
)

QC_METRICS = Table(
    "qc_metrics",
    "Quality metrics of each sample",
    (
        _SAMPLE,
        Column("metric", "string", "", "Name of the metric, as in the threshold file"),
        Column("value", "double", "", "Value; shares are between 0 and 1", nullable=True),
        Column("verdict", "string", "", "Verdict of the whole sample: pass, warn or fail"),
        _FINGERPRINT,
    ),
    sort=("metric", "sample"),
    measure="value",
)

TABLES: dict[str, Table] = {
    table.name: table for table in (SAMPLES, QC_METRICS, GENE_QUANT, TRANSCRIPT_QUANT, JUNCTIONS)
}
