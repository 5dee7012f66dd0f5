"""The question before the pipeline: is the data there?"""

import pytest
import yaml

from study import paths, ready


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """Writes a cpu profile's data section under another root; returns that writer."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)

    def write(**data):
        file = paths.params_file("cpu")
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump({"data": {"name": "300W", "root": "data/300W", **data}}))
        return "cpu"

    return write


def test_missing_photographs_are_named_with_what_to_do(profile):
    reason = ready.why_not(profile())
    assert "data/300W" in reason and "check-data" in reason


def test_a_folder_that_is_there_is_enough(profile, tmp_path):
    (tmp_path / "data/300W").mkdir(parents=True)
    assert ready.why_not(profile()) is None


def test_stand_ins_are_never_missing(profile):
    assert ready.why_not(profile(standin={"seed": 1})) is None
