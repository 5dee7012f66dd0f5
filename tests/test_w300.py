"""Tests of study.datasets.load, .index and .w300."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from real_faces import REAL, needs_real_faces
from w300_folder import (
    FACES,
    HEIGHT,
    WIDTH,
    cut_off,
    invented_image,
    invented_points,
    write_face,
    write_w300,
)

from study.datasets import load
from study.datasets.formats import write_pts
from study.datasets.index import COLUMNS, DatasetError, fault
from study.datasets.w300 import SCHEME, photograph


@pytest.fixture
def root(tmp_path):
    return write_w300(tmp_path / "300W")


def problems(root):
    """Problems of a folder that must not load, as {file: cause}."""
    with pytest.raises(DatasetError) as error:
        load("300W", root)
    found = {problem.file: problem.cause for problem in error.value.problems}
    assert len(found) == len(error.value.problems)
    assert str(root) in str(error.value)
    return found


def test_the_index_has_one_row_a_face_and_the_columns_of_the_design(root):
    index = load("300W", root)
    assert tuple(index.columns) == COLUMNS
    assert list(index["id"]) == [f"{folder}/{n}" for folder in FACES for n in sorted(FACES[folder])]
    assert index["subset"].value_counts().to_dict() == {"train": 8, "common": 2, "challenging": 3}
    assert set(index["subset"][index["split"] == "test"]) == {"common", "challenging"}
    assert (index["frame"] == -1).all() and (index["video"] == "").all()


def test_a_row_holds_what_its_files_hold(root):
    points = np.tile([[20.0, 10.0], [50.0, 50.0]], (34, 1))
    points[[36, 45]] = [[20, 10], [50, 50]]
    write_pts(root / "lfpw/trainset/image_0002.pts", points)
    row = load("300W", root).set_index("id").loc["lfpw/trainset/image_0002"]
    assert row["image"] == "lfpw/trainset/image_0002.png"
    np.testing.assert_array_equal(row["points"], points)
    assert row["box"].tolist() == [20, 10, 50, 50]
    assert row["face_size"] == pytest.approx(np.sqrt(30 * 40))
    assert row["visible"].dtype == bool and row["visible"].shape == (68,) and row["visible"].all()


@pytest.mark.parametrize(
    "folder, name, expected",
    [
        ("afw", "134212_2", "afw/134212"),
        ("helen/trainset", "100032540_1", "helen/100032540"),
        ("helen/testset", "100032540_2", "helen/100032540"),
        ("lfpw/trainset", "image_0001", "lfpw/trainset/image_0001"),
        ("lfpw/testset", "image_0001", "lfpw/testset/image_0001"),
        ("ibug", "image_003_1", "ibug/image_003"),
        ("ibug", "image_092", "ibug/image_092"),
        ("ibug", "image_092_02", "ibug/image_092"),
        ("afw", "portrait", "afw/portrait"),
    ],
)
def test_faces_of_one_photograph_share_its_name(folder, name, expected):
    assert photograph(folder, name) == expected


def test_an_unknown_name_is_refused_with_the_names_there_are(root):
    with pytest.raises(ValueError, match="no data set 'WFLW'; there is: 300W"):
        load("WFLW", root)


def test_a_missing_root_is_named(tmp_path):
    assert problems(tmp_path / "nowhere") == {str(tmp_path / "nowhere"): "no such folder"}


@pytest.mark.parametrize(
    "absent, rest",
    [(["ibug"], 10), (["helen/testset", "lfpw/testset"], 11), (["ibug", "helen"], 0)],
)
def test_a_test_subset_may_be_absent_as_a_whole_and_a_training_folder_may_not(root, absent, rest):
    for folder in absent:
        shutil.rmtree(root / folder)
    if rest:
        assert len(load("300W", root)) == rest
    else:
        assert set(problems(root)) == {"helen/trainset", "helen/testset"}


def test_half_a_test_subset_is_no_test_subset(root):
    shutil.rmtree(root / "lfpw/testset")
    assert problems(root) == {"lfpw/testset": "no such folder; it holds 224 faces of common"}


def test_a_folder_without_images_is_a_problem(root):
    for file in (root / "afw").iterdir():
        file.unlink()
    assert problems(root) == {"afw": "the folder holds no image"}


def test_fewer_images_than_the_official_ones_are_enough(root):
    for file in (root / "helen/trainset").glob("100040721_*"):
        file.unlink()
    assert len(load("300W", root)) == 11


def test_files_that_are_not_of_the_set_are_passed_over(root):
    shutil.copy(root / "afw/134212_1.jpg", root / "afw/134212_1_mirror.jpg")
    (root / "afw/._134212_1.pts").write_bytes(b"\x00\x05\x16\x07")
    (root / "afw/._134212_1.jpg").write_bytes(b"\x00\x05\x16\x07")
    (root / "afw/Thumbs.db").write_bytes(b"\xd0\xcf")
    (root / "afw/bounding_boxes.mat").write_bytes(b"MATLAB")
    (root / "afw/more.jpg").mkdir()
    assert len(load("300W", root)) == 13


def test_suffixes_in_capitals_are_read(root):
    (root / "afw/134212_1.jpg").rename(root / "afw/134212_1.JPG")
    (root / "afw/134212_1.pts").rename(root / "afw/134212_1.PTS")
    assert load("300W", root)["image"][1] == "afw/134212_1.JPG"


def test_all_bad_files_are_listed_at_once_each_with_its_cause(root):
    (root / "afw/134212_1.pts").unlink()
    (root / "afw/134212_2.jpg").unlink()
    write_pts(root / "helen/trainset/100032540_1.pts", invented_points()[:67])
    nan = root / "helen/trainset/100040721_1.pts"
    lines = nan.read_text().splitlines()
    nan.write_text("\n".join([*lines[:9], "nan 30.5", *lines[10:]]))
    (root / "lfpw/trainset/image_0001.png").write_bytes(b"")
    (root / "lfpw/trainset/image_0002.png").write_bytes(b"not a picture at all")
    write_pts(root / "helen/testset/30427236_1.pts", invented_points() + [3 * WIDTH, 0])
    write_pts(root / "ibug/image_092.pts", np.full((68, 2), 30.0))
    write_pts(root / "lfpw/testset/image_0001.pts", coincident_eyes())
    (root / "ibug/image_003_1.pts").write_text("")
    invented_image().save(root / "ibug/image_092_02.png")
    assert problems(root) == {
        "afw/134212_1.jpg": "image without its points 134212_1.pts",
        "afw/134212_2.pts": "points without an image",
        "helen/trainset/100032540_1.pts": "67 points, not 68",
        "helen/trainset/100040721_1.pts": "line 10: 'nan 30.5' is not finite",
        "lfpw/trainset/image_0001.png": "empty file",
        "lfpw/trainset/image_0002.png": "not an image, or a damaged one",
        "helen/testset/30427236_1.pts": outside_cause(),
        "lfpw/testset/image_0001.pts": "the outer eye corners coincide",
        "ibug/image_092.pts": "the points span no area",
        "ibug/image_003_1.pts": "empty file",
        "ibug/image_092_02.png": "a second image beside ibug/image_092_02.jpg",
    }


def coincident_eyes():
    points = invented_points()
    points[45] = points[36]
    return points


def outside_cause():
    beyond = invented_points()[:, 0].max() + 3 * WIDTH - (WIDTH - 0.5)
    return f"points up to {beyond:.0f} px outside the {WIDTH}x{HEIGHT} image"


def test_a_message_names_the_first_twenty_bad_files_and_counts_the_rest(root):
    for number in range(23):
        write_face(root, "afw", f"{number:03d}_1")[1].unlink()
    with pytest.raises(DatasetError) as error:
        load("300W", root)
    lines = str(error.value).splitlines()
    assert lines[0] == f"300W at {root}: 23 problems"
    assert len(lines) == 1 + 20 + 1
    assert lines[20] == "  afw/019_1.jpg: image without its points 019_1.pts"
    assert lines[21] == "  and 3 more"
    assert len(error.value.problems) == 23


@pytest.mark.parametrize("shift, allowed", [(0.45, True), (0.55, False)])
@pytest.mark.parametrize("direction", [(-1, 0), (1, 0), (0, -1), (0, 1)])
def test_points_may_lie_up_to_half_a_face_outside_the_image(shift, allowed, direction):
    square = np.stack(np.meshgrid(np.linspace(0, 40, 34), [0.0, 40.0]), -1).reshape(68, 2)
    to_edge = {-1: -0.5, 0: 10.0, 1: 59.5}  # the image is 100 x 100 px, the face 40 x 40
    start = [to_edge[step] for step in direction]
    points = square + start + shift * 40 * np.array(direction)
    assert (fault(points, SCHEME, 100, 100) is None) == allowed


def test_loading_does_not_decode_images(root):
    cut_off(root / "afw/134212_1.jpg")
    assert len(load("300W", root)) == 13


def test_paths_in_the_index_are_under_the_root_with_forward_slashes(root):
    for image in load("300W", root)["image"]:
        assert not Path(image).is_absolute() and "\\" not in image
        assert (root / image).is_file()


@needs_real_faces
def test_no_real_face_is_flagged_and_no_subset_exceeds_the_official_one():
    index = load("300W", REAL)
    counts = index["subset"].value_counts()
    assert 0 < counts["train"] <= 3148 and 0 < counts["common"] <= 554
    assert counts.get("challenging", 0) <= 135
    assert all(points.shape == (68, 2) for points in index["points"])
    assert index["id"].is_unique
