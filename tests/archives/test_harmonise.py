"""Submitters' words become ours; what the table does not know stays as it was given."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.archives import biosample
from seqharvest.archives.harmonise import FIELDS, TABLE, harmonise, plain, terms
from seqharvest.errors import ArchiveError


@pytest.mark.parametrize(
    ("given_", "field", "ours"),
    [
        ({"Organism_Part": "Whole  Lung"}, "tissue", "lung"),
        ({"tissue": "naïve «zone», 5\u2009µm"}, "tissue", "naïve «zone», 5\u2009µm"),
        ({"gender": "F"}, "sex", "female"),
        ({"Cell Line": "MCF-7"}, "cell_line", "MCF7"),
        ({"cell type": "CD8+ T cells"}, "cell_type", "CD8+ T cell"),
        ({"disease state": "Alzheimer’s disease"}, "disease", "Alzheimer disease"),
        ({"diagnosis": "none"}, "disease", "healthy"),
        ({"genotype/variation": "WT"}, "genotype", "wild type"),
        ({"treatment": "0.1% DMSO"}, "treatment", "DMSO"),
        ({"age": "45y"}, "age", "45 years"),
        ({"age (weeks)": "8-10"}, "age", "8-10 weeks"),
        ({"age": "6.5 mo"}, "age", "6.5 months"),
        ({"age": "E14.5"}, "age", "E14.5"),
        ({"age": "45"}, "age", "45"),
    ],
)
def test_a_synonym_gets_our_word(given_: dict[str, str], field: str, ours: str) -> None:
    assert harmonise(given_) == {field: ours, "terms": str(terms().version)}


def test_words_that_say_nothing_are_left_out_and_the_next_name_is_asked() -> None:
    given_ = {"tissue": "not applicable", "organ": "Liver", "sex": "unknown", "cell line": "none"}
    assert harmonise(given_) == {"tissue": "liver", "terms": "1"}


def test_no_synonym_stands_for_two_words() -> None:
    for field, table in yaml.safe_load(TABLE.read_text())["fields"].items():
        for kind in ("values", "units"):
            meant: dict[str, str] = {}
            for ours, theirs in table.get(kind, {}).items():
                for word in map(plain, (ours, *theirs)):
                    assert meant.setdefault(word, ours) == ours, f"{field}: {word}"


@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["age", "sex"]), st.text(max_size=20)))
def test_any_metadata_is_harmonised(metadata: dict[str, str]) -> None:
    assert set(harmonise(metadata)) <= {*FIELDS, "terms"}


ATTRIBUTE = "<BioSampleSet><BioSample accession='SAMN1'><Attribute attribute_name='{}'>{}"
ENDS = "</Attribute></BioSample></BioSampleSet>"


@given(
    st.binary(max_size=60)
    | st.tuples(st.text(max_size=9), st.text(max_size=9)).map(
        lambda parts: (ATTRIBUTE.format(*parts) + ENDS).encode()
    )
)
def test_any_body_is_biosamples_or_an_archive_error(body: bytes) -> None:
    try:
        biosample.parse_biosamples(body)
    except ArchiveError:
        return


def test_a_bomb_of_entities_is_not_opened() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><BioSampleSet>&b;</BioSampleSet>'
    with pytest.raises(ArchiveError, match="entities"):
        biosample.parse_biosamples(bomb)
