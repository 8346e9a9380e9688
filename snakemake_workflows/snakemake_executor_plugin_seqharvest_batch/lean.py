"""Snakemake's command line, imported without what a worker never uses: a third of a second less.

Nothing of Snakemake's is changed. It is given stand-ins for two libraries while it is imported,
and told of no other plugins than a worker's. A version that has not been tried is imported as is.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType
from typing import Any

TRIED = ("9.27.",)


def snakemake() -> Callable[[Sequence[str]], None]:
    """Import Snakemake and return its command line."""
    if not version("snakemake").startswith(TRIED):
        from snakemake.cli import main

        return main
    with _stand_ins():
        from snakemake.cli import main
    _register_plugins()
    return main


class Absent:
    """Stands for a database class: can be named and derived from, but not used."""

    def __init_subclass__(cls, **_options: Any) -> None:
        pass

    def __init__(self, *_: object, **__: object) -> None:
        raise RuntimeError("a worker has no database of metadata; the head has")


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Spare Snakemake the import of SQLAlchemy, SQLModel and pydantic, 0.25 s.

    It needs them for its records of past jobs, which only the main process reads and writes
    (persistence/__init__.py, `finished`). Whoever imports them later gets the real ones.
    """
    stand_ins: dict[str, dict[str, Any]] = {
        "sqlalchemy": {"Column": _nothing, "JSON": None},
        "sqlmodel": {"Field": _nothing, "SQLModel": Absent},
        "snakemake.persistence.db": {"DbPersistence": Absent},
    }
    put = {name: names for name, names in stand_ins.items() if name not in sys.modules}
    for name, names in put.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(names)
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]


def _nothing(*_: object, **__: object) -> None:
    """Stand for a column's description."""


def _register_plugins() -> None:
    """Register the plugins a worker has a use for, rather than import all that are installed.

    Jobs of a worker run on the local executor. Reports, which bring docutils, Jinja, NumPy and
    Pillow (0.15 s), and log handlers, which Snakemake leaves out in a worker, are the head's.
    Storage and scheduler plugins are looked for as ever: the workflow decides what it needs.
    """
    from snakemake.executors import local
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
    from snakemake_interface_report_plugins.registry import ReportPluginRegistry  # type: ignore[import-untyped]

    for registry in (ExecutorPluginRegistry, LoggerPluginRegistry, ReportPluginRegistry):
        # The registries are singletons that look for plugins unless they have some.
        registry.__new__(registry).plugins = {}
    ExecutorPluginRegistry().register_plugin("local", local)
