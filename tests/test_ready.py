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
        video = data.pop("video", None)
        raw = {"data": {"name": "300W", "root": "data/300W", **data}, "video": video}
        file.write_text(yaml.safe_dump(raw))
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


def test_every_missing_set_is_named_at_once(profile):
    reason = ready.why_not(profile(video={"name": "300VW", "root": "data/300VW"}))
    assert "300W in data/300W and 300VW in data/300VW" in reason


def test_stills_in_motion_are_never_missing(profile, tmp_path):
    (tmp_path / "data/300W").mkdir(parents=True)
    video = {"name": "300VW", "root": "build/cpu/data/300VW", "motion": {"seed": 1}}
    assert ready.why_not(profile(video=video)) is None
