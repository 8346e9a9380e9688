"""One page of an S3 LIST: asked for, believed only when it is whole, and read fast.

boto3 signs; fetching and reading are done here, because its parser takes 80 ms of the
interpreter's lock for a page of 1,000 keys, and this one 2.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from seqharvest import aws
from seqharvest.errors import ListingError

#: As long as `aws.PATIENT` hardly ever gives up before. Its own repeats are not used: 16 threads
#: would empty its retry quota in half a minute.
PATIENCE_SECONDS = 100
CONNECTIONS = 32


class Entry(NamedTuple):
    """One object as LIST shows it: `size` in bytes, `modified` in UTC and whole seconds."""

    key: str
    size: int
    modified: datetime


class Page(NamedTuple):
    """What a LIST request brought; `token` is where the next page begins, empty after the last."""

    entries: list[Entry]
    folders: list[str]
    token: str


class Pages:
    """The LIST requests to one bucket; threads may share them.

    `requests` counts all of them, `full` those that brought a page with another behind it.
    """

    def __init__(self, bucket: str, s3: Any = None) -> None:
        self.bucket = bucket
        self.requests = 0
        self.full = 0
        self.stopped = threading.Event()  # ends the waiting between tries
        self._counting = threading.Lock()
        self._s3 = s3 or aws.client("s3")
        # S3 presigns with the old signature, which newer regions refuse, unless told otherwise.
        self._s3.meta.events.register_first(
            "choose-signer.s3.ListObjectsV2", _sign_with_v4, unique_id="seqharvest-list-pages"
        )
        self._http = _http(os.getpid(), self._s3.meta.endpoint_url)

    def get(self, prefix: str, *, after: str = "", token: str = "", delimiter: str = "") -> Page:
        """Return the page of keys with a prefix that come after one; patient with an S3 in trouble.

        Raises `ListingError` when S3 refuses, or goes on failing for `PATIENCE_SECONDS`.
        """
        asked = {"Prefix": prefix, "StartAfter": after, "Delimiter": delimiter}
        while True:
            page = self._patiently({**asked, "ContinuationToken": token})
            with self._counting:
                self.full += bool(page.token)
            if page.entries or page.folders or not page.token:
                return page
            token = page.token  # a page may be empty and yet not the last

    def _patiently(self, asked: dict[str, str]) -> Page:
        began = time.monotonic()
        for attempt in count():
            try:
                return self._once(asked)
            except Trouble as trouble:
                pause = random.uniform(0, 0.5 * 2 ** min(attempt, 5))
                tried = time.monotonic() - began
                if tried > PATIENCE_SECONDS or self.stopped.wait(pause):
                    raise ListingError(
                        f"{self._where(asked)} cannot be listed: {trouble}, "
                        f"{attempt + 1} times in {tried:.0f} s",
                        "nothing was concluded from what is missing; try again when S3 answers",
                    ) from trouble
        raise AssertionError("never")

    def _once(self, asked: dict[str, str]) -> Page:
        try:
            request = AWSRequest("GET", self._url(asked)).prepare()
        except BotoCoreError as error:  # no credentials, for one
            raise ListingError(f"{self._where(asked)} cannot be listed: {error}") from error
        with self._counting:
            self.requests += 1
        try:
            answer = self._http.send(request)
        except BotoCoreError as error:
            raise Trouble(str(error).partition("?")[0]) from error  # not the signature
        text = answer.content.decode("utf-8", "replace")
        if answer.status_code == 200:
            return read(text)
        self._refuse(asked, answer.status_code, text)
        raise AssertionError("refused")

    def _url(self, asked: dict[str, str]) -> str:
        given = {name: value for name, value in asked.items() if value}
        return self._s3.generate_presigned_url(
            "list_objects_v2",
            {"Bucket": self.bucket, "EncodingType": "url", **given},
        )

    def _refuse(self, asked: dict[str, str], status: int, text: str) -> None:
        """Raise what an answer without a page means: trouble that passes, or an error."""
        code, message = _field(text, "Code") or str(status), _field(text, "Message")
        what = f"{code}: {message}" if message else code
        if status >= 500 or status == 429 or code in _PASSING:
            raise Trouble(what)
        raise ListingError(
            f"{self._where(asked)} cannot be listed: {what}",
            _REMEDIES.get(code, "check the bucket's name, its region and the role's s3:ListBucket"),
        )

    def _where(self, asked: dict[str, str]) -> str:
        place = f"s3://{self.bucket}/{asked['Prefix']}"
        if asked["ContinuationToken"]:
            return f"{place} (page {asked['ContinuationToken']})"
        return f"{place} (page after {asked['StartAfter']})" if asked["StartAfter"] else place


class Trouble(Exception):
    """What may be better the next time."""


#: Codes of trouble that passes, whatever their status.
_PASSING = {
    "SlowDown",
    "RequestTimeout",
    "ServiceUnavailable",
    "InternalError",
    "ThrottlingException",
}
_REGION = "set AWS_DEFAULT_REGION to the bucket's region"
_REMEDIES = {
    "NoSuchBucket": "create the bucket, or name the one that is there",
    "AccessDenied": "give the role s3:ListBucket on the bucket",
    "ExpiredToken": "renew the credentials, and run it again",
    "RequestTimeTooSkewed": "set this machine's clock",
    "AuthorizationQueryParametersError": _REGION,
    "PermanentRedirect": _REGION,
}


def read(text: str) -> Page:
    """Read a ListBucketResult; raise when it is not whole."""
    if not text.rstrip().endswith("</ListBucketResult>"):
        raise Trouble(f"an answer was cut off after {len(text)} characters")
    more = _field(text, "IsTruncated")
    token = unescape(_field(text, "NextContinuationToken")) if more == "true" else ""
    quoted = "<EncodingType>url</EncodingType>" in text
    found = _ENTRY.findall(text) if quoted else []
    if len(found) != text.count("<Contents>"):
        found = _read_anyhow(text)  # not encoded, or fields in another order
    try:
        entries = [
            Entry(
                _unquoted(key) if quoted else key,
                int(size),
                datetime.fromisoformat(modified[:19] + "+00:00"),
            )
            for key, modified, size in found
        ]
    except ValueError as error:
        raise Trouble(f"an answer has an object without size or time: {error}") from error
    folders = [
        _unquoted(folder) if quoted else unescape(folder, _QUOTES)
        for folder in _FOLDER.findall(text)
    ]
    told = _field(text, "KeyCount")
    whole = more == "false" or (more == "true" and token)
    if not whole or (told and int(told) != len(entries) + len(folders)):
        raise Trouble("an answer contradicts itself")
    return Page(entries, folders, token)


_ENTRY = re.compile(
    r"<Contents>\s*<Key>([^<]*)</Key>\s*<LastModified>([^<]*)</LastModified>\s*"
    r"(?:<(?!Size>)\w+>[^<]*</\w+>\s*)*<Size>(\d+)</Size>"
)
_FOLDER = re.compile(r"<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>")
_QUOTES = {"&quot;": '"', "&apos;": "'"}


def _unquoted(text: str) -> str:
    """Return what S3 encoded as in a URL."""
    # All that most keys need. It is "=" wherever it stands: a key's own "%" would be "%25".
    text = text.replace("%3D", "=")
    if "&" in text:
        text = unescape(text, _QUOTES)
    return unquote_plus(text) if "%" in text or "+" in text else text


def _read_anyhow(text: str) -> list[tuple[str, str, str]]:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise Trouble(f"an answer is not XML: {error}") from error
    names = ("Key", "LastModified", "Size")
    rows = [
        [row.findtext(f"{{*}}{name}") or "" for name in names]
        for row in root.iterfind("{*}Contents")
    ]
    return [(key, modified, size) for key, modified, size in rows]


def _field(text: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", text)
    return found[1] if found else ""


def _sign_with_v4(signature_version: Any, **_: Any) -> str | None:
    return "s3v4-query" if signature_version == "v4-query" else None


@cache
def _http(_process: int, endpoint: str) -> URLLib3Session:
    """Return connections as boto3 makes them, with its proxies and certificates."""
    return URLLib3Session(
        verify=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
        proxies=get_environ_proxies(endpoint),
        timeout=(aws.PATIENT.connect_timeout, aws.PATIENT.read_timeout),
        max_pool_connections=CONNECTIONS,
    )
