"""Command line: `python -m local.archive --port 4568 --state DIR [--series DIR …]`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from local.archive.app import build_app
from local.archive.catalogue import Catalogue
from local.archive.throttle import Throttle


def main() -> int:
    """Serve series folders as GEO, ENA and the SRA open-data bucket do, on loopback."""
    parser = argparse.ArgumentParser(prog="local.archive", description=main.__doc__)
    parser.add_argument("--port", type=int, default=4568)
    parser.add_argument("--state", type=Path, required=True, help="folder kept over restarts")
    parser.add_argument(
        "--series", type=Path, action="append", default=[], help="folder to serve; repeatable"
    )
    parser.add_argument("--organism", default="", help="of --series folders that do not say")
    parser.add_argument("--taxid", type=int, default=0, help="NCBI number of --organism")
    parser.add_argument("--rate", type=float, default=0, help="MB/s of each answer (0: no limit)")
    parser.add_argument("--latency", type=float, default=0, help="ms before each answer")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    catalogue = Catalogue(given.state)
    for folder in given.series:
        catalogue.wish(folder, given.organism, given.taxid)
    app: ASGIApp = build_app(catalogue)
    if given.rate or given.latency:
        app = Throttle(app, given.rate * 1e6, given.latency / 1000)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
