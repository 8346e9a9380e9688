"""The one object a run's workers share: the files they parse and the arguments they all get."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from snakemake_interface_common.exceptions import WorkflowError

#: SubmitJob takes at most 8,192 bytes of overrides: what is longer than this goes to S3.
MAX_COMMAND = 5_000
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


class Bundle:
    """Puts a run's bundle, and the arguments of jobs too big for SubmitJob, below a prefix."""

    def __init__(self, s3: Any, prefix: str) -> None:
        self._s3 = s3
        self._bucket, self._prefix = split_uri(prefix.rstrip("/"))

    def put(self, content: Mapping[str, Any]) -> str:
        """Write content under a name that is its hash, and return its URI."""
        body = json.dumps(content, sort_keys=True).encode()
        name = f"bundle-{hashlib.sha256(body).hexdigest()[:16]}.json"
        key = f"{self._prefix}/{name}" if self._prefix else name
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)
        return f"s3://{self._bucket}/{key}"

    def command(self, bundle_uri: str, arguments: Sequence[str]) -> list[str]:
        """Return the worker's command, its arguments moved to S3 when they are too long."""
        if sum(len(argument) + 4 for argument in arguments) <= MAX_COMMAND:
            return [*WORKER, bundle_uri, *arguments]
        return [*WORKER, bundle_uri, "--arguments-from", self.put({"arguments": list(arguments)})]
