"""Tests of study.datasets.crops."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from PIL import Image
from real_faces import REAL, needs_real_faces
from video_folder import VIDEOS, cut_after, write_300vw, write_talking_face, write_video
from w300_folder import cut_off, invented_image, invented_points, write_w300

from study.datasets import crops, load, video
from study.datasets.crops import (
    build,
    cut,
    folds,
    read,
    resolution,
    square,
    to_crop,
    to_image,
    validation_split,
)
from study.datasets.formats import write_pts
from study.datasets.index import DatasetError
from study.paths import ROOT

SIZE = 20  # px; S = 40


@pytest.fixture
def root(tmp_path):
    return write_w300(tmp_path / "300W")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "build" / "crops" / "300W"


def made(root, folder, **changes):
    settings = {"size": SIZE, "progress": False, **changes}
    return build(load("300W", root), root, folder, **settings)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Geometry


def test_the_cache_of_a_64_px_detector_is_128_px_wide():
    assert resolution(64, scale=1.25, context=2.0, oversample=1.25) == 128
    assert resolution(256, scale=1.25, context=2.0, oversample=1.0) == 410  # 409.6


@pytest.mark.parametrize(
    "change", [{"size": 0}, {"scale": 0}, {"context": 1.2}, {"oversample": -1}]
)
def test_impossible_parameters_are_refused_by_value(change):
    values = {"size": 64, "scale": 1.25, "context": 2.0, "oversample": 1.25, **change}
    with pytest.raises(ValueError, match="must be positive"):
        resolution(**values)


def test_the_crop_is_the_square_around_the_box_worked_by_hand():
    # Box 40 x 20 around (50, 30): a square of 80 px from (10, -10), in 16 pixels of 5 px each;
    # the first is centred 2.5 px from the left edge.
    affine = square([30, 20, 70, 40], context=2.0, side=16)
    assert affine.tolist() == [5.0, 12.5, -7.5]
    corners = to_image(np.array([[-0.5, -0.5], [15.5, 15.5]]), affine)
    assert corners.tolist() == [[10, -10], [90, 70]]
    assert to_crop(np.array([[50.0, 30.0]]), affine).tolist() == [[7.5, 7.5]]


@given(
    st.floats(-100, 4000),
    st.floats(-100, 4000),
    st.floats(1, 2000),
    st.floats(1, 2000),
    st.integers(8, 600),
)
def test_image_to_crop_and_back_is_exact(x, y, width, height, side):
    affine = square([x, y, x + width, y + height], 2.0, side)
    points = np.array([[x, y], [x + width, y + height], [x, y - 50.0]])
    np.testing.assert_allclose(to_image(to_crop(points, affine), affine), points, atol=1e-9)
    low, high = to_crop(points[:2], affine)
    longer = max(high - low)
    assert longer == pytest.approx(side / 2, rel=1e-6)  # the box is half of the cached square
    np.testing.assert_allclose((low + high) / 2, (side - 1) / 2, atol=1e-6)


def blob_image(width, height, centre, sigma):
    """A white Gaussian blob on black, its centre in our coordinates."""
    x, y = np.arange(width), np.arange(height)
    blob_x = np.exp(-((x - centre[0]) ** 2) / (2 * sigma**2))
    blob_y = np.exp(-((y - centre[1]) ** 2) / (2 * sigma**2))
    grey = np.rint(255 * np.outer(blob_y, blob_x)).astype(np.uint8)
    return Image.fromarray(np.stack([grey] * 3, axis=-1))


def centroid(crop):
    grey = crop[..., 0].astype(np.float64)
    x, y = np.arange(grey.shape[1]), np.arange(grey.shape[0])
    return np.array([grey.sum(0) @ x, grey.sum(1) @ y]) / grey.sum()


@pytest.mark.parametrize(
    "box, side, sigma",
    [
        ((90, 80, 190, 160), 96, 8.0),  # inside, 2.08 image px a crop px
        ((90, 80, 190, 160), 31, 12.0),  # inside, 6.5
        ((120, 100, 151.3, 140.7), 160, 3.0),  # inside, enlarged: 0.51
        ((20.3, 10.6, 120, 99), 96, 6.0),  # over the left and the top edge
        ((190, 150, 280, 219.5), 70, 6.0),  # over the right and the bottom edge
        ((-10, 100, 40, 140), 150, 4.0),  # the box itself over the edge, enlarged
        ((10, 10, 290, 210), 64, 12.0),  # over all four edges
    ],
)
@pytest.mark.parametrize("fraction", [(0.0, 0.0), (0.5, 0.25), (0.77, 0.91)])
def test_a_blob_lands_where_its_centre_is_mapped_to(box, side, sigma, fraction):
    affine = square(box, 2.0, side)
    # At the box's centre, but far enough from the image's edge for the whole blob.
    middle = np.clip([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], 4 * sigma, None)
    centre = np.floor(np.minimum(middle, np.array([300, 220]) - 4 * sigma - 2)) + fraction
    crop = cut(blob_image(300, 220, centre, sigma), affine, side)
    assert crop.shape == (side, side, 3) and crop.dtype == np.uint8
    np.testing.assert_allclose(centroid(crop), to_crop(centre[None], affine)[0], atol=0.02)


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((200, 200, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    crop = cut(Image.fromarray(stripes), square([60, 60, 140, 140], 2.0, 37), 37)
    assert abs(crop.astype(int) - 127.5).max() < 8


def test_outside_the_image_its_edge_pixels_repeat():
    rows = np.repeat(np.linspace(20, 220, 60).astype(np.uint8)[:, None], 80, axis=1)
    image = Image.fromarray(np.stack([rows] * 3, axis=-1))
    crop = cut(image, square([-10, 10, 30, 50], 2.0, 80), 80)  # image x from -30 to 50
    assert (crop[:, :29] == crop[:, 35:36]).all()  # left of the image
    assert (crop[:9] == crop[0, 0]).all() and (crop[71:] == crop[-1, -1]).all()  # above and below
    assert crop[0, 0, 0] == 20 and crop[-1, -1, 0] == 220


def test_pixels_at_the_edge_of_a_crop_see_the_picture_beyond_it():
    image = invented_image(width=300, height=220)
    affine = square([100, 80, 180, 150], 2.0, 37)  # wholly inside: x from 60, y from 35
    whole = image.resize((37, 37), Image.Resampling.LANCZOS, box=(60.5, 35.5, 220.5, 195.5))
    difference = cut(image, affine, 37).astype(int) - np.asarray(whole)
    assert abs(difference).max() <= 1


def test_a_square_beside_the_image_is_refused():
    with pytest.raises(ValueError, match="does not overlap"):
        cut(Image.new("RGB", (50, 40)), square([200, 10, 220, 30], 2.0, 16), 16)


# The cache


def test_the_cache_holds_the_crops_of_all_faces_in_the_order_of_the_index(root, folder):
    index = load("300W", root).iloc[::-1].reset_index(drop=True)
    result = build(index, root, folder, size=SIZE, progress=False)
    assert isinstance(result.faces, np.memmap) and not result.faces.flags.writeable
    assert result.faces.shape == (13, 3, 40, 40) and result.faces.dtype == np.uint8
    assert result.points.shape == (13, 68, 2) and result.points.dtype == np.float64
    assert result.affine.shape == (13, 3)
    for name in ("id", "split", "subset", "image", "photograph", "video", "frame", "face_size"):
        assert list(result.table[name]) == list(index[name])
    np.testing.assert_array_equal(np.stack(result.table["visible"]), np.stack(index["visible"]))
    image = Image.open(root / index["image"][4])
    crop = cut(image.convert("RGB"), square(index["box"][4], 2.0, 40), 40)
    np.testing.assert_array_equal(result.faces[4], crop.transpose(2, 0, 1))


def test_points_of_crops_map_back_to_their_image_files(root, folder):
    index = load("300W", root)
    result = made(root, folder)
    truth = np.stack(list(index["points"]))
    rows = np.array([7, 2, 2, 11])
    back = result.to_image(result.points[rows], rows)
    np.testing.assert_allclose(back, truth[rows], rtol=0, atol=1e-10)
    mask = (index["subset"] == "common").to_numpy()
    np.testing.assert_allclose(result.to_image(result.points[mask], mask), truth[mask], atol=1e-10)
    assert (result.points > -0.5).all() and (result.points < 39.5).all()


def test_invisible_points_stay_invisible(root, folder):
    index = load("300W", root)
    index["visible"] = [np.arange(68) % 5 != row % 5 for row in range(len(index))]
    result = build(index, root, folder, size=SIZE, progress=False)
    np.testing.assert_array_equal(np.stack(result.table["visible"]), np.stack(index["visible"]))


def forbid_cutting(monkeypatch):
    def fail(*arguments):
        raise AssertionError("a crop was made again")

    monkeypatch.setattr(crops, "cut", fail)


def test_a_cache_that_fits_is_not_made_again(root, folder, monkeypatch):
    first = made(root, folder)
    forbid_cutting(monkeypatch)
    again = made(root, folder)
    assert again.meta == first.meta
    np.testing.assert_array_equal(again.faces, first.faces)
    pd.testing.assert_frame_equal(again.table, first.table)
    assert read(folder).meta == first.meta


def test_images_are_not_even_read_again_unless_size_or_time_differ(root, folder, monkeypatch):
    made(root, folder)
    hashed = []

    def spy(data):
        hashed.append(data)
        return original(data)

    original = crops.sha256
    monkeypatch.setattr(crops, "sha256", spy)
    made(root, folder)
    assert len(hashed) == 1  # the fingerprint
    image = root / "afw/134212_1.jpg"
    os.utime(image, ns=(1, 1))
    forbid_cutting(monkeypatch)
    made(root, folder)  # the same bytes under another time
    assert image.read_bytes() in hashed and len(hashed) == 3
    made(root, folder)
    assert len(hashed) == 4  # the new time is noted


def test_a_cache_without_its_note_of_times_is_checked_by_content(root, folder, monkeypatch):
    made(root, folder)
    (folder.parent / ".300W.stamps.json").unlink()
    forbid_cutting(monkeypatch)
    made(root, folder)
    assert (folder.parent / ".300W.stamps.json").exists()


@pytest.mark.parametrize(
    "change", [{"size": 24}, {"scale": 1.5}, {"context": 2.5}, {"oversample": 1.5}]
)
def test_another_parameter_makes_the_cache_anew(root, folder, change):
    before = made(root, folder).faces.shape
    after = made(root, folder, **change)
    assert after.faces.shape != before
    assert after.meta["fingerprint"] == made(root, folder).meta["fingerprint"]


def test_another_image_makes_the_cache_anew(root, folder):
    first = made(root, folder)
    before = np.array(first.faces)
    image = root / "afw/134212_1.jpg"
    shutil.copy(root / "ibug/image_003_1.jpg", image)
    after = made(root, folder)
    row = list(after.table["id"]).index("afw/134212_1")
    changed = (after.faces != before).any(axis=(1, 2, 3))
    assert changed.tolist() == [r == row for r in range(13)]
    assert after.meta["fingerprint"] != first.meta["fingerprint"]
    np.testing.assert_array_equal(before, first.faces)  # what was open stays as it was


def test_other_points_or_fewer_faces_make_the_cache_anew(root, folder):
    first = made(root, folder)
    write_pts(root / "afw/134212_1.pts", invented_points(0) + 0.25)
    second = made(root, folder)
    for file in (root / "afw").glob("134212_1.*"):
        file.unlink()
    third = made(root, folder)
    assert len({c.meta["fingerprint"] for c in (first, second, third)}) == 3
    assert len(third.faces) == 12


def test_another_version_makes_the_cache_anew_and_is_refused_by_read(root, folder):
    made(root, folder)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "version": 0}))
    with pytest.raises(ValueError, match="version 0"):
        read(folder)
    assert made(root, folder).meta == meta


@pytest.mark.parametrize("name", ["faces.npy", "points.npy", "index.npz", "meta.json"])
@pytest.mark.parametrize("damage", [cut_off, lambda path: path.write_bytes(b""), os.unlink])
def test_a_damaged_cache_is_made_anew(root, folder, name, damage):
    made(root, folder)
    sound = files(folder)
    damage(folder / name)
    made(root, folder)
    assert files(folder) == sound


def test_the_cache_is_the_same_bytes_wherever_and_however_it_is_made(root, folder, tmp_path):
    made(root, folder, jobs=3)
    copy = tmp_path / "elsewhere" / "data"
    shutil.copytree(root, copy, copy_function=shutil.copyfile)  # new times
    made(copy, tmp_path / "other" / "300W", jobs=1)
    assert files(folder) == files(tmp_path / "other" / "300W")


def test_the_fingerprint_does_not_depend_on_the_order_of_rows(root, folder, tmp_path):
    index = load("300W", root)
    turned = build(index.iloc[::-1], root, tmp_path / "turned", size=SIZE, progress=False)
    assert turned.meta["fingerprint"] == made(root, folder).meta["fingerprint"]


def test_all_bad_images_are_listed_at_once_and_nothing_is_left(root, folder):
    index = load("300W", root)
    cut_off(root / "afw/134212_2.jpg")
    cut_off(root / "lfpw/testset/image_0001.png")
    (root / "ibug/image_092.jpg").unlink()
    with pytest.raises(DatasetError) as error:
        build(index, root, folder, size=SIZE, progress=False)
    named = [problem.file for problem in error.value.problems]
    assert named == ["afw/134212_2.jpg", "lfpw/testset/image_0001.png", "ibug/image_092.jpg"]
    assert all(name in str(error.value) for name in named)
    assert "truncated" in error.value.problems[0].cause
    assert list(folder.parent.iterdir()) == []


def test_a_bad_image_leaves_the_old_cache_but_does_not_pass_for_it(root, folder):
    made(root, folder)
    sound = files(folder)
    index = load("300W", root)
    cut_off(root / "afw/134212_2.jpg")
    for _ in range(2):
        with pytest.raises(DatasetError, match="afw/134212_2.jpg"):
            build(index, root, folder, size=SIZE, progress=False)
    assert files(folder) == sound


KILLED = """
import os, sys
from study.datasets import crops, load
cut, done = crops.cut, []
def cut_or_die(*arguments):
    done.append(1)
    if len(done) > 5:
        os.kill(os.getpid(), 9)
    return cut(*arguments)
crops.cut = cut_or_die
root, folder = sys.argv[1:]
crops.build(load("300W", root), root, folder, size=20, progress=False)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_a_killed_process_leaves_no_cache_and_the_next_one_tidies_up(root, folder):
    command = [sys.executable, "-c", KILLED, str(root), str(folder)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert not folder.exists()
    (leftover,) = folder.parent.glob("*.part")
    made(root, folder)
    assert leftover.exists()  # it could be of a process that is still at work
    old = time.time() - 2 * crops.LEFTOVER_AGE
    os.utime(leftover, (old, old))
    made(root, folder, size=24)
    assert sorted(p.name for p in folder.parent.iterdir()) == [".300W.stamps.json", "300W"]


def test_the_fingerprint_is_the_hash_of_ids_files_and_points(root, folder):
    """Records of trainings hold it: with another rule all of them would be trained again."""
    assert made(root, folder).meta["fingerprint"] == hash_of(load("300W", root), root)


def hash_of(index, root):
    """sha256 over id, sha256 of the file and points of each face, by id."""
    parts = []
    for _, face in index.sort_values("id").iterrows():
        file = hashlib.sha256((root / face["image"]).read_bytes()).hexdigest()
        points = np.ascontiguousarray(face["points"], dtype="<f8").tobytes()
        parts.append(f"{face['id']}\0{file}\0".encode() + points)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_several_faces_of_one_image_are_cut_from_it(root, folder):
    index = load("300W", root)
    index.loc[2, "image"] = index["image"][0]
    result = build(index, root, folder, size=SIZE, progress=False)
    image = Image.open(root / index["image"][0]).convert("RGB")
    for row in (0, 2):
        crop = cut(image, square(index["box"][row], 2.0, 40), 40)
        np.testing.assert_array_equal(result.faces[row], crop.transpose(2, 0, 1))


def test_an_index_without_faces_is_refused(root, folder):
    with pytest.raises(ValueError, match="no face"):
        build(load("300W", root).iloc[:0], root, folder, size=SIZE)


# Videos


@pytest.fixture
def videos(tmp_path):
    return write_300vw(tmp_path / "300VW")


def cut_frames(index, root):
    """(B, 3, 40, 40), the rows of an index cut one by one from videos decoded for each."""
    expected = []
    for _, row in index.iterrows():
        frame = list(video.frames(root / row["image"]))[row["frame"] - 1]
        crop = cut(Image.fromarray(frame), square(row["box"], 2.0, 40), 40)
        expected.append(crop.transpose(2, 0, 1))
    return np.stack(expected)


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_annotated_frame_of_a_video_is_cut_in_the_order_of_the_index(videos, folder, jobs):
    index = load("300VW", videos).iloc[::-1].reset_index(drop=True)
    result = build(index, videos, folder, size=SIZE, jobs=jobs, progress=False)
    np.testing.assert_array_equal(result.faces, cut_frames(index, videos))
    assert result.table["video"].tolist() == index["video"].tolist()
    assert result.table["frame"].tolist() == index["frame"].tolist()
    assert result.table["frame"].dtype == np.int64
    truth = np.stack(list(index["points"]))
    np.testing.assert_allclose(result.to_image(result.points, np.arange(len(index))), truth)


def test_frames_that_the_index_does_not_name_are_skipped(videos, folder):
    index = load("300VW", videos)
    index = index[index["frame"].isin([2, 4])].reset_index(drop=True)
    result = build(index, videos, folder, size=SIZE, progress=False)
    np.testing.assert_array_equal(result.faces, cut_frames(index, videos))


def test_a_video_is_decoded_once_and_no_further_than_needed(videos, folder, monkeypatch):
    decoded = []

    def spy(path):
        for frame in original(path):
            decoded.append(path.parent.name)
            yield frame

    original = video.frames
    monkeypatch.setattr(video, "frames", spy)
    index = load("300VW", videos)
    build(index[index["frame"] != 5], videos, folder, size=SIZE, progress=False)
    counts = {name: decoded.count(name) for name in VIDEOS}
    assert counts == {**VIDEOS, "114": 4}


def test_crops_of_videos_are_not_made_again_until_a_video_changes(videos, folder, monkeypatch):
    index = load("300VW", videos)
    first = build(index, videos, folder, size=SIZE, progress=False)
    sound = files(folder)
    os.utime(videos / "114/vid.avi", ns=(1, 1))
    with monkeypatch.context() as patch:
        forbid_cutting(patch)
        build(index, videos, folder, size=SIZE, progress=False)
    assert files(folder) == sound
    write_video(videos / "114/vid.avi", VIDEOS["114"], fps=30)  # other bytes, the same frames
    again = build(index, videos, folder, size=SIZE, progress=False)
    assert again.meta["fingerprint"] != first.meta["fingerprint"]


def test_the_fingerprint_of_frames_holds_the_hash_of_their_video(videos, folder):
    index = load("300VW", videos)
    meta = build(index, videos, folder, size=SIZE, progress=False).meta
    assert meta["fingerprint"] == hash_of(index, videos)


def test_all_bad_videos_are_listed_at_once_and_nothing_is_left(videos, folder):
    index = load("300VW", videos)
    cut_after(videos / "001/vid.avi", 2, rest=100)
    write_video(videos / "114/vid.avi", 3)
    (videos / "203/vid.avi").unlink()
    with pytest.raises(DatasetError) as error:
        build(index, videos, folder, size=SIZE, progress=False)
    causes = {problem.file: problem.cause for problem in error.value.problems}
    gone = causes.pop("203/vid.avi")
    assert "203/vid.avi" in gone and "No such file" in gone
    assert causes == {
        "001/vid.avi": "damaged after 2 frames: data is missing",
        "114/vid.avi": "3 frames; the index has faces of frame 5",
    }
    assert list(folder.parent.iterdir()) == []


def test_frames_that_are_stills_on_disk_are_cut_like_stills(tmp_path, folder):
    root = write_talking_face(tmp_path / "TF", [0, 1, 3])
    index = load("TF", root)
    result = build(index, root, folder, size=SIZE, progress=False)
    assert result.points.shape == (3, 7, 2)
    assert result.table["frame"].tolist() == [0, 1, 3]
    image = Image.open(root / "franck_00003.jpg").convert("RGB")
    crop = cut(image, square(index["box"][2], 2.0, 40), 40)
    np.testing.assert_array_equal(result.faces[2], crop.transpose(2, 0, 1))


# The validation split


def faces_table(photographs=40, faces=(1, 2, 3)):
    """A table with 1, 2, 3, 1, 2, 3 ... faces a photograph; every fifth photograph is a test's."""
    rows = [
        {"split": "test" if p % 5 == 0 else "train", "photograph": f"afw/{p}", "face": f}
        for p in range(photographs)
        for f in range(faces[p % len(faces)])
    ]
    return pd.DataFrame(rows)


def test_no_photograph_is_on_both_sides_and_no_test_face_is_held_out():
    table = faces_table()
    held_out = validation_split(table, share=0.25, seed=3)
    assert held_out.dtype == bool and held_out.shape == (len(table),)
    inside = set(table["photograph"][held_out])
    outside = set(table["photograph"][~held_out & (table["split"] == "train")])
    assert inside.isdisjoint(outside)
    assert len(inside) == 8 and len(inside | outside) == 32  # a quarter of the photographs
    assert (table["split"][held_out] == "train").all()


def test_a_test_face_of_a_held_out_photograph_is_not_held_out():
    table = faces_table()
    held_out = validation_split(table, seed=3)
    twin = table[held_out].assign(split="test")  # HELEN's two folders share a photograph
    both = validation_split(pd.concat([table, twin]), seed=3)
    assert both.tolist() == held_out.tolist() + [False] * len(twin)


def test_the_split_does_not_depend_on_the_order_of_rows_or_on_test_faces():
    table = faces_table()
    chosen = set(table["photograph"][validation_split(table, seed=3)])
    shuffled = table.sample(frac=1, random_state=0)
    assert set(shuffled["photograph"][validation_split(shuffled, seed=3)]) == chosen
    training = table[table["split"] == "train"]
    assert set(training["photograph"][validation_split(training, seed=3)]) == chosen


def test_the_split_is_the_same_on_every_machine_and_another_for_another_seed():
    table = faces_table()
    chosen = sorted(table["photograph"][validation_split(table, seed=0)].unique())
    assert chosen == PINNED
    assert sorted(table["photograph"][validation_split(table, seed=1)].unique()) != chosen


PINNED = ["afw/16", "afw/23", "afw/32"]


def test_at_least_one_photograph_falls_on_each_side():
    table = faces_table(photographs=3)  # two of them train
    assert table["photograph"][validation_split(table, share=0.01, seed=0)].nunique() == 1
    assert table["photograph"][validation_split(table, share=0.99, seed=0)].nunique() == 1
    with pytest.raises(ValueError, match="1 training photographs"):
        validation_split(faces_table(photographs=2), seed=0)


@pytest.mark.parametrize("share", [0, 1, -0.1, 10])
def test_a_share_outside_0_and_1_is_refused(share):
    with pytest.raises(ValueError, match=f"share is {share}"):
        validation_split(faces_table(), share=share, seed=0)


# Folds


@pytest.mark.parametrize("count", [2, 3, 5, 32])
def test_each_training_face_is_in_one_fold_and_no_test_face_in_any(count):
    table = faces_table()
    fold = folds(table, count, seed=3)
    assert fold.shape == (len(table),) and fold.dtype.kind == "i"
    training = (table["split"] == "train").to_numpy()
    assert set(fold[training]) == set(range(count)) and set(fold[~training]) == {-1}


@pytest.mark.parametrize("count", [2, 3, 5, 32])
def test_faces_of_a_photograph_share_a_fold_and_folds_hold_equally_many_photographs(count):
    table = faces_table().assign(fold=folds(faces_table(), count, seed=3))
    table = table[table["fold"] >= 0]
    assert (table.groupby("photograph")["fold"].nunique() == 1).all()
    sizes = table.groupby("fold")["photograph"].nunique()
    assert sizes.sum() == 32 and sizes.max() - sizes.min() == (32 % count > 0)


def test_a_test_face_of_a_training_photograph_is_in_no_fold():
    table = faces_table()
    fold = folds(table, 3, seed=3)
    twin = table[fold == 1].assign(split="test")
    both = folds(pd.concat([table, twin]), 3, seed=3)
    assert both.tolist() == fold.tolist() + [-1] * len(twin)


def test_folds_do_not_depend_on_the_order_of_rows_or_on_test_faces():
    table = faces_table()
    expected = dict(zip(table["photograph"], folds(table, 4, seed=3), strict=True))
    shuffled = table.sample(frac=1, random_state=0)
    found = folds(shuffled, 4, seed=3)
    assert dict(zip(shuffled["photograph"], found, strict=True)) == expected
    training = table[table["split"] == "train"]
    found = folds(training, 4, seed=3)
    alone = dict(zip(training["photograph"], found, strict=True))
    assert alone == {name: fold for name, fold in expected.items() if fold >= 0}


def test_folds_are_the_same_on_every_machine_and_others_for_another_seed():
    table = faces_table(photographs=12)
    fold = folds(table, 3, seed=0)
    found = [sorted(set(table["photograph"][fold == number])) for number in range(3)]
    assert found == PINNED_FOLDS
    assert folds(table, 3, seed=1).tolist() != fold.tolist()


PINNED_FOLDS = [
    ["afw/11", "afw/3", "afw/7"],
    ["afw/4", "afw/8", "afw/9"],
    ["afw/1", "afw/2", "afw/6"],
]


def test_the_first_photographs_of_the_folds_are_those_of_a_split_of_their_seed():
    table = faces_table()
    fold = folds(table, 32, seed=3)
    first = table["photograph"][fold == 0].iloc[0]
    assert set(table["photograph"][validation_split(table, share=0.01, seed=3)]) == {first}


@pytest.mark.parametrize("count", [-1, 0, 1, 33])
def test_folds_that_cannot_be_are_refused(count):
    message = f"32 training photographs cannot be split into {count} folds"
    with pytest.raises(ValueError, match=message):
        folds(faces_table(), count, seed=0)


@needs_real_faces
def test_some_real_faces_are_cropped_around_their_points(tmp_path):
    index = load("300W", REAL).iloc[::200]
    result = build(index, REAL, tmp_path / "crops", size=64, progress=False)
    assert result.faces.shape[1:] == (3, 128, 128)
    assert result.faces.std(axis=(1, 2, 3)).min() > 10  # there is a picture in each
    spans = np.ptp(result.points, axis=1).max(axis=1)
    np.testing.assert_allclose(spans, 64)  # the longer side of the box is half of the crop
