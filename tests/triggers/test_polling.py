"""Patience: a service that is away for a while costs a waiting task nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from seqharvest.triggers.batch import BatchJobTrigger
from seqharvest.triggers.polling import answers
from tests.task_run import batch_jobs, fired, sent_on  # noqa: F401

log = logging.getLogger("test")


def test_errors_are_told_once_and_asked_past(caplog: pytest.LogCaptureFixture) -> None:
    replies = iter([OSError("refused"), OSError("refused"), "here"])

    def ask() -> Any:
        reply = next(replies)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def first() -> Any:
        async for answer in answers(ask, "the registry", 0.01, log):
            return answer

    with caplog.at_level(logging.INFO):
        assert asyncio.run(first()) == "here"
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "cannot look at the registry, will look again",
        "the registry answers again after 0 s",
    ]


@pytest.mark.usefixtures("batch_jobs")
def test_a_job_that_batch_does_not_know_is_lost() -> None:
    trigger = BatchJobTrigger("no-such-job", ["seqharvest-head"], 0.1)
    assert fired(sent_on(trigger)) == {"job_id": "no-such-job", "status": "LOST"}
