"""Tests of study.datasets.talking_face."""

import numpy as np
import pytest
from video_folder import talking_points, write_talking_face
from w300_folder import HEIGHT, WIDTH, invented_points

from study.datasets import load
from study.datasets.formats import write_pts
from study.datasets.index import COLUMNS, DatasetError
from study.datasets.talking_face import FOLDERS, IN_FILES, IN_IBUG68, SCHEME, absent
from study.landmarks import SCHEMES

FRAMES = (0, 1, 2, 7)


@pytest.fixture
def root(tmp_path):
    return write_talking_face(tmp_path / "TF", FRAMES)


def problems(root):
    """Problems of a folder that must not load, as {file: cause}."""
    with pytest.raises(DatasetError) as error:
        load("TF", root)
    return {problem.file: problem.cause for problem in error.value.problems}


def test_the_seven_points_are_those_of_two_markups():
    # Order and numbers: FHR's comp_scenarios_68pts.m and RED-Net's FacePts.py, from 1.
    assert IN_FILES == tuple(n - 1 for n in (28, 30, 35, 33, 68, 49, 55))
    assert IN_IBUG68 == tuple(n - 1 for n in (37, 40, 43, 46, 31, 49, 55))
    assert len(IN_FILES) == len(IN_IBUG68) == SCHEME.count


def test_the_seven_of_the_68_are_mirrored_as_the_scheme_of_seven_says():
    mirror68, mirror7 = SCHEMES["ibug68"].mirror, SCHEME.mirror
    assert [mirror68[n] for n in IN_IBUG68] == [IN_IBUG68[m] for m in mirror7]
    assert SCHEMES["ibug68"].eye_corners == tuple(IN_IBUG68[n] for n in SCHEME.eye_corners)


def test_the_index_has_one_row_a_frame_that_is_there(root):
    index = load("TF", root)
    assert tuple(index.columns) == COLUMNS
    assert index["frame"].tolist() == list(FRAMES)
    assert index["id"].tolist()[-1] == "franck_00007#7"
    assert index["image"].tolist()[-1] == "franck_00007.jpg"
    for column, value in (("video", "franck"), ("subset", "TF"), ("split", "test")):
        assert set(index[column]) == {value}


def test_the_seven_points_are_taken_out_of_the_68_of_the_file(root):
    index = load("TF", root)
    for row, frame in enumerate(FRAMES):
        expected = talking_points(frame)[[27, 29, 34, 32, 67, 48, 54]]
        np.testing.assert_allclose(index["points"][row], expected, atol=1e-6)
        assert index["visible"][row].shape == (7,)


def test_missing_frames_are_no_error_and_are_named(root):
    missing = absent(root)["franck"]
    assert len(missing) == 5000 - len(FRAMES) == FOLDERS[0].official - len(FRAMES)
    assert missing[:5] == ["3", "4", "5", "6", "8"] and missing[-1] == "4999"
    assert absent(root / "nowhere") == {"franck": None}


def test_a_missing_or_empty_root_is_named(tmp_path):
    assert problems(tmp_path / "nowhere") == {str(tmp_path / "nowhere"): "no such folder"}
    assert problems(tmp_path) == {str(tmp_path): "no franck_00000.jpg, nor any other frame"}


def test_all_bad_files_are_listed_at_once_each_with_its_cause(root):
    write_talking_face(root / "more", range(10, 16))
    for file in (root / "more").iterdir():
        file.rename(root / file.name)
    (root / "more").rmdir()
    (root / "franck_00000.pts").unlink()
    (root / "franck_00001.jpg").unlink()
    write_pts(root / "franck_00002.pts", invented_points()[:60])
    (root / "franck_00007.jpg").write_bytes(b"")
    coincident = talking_points(10)
    coincident[32] = coincident[27]
    write_pts(root / "franck_00010.pts", coincident)
    write_pts(root / "franck_00011.pts", talking_points(11) - [3 * WIDTH, 0])
    (root / "franck_00012.pts").write_text("version: 1\n")
    for suffix in (".jpg", ".pts"):
        (root / f"franck_00013{suffix}").rename(root / f"franck_05000{suffix}")
    found = problems(root)
    outside = found.pop("franck_00011.pts")
    assert outside.endswith(f"outside the {WIDTH}x{HEIGHT} image")
    assert found == {
        "franck_00000.jpg": "image without its points franck_00000.pts",
        "franck_00001.pts": "points without an image",
        "franck_00002.pts": "60 points, not 68",
        "franck_00007.jpg": "empty file",
        "franck_00010.pts": "the outer eye corners coincide",
        "franck_00012.pts": "no opening brace",
        "franck_05000.jpg": "the official frames end at 4999",
    }


def test_other_files_are_passed_over_and_images_are_not_decoded(root):
    (root / "._franck_00001.jpg").write_bytes(b"\x00\x05")
    (root / "readme.txt").write_text("read me")
    (root / "franck_1.jpg").write_bytes(b"")
    image = root / "franck_00002.jpg"
    image.write_bytes(image.read_bytes()[:-50])
    assert len(load("TF", root)) == len(FRAMES)
