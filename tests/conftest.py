"""What tests share: one thread, the same random numbers in each, and a folder as the root."""

import pytest
import torch

from study import paths

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty folder that the study takes for its own."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path
