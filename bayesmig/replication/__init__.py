"""A study's model in every way, and what the tables of a replication say. Each module loads when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesmig.replication import counterparts, overview, remarks, results, verdicts

__all__ = ["counterparts", "overview", "remarks", "results", "verdicts"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'bayesmig.replication' has no attribute {name!r}; it has {', '.join(__all__)}")
    return importlib.import_module(f"bayesmig.replication.{name}")
