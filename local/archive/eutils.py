"""Answers as NCBI E-utilities do: esearch and esummary of GEO, runinfo of SRA."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.archive.biosample import biosamples
from local.archive.catalogue import Catalogue
from local.archive.runinfo import HEADER, runinfo
from local.archive.series import Run, Series
from local.archive.terms import Document, TermError, compile_term

SERIES_UID, SAMPLE_UID = 200_000_000, 300_000_000
KIND = "Expression profiling by high throughput sequencing"
SUMMARY_LIMIT = 500  # uids a JSON esummary takes; NCBI's own limit
HISTORIES = 1000  # kept searches; the oldest are forgotten, as NCBI forgets after hours
Parameters = Mapping[str, str]


class EUtils:
    """The three tools over one catalogue, with a history server."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.histories: OrderedDict[str, list[list[int]]] = OrderedDict()

    def answer(self, tool: str, ask: Parameters, request: Request) -> Response:
        """Reply to one tool's call."""
        if tool == "esearch":
            return self.esearch(ask)
        if tool == "esummary":
            return self.esummary(ask)
        if tool == "efetch":
            return self.efetch(ask, request.url.netloc)
        return Response("Not Found", status_code=404)

    def esearch(self, ask: Parameters) -> Response:
        """Uids that a term finds, newest series first."""
        try:
            found = self._search(ask)
            start, most = int(ask.get("retstart", "0")), int(ask.get("retmax", "20"))
        except (TermError, ValueError) as error:
            return _reply("esearch", {"esearchresult": {"ERROR": f"Invalid query: {error}"}}, ask)
        page = found[start : start + most]
        result: dict[str, Any] = {
            "count": str(len(found)),
            "retmax": str(len(page)),
            "retstart": str(start),
        }
        if ask.get("usehistory") == "y":
            result |= self._remember(ask, found)
        result |= {"idlist": [str(uid) for uid in page], "translationset": []}
        result["querytranslation"] = ask.get("term", "")
        if not found:
            result["warninglist"] = {
                "phrasesignored": [],
                "quotedphrasesnotfound": [],
                "outputmessages": ["No items found."],
            }
        return _reply("esearch", {"esearchresult": result}, ask)

    def esummary(self, ask: Parameters) -> Response:
        """GEO summaries by uid or from the history."""
        if ask.get("db") != "gds" or ask.get("retmode") != "json":
            return _problem("esummary", "this archive summarises db=gds with retmode=json only")
        try:
            uids = self._asked_uids(ask)
        except TermError as error:
            return _problem("esummary", str(error))
        if len(uids) > SUMMARY_LIMIT:
            return _problem(
                "esummary",
                f"Too many UIDs in request. Maximum number of UIDs is {SUMMARY_LIMIT} for JSON"
                " format output.",
            )
        known = {document.uid: document for document in self._documents("gds")}
        result: dict[str, Any] = {"uids": [str(uid) for uid in uids]}
        for uid in uids:
            found = known.get(uid)
            result[str(uid)] = (
                _summary(found)
                if found
                else {"uid": str(uid), "error": "cannot get document summary"}
            )
        return _reply("esummary", {"result": result}, ask)

    def efetch(self, ask: Parameters, host: str) -> Response:
        """SraRunInfo CSV of db=sra, by uid, accession or history; BioSamples by accession."""
        if ask.get("db") == "biosample":
            wanted = {part.strip() for part in ask.get("id", "").split(",")}
            return Response(biosamples(self.catalogue, wanted), media_type="text/xml")
        if ask.get("db") != "sra" or ask.get("rettype") != "runinfo":
            return _problem("efetch", "this archive fetches db=sra with rettype=runinfo only")
        documents = self._documents("sra")
        if "WebEnv" in ask:
            try:
                wanted = set(map(str, self._asked_uids(ask)))
            except TermError as error:
                return _problem("efetch", str(error))
        else:
            wanted = {part.strip() for part in ask.get("id", "").split(",")}
        found = [
            document
            for document in documents
            if str(document.uid) in wanted or wanted & document.accessions
        ]
        lines = [runinfo(self.catalogue, d.series, d.runs[0], host) for d in found]
        return Response("\n".join([HEADER, *lines]) + "\n", media_type="text/csv")

    def _search(self, ask: Parameters) -> list[int]:
        term = ask.get("term", "")
        if not term.strip():
            raise TermError("Empty term and query_key - nothing todo")
        test = compile_term(term)
        found = [d for d in self._documents(ask.get("db", "")) if test(d)]
        if ask.get("datetype", "pdat").lower() == "pdat" and "mindate" in ask and "maxdate" in ask:
            between = compile_term(f"{ask['mindate']}:{ask['maxdate']}[PDAT]")
            found = [d for d in found if between(d)]
        return [document.uid for document in found]

    def _remember(self, ask: Parameters, found: list[int]) -> dict[str, str]:
        token = ask.get("WebEnv", "")
        if token not in self.histories:
            token = f"MCID_{secrets.token_hex(16)}"
            self.histories[token] = []
        self.histories[token].append(found)
        self.histories.move_to_end(token)
        while len(self.histories) > HISTORIES:
            self.histories.popitem(last=False)
        return {"querykey": str(len(self.histories[token])), "webenv": token}

    def _asked_uids(self, ask: Parameters) -> list[int]:
        if "WebEnv" in ask:
            key = ask.get("query_key", "1")
            queries = self.histories.get(ask["WebEnv"], [])
            if not key.isdecimal() or not 1 <= int(key) <= len(queries):
                raise TermError(f"Unable to obtain query #{key}")
            start = int(ask.get("retstart", "0"))
            return queries[int(key) - 1][start : start + int(ask.get("retmax", "10000"))]
        given = [part.strip() for part in ask.get("id", "").split(",") if part.strip()]
        if not given:
            raise TermError("Empty id list - nothing todo")
        for place, uid in enumerate(given):
            if not (uid.isascii() and uid.isdecimal()):
                raise TermError(f"Invalid uid {uid} at position= {place}")
        return [int(uid) for uid in given]

    def _documents(self, database: str) -> list[Document]:
        all_series = self.catalogue.series()
        if database == "gds":
            newest = sorted(all_series, key=lambda s: (s.published, s.accession), reverse=True)
            own = [_series_document(series) for series in newest]
            samples = [
                _sample_document(series, gsm, runs)
                for series in newest
                for gsm, runs in series.samples.items()
            ]
            return own + samples
        if database == "sra":
            return [_run_document(series, run) for series in all_series for run in series.runs]
        raise TermError(f"Invalid db name specified: {database}")


def _series_document(series: Series) -> Document:
    accessions = {series.accession, series.study, series.bioproject, *series.samples}
    return Document(
        uid=SERIES_UID + int(series.accession[3:]),
        accessions=frozenset(accessions),
        entry_type="gse",
        published=series.published,
        organism=series.organism,
        taxid=series.taxid,
        kind=KIND,
        samples=len(series.samples),
        text=f"{series.title} {series.summary} {series.organism} {KIND}",
        series=series,
    )


def _sample_document(series: Series, gsm: str, runs: list[Run]) -> Document:
    notes = " ".join(runs[0].characteristics.values())
    return Document(
        uid=SAMPLE_UID + int(gsm[3:]),
        accessions=frozenset({gsm, series.accession, runs[0].experiment}),
        entry_type="gsm",
        published=series.published,
        organism=series.organism,
        taxid=series.taxid,
        kind=KIND,
        samples=1,
        text=f"{runs[0].title} {notes} {series.organism}",
        series=series,
        runs=tuple(runs),
    )


def _run_document(series: Series, run: Run) -> Document:
    names = {run.accession, run.experiment, run.srs, run.biosample, run.gsm}
    return Document(
        uid=int(run.accession[3:]),
        accessions=frozenset(names | {series.accession, series.study, series.bioproject}),
        entry_type="",
        published=series.published,
        organism=series.organism,
        taxid=series.taxid,
        kind="",
        samples=1,
        text=f"{run.title} {series.title} {series.organism}",
        series=series,
        runs=(run,),
    )


def _summary(document: Document) -> dict[str, Any]:
    summary = _series_summary(document.uid, document.series)
    if document.entry_type == "gse":
        return summary
    run = document.runs[0]
    notes = "; ".join(f"{name}: {value}" for name, value in run.characteristics.items())
    return summary | {
        "accession": run.gsm,
        "title": run.title,
        "summary": notes,
        "entrytype": "GSM",
        "bioproject": "",
        "samples": [],
        "n_samples": 1,
        "extrelations": [_relation(run.experiment)],
    }


def _series_summary(uid: int, series: Series) -> dict[str, Any]:
    number = series.accession[3:]
    folder = f"{series.accession[:-3]}nnn/{series.accession}"
    empty = ("ptechtype", "valtype", "ssinfo", "subsetinfo")
    unknown = ("seriestitle", "platformtitle", "platformtaxa", "samplestaxa")
    return {
        "uid": str(uid),
        "accession": series.accession,
        "gds": "",
        "title": series.title,
        "summary": series.summary,
        "gpl": "24676",
        "gse": number,
        "taxon": series.organism,
        "entrytype": "GSE",
        "gdstype": KIND,
        **dict.fromkeys(empty, ""),
        "pdat": series.published,
        "suppfile": "",
        "samples": [
            {"accession": gsm, "title": runs[0].title} for gsm, runs in series.samples.items()
        ],
        "relations": [],
        "extrelations": [_relation(series.study)],
        "n_samples": len(series.samples),
        **dict.fromkeys(unknown, ""),
        "pubmedids": [],
        "projects": [],
        "ftplink": f"ftp://ftp.ncbi.nlm.nih.gov/geo/series/{folder}/",
        "geo2r": "no",
        "bioproject": series.bioproject,
    }


def _relation(target: str) -> dict[str, str]:
    kind = "ByStudy" if target.startswith("SRP") else "ByExp"
    folder = f"{kind}/sra/{target[:3]}/{target[:6]}/{target}"
    return {
        "relationtype": "SRA",
        "targetobject": target,
        "targetftplink": f"ftp://ftp-trace.ncbi.nlm.nih.gov/sra/sra-instant/reads/{folder}/",
    }


def _reply(tool: str, body: dict[str, Any], ask: Parameters) -> Response:
    if ask.get("retmode") == "json":
        return JSONResponse({"header": {"type": tool, "version": "0.3"}, **body})
    return Response(_search_xml(body["esearchresult"]), media_type="text/xml")


def _problem(tool: str, message: str) -> Response:
    """NCBI says most errors with status 200, in the place of the result."""
    return JSONResponse({"header": {"type": tool, "version": "0.3"}, f"{tool}result": [message]})


def _search_xml(result: dict[str, Any]) -> str:
    if "ERROR" in result:
        inner = f"<ERROR>{escape(result['ERROR'])}</ERROR>"
    else:
        ids = "".join(f"<Id>{uid}</Id>" for uid in result["idlist"])
        inner = (
            f"<Count>{result['count']}</Count><RetMax>{result['retmax']}</RetMax>"
            f"<RetStart>{result['retstart']}</RetStart><IdList>{ids}</IdList>"
        )
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n<eSearchResult>{inner}</eSearchResult>'
