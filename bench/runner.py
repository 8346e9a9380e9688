"""What the jobs of the Batch stub do: write their samples' results into the S3 stub.

It reads a job's command as its worker would, ours and the stock executor's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from aiohttp import ClientSession

from bench import project
from bench.batch_jobs import Member
from snakemake_executor_plugin_seqharvest_batch import records

SAMPLE = re.compile(r"\bsample=([A-Za-z0-9_.-]+)")
_read: dict[str, bytes] = {}  # the objects that jobs of an array share


async def work(members: Sequence[Member]) -> Mapping[str, Sequence[str]]:
    """Write the results of members that end now, and return the samples of each, by its id."""
    stub = os.environ["AWS_ENDPOINT_URL_S3"]
    async with ClientSession(stub) as session:
        for uri in {uri for member in members for uri in _needed(member)} - _read.keys():
            async with session.get(f"/_read/{uri.removeprefix('s3://')}") as answer:
                answer.raise_for_status()
                _read[uri] = await answer.read()
        done = {member.id: _samples(member) for member in members}
        keys = [key for names in done.values() for name in names for key in project.results(name)]
        async with session.post("/_make", json=keys) as answer:
            answer.raise_for_status()
    return done


def _needed(member: Member) -> list[str]:
    """Return the objects that say what the member is to do."""
    command = list(member.job.container["command"])
    return [command[i + 1] for i, part in enumerate(command) if part.endswith("-from")]


def _samples(member: Member) -> list[str]:
    command = list(member.job.container["command"])
    options = [i for i, part in enumerate(command) if part in ("--job", *_FROM)]
    text = " ".join(command)
    if options:
        environment = {} if member.index is None else {records.INDEX: str(member.index)}
        record = records.read(command[options[0] :], _get, environment) or {}
        text = " ".join(record["arguments"])
    found = sorted(set(SAMPLE.findall(text)))
    if not found:
        raise RuntimeError(f"no sample in the command of {member.job.name}: {text}")
    return found


_FROM = ("--job-from", "--array-from")


def _get(uri: str, span: str | None) -> bytes:
    if span is None:
        return _read[uri]
    start, end = span.removeprefix("bytes=").split("-")
    return _read[uri][int(start) : int(end) + 1]
