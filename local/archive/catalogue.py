"""Keeps the list of served series, and finds runs, samples and studies in it by accession."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.archive.facts import FactBook, Facts, write_atomically
from local.archive.series import Run, Series, read_series
from local.archive.sra import SraFile, SraStore
from seqharvest.errors import InputError, SeqharvestError

log = logging.getLogger(__name__)
WAIT_SECONDS = 600  # for an archive that others stand before in the queue


@dataclass(frozen=True)
class Wish:
    """A folder somebody asked to have served, and how to name its organism."""

    folder: str
    organism: str = ""
    taxid: int = 0


class Catalogue:
    """Served series by folder; the list outlives the process, a bad folder spoils no other."""

    def __init__(self, state: Path) -> None:
        self.list = state / "series.json"
        self.book = FactBook(state / "facts.json")
        self.store = SraStore(state / "sra")
        self.lock = threading.RLock()
        self.wishes: dict[str, Wish] = {}
        self.served: dict[str, Series] = {}
        self.problems: dict[str, str] = {}
        if self.list.exists():
            saved = json.loads(self.list.read_text())
            self.wishes = {each["folder"]: Wish(**each) for each in saved}

    def wish(self, folder: Path, organism: str = "", taxid: int = 0) -> Wish:
        """Put a folder on the list; `load_all` or `load` reads it."""
        wish = Wish(str(folder.resolve()), organism, taxid)
        with self.lock:
            self.wishes[wish.folder] = wish
            self._save()
        return wish

    def add(self, folder: Path, organism: str = "", taxid: int = 0) -> Series:
        """Serve a folder from now on; raises `InputError`, and then keeps the list as it was."""
        wish = Wish(str(folder.resolve()), organism, taxid)
        series = self.load(wish)
        self.wish(folder, organism, taxid)
        return series

    def load_all(self) -> None:
        """Read every folder on the list; what cannot be served is logged and reported."""
        for wish in list(self.wishes.values()):
            try:
                self.load(wish)
            except SeqharvestError as error:
                log.error("series not served: %s", error)

    def load(self, wish: Wish) -> Series:
        """Read one folder and start on its archives; raises `InputError`."""
        try:
            series = read_series(Path(wish.folder), wish.organism, wish.taxid)
            facts = self._check(series)
        except SeqharvestError as error:
            with self.lock:
                self.served.pop(wish.folder, None)
                self.problems[wish.folder] = str(error)
            raise
        with self.lock:
            self.served[wish.folder] = series
            self.problems.pop(wish.folder, None)
        for run in series.runs:
            if run.offered != "fastq":
                self.store.ask(run, [each.md5 for each in facts[run.accession]])
        log.info(
            "project=%s served: %d runs of %s", series.accession, len(series.runs), wish.folder
        )
        return series

    def series(self) -> list[Series]:
        """Everything served, by accession."""
        with self.lock:
            return sorted(self.served.values(), key=lambda series: series.accession)

    def find_runs(self, accession: str) -> list[tuple[Series, Run]]:
        """Runs of a run, experiment, sample or study accession, as ENA knows them."""
        return [
            (series, run)
            for series, run in self.runs()
            if accession
            in (
                *(run.accession, run.experiment, run.srs, run.biosample),
                *(series.study, series.bioproject),
            )
        ]

    def runs(self) -> Iterator[tuple[Series, Run]]:
        """Every run with its series."""
        for series in self.series():
            for run in series.runs:
                yield series, run

    def run(self, accession: str) -> Run | None:
        """One run by its accession."""
        return next((run for _, run in self.runs() if run.accession == accession), None)

    def facts(self, run: Run) -> list[Facts]:
        """Facts of a run's FASTQ files."""
        return [self.book.facts(path) for path in run.files]

    def sra(self, run: Run) -> SraFile | None:
        """A run's archive, waited for when it is not made yet; `None` when it is not offered.

        Raises `ArchiveError` when the archive cannot be made.
        """
        if run.offered == "fastq":
            return None
        return self.store.ask(run, [each.md5 for each in self.facts(run)]).result(WAIT_SECONDS)

    def _check(self, series: Series) -> dict[str, list[Facts]]:
        """Measure a series' files; raises `InputError` for what no loader or client could read."""
        for other in self.series():
            if other.folder != series.folder:
                _check_disjoint(series, other)
        facts = {run.accession: self.facts(run) for run in series.runs}
        for run in series.runs:
            if run.offered != "fastq":
                _check_readable(run, facts[run.accession])
        return facts

    def _save(self) -> None:
        wishes = [vars(wish) for wish in self.wishes.values()]
        write_atomically(self.list, json.dumps(wishes, indent=1))


def _check_disjoint(series: Series, other: Series) -> None:
    """Two folders may not claim the same accession."""
    if series.accession == other.accession:
        raise InputError(
            f"{series.folder} is {series.accession}, but so is {other.folder}", "rename one"
        )
    theirs = {run.accession: run for run in other.runs}
    for run in series.runs:
        if run.accession in theirs:
            raise InputError(
                f"{run.where}: run {run.accession} is also in {theirs[run.accession].where}",
                "give it another accession",
            )


def _check_readable(run: Run, facts: list[Facts]) -> None:
    offer = "mend it, or set offered=fastq to serve it as it is"
    for path, fact in zip(run.files, facts, strict=True):
        if fact.broken:
            raise InputError(f"{run.where}: {path} cannot be read: {fact.broken}", offer)
        if not fact.reads:
            raise InputError(f"{run.where}: {path} has no reads", offer)
    if len({fact.reads for fact in facts}) > 1:
        counts = " and ".join(
            f"{path.name} {fact.reads}" for path, fact in zip(run.files, facts, strict=True)
        )
        raise InputError(f"{run.where}: mates have different numbers of reads: {counts}", offer)
