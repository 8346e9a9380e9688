"""One run as a line of NCBI's SraRunInfo CSV."""

from __future__ import annotations

import csv
import io

from local.archive.catalogue import Catalogue
from local.archive.series import Run, Series

HEADER = (
    "Run,ReleaseDate,LoadDate,spots,bases,spots_with_mates,avgLength,size_MB,AssemblyName,"
    "download_path,Experiment,LibraryName,LibraryStrategy,LibrarySelection,LibrarySource,"
    "LibraryLayout,InsertSize,InsertDev,Platform,Model,SRAStudy,BioProject,Study_Pubmed_id,"
    "ProjectID,Sample,BioSample,SampleType,TaxID,ScientificName,SampleName,g1k_pop_code,source,"
    "g1k_analysis_group,Subject_ID,Sex,Disease,Tumor,Affection_Status,Analyte_Type,"
    "Histological_Type,Body_Site,CenterName,Submission,dbgap_study_accession,Consent,RunHash,"
    "ReadHash"
)


def runinfo(catalogue: Catalogue, series: Series, run: Run, host: str) -> str:
    """The run's line, without its end; may wait for the run's .sra archive."""
    facts = catalogue.facts(run)
    spots = facts[0].reads if run.spots is None else run.spots
    bases = sum(each.bases for each in facts)
    archive = catalogue.sra(run)
    date = series.published.replace("/", "-") + " 00:00:00"
    values = {
        "Run": run.accession,
        "ReleaseDate": date,
        "LoadDate": date,
        "spots": str(spots),
        "bases": str(bases),
        "spots_with_mates": str(spots if run.paired else 0),
        "avgLength": str(bases // spots if spots else 0),
        "size_MB": str(archive.size >> 20 if archive else 0),
        "download_path": f"http://{host}/sra/{run.accession}/{run.accession}" if archive else "",
        "Experiment": run.experiment,
        "LibraryStrategy": "RNA-Seq",
        "LibrarySelection": "cDNA",
        "LibrarySource": "TRANSCRIPTOMIC",
        "LibraryLayout": "PAIRED" if run.paired else "SINGLE",
        "InsertSize": "0",
        "InsertDev": "0",
        "Platform": "ILLUMINA",
        "Model": "Illumina NovaSeq 6000",
        "SRAStudy": series.study,
        "BioProject": series.bioproject,
        "Sample": run.srs,
        "BioSample": run.biosample,
        "SampleType": "simple",
        "TaxID": str(series.taxid),
        "ScientificName": series.organism,
        "SampleName": run.gsm,
        "Tumor": "no",
        "CenterName": "GEO",
        "Consent": "public",
    }
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values.get(name, "") for name in HEADER.split(","))
    return out.getvalue()
