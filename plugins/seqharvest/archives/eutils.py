"""Talks to NCBI's E-utilities: a search kept on the history server, and its pages."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from seqharvest.archives.http import ArchiveClient, NcbiSpacing, PassingError, snippet
from seqharvest.errors import ArchiveError
from seqharvest.settings import settings

log = logging.getLogger(__name__)
Page = TypeVar("Page")

# NCBI forgets a history after hours, or sooner when it is busy; a second search is enough.
SEARCHES = 2
FORGOTTEN = ("unable to obtain query", "webenv", "query_key", "uid list is empty", "empty id list")


class ForgottenError(ArchiveError):
    """NCBI no longer has a search in its history: it is to be searched again."""


@dataclass(frozen=True)
class Found:
    """A search on NCBI's history server."""

    count: int
    webenv: str
    query_key: str


def ncbi_client() -> ArchiveClient:
    """Return a client that keeps NCBI's pace."""
    return ArchiveClient(spacing=NcbiSpacing())


def everything(
    db: str,
    term: str,
    tool: str,
    client: ArchiveClient,
    parse: Callable[[httpx.Response, int], Page],
    *,
    size: int,
    parameters: Mapping[str, str],
) -> list[Page]:
    """Return all pages of what a term finds; `parse` gets a reply and how many it must tell of.

    Raises `ArchiveError` when NCBI fails; no pages means honestly that nothing was found.
    """
    for last in (False,) * (SEARCHES - 1) + (True,):
        found = find(db, term, client)
        try:
            return list(_pages(db, found, tool, client, parse, size, parameters))
        except ForgottenError as error:
            if last:
                raise
            log.warning("%s; searching again", error)
    raise AssertionError("unreachable")


def find(db: str, term: str, client: ArchiveClient) -> Found:
    """Search and leave the result on the history server; raises `ArchiveError`."""

    def read(response: httpx.Response) -> Found:
        return parse_search(check_reply(response.content))

    return ask(
        "esearch",
        {"db": db, "term": term, "usehistory": "y", "retmax": "0", "retmode": "json"},
        read,
        client,
    )


def _pages(
    db: str,
    found: Found,
    tool: str,
    client: ArchiveClient,
    parse: Callable[[httpx.Response, int], Page],
    size: int,
    parameters: Mapping[str, str],
) -> Iterator[Page]:
    for start in range(0, found.count, size):
        expected = min(size, found.count - start)
        page = {"db": db, "WebEnv": found.webenv, "query_key": found.query_key}
        page |= {"retstart": str(start), "retmax": str(size), **parameters}

        def read(response: httpx.Response, expected: int = expected) -> Page:
            return parse(response, expected)

        yield ask(tool, page, read, client)


def ask(
    tool: str,
    parameters: Mapping[str, str],
    read: Callable[[httpx.Response], Page],
    client: ArchiveClient,
) -> Page:
    """Ask an E-utility in our name; `read` makes a value of the reply or raises."""
    known = settings()
    identity = {
        "tool": known.ncbi_tool,
        "email": known.ncbi_email,
        "api_key": known.ncbi_api_key,
    }
    query = {**parameters, **{name: value for name, value in identity.items() if value}}
    return client.get(f"{known.eutils_url}/{tool}.fcgi", query, read)


def check_reply(body: bytes) -> dict[str, Any]:
    """Return an E-utilities JSON reply; raises `PassingError` for an error in its place.

    NCBI reports most failures with HTTP 200: as `error`, as `ERROR` in the search result, or as
    a list of texts where the summaries should be. A lost history is a `ForgottenError`.
    """
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PassingError(f"NCBI's reply is not JSON: {snippet(body)}") from error
    if not isinstance(reply, dict):
        raise PassingError(f"NCBI's reply is not an object: {snippet(body)}")
    found = reply.get("esearchresult")
    problems = [reply.get("error"), reply.get("esummaryresult"), reply.get("efetchresult")]
    if isinstance(found, dict):
        problems.append(found.get("ERROR"))
    for problem in filter(None, problems):
        text = "; ".join(map(str, problem)) if isinstance(problem, list) else str(problem)
        raise_problem(text)
    return reply


def raise_problem(text: str) -> None:
    """Raise what NCBI said in the place of an answer: a lost history, or what may pass."""
    message = f"NCBI answered with an error: {snippet(text.encode('utf-8', 'replace'), 300)}"
    if any(words in text.lower() for words in FORGOTTEN):
        raise ForgottenError(message, "try again later")
    raise PassingError(message)


def parse_search(reply: Mapping[str, Any]) -> Found:
    """Return where the history server keeps a search, and its count; raises `ArchiveError`."""
    result = reply.get("esearchresult")
    if not isinstance(result, dict):
        raise PassingError(f"NCBI's reply has no esearchresult: {str(reply)[:160]}")
    count = result.get("count")
    if not is_number(count):
        raise PassingError(f"NCBI's count is not a number: {str(count)[:160]}")
    found = Found(int(str(count)), str(result.get("webenv", "")), str(result.get("querykey", "")))
    if found.count and not (found.webenv and is_number(found.query_key)):
        raise PassingError(f"NCBI found {found.count} entries but kept no history of them")
    _warn(result)
    return found


def is_number(value: Any) -> bool:
    """Say whether a reply's value is a plain whole number that is not absurdly long."""
    text = str(value)
    return text.isascii() and text.isdecimal() and len(text) < 16


def _warn(result: Mapping[str, Any]) -> None:
    """Log the phrases NCBI did not know: it leaves them out of the search without an error."""
    for name in ("errorlist", "warninglist"):
        said = result.get(name)
        for kind, phrases in said.items() if isinstance(said, dict) else ():
            if phrases and kind != "outputmessages":
                log.warning("NCBI's search: %s: %s", kind, str(phrases)[:300])
