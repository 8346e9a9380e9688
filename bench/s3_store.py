"""The objects of the S3 stub, in memory, and the pages a LIST of them has."""

from __future__ import annotations

import base64
import hashlib
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from bench.project import Made


class Stored:
    """One object; a synthetic one has no body but a size, and is all line feeds."""

    __slots__ = ("_line", "etag", "key", "modified", "size", "whole")

    def __init__(self, key: str, modified: int, size: int, whole: bytes | None = None) -> None:
        self.key = key
        self.modified = modified  # epoch seconds, as S3 tells it
        self.size = size
        self.whole = whole
        self.etag = _etag_of(size) if whole is None else hashlib.md5(whole).hexdigest()
        self._line: str | None = None

    def body(self, start: int, end: int) -> bytes:
        """Return the bytes from start to end, exclusive."""
        return b"\n" * (end - start) if self.whole is None else self.whole[start:end]

    def line(self, quoted: bool) -> str:
        """Return the object's element of a LIST page."""
        if not quoted:
            return self._element(escape(self.key))
        if self._line is None:
            self._line = self._element(quote_plus(self.key, safe="/"))
        return self._line

    def _element(self, key: str) -> str:
        return (
            f"<Contents><Key>{key}</Key><LastModified>{_iso(self.modified)}</LastModified>"
            f"<ETag>&quot;{self.etag}&quot;</ETag><Size>{self.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )


@dataclass
class Page:
    """A page of a LIST; `after` is where the next one begins, empty after the last."""

    objects: list[Stored] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    after: str = ""


class Bucket:
    """Objects by key, and the keys in order (Unicode's order is that of the UTF-8 bytes)."""

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self._keys: list[str] = []

    def put(self, key: str, whole: bytes) -> Stored:
        """Store an object, now."""
        if key not in self.objects:
            insort(self._keys, key)
        stored = self.objects[key] = Stored(key, int(time.time()), len(whole), whole)
        return stored

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        if self.objects.pop(key, None):
            del self._keys[bisect_left(self._keys, key)]

    def make(self, keys: Iterable[str], size: int) -> None:
        """Put synthetic objects, now."""
        now = int(time.time())
        self.preload(Made(key, size, now) for key in keys)

    def preload(self, made: Iterable[Made]) -> int:
        """Put synthetic objects, and return how many there are now."""
        for item in made:
            if item.key not in self.objects:
                self._keys.append(item.key)
            self.objects[item.key] = Stored(item.key, item.modified, item.size)
        self._keys.sort()  # quick: nearly all of them are in order
        return len(self._keys)

    def page(self, prefix: str, after: str, delimiter: str, most: int) -> Page:
        """Return at most so many objects and common prefixes that come after a key or prefix."""
        page = Page()
        at = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
        # A common prefix that was told already; the prefix itself can only be an object.
        if delimiter and after.startswith(prefix) and after.endswith(delimiter) and after != prefix:
            at = max(at, self._beyond(after))
        last = ""
        while at < len(self._keys) and (key := self._keys[at]).startswith(prefix):
            if len(page.objects) + len(page.prefixes) == most:
                page.after = last
                break
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                page.objects.append(self.objects[key])
                last = key
                at += 1
            else:
                last = key[: cut + len(delimiter)]
                page.prefixes.append(last)
                at = self._beyond(last)
        return page

    def _beyond(self, prefix: str) -> int:
        """Return the position behind every key with this prefix."""
        return bisect_left(self._keys, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def token(after: str) -> str:
    """Return a continuation token; opaque to callers, as S3's."""
    return base64.urlsafe_b64encode(after.encode()).decode()


def from_token(text: str) -> str:
    """Return where a continuation token goes on; `ValueError` if it is none."""
    return base64.urlsafe_b64decode(text.encode()).decode()


@cache
def _etag_of(size: int) -> str:
    return hashlib.md5(b"\n" * size).hexdigest()


@cache
def _iso(modified: int) -> str:
    return datetime.fromtimestamp(modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
