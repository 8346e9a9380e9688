"""The archive as a web application: which address is answered by what."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from local.archive.catalogue import Catalogue
from local.archive.ena import ena_folder, filereport
from local.archive.eutils import EUtils
from local.archive.soft import soft
from seqharvest.errors import SeqharvestError

Handler = Callable[[Catalogue, Request], Response]
_NO_SUCH_KEY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>"
    "<Key>{key}</Key><RequestId>LOCAL</RequestId><HostId>local</HostId></Error>"
)


def build_app(catalogue: Catalogue) -> Starlette:
    """Serve a catalogue; its folders are read in the background, `/health` tells when they are."""
    loaded = threading.Event()
    eutils = EUtils(catalogue)

    def load() -> None:
        catalogue.load_all()
        loaded.set()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=load, name="series", daemon=True).start()
        yield
        await run_in_threadpool(catalogue.store.close)

    def health(_: Request) -> Response:
        ready = loaded.is_set()
        body = {"status": "ok" if ready else "reading series", **_overview(catalogue)}
        return JSONResponse(body, status_code=200 if ready else 503)

    async def entrez(request: Request) -> Response:
        ask = dict(request.query_params)
        if request.method == "POST":
            ask |= {name: str(value) for name, value in (await request.form()).items()}
        return await run_in_threadpool(eutils.answer, request.path_params["tool"], ask, request)

    def guarded(handler: Handler) -> Callable[[Request], Response]:
        """What a service could not do is its 500, with our reason as the body."""

        def answer(request: Request) -> Response:
            try:
                return handler(catalogue, request)
            except SeqharvestError as error:
                return PlainTextResponse(str(error), status_code=500)

        return answer

    async def add(request: Request) -> Response:
        return await _add_series(catalogue, request)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/_local/series", lambda _: JSONResponse(_overview(catalogue))),
            Route("/_local/series", add, methods=["POST"]),
            Route("/entrez/eutils/{tool}.fcgi", entrez, methods=["GET", "POST"]),
            Route("/geo/query/acc.cgi", guarded(soft)),
            Route("/ena/portal/api/filereport", guarded(filereport)),
            Route("/sra/{run}/{name}", guarded(_sra_object)),
            Route("/vol1/fastq/{rest:path}", guarded(_fastq)),
            Route("/vol1/{kind}/{rest:path}", guarded(_ena_sra)),
        ],
        lifespan=lifespan,
    )


def _overview(catalogue: Catalogue) -> dict[str, Any]:
    return {
        "series": [
            {
                "accession": series.accession,
                "folder": str(series.folder),
                "samples": len(series.samples),
                "runs": len(series.runs),
            }
            for series in catalogue.series()
        ],
        "problems": dict(catalogue.problems),
    }


async def _add_series(catalogue: Catalogue, request: Request) -> Response:
    """POST {"folder", "organism"?, "taxid"?}: 200 with what is served now, or 400 with why not."""
    try:
        given = await request.json()
        folder, organism = Path(given["folder"]), str(given.get("organism") or "")
        taxid = int(given.get("taxid") or 0)
    except (ValueError, KeyError, TypeError):
        text = 'the body is not JSON like {"folder": "/path/to/GSE1", "taxid": 4932}'
        return PlainTextResponse(text, status_code=400)
    if not folder.is_absolute():
        return PlainTextResponse(f"{folder} is not an absolute path", status_code=400)
    try:
        series = await run_in_threadpool(catalogue.add, folder, organism, taxid)
    except SeqharvestError as error:
        return PlainTextResponse(str(error), status_code=400)
    return JSONResponse(
        {
            "accession": series.accession,
            "study": series.study,
            "samples": sorted({run.experiment for run in series.runs}),
            "runs": [run.accession for run in series.runs],
        }
    )


def _sra_object(catalogue: Catalogue, request: Request) -> Response:
    """The open-data bucket: /sra/<RUN>/<RUN>."""
    run, name = request.path_params["run"], request.path_params["name"]
    return _archive(catalogue, run, name, f"sra/{run}/{name}")


def _ena_sra(catalogue: Catalogue, request: Request) -> Response:
    """ENA's own copy: /vol1/srr/SRR900/001/SRR9000001."""
    rest = request.path_params["rest"]
    name = rest.rpartition("/")[2]
    return _archive(catalogue, name if rest == ena_folder(name) else "", name, rest)


def _archive(catalogue: Catalogue, accession: str, name: str, key: str) -> Response:
    run = catalogue.run(accession)
    archive = catalogue.sra(run) if run and name == accession else None
    if archive is None:
        body = _NO_SUCH_KEY.format(key=key.replace("&", "&amp;").replace("<", "&lt;"))
        return Response(body, status_code=404, media_type="application/xml")
    return _file(archive.path, archive.md5, "binary/octet-stream")


def _fastq(catalogue: Catalogue, request: Request) -> Response:
    """ENA's FASTQ: /vol1/fastq/SRR900/001/SRR9000001/SRR9000001_1.fastq.gz."""
    folder, _, name = request.path_params["rest"].rpartition("/")
    run = catalogue.run(folder.rpartition("/")[2])
    if run is None or run.offered == "sra" or folder != ena_folder(run.accession):
        return PlainTextResponse("Not Found", status_code=404)
    for served, path in zip(run.served_names, run.files, strict=True):
        if served == name:
            return _file(path, catalogue.book.facts(path).md5, "application/x-gzip")
    return PlainTextResponse("Not Found", status_code=404)


def _file(path: Path, md5: str, media_type: str) -> Response:
    """A file with the ETag S3 gives a plain upload; Starlette does the ranges."""
    return FileResponse(path, media_type=media_type, headers={"etag": f'"{md5}"'})
