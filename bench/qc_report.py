"""Time, memory and size of a project's QC report over many samples, and how fast it opens.

`python -m bench.qc_report --samples 1500 --from <folder with QC results of a few real samples>`
copies the results of real samples (`qc/fingerprint=…/project=…/sample=…/`) under new names, counts
drawn anew, 1 in 20 failing and 1 in 10 warning, makes the report, and opens its page in Chromium.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from seqharvest.layout import report_prefix, result_prefix

PROJECT, FINGERPRINT = "BENCH", "bench"
CHROMIUM = "/usr/bin/chromium"


def main() -> None:
    """Make the project, its report, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_500)
    parser.add_argument("--from", dest="source", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        make(root, given.source, given.samples)
        started = time.perf_counter()
        subprocess.run(
            [
                *(sys.executable, "-m", "seqharvest.qc.report", "--project", PROJECT),
                *("--fingerprint", FINGERPRINT, "--release", "bench", "--source", str(root)),
            ],
            check=True,
        )
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        report = root / report_prefix(FINGERPRINT, PROJECT)
        page = report / "multiqc_report.html"
        print(f"samples            {given.samples}")
        print(f"report made in     {seconds:.1f} s, {used:.0f} MB")
        print(f"page               {page.stat().st_size / 1e6:.1f} MB")
        print(f"verdicts.json      {(report / 'verdicts.json').stat().st_size / 1e6:.1f} MB")
        print(f"page opens in      {opened(page):.1f} s (load event, then the table is drawn)")


def make(root: Path, source: Path, samples: int) -> None:
    """Write the results of made-up samples, each a real one's with numbers of its own."""
    random = np.random.default_rng(1)
    real = sorted(path for path in source.glob("sample=*") if (path / "metrics.json").exists())
    for number in range(samples):
        template = real[number % len(real)]
        folder = root / result_prefix("qc", FINGERPRINT, PROJECT, f"SRX{9_000_000 + number}")
        folder.mkdir(parents=True)
        for name in ("fastp.json", "fastqc.zip", "Log.final.out"):
            (folder / name).symlink_to((template / name).resolve())
        metrics = json.loads((template / "metrics.json").read_text())
        if number % 20 == 0:
            metrics["metrics"]["unique_share"] = float(random.uniform(0.05, 0.25))
        elif number % 10 == 1:
            metrics["metrics"]["rrna_share"] = float(random.uniform(0.35, 0.6))
        metrics["sketch"] = [f"{x:x}" for x in random.integers(0, 1 << 40, 390).tolist()]
        (folder / "metrics.json").write_text(json.dumps(metrics))
        table = parquet.read_table(template / "counts.parquet")
        drawn = random.poisson(table["unstranded"].to_numpy())
        at = table.schema.get_field_index("unstranded")
        table = table.set_column(at, "unstranded", pa.array(drawn, pa.int32()))
        parquet.write_table(table, folder / "counts.parquet", compression="zstd")


def opened(page: Path) -> float:
    """Seconds until Chromium has the page loaded and the verdict table has rows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        started = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="load", timeout=120_000)
        tab.wait_for_selector("#seqharvest_verdicts_table_table tbody tr", timeout=60_000)
        seconds = time.perf_counter() - started
        browser.close()
        return seconds


if __name__ == "__main__":
    main()
