"""A sample's sex by genes that one sex alone expresses, as far as the organism has such.

XIST RNA coats the second X chromosome of female mammals; the Y genes below have X homologues, are
single-copy and expressed in nearly all male tissues (Bellott et al. 2014, Nature 508:494). Fruit
flies are told by roX1 and roX2, RNAs of male dosage compensation. An organism is recognised by how
its gene names are spelled. Cell lines may have lost XIST or the Y: then nothing is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Organism → gene names of females, of males.
MARKERS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "human": (
        frozenset({"XIST"}),
        frozenset({"DDX3Y", "EIF1AY", "KDM5D", "RPS4Y1", "USP9Y", "UTY", "ZFY"}),
    ),
    "mouse": (frozenset({"Xist"}), frozenset({"Ddx3y", "Eif2s3y", "Kdm5d", "Uty"})),
    "fruit fly": (frozenset(), frozenset({"lncRNA:roX1", "lncRNA:roX2", "roX1", "roX2"})),
}
#: One stray read may be wrongly mapped; three are not.
LEAST = 3
#: A fragment of the other sex's gene for ten of this one's is noise (barcode hopping), not a mix.
MIXED = 0.1
#: Where the organism has no marker of females, so many fragments without a male one tell a female.
ENOUGH_FOR_ABSENCE = 50_000


def infer(counts: Mapping[str, int], names: Mapping[str, str]) -> dict[str, Any] | None:
    """Tell the sex from fragments by gene; `names` are the release's gene names by gene id.

    Returns `sex` (female, male, mixed or unknown) with the fragments on `female` and `male` genes;
    None when the release has no gene that tells.
    """
    known = set(names.values())
    for female, male in MARKERS.values():
        if not male & known or (female and not female & known):
            continue
        on_female = sum(n for gene, n in counts.items() if names.get(gene) in female)
        on_male = sum(n for gene, n in counts.items() if names.get(gene) in male)
        total = sum(counts.values())
        sex = _sex(on_female, on_male, absence=not female and total >= ENOUGH_FOR_ABSENCE)
        return {"sex": sex, "female": on_female, "male": on_male}
    return None


def _sex(female: int, male: int, *, absence: bool) -> str:
    if female >= LEAST and male >= LEAST and min(female, male) > MIXED * max(female, male):
        return "mixed"
    if max(female, male) >= LEAST:
        return "female" if female > male else "male"
    return "female" if absence and not male else "unknown"


def disagreement(found: Mapping[str, Any] | None, recorded: str) -> str:
    """Say in words how the sex that was found differs from the recorded one; empty when not."""
    if not found or recorded not in ("female", "male") or found["sex"] in ("unknown", recorded):
        return ""
    reads = f"{found['female']} fragments on female, {found['male']} on male genes"
    if found["sex"] == "mixed":
        return f"recorded as {recorded}, but genes of both sexes are expressed ({reads}): mixed up?"
    return f"recorded as {recorded}, but expresses {found['sex']} genes ({reads}): swapped samples?"
