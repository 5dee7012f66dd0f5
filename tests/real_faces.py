"""Where the real faces are, and the mark of tests that need them."""

import pytest

from study.paths import ROOT

REAL = ROOT / "data" / "300W"
needs_real_faces = pytest.mark.skipif(
    not REAL.is_dir(),
    reason="no real 300W under data/300W: it is licensed and not part of the project (README)",
)
