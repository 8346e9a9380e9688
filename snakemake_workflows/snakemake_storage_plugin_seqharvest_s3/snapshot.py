"""What is known of the objects in S3, from LISTs of whole folders."""

import posixpath
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from seqharvest import listing
from seqharvest.list_pages import Pages
from snakemake_storage_plugin_seqharvest_s3.inventory import Address, Line

#: So long what `look_again` found absent may be told: longer than a caller takes to ask for ten
#: thousand jobs, shorter than a job takes on Batch from its submission to its outputs.
FRESH_SECONDS = 10


class Found(NamedTuple):
    """An object, or a folder of objects: size in bytes, time of the last change (epoch)."""

    size: int
    modified: float


class Snapshot:
    """Answers from what was listed, and lists what was not.

    What exists stays known. That something is absent is true only for as long as nobody makes it:
    while the DAG is built, and in a job that Snakemake spawned, where nobody else writes its
    files. Callers say so by `settled`; otherwise an absent object is looked for again.
    """

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self._pages: dict[str, Pages] = {}
        # Paths are bucket/key; folders end with a slash.
        self._known: dict[str, Found] = {}
        self._folders: set[str] = set()  # that have something below them
        self._trees: set[str] = set()  # folders listed with all that is below them
        self._flat: set[str] = set()  # folders listed without their subfolders
        self._wide: set[str] = set()  # folders of more than one page
        self._absent: set[str] = set()  # told once: see `look_again`
        self._absent_since = 0.0

    def take(self, lines: Sequence[Line]) -> None:
        """List the folders of an inventory and of their sources, all at once."""
        wanted = {line.folder for line in lines}
        wanted.update(line.source_folder for line in lines if line.source_folder)
        by_source: dict[str, list[Line]] = defaultdict(list)
        for line in lines:
            if line.source_folder:
                by_source["/".join(line.source_folder)].append(line)
        judged = {"/".join(line.folder) for line in lines if line.sources}
        newest: dict[str, float] = {}
        made: list[tuple[str, str, Found]] = []
        for path, key, found in self._listed(wanted):
            for folder in _folders_of(path):
                for line in by_source.get(folder, ()):
                    if line.is_source(key):
                        target = "/".join(line.folder)
                        newest[target] = max(found.modified, newest.get(target, 0))
            target = next((folder for folder in _folders_of(path) if folder in judged), "")
            if target:
                made.append((target, path, found))
            else:
                self._note(path, found)
        for target, path, found in made:
            if found.size > 0 and found.modified >= newest.get(target, 0):
                self._note(path, found)
        self._trees.update("/".join(folder) for folder in wanted)

    def find(self, where: Address, settled: bool) -> Found | None:
        """Return what is at an address, an object or a folder of objects, or None."""
        path = "/".join(where)
        if found := self._known.get(path):
            return found
        if settled and self._is_covered(path):
            return self._folder(where)
        if path in self._absent:
            self._absent.discard(path)
            if time.monotonic() - self._absent_since < FRESH_SECONDS:
                return None
        self._list_around(where)
        return self._known.get(path) or self._folder(where)

    def look_again(self, addresses: Iterable[Address]) -> None:
        """Learn anew, in bulk, which of these objects exist.

        Of those that do not, the next `find` tells so without a request, once: the one after that
        may come when somebody has made them.
        """
        asked = set(addresses)
        # A key at the top of a bucket has no folder but the whole bucket.
        folders = {where._replace(key=_parent(where.key) or where.key) for where in asked}
        seen: dict[str, Found] = {path: found for path, _, found in self._listed(folders)}
        for path, found in seen.items():
            self._note(path, found)
        gone = {"/".join(where) for where in asked} - seen.keys()
        for path in gone:
            self._known.pop(path, None)
        self._absent = {path for path in gone if f"{path}/" not in self._folders}
        self._absent_since = time.monotonic()

    def is_folder(self, where: Address) -> bool:
        """Whether a thing that was found is a folder of objects rather than an object."""
        return f"{'/'.join(where)}/" in self._folders

    def below(self, where: Address) -> Iterator[str]:
        """Yield the keys of a folder's objects; marks of empty folders are none."""
        folder = where._replace(key=f"{where.key}/")
        return (key for _, key, _ in self._listed([folder]) if not key.endswith("/"))

    def changed(self, where: Address) -> None:
        """Forget what is at an address: it has just been written."""
        path = "/".join(where)
        self._known.pop(path, None)
        self._absent.discard(path)
        self._flat.discard(_parent(path))

    def removed(self, where: Address) -> None:
        """Know that nothing is at an address any more."""
        path = "/".join(where)
        self._known.pop(path, None)
        self._folders.discard(f"{path}/")

    def _listed(self, folders: Iterable[Address]) -> Iterator[tuple[str, str, Found]]:
        """Yield path, key and object of all objects below any of these prefixes."""
        by_bucket: dict[str, list[str]] = defaultdict(list)
        for bucket, key in folders:
            by_bucket[bucket].append(key)
        for bucket, prefixes in by_bucket.items():
            for entry in listing.below(bucket, sorted(prefixes), s3=self._s3):
                found = Found(entry.size, entry.modified.timestamp())
                yield f"{bucket}/{entry.key}", entry.key, found

    def _note(self, path: str, found: Found) -> None:
        self._known[path] = found
        for folder in _folders_of(path):
            if folder in self._folders:
                break
            self._folders.add(folder)

    def _is_covered(self, path: str) -> bool:
        return _parent(path) in self._flat or any(
            folder in self._trees for folder in _folders_of(path)
        )

    def _folder(self, where: Address) -> Found | None:
        """Return a folder of objects as one thing: the size of all, the time of the newest."""
        if not self.is_folder(where):
            return None
        folder = where._replace(key=f"{where.key}/")
        content = [found for _, key, found in self._listed([folder]) if not key.endswith("/")]
        if not content:
            return None
        size = sum(found.size for found in content)
        whole = Found(size, max(found.modified for found in content))
        self._known["/".join(where)] = whole
        return whole

    def _list_around(self, where: Address) -> None:
        """List the folder of a key: one request that answers for all of the key's siblings."""
        folder = _parent(where.key)
        path = _parent("/".join(where))
        if path not in self._wide:
            if not self._take_page(where.bucket, folder):
                self._flat.add(path)
                return
            # A thousand keys that nobody asked for are enough: now this key by itself.
            self._wide.add(path)
        if self._take_page(where.bucket, where.key):
            self._take_page(where.bucket, f"{where.key}/")

    def _take_page(self, bucket: str, prefix: str) -> bool:
        """Take in a page of keys, and of folders, with a prefix; return whether there is more."""
        page = self._pages_of(bucket).get(prefix, delimiter="/")
        for entry in page.entries:
            self._note(f"{bucket}/{entry.key}", Found(entry.size, entry.modified.timestamp()))
        self._folders.update(f"{bucket}/{folder}" for folder in page.folders)
        return bool(page.token)

    def _pages_of(self, bucket: str) -> Pages:
        if bucket not in self._pages:
            self._pages[bucket] = Pages(bucket, self._s3)
        return self._pages[bucket]


def _parent(path: str) -> str:
    """Return the folder of a path with its slash, or nothing at the top."""
    folder = posixpath.dirname(path)
    return f"{folder}/" if folder else ""


def _folders_of(path: str) -> Iterator[str]:
    """Yield the folders a path is in, the innermost first."""
    end = path.rfind("/")
    while end > 0:
        yield path[: end + 1]
        end = path.rfind("/", 0, end)
