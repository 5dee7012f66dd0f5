"""Tests of study.datasets.check."""

import shutil

import pytest
from w300_folder import cut_off, write_face, write_w300

from study.datasets.check import check
from study.datasets.formats import write_pts
from study.paths import ROOT

REAL = ROOT / "data" / "300W"
needs_real_faces = pytest.mark.skipif(not REAL.is_dir(), reason="no real 300W under data/300W")


@pytest.fixture
def root(tmp_path):
    return write_w300(tmp_path / "300W")


def row(report, path):
    """The line of the text that begins with a folder's path, split into words."""
    (line,) = [line for line in str(report).splitlines() if line.split()[:1] == [path]]
    return line.split()


def test_faces_are_counted_against_the_official_numbers(root):
    report = check("300W", root, progress=False)
    assert row(report, "helen/trainset") == ["helen/trainset", "train", "2000", "3", "3"]
    assert row(report, "ibug") == ["ibug", "challenging", "135", "3", "3"]
    assert report.counts == {
        "train": (8, 3148),
        "common": (2, 554),
        "challenging": (3, 135),
        "full": (5, 689),
    }


def test_missing_official_images_are_said_and_break_nothing(root):
    shutil.rmtree(root / "ibug")
    report = check("300W", root, progress=False)
    assert report.ok
    assert "helen/trainset: 1997 of 2000 faces" in report.missing
    assert "ibug: the folder, all 135 faces" in report.missing
    assert row(report, "ibug") == ["ibug", "challenging", "135", "-", "0"]
    assert all(line in str(report) for line in report.missing)
    assert "broken: nothing" in str(report)


def test_broken_files_are_all_listed_with_their_causes(root):
    cut_off(root / "afw/134212_1.jpg")
    cut_off(root / "lfpw/trainset/image_0001.png")
    (root / "helen/testset/30427236_1.jpg").write_bytes(b"")
    write_pts(root / "afw/134212_2.pts", [[1, 2], [3, 4]])
    shutil.rmtree(root / "lfpw/testset")
    report = check("300W", root, progress=False)
    assert not report.ok
    causes = {problem.file: problem.cause for problem in report.problems}
    assert set(causes) == {
        "afw/134212_1.jpg",
        "afw/134212_2.pts",
        "lfpw/trainset/image_0001.png",
        "helen/testset/30427236_1.jpg",
        "lfpw/testset",
    }
    assert "truncated" in causes["afw/134212_1.jpg"]
    assert row(report, "afw") == ["afw", "train", "337", "2", "1"]
    text = str(report)
    assert "broken: 5" in text
    assert all(f"  {file}: {cause}" in text for file, cause in causes.items())


def test_a_missing_root_is_reported_and_not_raised(tmp_path):
    report = check("300W", tmp_path / "nowhere", progress=False)
    assert not report.ok
    assert f"{tmp_path / 'nowhere'}: no such folder" in str(report)
    assert report.counts["full"] == (0, 689)


def test_more_faces_than_official_are_pointed_out(root):
    for number in range(136):
        write_face(root, "ibug", f"image_1{number:03d}")
    report = check("300W", root, progress=False)
    assert "4 more than the official set" in str(report)
    assert not any(line.startswith("ibug") for line in report.missing)


def test_an_unknown_name_is_refused(root):
    with pytest.raises(ValueError, match="no data set"):
        check("300VV", root)


@needs_real_faces
def test_no_real_image_is_broken():
    report = check("300W", REAL, progress=False)
    assert report.ok, str(report)
    assert report.counts["train"][0] > 0
