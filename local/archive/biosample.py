"""The samples of runs as NCBI's BioSampleSet, with their characteristics as attributes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection

from local.archive.catalogue import Catalogue


def biosamples(catalogue: Catalogue, wanted: Collection[str]) -> bytes:
    """Return the XML of the BioSamples that are wanted and known; others are left out."""
    root = ET.Element("BioSampleSet")
    told = set()
    for series, run in catalogue.runs():
        if run.biosample not in wanted or run.biosample in told:
            continue
        told.add(run.biosample)
        sample = ET.SubElement(root, "BioSample", access="public", accession=run.biosample)
        description = ET.SubElement(sample, "Description")
        ET.SubElement(description, "Title").text = run.title
        about = {"taxonomy_id": str(series.taxid), "taxonomy_name": series.organism}
        ET.SubElement(description, "Organism", about)
        attributes = ET.SubElement(sample, "Attributes")
        for name, value in run.characteristics.items():
            ET.SubElement(attributes, "Attribute", attribute_name=name).text = value
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))
