"""Errors a person can act on: what went wrong, where, and what to do about it."""

from __future__ import annotations


class SeqharvestError(Exception):
    """Say what is wrong, with which input, and the remedy; the base of all our errors."""

    #: Exit code of a command line that ends with this error; Batch's retry strategy reads it.
    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what} → {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class InputError(SeqharvestError):
    """An id, a sheet, a file or a form that a person gave is wrong; retrying cannot help."""

    exit_code = 2


class StateConflict(SeqharvestError):
    """Somebody else moved the item first; the message says who, when and to which state."""


class ArchiveError(SeqharvestError):
    """A public archive failed, or answered with something that cannot be trusted."""


class VerificationError(SeqharvestError):
    """Bytes do not agree with what their source promised."""


class BatchJobError(SeqharvestError):
    """A Batch job ended badly; the message carries its kind, reason and the end of its log."""


class LoadError(SeqharvestError):
    """What arrived in the lake is not what was written."""


class ListingError(SeqharvestError):
    """S3 could not be listed; nothing may be concluded from what was not seen."""
