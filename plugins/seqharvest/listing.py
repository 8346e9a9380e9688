"""What is below an S3 prefix, or below any of many: LIST in parallel, streamed.

Work is cut into spans of keys that threads take from a queue. A span is a row of folders that
are wanted, listed with as few pages as lie between them; one that turns out long while threads
are idle is cut: between its folders if it has several, else by asking what folders it has, or
between keys where there are none.
"""

from __future__ import annotations

import os.path
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from seqharvest.list_pages import Entry, Pages

__all__ = ["Entry", "Listing", "below", "entries", "folders"]

#: More do not help: reading pages takes one core from 16 on, at 20 ms a request.
THREADS = 16
#: Wanted folders that are listed by one thread from the start; ours have about ten objects.
FOLDERS_A_THREAD = 100
#: Parts that the rest of a folder without folders is cut into: 1, 10, 100 pages and more.
CUTS = 4


def entries(bucket: str, prefix: str, *, s3: Any = None) -> Iterator[Entry]:
    """Yield every object whose key begins with a prefix, each once, in any order."""
    return Listing(bucket, s3).entries(prefix)


def below(bucket: str, prefixes: Sequence[str], *, s3: Any = None) -> Iterator[Entry]:
    """Yield every object whose key begins with one of the prefixes, each once, in any order.

    It takes no more requests than there are prefixes, or pages from the first to the last of
    them, whichever is less, and a few for the threads.
    """
    return Listing(bucket, s3).below(prefixes)


def folders(bucket: str, prefix: str, *, s3: Any = None) -> Iterator[str]:
    """Yield the folders (common prefixes up to the next `/`) right below a prefix, in order."""
    return Listing(bucket, s3).folders(prefix)


class Listing:
    """Listings of one bucket, with the count of their `requests`."""

    def __init__(self, bucket: str, s3: Any = None) -> None:
        self.bucket = bucket
        self._s3 = s3
        self._pages: list[Pages] = []

    @property
    def requests(self) -> int:
        """How many LIST requests were sent, repeated ones too."""
        return sum(pages.requests for pages in self._pages)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See the function `entries`."""
        return _Crew(self._new_pages(), [_Span((prefix,))]).gather()

    def below(self, prefixes: Sequence[str]) -> Iterator[Entry]:
        """See the function `below`."""
        row = _disjoint(prefixes)
        spans = _Span(row).cut(min(THREADS, len(row) // FOLDERS_A_THREAD))
        return _Crew(self._new_pages(), spans).gather()

    def folders(self, prefix: str) -> Iterator[str]:
        """See the function `folders`."""
        pages, token = self._new_pages(), ""
        while True:
            page = pages.get(prefix, token=token, delimiter="/")
            yield from page.folders
            token = page.token
            if not token:
                return

    def _new_pages(self) -> Pages:
        self._pages.append(Pages(self.bucket, self._s3))
        return self._pages[-1]


def _disjoint(prefixes: Sequence[str]) -> tuple[str, ...]:
    """Return the prefixes in order, without those that lie below another."""
    row: list[str] = []
    for prefix in sorted(prefixes):
        if not row or not prefix.startswith(row[-1]):
            row.append(prefix)
    return tuple(row)


@dataclass(frozen=True)
class _Span:
    """The objects below a row of prefixes, in order and disjoint, that come after a key."""

    row: tuple[str, ...]
    after: str = ""

    def step(self, pages: Pages, idle: int) -> tuple[list[Entry], Sequence[_Work]]:
        """List one page; return what it has of the row, and the work that remains."""
        page = pages.get(
            os.path.commonprefix((self.row[0], self.row[-1])),  # noqa: RUF071 (of characters)
            after=max(self.after, _just_before(self.row[0])),
        )
        found, passed = _wanted(page.entries, self.row)
        if not page.token or passed == len(self.row):
            return found, ()
        last = page.entries[-1].key
        rest = _Span(self.row[passed:], last)
        if not idle:
            return found, (rest,)
        if len(rest.row) > 1:
            # The page tells how many more there will be; each cut costs up to one.
            return found, rest.cut(min(idle + 1, len(rest.row) // max(1, passed)))
        return found, rest.walk(page.entries)

    def cut(self, parts: int) -> list[_Span]:
        """Cut into parts of as many prefixes each."""
        size = -(-len(self.row) // max(1, parts)) or 1
        return [
            _Span(self.row[start : start + size], "" if start else self.after)
            for start in range(0, len(self.row), size)
        ]

    def walk(self, seen: Sequence[Entry]) -> tuple[_Work, ...]:
        """Go on by folders: the one a page ended in, and a walk over those behind it."""
        prefix = self.row[0]
        here = _folder(prefix, self.after)
        density = len({_folder(prefix, entry.key) for entry in seen})
        if not here:
            return (_Walk(prefix, self.after, density),)
        return _Walk(prefix, here, density), _Span((here,), self.after)


@dataclass(frozen=True)
class _Walk:
    """The objects right below a prefix and in its folders, all but those up to `after`.

    `after` may be a folder, which is then left out whole. `density` is how many folders a page
    of keys was seen to hold.
    """

    prefix: str
    after: str
    density: int
    token: str = ""

    def step(self, pages: Pages, idle: int) -> tuple[list[Entry], Sequence[_Work]]:
        """Ask for a page of folders; return the objects between them, and the work they are."""
        # Implementations differ in what they skip after the name of a folder, or of the prefix.
        after = self.after if self.after > self.prefix else ""
        page = pages.get(self.prefix, after=after, token=self.token, delimiter="/")
        row = tuple(folder for folder in page.folders if folder > self.after)
        work: list[_Work] = []
        if page.token and not page.folders:
            work.append(_Range(self.prefix, page.entries[-1].key))
        elif page.token:
            work.append(_Walk(self.prefix, self.after, self.density, page.token))
        if row:
            work += _Span(row).cut(min(idle + 1, len(row) // self.density))
        return [entry for entry in page.entries if entry.key > self.after], work


@dataclass(frozen=True)
class _Range:
    """The objects below a prefix after one key and up to another; for folders without folders."""

    prefix: str
    after: str
    stop: str = ""

    def step(self, pages: Pages, idle: int) -> tuple[list[Entry], Sequence[_Work]]:
        """List one page; return what it has of the range, and the ranges that remain."""
        page = pages.get(self.prefix, after=self.after)
        found = [entry for entry in page.entries if not self.stop or entry.key <= self.stop]
        if not page.token or len(found) < len(page.entries):
            return found, ()
        last = page.entries[-1].key
        edges = [last, *self._edges(page.entries[0].key, last, idle), self.stop]
        return found, [_Range(self.prefix, *edge) for edge in pairwise(edges)]

    def _edges(self, first: str, last: str, idle: int) -> list[str]:
        """Return where to cut what comes after a page, each part some ten times the one before.

        From 0100 to 0199 it goes on at 02, 1 and whatever comes then. A part may be empty.
        """
        level = len(os.path.commonprefix((first, last)))  # noqa: RUF071 (of characters)
        edges = [
            last[:place] + chr(ord(last[place]) + 1)
            for place in range(min(level, len(last) - 1), len(self.prefix) - 1, -1)
            if last[place] < "\x7f"
        ]
        return [edge for edge in edges if not self.stop or edge < self.stop][: min(idle, CUTS)]


_Work = _Span | _Walk | _Range


def _wanted(listed: list[Entry], row: Sequence[str]) -> tuple[list[Entry], int]:
    """Return the entries below prefixes of a row, and how many prefixes were left behind."""
    found = []
    at, size = 0, len(row)
    for entry in listed:
        key = entry.key
        while at < size and row[at] < key and not key.startswith(row[at]):
            at += 1
        if at == size:
            break
        if key.startswith(row[at]):
            found.append(entry)
    return found, at


def _folder(prefix: str, key: str) -> str:
    """Return the folder right below a prefix that a key is in, or nothing."""
    end = key.find("/", len(prefix))
    return key[: end + 1] if end >= 0 else ""


def _just_before(prefix: str) -> str:
    """Return a text before all keys with a prefix, and behind most of what comes before them.

    After it alone, not after the prefix: a key may be the prefix itself.
    """
    last = prefix[-1:]
    # "." comes before "/": "sample=S1.~" is behind the other keys that begin with "sample=S1".
    return f"{prefix[:-1]}{chr(ord(last) - 1)}~" if "!" < last <= "~" else prefix[:-1]


class _Crew:
    """Threads that work through spans, and the caller's, which takes what they find."""

    def __init__(self, pages: Pages, work: Sequence[_Work]) -> None:
        self.pages = pages
        self.todo = deque(work)
        self.found: deque[list[Entry]] = deque()
        self.busy = 0
        self.error: BaseException | None = None
        self.over = False
        self.changed = threading.Condition()

    def gather(self) -> Iterator[Entry]:
        """Yield what is found; raise the first error of any thread."""
        if len(self.todo) == 1:  # most listings are one page: no threads for that
            found, more = self.todo.popleft().step(self.pages, THREADS - 1)
            self.todo.extend(more)
            yield from found
        if not self.todo:
            return
        for _ in range(THREADS):
            threading.Thread(target=self._work, name="seqharvest-listing", daemon=True).start()
        try:
            while (page := self._taken()) is not None:
                yield from page
        finally:
            with self.changed:
                self.over = True
                self.pages.stopped.set()
                self.changed.notify_all()

    def _taken(self) -> list[Entry] | None:
        with self.changed:
            self.changed.wait_for(lambda: self.error or self.found or self._done())
            if self.error:
                raise self.error
            if not self.found:
                return None
            self.changed.notify_all()
            return self.found.popleft()

    def _work(self) -> None:
        try:
            while (span := self._next()) is not None:
                self._hand_in(*span.step(self.pages, self._idle()))
        except BaseException as error:
            with self.changed:
                self.error = self.error or error
                self.changed.notify_all()

    def _next(self) -> _Work | None:
        with self.changed:
            self.changed.wait_for(lambda: self.over or self.error or self.todo or self._done())
            if self.over or self.error or not self.todo:
                return None
            self.busy += 1
            return self.todo.popleft()

    def _idle(self) -> int:
        """Return how many threads could do with work, if cutting has paid so far."""
        if self.pages.requests > 1.5 * self.pages.full + 30:
            return 0
        return max(0, THREADS - self.busy - len(self.todo))

    def _hand_in(self, found: list[Entry], more: Sequence[_Work]) -> None:
        """Add to what was found, as soon as the consumer has room for it, and to the work."""
        with self.changed:
            self.todo.extend(more)
            self.changed.notify_all()
            # So much is held for the consumer that no thread waits for it for long, not more.
            self.changed.wait_for(lambda: self.over or len(self.found) < THREADS)
            if found:
                self.found.append(found)
            self.busy -= 1
            self.changed.notify_all()

    def _done(self) -> bool:
        return not self.todo and not self.busy
