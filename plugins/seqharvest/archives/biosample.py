"""Asks NCBI's BioSample for the attributes that submitters gave their samples."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

import httpx

from seqharvest.archives import eutils
from seqharvest.archives.http import ArchiveClient, PassingError, snippet

BIOSAMPLE = re.compile(r"SAM[NED][A-Z]?\d+")
# Accessions travel in the address; 100 of 12 characters stay below 2,083 characters.
BATCH = 100


def attributes(accessions: Iterable[str], client: ArchiveClient) -> dict[str, dict[str, str]]:
    """Return the attributes as given, by BioSample accession; raises `ArchiveError`.

    A sample that NCBI does not have (yet) is left out.
    """
    wanted = sorted({name for name in accessions if BIOSAMPLE.fullmatch(name)})
    found: dict[str, dict[str, str]] = {}
    for first in range(0, len(wanted), BATCH):
        ask = {"db": "biosample", "id": ",".join(wanted[first : first + BATCH])}
        ask |= {"rettype": "full", "retmode": "xml"}

        def read(response: httpx.Response) -> dict[str, dict[str, str]]:
            return parse_biosamples(response.content)

        found |= eutils.ask("efetch", ask, read, client)
    return found


def parse_biosamples(body: bytes) -> dict[str, dict[str, str]]:
    """Read a BioSampleSet; raises `ArchiveError` for anything else."""
    if b"<!ENTITY" in body:
        raise PassingError("NCBI's BioSamples define entities of their own: not taken")
    try:
        root = ET.fromstring(body)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise PassingError(f"NCBI's BioSamples are not XML: {error}: {snippet(body)}") from error
    if root.tag != "BioSampleSet":
        eutils.raise_problem(" ".join(root.itertext()) or snippet(body))
    found = {}
    for sample in root.iter("BioSample"):
        values: dict[str, list[str]] = {}
        for attribute in sample.iter("Attribute"):
            name = (attribute.get("attribute_name") or "").strip()
            text = "".join(attribute.itertext()).strip()
            if name and text:
                values.setdefault(name, []).append(text)
        found[sample.get("accession", "")] = {name: "; ".join(v) for name, v in values.items()}
    return found
