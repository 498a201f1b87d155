import os
import sys
from pathlib import Path

import pytest

# a process a core: with threads besides, two workers on two cores need nearly twice the time
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def figures_are_closed():
    """Matplotlib keeps what was drawn until it is closed, and warns of more than 20 figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
