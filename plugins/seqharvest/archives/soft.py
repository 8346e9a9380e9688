"""Reads GEO's own words on a series and its samples, in SOFT text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from seqharvest.archives.http import ArchiveClient, PassingError, snippet
from seqharvest.settings import settings

_LINE = re.compile(r"!([A-Za-z]+)_([^=]*?) = (.*)", re.DOTALL)
_RELATED = re.compile(r"SuperSeries of: (GSE\d{1,9})", re.IGNORECASE)
_EXPERIMENT = re.compile(r"SRA: .*?([SED]RX\d+)")
#: Of a sample's description, what says what it is; characteristics come beside it.
KEPT = (
    *("source_name_ch1", "molecule_ch1", "treatment_protocol_ch1", "growth_protocol_ch1"),
    "description",
)


@dataclass(frozen=True)
class Entity:
    """A series or sample with its attributes as they were given, in their order."""

    kind: str  # SERIES, SAMPLE, PLATFORM
    accession: str
    attributes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def experiment(self) -> str:
        """The SRA experiment of a sample, or an empty string."""
        found = map(_EXPERIMENT.match, self.attributes.get("relation", ()))
        return next((match[1] for match in found if match), "")

    @property
    def described(self) -> dict[str, str]:
        """A sample's characteristics by name and its free texts; what repeats is joined."""
        parts: dict[str, list[str]] = {}
        for text in self.attributes.get("characteristics_ch1", ()):
            name, colon, value = text.partition(":")
            key = name.strip() if colon and name.strip() else "characteristics"
            parts.setdefault(key, []).append((value if colon else text).strip())
        for name in KEPT:
            for text in self.attributes.get(name, ()):
                parts.setdefault(name.removesuffix("_ch1"), []).append(text)
        joined = {name: "; ".join(filter(None, values)) for name, values in parts.items()}
        return {name: value for name, value in joined.items() if value}


def samples(gse: str, client: ArchiveClient) -> list[Entity]:
    """Return the samples of a series as GEO describes them; raises `ArchiveError`."""
    return [entity for entity in _display(gse, "gsm", client) if entity.kind == "SAMPLE"]


def subseries(gse: str, client: ArchiveClient) -> tuple[str, ...]:
    """Return the series that a superseries consists of; raises `ArchiveError`."""
    related = [
        match[1]
        for entity in _display(gse, "self", client)
        for text in entity.attributes.get("relation", ())
        if (match := _RELATED.match(text))
    ]
    return tuple(dict.fromkeys(related))


def _display(gse: str, target: str, client: ArchiveClient) -> list[Entity]:
    # `brief` leaves out the data tables.
    ask = {"acc": gse, "targ": target, "form": "text", "view": "brief"}

    def read(response: httpx.Response) -> list[Entity]:
        return parse_soft(response.content)

    return client.get(settings().geo_url, ask, read)


def parse_soft(body: bytes) -> list[Entity]:
    """Read SOFT text; raises `ArchiveError` for anything else."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("cp1252", "replace")  # what old submissions were typed in
    entities = list(_entities(text))
    if not entities:
        raise PassingError(f"GEO's reply is not SOFT: {snippet(body)}")
    return entities


def _entities(text: str) -> Iterator[Entity]:
    current: Entity | None = None
    # Not splitlines(): U+2028 and the like are part of a description.
    for line in re.split(r"\r\n|\n|\r", text):
        if line.startswith("^"):
            if current:
                yield current
            kind, _, accession = line[1:].partition(" = ")
            current = Entity(kind.strip().upper(), accession.strip())
        elif current and (match := _LINE.fullmatch(line)):
            current.attributes.setdefault(match[2].strip(), []).append(match[3].strip())
    if current:
        yield current
