"""Print what an image holds as a CycloneDX 1.5 document: Debian packages, Python distributions.

Run in the image at the end of its build, by the interpreter whose distributions are meant.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distributions
from typing import Any


def main() -> None:
    """Print the document; the arguments are the image's name and version."""
    name, version = sys.argv[1:]
    components = sorted([*debian(), *python()], key=lambda one: one["purl"])
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": name, "version": version}},
        "components": components,
    }
    print(json.dumps(document, indent=1))


def debian() -> list[dict[str, Any]]:
    """Return the installed Debian packages."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = [line.split("\t") for line in shown.splitlines()]
    return [
        _component(name, version, f"pkg:deb/debian/{name}@{version}?arch={architecture}")
        for name, version, architecture in found
    ]


def python() -> list[dict[str, Any]]:
    """Return this interpreter's distributions."""
    found = {one.metadata["Name"]: one.version for one in distributions()}
    return [
        _component(name, version, f"pkg:pypi/{name.lower().replace('_', '-')}@{version}")
        for name, version in found.items()
    ]


def _component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main()
