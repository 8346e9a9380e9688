"""An S3 that answers late and counts: `python -m bench.s3_stub --port 4999 [--latency 0.02]`.

It has the operations that Snakemake's S3 plugin and ours use, path-style, and checks no
signatures. `POST /_preload` {samples, complete} makes the project of `bench.project`, `POST /_make`
[keys] writes results now, as the jobs of the Batch stub would.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from aiohttp import web

from bench import project
from bench.s3_store import Bucket, Page, Stored, from_token, token
from bench.stub_server import Handler, StubServer, arguments, serve

XML = "application/xml"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
ERRORS = {
    "throttle": (503, "SlowDown", "Please reduce your request rate."),
    "error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "denied": (403, "ExpiredToken", "The provided token has expired."),
}


class S3Stub(StubServer):
    """Buckets in memory."""

    def __init__(self, latency: float) -> None:
        super().__init__(latency)
        self.buckets: dict[str, Bucket] = {}

    def add_routes(self, app: web.Application) -> None:
        """Add the preload, the making of many objects at once, and reading uncounted."""
        app.router.add_post("/_preload", self._preload)
        app.router.add_post("/_make", self._make)
        app.router.add_get("/_read/{bucket}/{key:.*}", self._read)

    def failure(self, kind: str) -> web.Response:
        """Return S3's error document."""
        return _error(*ERRORS[kind])

    def operation(self, request: web.Request) -> tuple[str, Handler]:
        """Tell operations apart as S3 does: by method, by what the path names, by the query."""
        bucket, key, query = _address(request)
        method = request.method
        if not bucket:
            return "ListBuckets", self._list_buckets
        if key:
            return _OF_OBJECT.get((method, "copy" if _copied(request) else ""), _UNKNOWN)(self)
        if method == "GET":
            if "location" in query:
                return "GetBucketLocation", self._location
            version = "V2" if query.get("list-type") == "2" else ""
            return f"ListObjects{version}", self._list_objects
        if method == "POST" and "delete" in query:
            return "DeleteObjects", self._delete_objects
        return _OF_BUCKET.get(method, _UNKNOWN)(self)

    async def unknown(self, request: web.Request) -> web.Response:
        """Refuse what the stub does not know, rather than to pretend."""
        return _error(501, "NotImplemented", f"{request.method} {request.raw_path}")

    async def head_bucket(self, request: web.Request) -> web.Response:
        """HeadBucket."""
        known = _address(request)[0] in self.buckets
        return web.Response(status=200 if known else 404, headers={"x-amz-bucket-region": REGION})

    async def create_bucket(self, request: web.Request) -> web.Response:
        """CreateBucket."""
        self.buckets.setdefault(_address(request)[0], Bucket())
        return web.Response()

    async def delete_bucket(self, request: web.Request) -> web.Response:
        """DeleteBucket."""
        name = _address(request)[0]
        if self.buckets.get(name, Bucket()).objects:
            return _error(409, "BucketNotEmpty", name)
        return web.Response(status=204 if self.buckets.pop(name, None) else 404)

    async def head_object(self, request: web.Request) -> web.Response:
        """HeadObject."""
        stored = self._stored(request)
        if stored is None:
            return web.Response(status=404)
        return web.Response(headers={**_about(stored), "Content-Length": str(stored.size)})

    async def get_object(self, request: web.Request) -> web.Response:
        """GetObject, whole or one range of it."""
        stored = self._stored(request)
        if stored is None:
            bucket, key, _ = _address(request)
            code = "NoSuchKey" if bucket in self.buckets else "NoSuchBucket"
            return _error(404, code, f"{bucket}/{key}")
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
        if not asked:
            return web.Response(body=stored.body(0, stored.size), headers=_about(stored))
        start, end = _range(asked[1], asked[2], stored.size)
        if start >= end:
            return _error(416, "InvalidRange", request.headers["Range"])
        told = {"Content-Range": f"bytes {start}-{end - 1}/{stored.size}"}
        body = stored.body(start, end)
        return web.Response(status=206, body=body, headers={**_about(stored), **told})

    async def put_object(self, request: web.Request) -> web.Response:
        """PutObject."""
        name, key, _ = _address(request)
        body = await request.read()
        if "aws-chunked" in request.headers.get("Content-Encoding", ""):
            body = _unchunked(body)
        if name not in self.buckets:
            return _error(404, "NoSuchBucket", name)
        stored = self.buckets[name].put(key, body)
        return web.Response(headers={"ETag": f'"{stored.etag}"'})

    async def copy_object(self, request: web.Request) -> web.Response:
        """CopyObject."""
        from_bucket, _, from_key = _copied(request).lstrip("/").partition("/")
        source = self.buckets.get(from_bucket, Bucket()).objects.get(from_key)
        name, key, _ = _address(request)
        if source is None or name not in self.buckets:
            return _error(404, "NoSuchKey", f"{from_bucket}/{from_key}")
        stored = self.buckets[name].put(key, source.body(0, source.size))
        result = f"<CopyObjectResult><ETag>&quot;{stored.etag}&quot;</ETag></CopyObjectResult>"
        return web.Response(text=HEAD + result, content_type=XML)

    async def delete_object(self, request: web.Request) -> web.Response:
        """DeleteObject."""
        name, key, _ = _address(request)
        if name not in self.buckets:
            return _error(404, "NoSuchBucket", name)
        self.buckets[name].delete(key)
        return web.Response(status=204)

    async def _delete_objects(self, request: web.Request) -> web.Response:
        name, _, _ = _address(request)
        if name not in self.buckets:
            return _error(404, "NoSuchBucket", name)
        for element in ElementTree.fromstring(await request.read()).iter():
            if element.tag.rpartition("}")[2] == "Key":
                self.buckets[name].delete(element.text or "")
        return web.Response(text=f"{HEAD}<DeleteResult {NAMESPACE}/>", content_type=XML)

    async def _list_objects(self, request: web.Request) -> web.Response:
        """ListObjects and ListObjectsV2."""
        name, _, query = _address(request)
        if name not in self.buckets:
            return _error(404, "NoSuchBucket", name)
        after = query.get("start-after", query.get("marker", ""))
        if "continuation-token" in query:
            try:
                after = from_token(query["continuation-token"])
            except ValueError:
                return _error(400, "InvalidArgument", "The continuation token is incorrect")
        most = min(int(query.get("max-keys", 1000)), 1000)  # S3's own limit
        page = self.buckets[name].page(
            query.get("prefix", ""), after, query.get("delimiter", ""), most
        )
        return web.Response(text=_listing(name, query, page, most), content_type=XML)

    async def _list_buckets(self, _request: web.Request) -> web.Response:
        names = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in self.buckets)
        text = f"<ListAllMyBucketsResult {NAMESPACE}><Buckets>{names}</Buckets>"
        return web.Response(text=f"{HEAD}{text}</ListAllMyBucketsResult>", content_type=XML)

    async def _location(self, _request: web.Request) -> web.Response:
        return web.Response(text=f"{HEAD}<LocationConstraint {NAMESPACE}/>", content_type=XML)

    async def _preload(self, request: web.Request) -> web.Response:
        asked = await request.json()
        bucket = self.buckets[project.BUCKET] = Bucket()
        count = bucket.preload(project.objects(asked["samples"], asked.get("complete", 0.95)))
        return web.json_response({"objects": count})

    async def _make(self, request: web.Request) -> web.Response:
        keys = await request.json()
        self.buckets[project.BUCKET].make(keys, project.OUTPUT_BYTES)
        return web.json_response({})

    async def _read(self, request: web.Request) -> web.Response:
        stored = self.buckets[request.match_info["bucket"]].objects[request.match_info["key"]]
        return web.Response(body=stored.body(0, stored.size))

    def _stored(self, request: web.Request) -> Stored | None:
        bucket, key, _ = _address(request)
        return self.buckets[bucket].objects.get(key) if bucket in self.buckets else None


REGION = "us-east-1"
_UNKNOWN: Any = lambda stub: ("Unknown", stub.unknown)  # noqa: E731
_OF_BUCKET: dict[str, Any] = {
    "HEAD": lambda stub: ("HeadBucket", stub.head_bucket),
    "PUT": lambda stub: ("CreateBucket", stub.create_bucket),
    "DELETE": lambda stub: ("DeleteBucket", stub.delete_bucket),
}
_OF_OBJECT: dict[tuple[str, str], Any] = {
    ("HEAD", ""): lambda stub: ("HeadObject", stub.head_object),
    ("GET", ""): lambda stub: ("GetObject", stub.get_object),
    ("PUT", ""): lambda stub: ("PutObject", stub.put_object),
    ("PUT", "copy"): lambda stub: ("CopyObject", stub.copy_object),
    ("DELETE", ""): lambda stub: ("DeleteObject", stub.delete_object),
}


def _address(request: web.Request) -> tuple[str, str, dict[str, str]]:
    """Return bucket, key and query; from the raw path, because keys may hold %2F and dots."""
    path, _, query = request.raw_path.partition("?")
    bucket, _, key = path.lstrip("/").partition("/")
    return unquote(bucket), unquote(key), dict(parse_qsl(query, keep_blank_values=True))


def _copied(request: web.Request) -> str:
    return unquote(request.headers.get("x-amz-copy-source", ""))


def _range(first: str, last: str, size: int) -> tuple[int, int]:
    """Return start and end (exclusive) of a range; without a first byte it is the last so many."""
    if not first:
        return max(0, size - int(last or 0)), size
    return int(first), min(size, int(last) + 1) if last else size


def _unchunked(body: bytes) -> bytes:
    """Return what aws-chunked wraps: `<hex size>[;…]CRLF<bytes>CRLF … 0CRLF<trailers>`."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


def _about(stored: Stored) -> dict[str, str]:
    return {
        "ETag": f'"{stored.etag}"',
        "Last-Modified": formatdate(stored.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "binary/octet-stream",
    }


def _error(status: int, code: str, message: str) -> web.Response:
    text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return web.Response(status=status, text=HEAD + text, content_type=XML)


def _listing(name: str, query: dict[str, str], page: Page, most: int) -> str:
    """Return the XML of a page, in the words of the version that was asked for."""
    quoted = query.get("encoding-type") == "url"

    def shown(text: str) -> str:
        return quote_plus(text, safe="/") if quoted else escape(text)

    told = {"Name": name, "Prefix": shown(query.get("prefix", "")), "MaxKeys": str(most)}
    if "delimiter" in query:
        told["Delimiter"] = shown(query["delimiter"])
    if quoted:
        told["EncodingType"] = "url"
    if query.get("list-type") == "2":
        told["KeyCount"] = str(len(page.objects) + len(page.prefixes))
        if "start-after" in query:
            told["StartAfter"] = shown(query["start-after"])
        if page.after:
            told["NextContinuationToken"] = token(page.after)
    else:
        told["Marker"] = shown(query.get("marker", ""))
        if page.after and "delimiter" in query:  # else callers take the last key
            told["NextMarker"] = shown(page.after)
    told["IsTruncated"] = "true" if page.after else "false"
    head = "".join(f"<{tag}>{text}</{tag}>" for tag, text in told.items())
    contents = "".join(stored.line(quoted) for stored in page.objects)
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{shown(prefix)}</Prefix></CommonPrefixes>"
        for prefix in page.prefixes
    )
    return f"{HEAD}<ListBucketResult {NAMESPACE}>{head}{contents}{prefixes}</ListBucketResult>"


def main() -> None:
    """Serve until ended."""
    given = arguments(__doc__).parse_args()
    serve(S3Stub(given.latency), given.port)


if __name__ == "__main__":
    main()
