"""Named questions to the lake, in SQL that Athena and DuckDB both understand.

`python -m seqharvest.lake.queries NAME [--project P] [--release R] [--limit N]` prints the answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from seqharvest.archives.harmonise import FIELDS
from seqharvest.errors import InputError, SeqharvestError
from seqharvest.lake import athena
from seqharvest.lake.sources import check_release
from seqharvest.layout import check_project_id
from seqharvest.settings import settings

#: Metadata keys that name a sample's condition, most telling first.
CONDITION_KEYS = ("condition", "group", "treatment", "genotype", "phenotype", "disease")
#: QC metrics shown side by side; one that a project lacks stays empty.
QC_OVERVIEW = (
    "reads",
    "q30_share",
    "duplication_share",
    "unique_share",
    "spliced_share",
    "assigned_share",
    "genes_detected",
)


@dataclass(frozen=True)
class NamedQuery:
    """A question, and its SQL for a scope (a WHERE clause) and a number of rows."""

    question: str
    sql: Callable[[str, int], str]


def sql(
    name: str,
    project: str = "",
    release: str = "",
    limit: int = 20,
    where: Mapping[str, str] | None = None,
) -> str:
    """Return a named query's SQL for one project, or all, of one release.

    `where` takes only the samples with these harmonised values, such as {"tissue": "liver"};
    letter case does not matter. Raises `InputError` for a name, project, release or field that
    is none.
    """
    if name not in QUERIES:
        raise InputError(f"there is no query {name!r}", f"use one of {', '.join(QUERIES)}")
    if limit < 1:
        raise InputError(f"limit {limit} is less than 1")
    scope = f"release = '{check_release(release or settings().release)}'"
    if project:
        scope += f" AND project = '{check_project_id(project)}'"
    for field, value in (where or {}).items():
        scope += f" AND {_having(field, value, project)}"
    return QUERIES[name].sql(scope, limit)


def ask(
    name: str,
    project: str = "",
    release: str = "",
    limit: int = 20,
    where: Mapping[str, str] | None = None,
) -> athena.Result:
    """Run a named query; raises `InputError` or `QueryError`."""
    return athena.run(sql(name, project, release, limit, where))


def _having(field: str, value: str, project: str) -> str:
    """Return a term that takes the samples with a harmonised value.

    Ids of archive samples are unique; private ones are so within their project only.
    """
    if field not in FIELDS:
        raise InputError(f"samples have no field {field!r}", f"use one of {', '.join(FIELDS)}")
    if " AND " in value:  # what terms are joined by
        raise InputError(f"the value {value!r} holds ' AND '", "write it in small letters")
    literal = "'" + value.lower().replace("'", "''") + "'"
    if project:
        same = f"(project, lower({field})) = ('{project}', {literal})"
    else:
        same = f"lower({field}) = {literal}"
    return f"sample IN (SELECT sample FROM samples WHERE {same})"


def print_result(result: athena.Result) -> None:
    """Print a result as a text table."""
    print(athena.text_table(result.columns, result.rows))


def _samples(scope: str, limit: int) -> str:
    return f"""
SELECT project, sample, title, organism, layout, runs, spots, verdict, {_condition()} AS condition,
  {", ".join(FIELDS)}
FROM samples
WHERE {scope}
ORDER BY project, sample
LIMIT {limit}"""


def _qc(scope: str, limit: int) -> str:
    metrics = ",\n  ".join(
        f"max(CASE WHEN metric = '{name}' THEN value END) AS {name}" for name in QC_OVERVIEW
    )
    return f"""
SELECT project, sample, max(verdict) AS verdict,
  {metrics}
FROM qc_metrics
WHERE {scope}
GROUP BY project, sample
ORDER BY project, sample
LIMIT {limit}"""


def _top_genes(scope: str, limit: int) -> str:
    return f"""
WITH ranked AS (
  SELECT project, sample, gene_id, gene_name, tpm, est_counts, star_count,
    row_number() OVER (PARTITION BY project, sample ORDER BY tpm DESC, gene_id) AS place
  FROM gene_quant
  WHERE {scope}
)
SELECT project, sample, place, gene_id, gene_name, tpm, est_counts, star_count
FROM ranked
WHERE place <= {limit}
ORDER BY project, sample, place"""


def _top_genes_by_condition(scope: str, limit: int) -> str:
    return f"""
WITH {_conditions(scope)},
means AS (
  SELECT q.project, c.condition, q.gene_id, max(q.gene_name) AS gene_name,
    avg(q.tpm) AS mean_tpm, count(*) AS samples
  FROM gene_quant q
  JOIN conditions c ON c.project = q.project AND c.sample = q.sample
  WHERE {_qualified(scope, "q")}
  GROUP BY q.project, c.condition, q.gene_id
),
ranked AS (
  SELECT project, condition, gene_id, gene_name, mean_tpm, samples,
    row_number() OVER (PARTITION BY project, condition ORDER BY mean_tpm DESC, gene_id) AS place
  FROM means
)
SELECT project, condition, place, gene_id, gene_name, mean_tpm, samples
FROM ranked
WHERE place <= {limit}
ORDER BY project, condition, place"""


def _novel_junctions(scope: str, limit: int) -> str:
    return f"""
WITH {_conditions(scope)},
names AS (
  SELECT gene_id, max(gene_name) AS gene_name
  FROM gene_quant
  WHERE {scope}
  GROUP BY gene_id
),
novel AS (
  SELECT j.project, j.gene_id, j.chrom, j.intron_start, j.intron_end, j.strand, j.motif,
    c.condition, j.sample, j.unique_reads
  FROM junctions j
  JOIN conditions c ON c.project = j.project AND c.sample = j.sample
  WHERE NOT j.annotated AND j.unique_reads > 0 AND {_qualified(scope, "j")}
),
recurrent AS (
  SELECT chrom, intron_start, intron_end, strand,
    count(DISTINCT sample) AS all_samples, sum(unique_reads) AS all_reads
  FROM novel
  GROUP BY chrom, intron_start, intron_end, strand
  HAVING count(DISTINCT sample) >= 2
  ORDER BY all_reads DESC, chrom, intron_start, intron_end, strand
  LIMIT {limit}
)
SELECT n.project, n.gene_id, g.gene_name, n.chrom, n.intron_start, n.intron_end, n.strand,
  n.motif, n.condition, count(DISTINCT n.sample) AS samples, sum(n.unique_reads) AS reads,
  r.all_samples, r.all_reads
FROM novel n
JOIN recurrent r ON r.chrom = n.chrom AND r.intron_start = n.intron_start
  AND r.intron_end = n.intron_end AND r.strand = n.strand
LEFT JOIN names g ON g.gene_id = n.gene_id
GROUP BY n.project, n.gene_id, g.gene_name, n.chrom, n.intron_start, n.intron_end, n.strand,
  n.motif, n.condition, r.all_samples, r.all_reads
ORDER BY r.all_reads DESC, n.chrom, n.intron_start, n.intron_end, n.strand, n.project,
  n.condition"""


def _conditions(scope: str) -> str:
    return f"""conditions AS (
  SELECT project, sample, {_condition()} AS condition
  FROM samples
  WHERE {scope}
)"""


def _condition() -> str:
    """SQL for a sample's condition: from its metadata, else its title without replicate number."""
    # Trino has json_extract_scalar, DuckDB json_extract_string; both have regexp_extract.
    from_metadata = [
        f"""nullif(regexp_extract(metadata, '(?i)"{key}"\\s*:\\s*"([^"]*)"', 1), '')"""
        for key in CONDITION_KEYS
    ]
    from_title = (
        "nullif(regexp_replace(title, '(?i)[ _,;:.-]*(biological |bio)?(rep|replicate)?"
        "[ _.#-]*[0-9]+$', ''), '')"
    )
    return f"coalesce({', '.join([*from_metadata, from_title])}, 'unknown')"


def _qualified(scope: str, alias: str) -> str:
    return " AND ".join(f"{alias}.{term}" for term in scope.split(" AND "))


QUERIES: dict[str, NamedQuery] = {
    "samples": NamedQuery("Which samples are there, and what are they?", _samples),
    "qc": NamedQuery("How good is each sample?", _qc),
    "top_genes": NamedQuery("Which genes are highest in each sample?", _top_genes),
    "top_genes_by_condition": NamedQuery(
        "Which genes are highest in each condition?", _top_genes_by_condition
    ),
    "novel_junctions": NamedQuery(
        "Which unannotated junctions recur in two or more samples (candidates for non-productive "
        "splicing), in which gene, with how many reads per condition?",
        _novel_junctions,
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code follows from the error's class."""
    listing = "\n".join(f"  {name}: {query.question}" for name, query in QUERIES.items())
    parser = argparse.ArgumentParser(
        description="Ask the lake a named question.",
        epilog=f"questions:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="one of the questions below")
    parser.add_argument("--project", default="", help="default: all")
    parser.add_argument("--release", default="", help="default: SEQHARVEST_RELEASE")
    parser.add_argument("--limit", type=int, default=20, help="rows, or rows of each ranking")
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"only samples with this value; fields: {', '.join(FIELDS)}; repeatable",
    )
    parser.add_argument("--sql", action="store_true", help="print the SQL instead of asking it")
    options = parser.parse_args(arguments)
    try:
        where = dict(text.partition("=")[::2] for text in options.where)
        text = sql(options.name, options.project, options.release, options.limit, where)
        if options.sql:
            print(text.strip())
        else:
            print_result(athena.run(text))
    except SeqharvestError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
