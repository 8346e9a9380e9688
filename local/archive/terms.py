"""Reads Entrez search terms, such as `gse[ETYP] AND 2026/01/01:2026/01/31[PDAT]`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from local.archive.series import Run, Series

Test = Callable[["Document"], bool]


@dataclass(frozen=True)
class Document:
    """What a search can ask of an entry."""

    uid: int
    accessions: frozenset[str]  # upper case
    entry_type: str
    published: str  # YYYY/MM/DD
    organism: str
    taxid: int
    kind: str  # the data set type
    samples: int
    text: str  # everything else that all fields search
    series: Series
    runs: tuple[Run, ...] = ()  # a sample's, or the one run of an SRA entry


class TermError(ValueError):
    """A term that cannot be read."""


_FIELDS = {
    "etyp": "etyp",
    "entry type": "etyp",
    "pdat": "pdat",
    "publication date": "pdat",
    "orgn": "orgn",
    "organism": "orgn",
    "accn": "accn",
    "accession": "accn",
    "geo accession": "accn",
    "gtyp": "gtyp",
    "dataset type": "gtyp",
    "nsam": "nsam",
    "number of samples": "nsam",
    "all": "all",
    "all fields": "all",
}
_TOKEN = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<colon>:)|\[(?P<field>[^\]]*)\]"
    r'|"(?P<quoted>[^"]*)"|(?P<word>[^\s()\[\]":]+))'
)


def compile_term(term: str) -> Test:
    """Turn a term into a test; raises `TermError` for one that Entrez could not read either."""
    parser = _Parser(_tokens(term))
    test = parser.expression()
    if parser.at < len(parser.tokens):
        raise TermError(f"unexpected {parser.tokens[parser.at][1]!r}")
    return test


def _tokens(term: str) -> list[tuple[str, str]]:
    found, at = [], 0
    term = term.rstrip()
    while at < len(term):
        match = _TOKEN.match(term, at)
        if match is None:
            raise TermError(f"cannot read {term[at : at + 20]!r}")
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        at = match.end()
    return found


class _Parser:
    """Left to right, as Entrez does: AND, OR and NOT bind alike, and a gap means AND."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0

    def expression(self) -> Test:
        test = self.factor()
        while self.at < len(self.tokens) and self.peek()[0] != "close":
            kind, text = self.peek()
            operator = text.upper() if kind == "word" else ""
            if operator in ("AND", "OR", "NOT"):
                self.at += 1
            test = _combine(operator, test, self.factor())
        return test

    def factor(self) -> Test:
        kind, text = self.take()
        if kind == "open":
            test = self.expression()
            if self.take()[0] != "close":
                raise TermError("a parenthesis is not closed")
            return test
        if kind not in ("quoted", "word"):
            raise TermError(f"unexpected {text!r}")
        name = self.field()
        if self.peek()[0] == "colon":
            self.at += 1
            last = self.take()[1]
            return _range(self.field() or name, text, last)
        return _single(name or "all", text)

    def field(self) -> str:
        if self.peek()[0] != "field":
            return ""
        given = self.take()[1].strip().lower().partition(":")[0]  # [Organism:noexp]
        # An unknown field finds nothing, as in Entrez; "?" keeps it apart from no field.
        return _FIELDS.get(given, "?")

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token[0] == "end":
            raise TermError("the term ends too early")
        self.at += 1
        return token


def _combine(operator: str, left: Test, right: Test) -> Test:
    if operator == "OR":
        return lambda document: left(document) or right(document)
    if operator == "NOT":
        return lambda document: left(document) and not right(document)
    return lambda document: left(document) and right(document)


def _single(name: str, text: str) -> Test:
    low = text.lower()
    tests: dict[str, Test] = {
        "etyp": lambda d: d.entry_type.lower() == low,
        "pdat": lambda d: _day(text, "01") <= d.published <= _day(text, "99"),
        "orgn": lambda d: low in (d.organism.lower(), f"txid{d.taxid}", str(d.taxid)),
        "accn": lambda d: text.upper() in d.accessions,
        "gtyp": lambda d: low == d.kind.lower(),
        "nsam": lambda d: low == str(d.samples),
        "all": lambda d: text.upper() in d.accessions or low in d.text.lower(),
    }
    return tests.get(name, lambda _: False)


def _range(name: str, first: str, last: str) -> Test:
    if name == "pdat":
        return lambda d: _day(first, "01") <= d.published <= _day(last, "99")
    if name == "nsam" and first.isdecimal() and last.isdecimal():
        return lambda d: int(first) <= d.samples <= int(last)
    raise TermError(f"{first}:{last} is not a range of dates or of sample numbers")


def _day(text: str, fill: str) -> str:
    """A date that may lack its month or day, filled to compare as text."""
    parts = [part.zfill(2) for part in text.strip().split("/")]
    if len(parts) > 3 or not all(part.isdecimal() for part in parts):
        raise TermError(f"{text!r} is not a date")
    return "/".join([*parts, fill, fill][:3])
