"""What a reader sees: the page, the terminal, and the words they share. Each module loads when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesmig.reporting import page, terminal, words

__all__ = ["page", "terminal", "words"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'bayesmig.reporting' has no attribute {name!r}; it has {', '.join(__all__)}")
    return importlib.import_module(f"bayesmig.reporting.{name}")
