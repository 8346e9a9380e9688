"""An S3 object on its way: streamed as multipart, and not there before it is completed."""

from __future__ import annotations

import base64
import hashlib
import logging
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqharvest.archives.model import FastqFile

log = logging.getLogger(__name__)

MOST_PARTS = 10_000  # S3's limit
SMALLEST_PART = 16 << 20  # S3 wants 5 MiB; larger parts are fewer requests
MD5 = "md5"  # in an object's metadata
IN_FLIGHT = 2  # parts of an object sent at a time; as many more bytes are held in memory


@dataclass(frozen=True)
class Content:
    """What an object holds; `size` in bytes."""

    md5: str
    size: int


class PendingObject:
    """Takes an object's bytes in order; exactly one of `complete` and `abort` ends it.

    S3 checks the CRC of every part as it comes, and again with the size before the object exists.
    """

    def __init__(
        self, s3: Any, bucket: str, key: str, expected: int = 0, published_md5: str = ""
    ) -> None:
        """`expected`, in bytes, may be exceeded tenfold before S3's limit of parts is met.

        An md5 that is known before is kept with the object, for `Shelf.take`.
        """
        self.s3, self.bucket, self.key = s3, bucket, key
        self._metadata = {MD5: published_md5} if published_md5 else {}
        self.part_size = max(SMALLEST_PART, 10 * expected // MOST_PARTS)
        self._digest = hashlib.md5()
        self._size = 0
        self._rest = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._sending: deque[Future[dict[str, Any]]] = deque()
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="upload")
        self._id = ""

    def write(self, piece: bytes) -> None:
        """Take the next bytes; waits while as many parts are being sent as may be."""
        self._digest.update(piece)
        self._size += len(piece)
        self._rest += piece
        while len(self._rest) >= self.part_size:
            self._send(bytes(self._rest[: self.part_size]))
            del self._rest[: self.part_size]

    def finish(self) -> Content:
        """Wait for all bytes to be with S3; the object is still not there."""
        if self._rest or not (self._parts or self._sending):
            self._send(bytes(self._rest))
            self._rest.clear()
        while self._sending:
            self._parts.append(self._sending.popleft().result())
        return Content(self._digest.hexdigest(), self._size)

    def complete(self) -> None:
        """Let the object appear, whole and in place of any other of its name."""
        self.s3.complete_multipart_upload(
            Bucket=self.bucket,
            Key=self.key,
            UploadId=self._id,
            MultipartUpload={"Parts": self._parts},
            MpuObjectSize=self._size,
        )
        self._id = ""
        self._pool.shutdown()

    def abort(self) -> None:
        """Forget the object; what was sent of it is no longer kept, or paid for. Never raises."""
        self._pool.shutdown(cancel_futures=True)  # a part that comes later would stay for ever
        upload, self._id = self._id, ""
        if not upload:
            return
        try:
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=upload)
        except Exception:
            # The bucket's lifecycle rule for incomplete uploads has the last word.
            log.exception("upload %s of s3://%s/%s not aborted", upload, self.bucket, self.key)

    def _send(self, body: bytes) -> None:
        if not self._id:
            self._id = self.s3.create_multipart_upload(
                Bucket=self.bucket,
                Key=self.key,
                ContentType="application/gzip",
                ChecksumAlgorithm="CRC32",
                Metadata=self._metadata,
            )["UploadId"]
        if len(self._sending) >= IN_FLIGHT:
            self._parts.append(self._sending.popleft().result())
        number = len(self._parts) + len(self._sending) + 1
        self._sending.append(self._pool.submit(self._send_part, number, body))

    def _send_part(self, number: int, body: bytes) -> dict[str, Any]:
        crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        sent = self.s3.upload_part(
            Bucket=self.bucket,
            Key=self.key,
            UploadId=self._id,
            PartNumber=number,
            Body=body,
            ChecksumCRC32=crc,
        )
        return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumCRC32": crc}


@dataclass(frozen=True)
class StoredObject:
    """An object that an earlier try of the run completed."""

    key: str

    def complete(self) -> None:
        """It is there."""


class Shelf:
    """A run's place in S3: opens its mates' objects, and clears away those not completed."""

    def __init__(self, s3: Any, bucket: str, key_of: Callable[[int], str]) -> None:
        self.s3, self.bucket, self.key_of = s3, bucket, key_of
        self._open: list[PendingObject] = []

    def open(self, mate: int, expected: int = 0, published_md5: str = "") -> PendingObject:
        """Return a new object of mate 1 or 2; several may be pending, one may be completed."""
        key = self.key_of(mate)
        pending = PendingObject(self.s3, self.bucket, key, expected, published_md5)
        self._open.append(pending)
        return pending

    def take(self, mate: int, published: FastqFile, path: Path) -> StoredObject | None:
        """Bring a mate that is stored already to a path; None unless it has the published md5."""
        key = self.key_of(mate)
        if not published.md5:
            return None
        try:
            found = self.s3.get_object(Bucket=self.bucket, Key=key)
        except self.s3.exceptions.NoSuchKey:
            return None
        digest = hashlib.md5()
        with closing(found["Body"]) as body, path.open("wb") as out:
            # Others' bytes need not be brought to see that they are others'.
            if found["Metadata"].get(MD5) == published.md5:
                for piece in body.iter_chunks(1 << 20):
                    out.write(piece)
                    digest.update(piece)
        if digest.hexdigest() == published.md5:
            log.info("s3://%s/%s is there already, it is not fetched again", self.bucket, key)
            return StoredObject(key)
        path.unlink()
        return None

    def clear(self) -> None:
        """Abort what was neither completed nor aborted."""
        for pending in self._open:
            pending.abort()
        self._open.clear()
