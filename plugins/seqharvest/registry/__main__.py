"""Command line of the registry: `python -m seqharvest.registry show GSE110004`."""

from __future__ import annotations

import argparse
import getpass
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from seqharvest.errors import SeqharvestError
from seqharvest.registry import ProjectState, Registry, fetching
from seqharvest.registry.private import add_private


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; print an error in one line and return its class's exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        return int(options.run(Registry(), options) or 0)
    except SeqharvestError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (BotoCoreError, ClientError) as error:
        print(f"error: AWS: {error} → check AWS_ENDPOINT_URL, region and rights", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m seqharvest.registry", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for verb, decision in (("approve", "approved"), ("reject", "rejected")):
        command = _command(commands, verb, _decide, f"{verb} a project that awaits review")
        command.set_defaults(decision=decision)
        command.add_argument("--comment", default="", help="kept with the decision")
        if verb == "approve":
            names = "sample ids, joined by commas"
            command.add_argument("--exclude", default="", help=f"{names}: not to be analysed")
            command.add_argument("--include", default="", help=f"{names}: despite failed QC")
    _command(commands, "show", _show, "print a project's state, samples and events")
    _command(commands, "retry", _retry, "put what failed in a project back to registered")
    sheet = _command(commands, "add-private", _add_private, "register a sheet of own samples")
    sheet.add_argument("sheet", type=Path, metavar="SHEET.csv", help="see the docs: columns")
    everything = commands.add_parser("list", help="print all projects")
    everything.set_defaults(run=_list)
    return parser


def _command(commands: Any, name: str, run: Any, explanation: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=explanation)
    command.add_argument("project", metavar="PROJECT")
    command.add_argument("--by", default=getpass.getuser(), help="who you are")
    command.set_defaults(run=run)
    return command


def _decide(registry: Registry, options: argparse.Namespace) -> None:
    item = registry.decide(
        options.project,
        options.decision,
        by=options.by,
        way="command line",
        comment=options.comment,
        exclude=_ids(getattr(options, "exclude", "")),
        include=_ids(getattr(options, "include", "")),
    )
    excluded = f", without {', '.join(item['excluded'])}" if item["excluded"] else ""
    print(f"{options.project}: {item['state']} by {item['reviewed_by']}{excluded}")


def _show(registry: Registry, options: argparse.Namespace) -> None:
    item = registry.project(options.project)
    print(f"{item['project']}: {item['state']} since {item['state_since']}, round {item['round']}")
    about = ("reason", "source", "title", "organism", "release", "run_id", "verdict_counts")
    review = ("review_decision", "reviewed_by", "reviewed_at", "review_way", "review_comment")
    for name in (*about, *review, "excluded", "include"):
        if item.get(name):
            print(f"  {name.replace('_', ' ')}: {item[name]}")
    samples = [
        (
            sample["sample"],
            sample["state"],
            sample["layout"],
            " ".join(run["accession"] for run in sample["runs"]),
            sample.get("reason")
            or "; ".join(sample.get("verdict_reasons", []))
            or fetching.words(sample),
        )
        for sample in registry.samples(options.project)
    ]
    _table(("SAMPLE", "STATE", "LAYOUT", "RUNS", "WHY"), samples)
    ordered = sorted(registry.events(options.project), key=lambda event: event["when"])
    events = [
        (
            event["when"][:19],
            event["who"],
            event.get("sample", "project"),
            f"{event.get('from', '')} → {event['to']}".removeprefix(" → "),
            event["why"],
        )
        for event in ordered
    ]
    _table(("WHEN (UTC)", "WHO", "WHAT", "MOVE", "WHY"), events)


def _retry(registry: Registry, options: argparse.Namespace) -> None:
    item = registry.retry(options.project, by=options.by)
    print(f"{options.project}: {item['state']}, {item['samples_retried']} samples put back")


def _add_private(registry: Registry, options: argparse.Namespace) -> int:
    new, problems = add_private(registry, options.project, options.sheet, by=options.by)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"{options.project}: {new} new samples, {len(problems)} rows with errors")
    return 2 if problems else 0


def _list(registry: Registry, _options: argparse.Namespace) -> None:
    rows = [
        (item["project"], item["state"], item["state_since"][:19], str(item["round"]),
         item.get("reason") or item.get("title", ""))
        for state in ProjectState
        for item in registry.in_state(state, "PROJECT")
    ]  # fmt: skip
    _table(("PROJECT", "STATE", "SINCE (UTC)", "ROUND", "ABOUT"), rows)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(str(row[n])) for row in (header, *rows)) for n in range(len(header) - 1)]
    print()
    for row in (header, *rows):
        padded = [str(cell).ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*padded, str(row[-1])]).rstrip())


def _ids(text: str) -> list[str]:
    return [name for name in text.replace(",", " ").split() if name]


if __name__ == "__main__":
    sys.exit(main())
