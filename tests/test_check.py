"""Tests of study.datasets.check."""

import shutil
from dataclasses import replace

import pytest
from real_faces import REAL, needs_real_faces
from video_folder import (
    cut_after,
    talking_points,
    write_300vw,
    write_clip,
    write_talking_face,
    write_video,
)
from w300_folder import cut_off, write_face, write_w300

from study.datasets import check as check_module
from study.datasets.check import check
from study.datasets.formats import write_pts


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


# Videos


@pytest.fixture
def videos(tmp_path):
    return write_300vw(tmp_path / "300VW")


def table_row(report, name):
    """The numbers of a list: official videos, found; official frames, found, whole, left out."""
    lines = [line.split() for line in str(report).splitlines()]
    (found,) = [line[1:] for line in lines if line[:1] == [name] and len(line) == 7]
    return found


def test_videos_and_frames_are_counted_against_the_official_numbers(videos):
    write_clip(videos, "508", 16)  # frame 14 is on the published list of broken ones
    report = check("300VW", videos, progress=False)
    assert report.ok, str(report)
    assert table_row(report, "train") == ["50", "2", "95192", "7", "7", "0"]
    assert table_row(report, "S1") == ["31", "3", "62846", "23", "23", "1"]
    assert table_row(report, "S3") == ["14", "-", "27687", "-", "0", "0"]
    assert report.counts == {
        "train": (7, 95_192),
        "S1": (23, 62_846),
        "S2": (2, 32_872),
        "S3": (0, 27_687),
        "full": (25, 123_405),
    }


def test_missing_videos_are_named_and_break_nothing(videos):
    report = check("300VW", videos, progress=False)
    assert report.ok
    assert report.missing[0].startswith("train: 48 of 50 videos: 002, 003, 007, ")
    assert report.missing[0].endswith(" and 28 more")
    assert report.missing[3] == "S3: all 14 videos"
    assert all(line in str(report) for line in report.missing)


def test_a_folder_with_lists_of_its_own_is_held_against_the_official_numbers(tmp_path):
    splits = {"train": ["a", "b"], "test_category2": ["c"]}
    root = write_300vw(tmp_path / "300VW", {"a": 2, "c": 3}, splits)
    report = check("300VW", root, progress=False)
    assert report.ok
    assert report.missing == [
        "train: 49 of 50 videos: b",
        "S1: all 31 videos",
        "S2: 18 of 19 videos",
        "S3: all 14 videos",
    ]


def test_broken_videos_are_listed_with_how_far_they_decode(videos):
    cut_after(videos / "114/vid.avi", 3, rest=100)
    (videos / "203/annot/000002.pts").write_bytes(b"")
    report = check("300VW", videos, progress=False)
    assert {problem.file: problem.cause for problem in report.problems} == {
        "114/vid.avi": "damaged after 3 frames: data is missing",
        "203/annot/000002.pts": "empty file",
    }
    assert table_row(report, "S1") == ["31", "2", "62846", "8", "6", "0"]
    assert "broken: 2" in str(report)


@pytest.mark.parametrize("count", [4, 6])
def test_a_video_that_decodes_to_another_number_of_frames_is_told(videos, monkeypatch, count):
    unsure = replace(check_module.video.probe(videos / "114/vid.avi"), frames=None)
    monkeypatch.setattr(check_module.video, "probe", lambda path: unsure)
    write_video(videos / "114/vid.avi", count)
    (problem,) = check("300VW", videos, progress=False).problems
    assert problem == ("114/vid.avi", f"decodes to {count} frames, but 5 are annotated")


def test_lists_that_cannot_be_read_are_reported_and_not_raised(videos):
    (videos / "splits.json").write_text("[]")
    report = check("300VW", videos, progress=False)
    assert [problem.file for problem in report.problems] == ["splits.json"]
    assert check("300VW", videos / "nowhere", progress=False).counts["full"] == (0, 123_405)


def test_frames_of_talking_face_are_counted_and_missing_ones_named(tmp_path):
    root = write_talking_face(tmp_path / "TF", [*range(4), *range(6, 5000, 500)])
    image = root / "franck_00006.jpg"
    image.write_bytes(image.read_bytes()[:-50])
    write_pts(root / "franck_00002.pts", talking_points(2)[:60])
    report = check("TF", root, progress=False)
    assert row(report, "franck") == ["franck", "TF", "5000", "13", "12"]
    assert report.counts["TF"] == (12, 5000)
    (missing,) = report.missing
    assert missing.startswith("franck: 4987 of 5000 faces: 4, 5, 7, 8, ")
    assert {problem.file for problem in report.problems} == {"franck_00006.jpg", "franck_00002.pts"}


@needs_real_faces
def test_no_real_image_is_broken():
    report = check("300W", REAL, progress=False)
    assert report.ok, str(report)
    assert report.counts["train"][0] > 0
