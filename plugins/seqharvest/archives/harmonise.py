"""Says in our words what submitters' metadata says in theirs, by a versioned synonym table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).with_name("harmonise.yaml")
#: The fields, in the order of the lake's columns.
FIELDS = ("tissue", "cell_line", "cell_type", "disease", "sex", "age", "treatment", "genotype")
_AGE = re.compile(r"(\d+(?:[.,]\d+)?(?: ?(?:-|–|to) ?\d+(?:[.,]\d+)?)?) ?-?([a-z/ ]*)")
# A longer text is a protocol, not a value.
LONGEST = 200


@dataclass(frozen=True)
class Terms:
    """The synonym table, ready to be looked up; names and values are in plain form."""

    version: int
    unknown: frozenset[str]
    names: Mapping[str, tuple[str, ...]]  # by field, most telling first
    values: Mapping[str, Mapping[str, str]]  # by field: our word for theirs
    units: Mapping[str, str]


def harmonise(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known of the fields, with `terms`, the version of the synonym table.

    A value that the table does not know stays as it was given; a field that nothing is said of
    is left out.
    """
    table = terms()
    given: dict[str, str] = {}
    for name, value in metadata.items():
        text = str(value).strip()
        if text and plain(text) not in table.unknown and len(text) <= LONGEST:
            given.setdefault(plain(str(name)), text)
    found: dict[str, str] = {}
    for field in FIELDS:
        named = [(name, given[name]) for name in table.names[field] if name in given]
        told = [_value(field, name, text, table) for name, text in named]
        # "none" is an answer only where the table has a word for it, as for a treatment.
        words = [word for word in told if plain(word) != "none"]
        if words:
            found[field] = words[0]
    return {**found, "terms": str(table.version)}


def plain(text: str) -> str:
    """Return a text without letter case, accents of form, and differing separators."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("_", " ")
    return " ".join(folded.split())


@cache
def terms() -> Terms:
    """Return the synonym table of this version of the code."""
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    fields = table["fields"]
    return Terms(
        version=int(table["version"]),
        unknown=frozenset(plain(word) for word in table["unknown"]),
        names={field: tuple(plain(name) for name in fields[field]["names"]) for field in FIELDS},
        values={field: _inverse(fields[field].get("values", {})) for field in FIELDS},
        units=_inverse(fields["age"]["units"]),
    )


def _inverse(synonyms: Mapping[str, list[str]]) -> dict[str, str]:
    ours = {plain(word): word for word in synonyms}
    return ours | {plain(word): our for our, words in synonyms.items() for word in words}


def _value(field: str, name: str, text: str, table: Terms) -> str:
    if field == "age":
        return _age(name, text, table)
    return table.values[field].get(plain(text), text)


def _age(name: str, text: str, table: Terms) -> str:
    """Return "45 years" for "45y", and for "45" of an attribute `age (years)`; else as given."""
    match = _AGE.fullmatch(plain(text))
    if match is None:
        return text
    number, unit = match[1].replace(",", "."), match[2].strip()
    if not unit:  # perhaps the attribute's name has it
        unit = next((word for word in re.findall(r"[a-z]+", name) if word in table.units), "")
        return f"{number} {table.units[unit]}" if unit else text
    return f"{number} {table.units[unit]}" if unit in table.units else text
