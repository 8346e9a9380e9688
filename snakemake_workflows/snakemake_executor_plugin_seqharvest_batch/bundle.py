"""What a run's workers fetch: the bundle they share, and the records that do not fit a command."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_seqharvest_batch import naming, records

#: SubmitJob takes at most 8,192 bytes of overrides: a record longer than this goes to S3.
MAX_RECORD = 5_000
WORKER = ("python", "-m", "snakemake_executor_plugin_seqharvest_batch.worker")


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key, or raise `WorkflowError` for what is not an S3 URI."""
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise WorkflowError(f"{uri!r} is not an S3 URI (s3://bucket/key)")
    return parts.netloc, parts.path.lstrip("/")


def read_files(paths: Sequence[str]) -> dict[str, str]:
    """Return the text of files by their path relative to the working directory."""
    texts = {}
    for path in paths:
        relative = Path(path)
        if relative.is_absolute():
            relative = relative.relative_to(Path.cwd())
        if ".." in relative.parts:
            raise WorkflowError(f"{path} is outside the working directory; workers cannot get it")
        try:
            texts[relative.as_posix()] = relative.read_text()
        except OSError as error:
            raise WorkflowError(f"cannot read {path} for the workers: {error}") from error
    return texts


def read_configs(paths: Sequence[str]) -> dict[str, str]:
    """Return config files as `read_files` does, but as JSON where that says the same.

    Workers read JSON as such, and YAML by an engine that imports NumPy: 0.1 s for each of them.
    """
    from snakemake.common.configfile import load_configfile

    texts = read_files(paths)
    return {name: _as_json(text, load_configfile(name)) for name, text in texts.items()}


def _as_json(text: str, config: Mapping[str, Any]) -> str:
    try:
        plain = json.dumps(config)
    except TypeError:  # a date
        return text
    return plain if json.loads(plain) == config else text  # or a key that is a number


class Bundle:
    """Puts a run's objects below a prefix, each under a name that is its content's hash."""

    def __init__(self, s3: Any, prefix: str) -> None:
        self._s3 = s3
        self.prefix = prefix.rstrip("/")
        self._bucket, self._key = split_uri(self.prefix)

    def put(self, content: Mapping[str, Any]) -> str:
        """Write JSON, and return its URI."""
        body = json.dumps(content, sort_keys=True).encode()
        return self._put(f"bundle-{naming.content_hash(body)}.json", body)

    def command(self, bundle_uri: str, record: Mapping[str, Any]) -> list[str]:
        """Return the command of a job, its record moved to S3 when it is too long."""
        if len(json.dumps(record)) <= MAX_RECORD:
            return [*WORKER, bundle_uri, *records.inline(record)]
        return [*WORKER, bundle_uri, *records.single(self.put(record))]

    def array(self, bundle_uri: str, members: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
        """Write an array's records; return their content's hash, and the command of its children.

        One huge record must not widen all: it goes to an object of its own.
        """
        fitting = [self._short(member) for member in members]
        body, width = records.pack(fitting)
        digest = naming.content_hash(body)
        uri = self._put(_members(digest), body)
        return digest, [*WORKER, bundle_uri, *records.array(uri, width)]

    def members(self, digest: str) -> list[str]:
        """Return the job names of an array by the hash that `array` gave; index by index."""
        key = self._under(_members(digest))
        return records.names(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def _short(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(json.dumps(record)) <= MAX_RECORD:
            return record
        return {"name": record["name"], "from": self.put(record)}

    def _put(self, name: str, body: bytes) -> str:
        key = self._under(name)
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)
        return f"s3://{self._bucket}/{key}"

    def _under(self, name: str) -> str:
        return f"{self._key}/{name}" if self._key else name


def _members(digest: str) -> str:
    return f"array-{digest}.jsonl"
