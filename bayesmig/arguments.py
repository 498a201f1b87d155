"""Arguments held against the kinds that signatures state, by one rule.

Public functions judge their arguments themselves, in words of their own; what none foresaw ends in an exception of
whatever line met it first, and is then said by this rule. Values check their fields before anything else.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import reprlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sized
from numbers import Integral, Real
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

from bayesmig.errors import BayesmigError, SpecificationError

SIMPLE = {float: Real, int: Integral, str: str}
WORDS = {"float": "a number", "int": "a whole number", "str": "text", "bool": "True or False", "NoneType": "None"}
WORDS |= {"DataTree": "a result, as of fit", "PriorSet": "a PriorSet, as of priors.preset", "Study": "a study"}


@functools.cache
def checked(function: Callable[..., Any], space: str) -> Callable[..., Any]:
    """The same function for users, who find it in a namespace; where it breaks, arguments of wrong kinds are named."""

    @functools.wraps(function)
    def verb(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        except (BayesmigError, Warning):
            raise
        except Exception as error:
            signature = inspect.signature(function)
            try:
                bound = signature.bind(*given, **named).arguments
            except TypeError:
                raise error from None  # it says what is missing
            stated = {name: one.annotation for name, one in signature.parameters.items() if name in bound}
            kinds = {name: kind for name, kind in stated.items() if not kind.startswith("Unpack")}
            check_kinds(function, kinds, bound, error)
            raise

    verb.__module__ = space  # where copies for other processes look
    return verb


def check_kinds(
    owner: Callable[..., Any], kinds: Mapping[str, str], values: Mapping[str, Any], cause: Exception | None = None
) -> None:
    """Refuse the first value that is of another kind than its annotation says."""
    for name, annotation in kinds.items():
        kind = stated(owner, annotation)
        if not fits(values[name], kind):
            allowed = " or ".join(dict.fromkeys(_words(kind)))
            came = f"{name} must be {allowed}, got {_shown(values[name])}"
            raise SpecificationError(f"{owner.__name__}: {came}.") from cause


@functools.cache
def stated(owner: Callable[..., Any], annotation: str) -> Any:
    """The kind that an annotation in the owner's module means."""
    holder = SimpleNamespace(__annotations__={"kind": annotation})
    return get_type_hints(holder, {}, _named(owner.__module__, annotation))["kind"]


def check_fields(value: Any, but: Collection[str] = ()) -> None:
    """Refuse a value's fields of other kinds than stated, but those that it judges itself; None is text left out."""
    kinds = type(value).__annotations__
    for name in kinds:
        if getattr(value, name) is None and getattr(type(value), name, None) == "":
            object.__setattr__(value, name, "")
    check_kinds(type(value), {name: kind for name, kind in kinds.items() if name not in but}, vars(value))


def _named(place: str, annotation: str) -> dict[str, Any]:
    """What the names of an annotation stand for in its module, also of what is imported for annotations alone."""
    module, found = sys.modules[place], {}
    for name in re.findall(r"[^\W\d]\w*", annotation):
        imports = rf"(?m)^    (?:from (\S+) import (?:.*\W)?{name}\b|import (\S+) as {name}$)"
        if name in vars(module):
            found[name] = vars(module)[name]
        elif line := re.search(imports, inspect.getsource(module)):
            source = importlib.import_module(line[1] or line[2])
            found[name] = getattr(source, name) if line[1] else source
    return found


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of a kind: numbers are those of numpy too, several are what can be iterated, but no text."""
    origin, parts = get_origin(kind) or kind, get_args(kind)
    is_tree, is_flag = hasattr(type(value), "children"), type(value).__name__ in ("bool", "bool_")
    is_table = is_tree or hasattr(type(value), "columns")
    if origin in (Any, object) or isinstance(origin, TypeAliasType):
        return not (is_tree and isinstance(origin, TypeAliasType))  # tables and arrays of many libraries
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, tuple({type(part) for part in parts}))
    if origin is bool or is_flag:
        return is_flag and origin is bool
    if origin is Callable:
        return callable(value)
    if getattr(origin, "_is_protocol", False):
        no_value = is_tree or isinstance(value, type)  # a tree's __array__ only says that there is none
        return not no_value and all(hasattr(value, name) for name in origin.__protocol_attrs__)
    if not parts or not issubclass(origin, Iterable):
        return isinstance(value, SIMPLE.get(origin, origin))
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes)) or is_table:
        return False
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(all(map(fits, pair, parts)) for pair in value.items())
    if isinstance(value, Mapping) or not isinstance(value, Sized):
        return not isinstance(value, Mapping)  # what can be read once only
    if origin is tuple and ... not in parts:
        return len(value) == len(parts) and all(map(fits, value, parts))
    return all(fits(each, parts[0]) for each in value)


def _words(kind: Any) -> Iterator[str]:
    """A kind in words, its alternatives one by one."""
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        for part in parts:
            yield from _words(part)
    elif origin is Literal:
        yield from map(repr, parts)
    elif parts and issubclass(origin, Iterable):
        within = [" or ".join(_words(part)) for part in parts if part is not ...]
        several = f"a {'tuple' if origin is tuple else 'list'} of {within[0].removeprefix('a ')}"
        fixed = f"({', '.join(within)})" if origin is tuple and ... not in parts else several
        yield f"a mapping of {' to '.join(within)}" if issubclass(origin, Mapping) else fixed
    elif not origin.__name__.startswith("_"):
        yield WORDS.get(origin.__name__, f"{'an' if origin.__name__[0] in 'AEIOU' else 'a'} {origin.__name__}")


def _shown(value: object) -> str:
    """What came, in short."""
    plain = isinstance(value, (str, Real, list, tuple, dict, NoneType))
    return reprlib.repr(value) if plain else f"a {type(value).__name__}"
