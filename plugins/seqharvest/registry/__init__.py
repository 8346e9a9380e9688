"""DynamoDB's record of projects and samples: states, decisions and the audit of every move."""

from seqharvest.registry.core import Registry
from seqharvest.registry.items import TABLE
from seqharvest.registry.ledger import Move
from seqharvest.registry.states import ProjectState, SampleState

__all__ = ["TABLE", "Move", "ProjectState", "Registry", "SampleState"]
