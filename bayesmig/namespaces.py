"""Every public name: the namespace in which users find it, and the module that defines it.

``import bayesmig as bm`` offers what a first paper needs; the rest is one step behind, in a room of the package:
``bm.checking``, ``bm.printed``. A module is loaded when a name of it is first used, so that importing the package costs
next to nothing. A new public name is entered in the ``__init__.py`` of its namespace, where tools that read types
find it without running anything, and so does this module.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from functools import cache

from bayesmig.arguments import checked

ROOMS = ("checking", "data", "measurement", "plots", "prediction", "printed", "replication", "reporting", "results")
SPACES = ("bayesmig", *(f"bayesmig.{room}" for room in ROOMS))
# what the front door hands on whole
MODULES = {room: f"bayesmig.{room}" for room in ROOMS}
MODULES |= {name: f"bayesmig.specification.{name}" for name in ("blocks", "priors")}


@cache
def homes(space: str) -> dict[str, str]:
    """The module that defines each name of a namespace, as its ``__init__.py`` says it to tools that read types."""
    source = os.path.join(os.path.dirname(__file__), *space.split(".")[1:], "__init__.py")
    found = {}
    with open(source, encoding="utf-8") as lines:
        for line in lines:
            match line.split():
                case "from", module, "import", name, "as", _ if module != space and name not in MODULES:
                    found[name] = module
    return found


def namespace(space: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a namespace.

    ``space``: the package whose namespace it is, ``bayesmig`` for the front door.
    """
    defined = homes(space)
    modules = MODULES if space == "bayesmig" else {}
    public = sorted({*defined, *modules})

    def load(name: str) -> object:
        if name in defined:
            value = getattr(importlib.import_module(defined[name]), name)
            return checked(value, space) if inspect.isfunction(value) else value
        module = modules.get(name, f"{space}.{name}")
        try:
            if not name.startswith("_"):
                return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
        raise AttributeError(f"module {space!r} has no attribute {name!r}; {_elsewhere(name, public)}")

    return load, lambda: public, public


def _elsewhere(name: str, public: list[str]) -> str:
    """Where a name is found instead, or what there is."""
    places = [f"{space}.{name}".replace("bayesmig", "bm", 1) for space in SPACES if name in homes(space)]
    return f"it is {' or '.join(places)}" if places else f"it has {', '.join(public)}"
