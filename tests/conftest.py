import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

# a process a core: with threads besides, two workers on two cores need nearly twice the time
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if os.environ.get("OPENBLAS_CORETYPE"):
    # told to work as Haswell or Zen, OpenBLAS 0.3.34 takes blocks for the AMD processor with AVX-512 that it finds, and
    # crashes in products of 300 rows (its issue 6021); it finds those by the size of their cache
    os.environ.setdefault("OPENBLAS_L2_SIZE", "512")
sys.path.insert(0, str(Path(__file__).parent))
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    # as in many containers: every process that a test starts would compile all packages again, for 6 seconds
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = tempfile.mkdtemp(prefix="bytecode")
    sys.dont_write_bytecode = False
    atexit.register(shutil.rmtree, sys.pycache_prefix, ignore_errors=True)


@pytest.fixture(autouse=True)
def figures_are_closed():
    """Matplotlib keeps what was drawn until it is closed, and warns of more than 20 figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def unsettled(monkeypatch):
    """A function by which draws of an engine do not settle, but of designs of which ``settles`` is true."""
    from bayesmig.inference.importance import Unsettled

    def let(engine, settles=lambda design: False, reason="nothing fits"):
        draw = engine.sample

        def sample(self, design, rng):
            if settles(design):
                return draw(self, design, rng)
            raise Unsettled(reason)

        monkeypatch.setattr(engine, "sample", sample)

    return let
