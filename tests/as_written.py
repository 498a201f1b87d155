"""How a graph of PyMC is evaluated once: as it is written, for rewriting it takes longer."""

from pytensor.compile.mode import Mode

AS_WRITTEN = Mode("py", None)
