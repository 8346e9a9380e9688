"""Sample sheets: what is read, and errors that name row and column."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from seqharvest import sample_sheet
from seqharvest.errors import InputError

REPO = Path(__file__).resolve().parents[1]
SCHEMA = yaml.safe_load(
    (REPO / "snakemake_workflows/qc/workflow/schemas/samples.schema.yaml").read_text()
)
HEADER = "sample\tlayout\truns\tstrandedness\n"


def sheet(folder: Path, text: str) -> Path:
    path = folder / "samples.tsv"
    path.write_text(text)
    return path


def test_runs_are_split_and_mates_follow_from_the_layout(tmp_path: Path) -> None:
    path = sheet(tmp_path, HEADER + "S1\tpaired\tR1,R2\treverse\nS2\tsingle\tR3\t\n")
    samples = sample_sheet.read(path, SCHEMA)
    assert samples["S1"].runs == ("R1", "R2")
    assert (samples["S1"].mates, samples["S2"].mates) == ((1, 2), (1,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample\tlayout\nS1\tpaired\n", "row 1 has no column runs, strandedness"),
        (HEADER, "has no samples"),
        (HEADER + "S1\tpair\tR1\t\n", "row 2, column layout: 'pair' is not one of"),
        (HEADER + "S1\tsingle\tR1\t\nS/2\tsingle\tR1\t\n", "row 3, column sample: 'S/2' does not"),
        (HEADER + "S1\tsingle\t\t\n", "row 2, column runs: '' does not match"),
        (HEADER + "S1\tsingle\n", "row 2, column runs: '' does not match"),
        (HEADER + "S1\tsingle\tR1\t\nS1\tsingle\tR2\t\n", "row 3, column sample: 'S1' is in an"),
    ],
)
def test_what_is_wrong_is_named_by_row_and_column(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        sample_sheet.read(sheet(tmp_path, text), SCHEMA)
    assert said in str(caught.value)


def test_a_sheet_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.tsv cannot be read: No such file"):
        sample_sheet.read(tmp_path / "none.tsv")
