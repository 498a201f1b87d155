"""Whether a result is as it was made: what every attribute and variable was, kept in an attribute of the result.

A result is opened from files that may be damaged, cut or edited. Its seal finds that, not a forger, who can write
another; what a forger writes is text and numbers, and nothing of it is run.
"""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmig.errors import BayesmigError, listing

if TYPE_CHECKING:
    import xarray as xr

SEAL = "seal"
WHOLE = "."  # ends the mark of draws that are all finite
UNSEALED = (
    "it was made by hand, by another program or before version 0.2, or its seal was taken off; whether anything else of"
    " it was changed cannot be told"
)
DRAWS = ("chain", "draw")
_whole: OrderedDict[tuple[object, ...], None] = OrderedDict()  # results that were found whole, the last ones


def seal(tree: xr.DataTree) -> xr.DataTree:
    """The tree with its seal, for a maker or changer of results.

    Draws may be thinned and derived ones added later: of what has draws, dims and type are sealed, and that all are
    finite, not values.
    """
    tree.attrs[SEAL] = json.dumps({name: _mark(value) for name, value in _contents(tree)})
    return tree


def is_sealed(tree: xr.DataTree) -> bool:
    """Whether a result has a seal, as every one of bayesmig has."""
    return SEAL in tree.attrs


def check_seal(tree: xr.DataTree) -> None:
    """Compare a result with its seal; one without a seal is taken as it is, and ``check`` says so.

    Raises BayesmigError naming what is missing or another, or which draws are not finite.
    """
    contents = _contents(tree)
    seen = tuple((name, id(value._data) if hasattr(value, "dims") else str(value)) for name, value in contents)
    if not is_sealed(tree) or seen in _whole:
        return
    try:
        wrong = _differences(json.loads(tree.attrs[SEAL]), dict(contents))
    except Exception as error:  # whatever reading a damaged file, or text that is no seal, raises
        wrong = [f"it cannot be read ({error})"]
    if wrong:
        raise BayesmigError(
            f"this result is not as it was made: {listing(wrong, 5)}. Was the file damaged or edited? Take it again"
            " from where it was saved, or fit the model again."
        )
    _whole[seen] = None
    while len(_whole) > 100:
        _whole.popitem(last=False)


def _differences(sealed: Mapping[str, str], contents: Mapping[str, Any]) -> list[str]:
    """What is wrong with the contents, in words."""
    wrong = [f"{name} is missing" for name in sealed if name not in contents]
    marks = {name: (mark, _mark(contents[name])) for name, mark in sealed.items() if name in contents}
    wrong += [f"{name} is another" for name, (one, other) in marks.items() if one.rstrip(WHOLE) != other.rstrip(WHOLE)]
    holed = (name for name, (one, other) in marks.items() if one.endswith(WHOLE) and not other.endswith(WHOLE))
    return wrong or [f"{name} is not finite in some draws" for name in holed]


def _contents(tree: xr.DataTree) -> list[tuple[str, Any]]:
    """Attributes of the root, and variables of the groups with their coordinates; labels of draws and chains apart."""
    contents: list[tuple[str, Any]] = [
        (f"the attribute {key!r}", value) for key, value in tree.attrs.items() if key != SEAL
    ]
    for group, node in tree.children.items():
        variables = node.to_dataset(inherit=False).variables
        contents += [(f"{group}/{name}", value) for name, value in variables.items() if name not in DRAWS]
    return contents


def _mark(value: Any) -> str:
    """A few signs that are others for another value, and the same before and after a file."""
    import numpy as np

    if not hasattr(value, "dims"):  # an attribute
        return f"{zlib.crc32(str(value).encode()):x}"
    kind = value.dtype.kind if value.dtype.kind in "biuf" else "text"
    sizes = [f"{dim} {size}" for dim, size in value.sizes.items() if dim not in DRAWS]
    parts = [kind, *map(str, value.dims), *sizes, str(value.attrs.get("levels"))]
    about = zlib.crc32("|".join(parts).encode())
    if set(DRAWS) & set(value.dims):
        return f"{about:x}{WHOLE if kind != 'text' and np.isfinite(value.to_numpy()).all() else ''}"
    array = value.to_numpy()
    content = "\0".join(map(str, array.ravel())).encode() if kind == "text" else np.ascontiguousarray(array, float)
    return f"{zlib.crc32(content, about):x}"
