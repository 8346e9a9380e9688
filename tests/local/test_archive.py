"""The local archive speaks as GEO, ENA and the SRA bucket do, and survives bad folders."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.archive.catalogue import Catalogue
from local.archive.series import read_series
from local.archive.terms import TermError, compile_term
from local.demo_data.generate import generate
from seqharvest.errors import InputError
from tests.conftest import free_port

REPO = Path(__file__).resolve().parents[2]
SHARED = REPO.parent / "shared" / "data"
YEAST = SHARED / "reads" / "yeast_GSE110004"


@dataclass
class Server:
    """One archive process on this machine."""

    state: Path
    folders: list[Path]
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(default_factory=httpx.Client)

    def start(self) -> None:
        port = free_port()
        series = [part for folder in self.folders for part in ("--series", str(folder))]
        command = [sys.executable, "-m", "local.archive", "--port", str(port), *series]
        paths = f"{REPO / 'plugins'}:{REPO}"
        self.process = subprocess.Popen(
            [*command, "--state", str(self.state)],
            env={**os.environ, "PYTHONPATH": paths},
            cwd=REPO,
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        for _ in range(200):
            try:
                if self.client.get("/health").status_code == 200:
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, "the archive ended at once"
            time.sleep(0.1)
        raise AssertionError("the archive did not become ready")

    def stop(self) -> None:
        assert self.process
        self.process.terminate()
        self.process.wait(30)

    def entrez(self, tool: str, **ask: str) -> dict[str, Any]:
        ask = {"db": "gds", "retmode": "json", **ask}
        return dict(self.client.get(f"/entrez/eutils/{tool}.fcgi", params=ask).json())

    def report(self, accession: str, **ask: str) -> httpx.Response:
        ask = {"accession": accession, "result": "read_run", **ask}
        return self.client.get("/ena/portal/api/filereport", params=ask)

    def rows(self, accession: str) -> dict[str, dict[str, str]]:
        found = self.report(accession, fields="all", format="json").json()
        return {row["run_accession"]: row for row in found}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "GSE900001"
    generate(out, pairs=300)
    return out


@pytest.fixture(scope="module")
def server(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not shutil.which("latf-load"):
        pytest.skip("latf-load is not installed (apt-get install sra-toolkit)")
    absent = demo.parent / "GSE1"  # a bad folder beside the good one, all the time
    server = Server(tmp_path_factory.mktemp("state"), [demo, absent])
    server.start()
    yield server
    server.stop()


@pytest.fixture
def small(demo: Path, tmp_path: Path) -> Path:
    """A copy of the demo's series under another accession, to spoil."""
    folder = tmp_path / "GSE900777"
    generate(folder, pairs=20, accession="GSE900777", samples=("treated_1", "treated_3"))
    return folder


@pytest.mark.parametrize("run", ["SRR9000003", "SRR9000004"], ids=["paired", "single"])
def test_an_sra_archive_gives_back_the_reads_it_was_made_of(
    server: Server, demo: Path, tmp_path: Path, run: str
) -> None:
    content = server.client.get(f"/sra/{run}/{run}").content
    row = server.rows(run)[run]
    assert hashlib.md5(content).hexdigest() == row["sra_md5"]
    assert (row["fastq_ftp"], row["read_count"], row["sra_bytes"]) == ("", "300", str(len(content)))
    (tmp_path / run).mkdir()
    (tmp_path / run / f"{run}.sra").write_bytes(content)
    subprocess.run(["vdb-validate", run], cwd=tmp_path, check=True, capture_output=True)
    dump = ["fasterq-dump", run, "--split-3", "-O", "fq"]
    subprocess.run(dump, cwd=tmp_path, check=True, capture_output=True)
    names = ("_1", "_2") if row["library_layout"] == "PAIRED" else ("",)
    for name in names:
        assert bases_and_qualities((tmp_path / f"fq/{run}{name}.fastq").read_text()) == (
            bases_and_qualities(unzip(demo / f"fastq/{run}{name}.fastq.gz"))
        )


def unzip(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def bases_and_qualities(text: str) -> list[str]:
    return [line for i, line in enumerate(text.splitlines()) if i % 2]


def test_the_bucket_answers_head_ranges_and_missing_keys_as_s3_does(server: Server) -> None:
    whole = server.client.get("/sra/SRR9000001/SRR9000001")
    head = server.client.head("/sra/SRR9000001/SRR9000001")
    assert head.headers["content-length"] == str(len(whole.content)) and not head.content
    assert head.headers["etag"] == f'"{hashlib.md5(whole.content).hexdigest()}"'
    part = server.client.get("/sra/SRR9000001/SRR9000001", headers={"Range": "bytes=100-"})
    assert part.status_code == 206 and part.content == whole.content[100:]
    assert part.headers["content-range"].endswith(f"/{len(whole.content)}")
    beyond = {"Range": f"bytes={len(whole.content)}-"}
    assert server.client.get("/sra/SRR9000001/SRR9000001", headers=beyond).status_code == 416
    for missing in ("SRR9000002", "SRR1234567"):  # offered as FASTQ only; unknown
        reply = server.client.get(f"/sra/{missing}/{missing}")
        assert reply.status_code == 404 and "<Code>NoSuchKey</Code>" in reply.text


def test_fastq_comes_with_the_md5_and_size_that_the_filereport_promises(server: Server) -> None:
    rows = server.rows("SRP900001")
    assert len(rows) == 8 and rows == server.rows("PRJNA900001")
    assert {run for run, row in rows.items() if not row["sra_md5"]} == {"SRR9000002"}
    assert {run for run, row in rows.items() if not row["fastq_md5"]} == {
        "SRR9000003",
        "SRR9000004",
    }
    for row in rows.values():
        files = zip(*(row[f"fastq_{x}"].split(";") for x in ("ftp", "md5", "bytes")), strict=True)
        for address, md5, size in files:
            if address:
                content = server.client.get(f"http://{address}").content
                assert (hashlib.md5(content).hexdigest(), str(len(content))) == (md5, size)
    hidden = "/vol1/fastq/SRR900/003/SRR9000003/SRR9000003_1.fastq.gz"
    assert server.client.get(hidden).status_code == 404


def test_the_filereport_has_enas_columns_and_refusals(server: Server) -> None:
    plain = server.report("SRR9000001").text.splitlines()
    recorded = sorted((SHARED / "api/refinebio_cassettes/ena_filereport").glob("*SRR3098579*"))
    if recorded:
        assert plain[0] == recorded[0].read_text().splitlines()[0]
    chosen = server.report("SRX9000001", fields="tax_id,read_count").text
    assert chosen == (
        "run_accession\ttax_id\tread_count\nSRR9000001\t9606\t300\nSRR9000002\t9606\t300\n"
    )
    assert len(server.report("SRP900001", limit="2", format="json").json()) == 2
    unknown = server.report("SRR1234567")
    assert (unknown.status_code, unknown.content) == (204, b"")
    for bad in (server.report("GSE900001"), server.report("SRR9000001", fields="color")):
        assert bad.status_code == 400 and "Invalid" in bad.json()["message"]


SWEEP = (
    'gse[ETYP] AND "expression profiling by high throughput sequencing"[DataSet Type]'
    ' AND ("Homo sapiens"[Organism] OR "Mus musculus"[orgn]) AND '
)


@pytest.mark.parametrize(
    ("term", "uids"),
    [
        ("GSE900001[ACCN] AND gse[ETYP]", ["200900001"]),
        (SWEEP + '("2026/11/01"[PDAT] : "2026/11/30"[PDAT])', ["200900001"]),
        (SWEEP + "2026/11/01:2026/11/01[PDAT]", ["200900001"]),
        (SWEEP + "2026/10/01:2026/10/31[PDAT]", []),
        ("poison exon gse[ETYP] NOT txid10090[Organism:noexp]", ["200900001"]),
        ("GSM9000002[Accession] AND gsm[Entry Type]", ["309000002"]),
        ("GSE900001[No Such Field]", []),
    ],
)
def test_esearch_finds_what_the_term_says(server: Server, term: str, uids: list[str]) -> None:
    found = server.entrez("esearch", term=term)["esearchresult"]
    assert (found["idlist"], found["count"]) == (uids, str(len(uids)))


@pytest.mark.parametrize("term", ["(gse[ETYP]", "a AND", "x:y[PDAT]", ")", '"open'])
def test_a_term_that_cannot_be_read_is_an_error_within_http_200(server: Server, term: str) -> None:
    assert "ERROR" in server.entrez("esearch", term=term)["esearchresult"]
    if "PDAT" not in term:
        with pytest.raises(TermError):
            compile_term(term)


def test_a_kept_search_is_paged_from_the_history(server: Server) -> None:
    ask = {"term": "GSE900001[ACCN]", "usehistory": "y", "retmax": "0"}
    kept = server.entrez("esearch", **ask)["esearchresult"]
    assert (kept["count"], kept["idlist"]) == ("8", [])
    page = {"WebEnv": kept["webenv"], "query_key": kept["querykey"]}
    result = server.entrez("esummary", **page, retstart="1", retmax="2")["result"]
    assert [result[uid]["accession"] for uid in result["uids"]] == ["GSM9000001", "GSM9000002"]
    assert "esummaryresult" in server.entrez("esummary", WebEnv="MCID_forgotten", query_key="1")


def test_esummary_has_the_keys_of_a_recorded_reply_and_unicode(server: Server) -> None:
    result = server.entrez("esummary", id="200900001,309000004,7")["result"]
    series, sample = result["200900001"], result["309000004"]
    recorded = SHARED / "api/gds/esummary_GSE226260_longcovid_331samples_2gpl_sra.json"
    if recorded.exists():
        assert set(series) >= set(json.loads(recorded.read_text())["result"]["200226260"])
    assert series["n_samples"] == len(series["samples"]) == 7
    assert series["extrelations"][0]["targetobject"] == "SRP900001"
    assert sample["extrelations"][0]["targetobject"] == "SRX9000004"
    assert "5 µM SF‑inhibitor" in sample["summary"]
    assert result["7"]["error"] == "cannot get document summary"


def test_runinfo_is_a_csv_with_ncbis_columns(server: Server) -> None:
    ask = {"db": "sra", "id": "SRP900001", "rettype": "runinfo"}
    text = server.client.get("/entrez/eutils/efetch.fcgi", params=ask).text
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["LibraryLayout"] for row in rows].count("SINGLE") == 2
    assert rows[0]["spots"] == "300" and rows[0]["avgLength"] == "200" and len(rows[0]) == 47


def test_a_series_added_at_run_time_outlives_a_restart(server: Server, small: Path) -> None:
    reply = server.client.post("/_local/series", json={"folder": str(small)})
    assert reply.json()["samples"] == ["SRX9077604", "SRX9077606"]
    before = {run: row["sra_md5"] for run, row in server.rows("SRP900777").items()}
    server.stop()
    server.folders = []
    server.start()
    # A new archive of the same reads would have another md5: it holds the time it was made.
    assert {run: row["sra_md5"] for run, row in server.rows("SRP900777").items()} == before
    health = server.client.get("/health").json()
    assert {each["accession"] for each in health["series"]} == {"GSE900001", "GSE900777"}
    assert [Path(folder).name for folder in health["problems"]] == ["GSE1"]


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return spoil


def truncate(folder: Path) -> None:
    path = folder / "fastq/SRR9077605_1.fastq.gz"
    path.write_bytes(path.read_bytes()[:-200])


def shorten(folder: Path) -> None:
    path = folder / "fastq/SRR9077605_2.fastq.gz"
    lines = unzip(path).splitlines(keepends=True)
    with gzip.open(path, "wt") as out:
        out.writelines(lines[:-4])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, r"samples.csv line 2: .*SRR9077605_1.fastq.gz cannot be read"),
        (shorten, r"samples.csv line 2: mates have .* SRR9077605_1.* 20 and SRR9077605_2.* 19"),
        (lambda f: (f / "fastq/SRR9077607.fastq.gz").unlink(), r"line 3: no file .*SRR9077607"),
        (lambda f: (f / "samples.csv").unlink(), r"neither samples.csv nor samplesheet.csv"),
        (replace("samples.csv", "SRR9077607,", "sample7,"), r"line 3: run 'sample7' is not"),
        (replace("samples.csv", "SRR9077607,", "SRR9077605,"), r"line 3: run SRR9077605 is also"),
        (replace("samples.csv", ",both,", ",ftp,"), r"line 2: offered 'ftp' → use one of both"),
        (replace("samples.csv", "fastq_1", "reads"), r"samples.csv line 1 lacks column fastq_1"),
        (replace("samples.csv", "SRX9077604,", ""), r"line 2 has not as many values as line 1"),
        (replace("series.yaml", "accession: GSE900777", "accession: E-1"), r"no GEO series .'E-1'"),
        (replace("series.yaml", "accession: GSE900777", "{"), r"series.yaml is not YAML"),
        (replace("series.yaml", "taxid: 9606", "taxid: human"), r"taxid 'human' is not a number"),
    ],
)
def test_a_bad_folder_is_refused_with_file_and_line(
    small: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(small)
    catalogue = Catalogue(tmp_path / "state")
    with pytest.raises(InputError, match=message):
        catalogue.add(small)
    assert not catalogue.series() and not catalogue.wishes


def test_two_folders_cannot_claim_the_same_run(server: Server, small: Path, tmp_path: Path) -> None:
    replace("samples.csv", "SRR9077607", "SRR9000001")(small)
    other = small.rename(tmp_path / "GSE900778")
    replace("series.yaml", "GSE900777", "GSE900778")(other)
    reply = server.client.post("/_local/series", json={"folder": str(other)})
    assert reply.status_code == 400 and "line 3: run SRR9000001 is also in" in reply.text
    assert server.report("SRR9000001").status_code == 200


def test_a_truncated_file_offered_as_fastq_is_served_as_it_is(small: Path, tmp_path: Path) -> None:
    truncate(small)
    replace("samples.csv", "both", "fastq")(small)
    catalogue = Catalogue(tmp_path / "state")
    run = catalogue.add(small).runs[0]
    content = (small / "fastq/SRR9077605_1.fastq.gz").read_bytes()
    assert catalogue.facts(run)[0].md5 == hashlib.md5(content).hexdigest()
    assert catalogue.sra(run) is None
    catalogue.store.close()


@pytest.mark.skipif(not YEAST.is_dir(), reason=f"{YEAST} is absent")
def test_an_nf_core_sheet_becomes_a_series_with_samples_of_several_runs() -> None:
    series = read_series(YEAST, "Saccharomyces cerevisiae", 4932)
    assert (series.accession, series.organism, series.taxid) == (
        *("GSE110004", "Saccharomyces cerevisiae"),
        4932,
    )
    first = [run.accession for run in series.runs if run.experiment == "SRX6357070"]
    assert first == ["SRR6357070", "SRR6357071"]
    assert [run.title for run in series.runs][:3] == ["WT_REP1", "WT_REP1", "WT_REP2"]
    assert [run.accession for run in series.runs if run.offered == "sra"] == [
        *("SRR6357072", "SRR6357075")
    ]
    assert [run.paired for run in series.runs] == [True] * 3 + [False] * 3 + [True]
    assert read_series(YEAST).taxid == 32644
