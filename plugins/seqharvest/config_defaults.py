"""The defaults of a workflow's configuration, from its JSON schema, without a validator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

#: libyaml's parser where there is one: ten times faster.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def fill(config: dict[str, Any], schema: Path) -> None:
    """Give the configuration the defaults that `snakemake.utils.validate` would give it.

    For workers, whose head has validated: importing jsonschema and building a validator takes them
    a quarter of a second, three times as long as parsing the workflow.
    """
    properties = yaml.load(schema.read_text(), Loader=LOADER)["properties"]
    for name, about in properties.items():
        if "default" in about:
            config.setdefault(name, about["default"])
