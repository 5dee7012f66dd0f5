"""Stills in motion: exact points, smooth ways, opaque things, and no photograph in two sets."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from w300_folder import cut_off, invented_image, write_face

from study import datasets
from study.datasets import w300vw
from study.datasets.formats import read_pts
from study.datasets.index import face as index_row, table
from study.datasets.video import frames as frames_of
from study.standin import layout, motion, passing
from study.standin.motion import LEVELS, Stage, View, homography, moved

SIZE = 160
# A face's worth of places, well apart, so that each can be a dot of its own; px of a unit face
PLACES = np.array([[0.0, 0.1], [0.02, 0.5], [0.25, 0.9], [0.5, 1.0], [0.8, 0.85], [1.0, 0.45],
                   [0.98, 0.0], [0.25, 0.2], [0.75, 0.22], [0.5, 0.45], [0.35, 0.7], [0.68, 0.68]])


def dotted(scale, offset=(0.37, -0.21)):
    """A photograph whose face, at rest, is drawn `scale` px a px; bright dots at its points."""
    points = 60 / scale * PLACES + 75 / scale + offset
    side = int(210 / scale)
    y, x = np.mgrid[:side, :side]
    picture = np.full((side, side), 60.0)
    for px, py in points:
        picture += 170 * np.exp(-0.5 * ((x - px) ** 2 + (y - py) ** 2) / (1.5 / scale) ** 2)
    return np.repeat(np.rint(picture)[..., None], 3, axis=2).astype(np.uint8), points


def centroid(image, near, reach=6):
    """Where the bright dot near a place is, px."""
    x0, y0 = np.round(near).astype(int)
    part = image[y0 - reach:y0 + reach + 1, x0 - reach:x0 + reach + 1].astype(float).mean(-1)
    part = np.maximum(part - np.median(part) - 0.3 * np.ptp(part), 0)
    y, x = np.mgrid[-reach:reach + 1, -reach:reach + 1]
    return np.array([x0 + (part * x).sum() / part.sum(), y0 + (part * y).sum() / part.sum()])


def film(level, frames=6, seed=0, scale=1.3, size=SIZE):
    photograph, points = dotted(scale)
    rng = np.random.default_rng(seed)
    return list(motion.film(photograph, points, level, rng, frames, size)), points


# ---- the camera ----


def test_a_camera_at_rest_shows_the_photograph_as_it_is():
    photograph = np.asarray(invented_image(3, 40, 40))
    stage = Stage(photograph, (19.5, 19.5), 1.0, 40)
    way = stage.matrix(View())
    np.testing.assert_allclose(way, np.eye(3), atol=1e-12)
    stage.prepare(way[None])
    assert np.array_equal(stage.expose(way[None], np.zeros(1)), photograph)


def test_a_camera_at_rest_moves_points_by_scale_and_shift_alone():
    points = np.array([[10.0, 20.0], [13.5, 21.0], [11.0, 30.25]])
    out = moved(homography((11.0, 21.0), 2.0, 9, View()), points)
    np.testing.assert_allclose(out, [[2, 2], [9, 4], [4, 22.5]], atol=1e-12)


def test_turns_are_clockwise_and_zoom_and_shift_are_of_the_frame():
    around = np.array([[5.0, 5.0], [7.0, 5.0], [5.0, 8.0]])
    turned = moved(homography((5.0, 5.0), 1.0, 11, View(turn=90)), around)
    np.testing.assert_allclose(turned, [[5, 5], [5, 7], [2, 5]], atol=1e-12)
    view = View(x=0.5, y=-1.0, zoom=3.0)
    shifted = moved(homography((5.0, 5.0), 1.0, 11, view), around)
    np.testing.assert_allclose(shifted, [[10.5, -6], [16.5, -6], [10.5, 3]], atol=1e-12)


def test_what_is_turned_away_is_smaller():
    across = np.array([[-20.0, 0.0], [0.0, 0.0], [20.0, 0.0]])
    left, middle, right = moved(homography((0, 0), 1.0, 101, View(pan=30)), across)[:, 0]
    away = 2.5 * 101
    shrunk = 20 * np.cos(np.pi / 6)
    assert middle == 50
    assert right - middle == pytest.approx(shrunk * away / (away + 10))
    assert middle - left == pytest.approx(shrunk * away / (away - 10))
    top, middle, low = moved(homography((0, 0), 1.0, 101, View(tilt=30)), across[:, ::-1])[:, 1]
    assert low - middle < middle - top


@pytest.mark.parametrize("level", motion.DIFFICULTIES)
@pytest.mark.parametrize("scale", [0.25, 0.8, 1.3])
def test_a_dot_at_a_landmark_is_seen_at_its_landmark(level, scale, monkeypatch):
    """In all difficulties, enlarged and shrunk, through blur, flicker and noise."""
    monkeypatch.setitem(LEVELS, level, replace(LEVELS[level], hidden=0.0))
    for image, points, hidden in film(level, 5, scale=scale)[0][::2]:
        assert not hidden.any()
        for point in points:
            assert np.linalg.norm(centroid(image, point) - point) < 0.2


def test_a_dot_is_seen_at_its_stored_landmark_in_the_decoded_video(tmp_path):
    shots, _ = film("S2", 4, 2)
    assert layout.write_clip(tmp_path / "0001", shots, 25.0) == 4
    for number, image in enumerate(frames_of(tmp_path / "0001" / "vid.avi"), start=1):
        points = read_pts(tmp_path / "0001" / "annot" / f"{number:06d}.pts")
        np.testing.assert_allclose(points, shots[number - 1][1], atol=1e-6)
        for point in points:
            assert np.linalg.norm(centroid(image, point) - point) < 0.3
    assert (tmp_path / "0001" / "occluded.csv").read_text() == "frame,landmark\n"


@pytest.mark.parametrize("level, fastest, sharpest", [("S1", 1.0, 0.5), ("S2", 3.0, 1.5),
                                                       ("S3", 7.0, 4.0)])
def test_points_move_smoothly_and_the_faster_the_harder(level, fastest, sharpest):
    speeds = []
    for seed in range(6):
        points = np.array([p for _, p, _ in film(level, 30, seed)[0]])
        step, bend = np.diff(points, axis=0), np.diff(points, 2, axis=0)
        speeds.append(np.linalg.norm(step, axis=-1).max() * 256 / SIZE)
        assert np.linalg.norm(bend, axis=-1).max() * 256 / SIZE < sharpest  # px of 256, a frame
    assert 0.3 * fastest < max(speeds) < fastest


def test_the_face_fills_about_half_of_the_frame_and_stays_inside():
    for seed in range(5):
        for level in motion.DIFFICULTIES:
            for _, points, _ in film(level, 8, seed)[0]:
                span = np.ptp(points, axis=0).max() / SIZE
                assert 0.33 < span < 0.72
                assert ((points > 0) & (points < SIZE - 1)).all()


def test_beyond_the_photograph_is_no_edge_but_a_blurred_reflection():
    photograph = np.zeros((30, 40, 3), np.uint8) + np.arange(40, dtype=np.uint8)[:, None] * 5
    out = motion._surrounded(photograph, np.array([-12, 4]), np.array([35, 26]), 3.0)
    assert out.shape == (22, 47, 3)
    np.testing.assert_array_equal(out[:, 12:], photograph[4:26, :35])
    ramp = np.abs(np.diff(out[..., 0].astype(int), axis=1))
    assert ramp.max() <= 8  # grey levels; a black border would be a step
    inner = motion._surrounded(photograph, np.array([3, 2]), np.array([9, 8]), 3.0)
    np.testing.assert_array_equal(inner, photograph[2:8, 3:9])


def test_shrinking_does_not_alias():
    """Stripes of 1 px become an even grey, not a coarse pattern."""
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 240
    stage = Stage(stripes, (199.5, 199.5), 0.3, 64)
    way = stage.matrix(View(turn=3))
    stage.prepare(way[None])
    image = stage.expose(way[None], np.zeros(1))[12:-12, 12:-12]
    assert np.ptp(image.astype(int)) < 8 and abs(image.mean() - 120) < 3


def test_motion_blur_is_centred_on_the_frame_s_time():
    """A dot that moves 6 px a frame becomes a streak around where it is at the middle moment."""
    photograph, points = dotted(1.0)
    stage = Stage(photograph, (105, 105), 1.0, SIZE)
    ways = np.array([stage.matrix(View(x=6 * t / SIZE)) for t in 0.9 * motion.OPEN])
    stage.prepare(ways)
    seen = moved(ways[1], points)[9]
    image = stage.expose(ways, 0.9 * motion.OPEN)
    sharp = stage.expose(ways[1:2], np.zeros(1))
    assert np.linalg.norm(centroid(image, seen, 9) - seen) < 0.2
    assert image.max() < 0.9 * sharp.max()


# ---- what passes ----


def test_a_thing_hides_the_share_of_the_face_that_it_should():
    size, face = 128, np.array([60.0, 66.0])
    y, x = np.mgrid[-0.5:0.5:25j, -0.5:0.5:25j]
    spots = np.stack([x.ravel(), y.ravel()], -1) * face + 63.5
    shares = []
    for seed in range(40):
        for thing in passing.sample_things(np.random.default_rng(seed), 30, 1.0, size, face):
            shares.append(thing.hides(spots, thing.middle, np.array([63.5, 63.5])).mean())
            far = thing.middle + 0.499 * thing.length
            assert thing.hides(spots, far, np.array([63.5, 63.5])).mean() == 0
            assert not thing.there(thing.middle + 0.51 * thing.length)
    assert 0.15 < np.mean(shares) < 0.40
    assert 0.05 < min(shares) and max(shares) < 0.55


def test_what_is_hidden_is_what_is_painted_over():
    size = 96
    behind = np.full((size, size, 3), 90, np.uint8)
    y, x = np.mgrid[:size, :size]
    px = np.stack([x.ravel(), y.ravel()], -1).astype(float)
    for seed in range(6):
        (thing,) = passing.sample_things(np.random.default_rng(seed), 10, 1.0, size, (50.0, 50.0))
        time, at = thing.middle + 0.1 * thing.length, np.array([47.0, 50.0])
        image = behind.copy()
        passing.cover(image, thing, [(time, at)])
        changed = np.abs(image.astype(int) - behind).sum(-1) > 0
        hidden = thing.hides(px, time, at).reshape(size, size)
        assert hidden.sum() > 200
        kernel = np.ones((5, 5), np.uint8)  # the edge is soft
        assert not (changed & (cv2.dilate(hidden.astype(np.uint8), kernel) == 0)).any()
        inner = cv2.erode(hidden.astype(np.uint8), kernel).astype(bool)
        assert changed[inner].mean() > 0.95  # paint may be as grey as what is behind


def test_only_the_hardest_level_hides_points():
    hidden = {level: sum(h.sum() for *_, h in film(level, 20, 3)[0])
              for level in motion.DIFFICULTIES}
    assert hidden["S1"] == hidden["S2"] == 0 < hidden["S3"]


def test_light_is_steady_in_the_first_level_and_flickers_in_the_last():
    changes = {}
    for level in motion.DIFFICULTIES:
        photograph = np.full((90, 90, 3), 120, np.uint8)
        rng = np.random.default_rng(1)
        steady = replace(LEVELS[level], hidden=0.0)
        tables = motion._tables(rng, steady, 60)
        changes[level] = tables[:, 0, 120].mean(axis=-1).std()
        assert tables.shape == (60, 1, 256, 3)
        assert (np.diff(tables.astype(int), axis=2) >= 0).all()
        assert cv2.LUT(photograph, tables[0]).shape == photograph.shape
    assert changes["S1"] == 0 < 3 < changes["S2"] < changes["S3"]


def test_the_same_generator_films_the_same_twice_and_another_otherwise():
    a, b, c = (film("S3", 3, seed)[0] for seed in (4, 4, 5))
    for one, two in zip(a, b, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(one, two, strict=True))
    assert not np.array_equal(a[0][0], c[0][0])


# ---- which photographs ----


def index_of(train, common, shared=()):
    """An index of invented faces; photographs of `shared` are in the training and the test set."""
    def row(subset, photograph, number=1):
        return index_row(id=f"{subset}/{photograph}_{number}",
                         split="train" if subset == "train" else "test", subset=subset,
                         image=f"{subset}/{photograph}_{number}.jpg", photograph=photograph,
                         points=np.random.default_rng(0).uniform(0, 50, (68, 2)))

    rows = [row("train", f"t{i}", n) for i in range(train) for n in (1, 2)]
    rows += [row("common", f"c{i}") for i in range(common)] + [row("challenging", "x")]
    rows += [row(subset, name) for name in shared for subset in ("train", "common")]
    return table(rows)


def test_each_photograph_makes_one_clip_of_one_subset():
    plan = motion.plan_clips(index_of(9, 8), {"train": 7, "S1": 2, "S2": 3, "S3": 2}, 0)
    assert [clip.name for clip in plan] == [f"{i:04d}" for i in range(1, 15)]
    assert [clip.subset for clip in plan] == ["train"] * 7 + ["S1"] * 2 + ["S2"] * 3 + ["S3"] * 2
    assert len({clip.photograph for clip in plan}) == 14
    assert all((clip.photograph[0] == "t") == (clip.subset == "train") for clip in plan)
    assert [clip.level for clip in plan[:7]] == ["S1", "S2", "S3", "S1", "S2", "S3", "S1"]
    assert all(clip.level == clip.subset for clip in plan[7:])


def test_with_few_photographs_subsets_share_none_all_the_same():
    clips = {"train": 5, "S1": 4, "S2": 1, "S3": 7}
    for seed in range(5):
        plan = motion.plan_clips(index_of(2, 4), clips, seed)
        used = {s: {c.photograph for c in plan if c.subset == s} for s in clips}
        assert {s: sum(c.subset == s for c in plan) for s in clips} == clips
        assert sum(map(len, used.values())) == len(set.union(*used.values()))
        assert len(used["train"]) == 2 and min(map(len, used.values())) > 0


def test_a_photograph_in_training_and_test_set_is_in_no_clip():
    plan = motion.plan_clips(index_of(3, 3, shared=["both"]), {"train": 3, "S1": 3}, 0)
    assert "both" not in {clip.photograph for clip in plan}


def test_another_seed_chooses_others():
    index = index_of(30, 30)
    a, b = (motion.plan_clips(index, {"train": 5, "S2": 5}, seed) for seed in (0, 1))
    assert {c.face for c in a} != {c.face for c in b}


def test_too_few_photographs_are_refused():
    with pytest.raises(ValueError, match="2 common test photographs for S1, S2, S3"):
        motion.plan_clips(index_of(1, 2), {"S1": 1, "S2": 1, "S3": 1}, 0)
    with pytest.raises(ValueError, match="0 training photographs"):
        motion.plan_clips(index_of(0, 2), {"train": 1}, 0)


# ---- files ----

CLIPS = {"train": 3, "S1": 1, "S2": 1, "S3": 1}
FRAMES, SMALL = 4, 48
FACES = {"afw": ["11_1", "12_1"], "helen/trainset": ["21_1", "22_1"],
         "lfpw/trainset": ["image_0001"], "helen/testset": ["31_1", "32_1", "33_1"],
         "lfpw/testset": ["image_0001"]}


def bytes_of(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*"))
            if p.is_file()}


@pytest.fixture
def stills(tmp_path):
    root = tmp_path / "300W"
    for seed, (folder, name) in enumerate((f, n) for f, names in FACES.items() for n in names):
        suffix = ".png" if folder.startswith("lfpw") else ".jpg"
        write_face(root, folder, name, seed=seed, suffix=suffix)
    return root


def write(root, stills, seed=3, **changes):
    options = {"clips": CLIPS, "frames": FRAMES, "size": SMALL, "jobs": 1, "progress": False}
    motion.write(root, datasets.load("300W", stills), stills, seed=seed, **{**options, **changes})
    return root


def test_the_layout_is_read_as_300vw_with_lists_of_its_own(stills, tmp_path):
    root = write(tmp_path / "300VW", stills)
    index = datasets.load("300VW", root)
    names = [f"{i:04d}" for i in range(1, 7)]
    subsets = ["train", "train", "train", "S1", "S2", "S3"]
    assert index.groupby("video").size().to_dict() == dict.fromkeys(names, FRAMES)
    assert dict(zip(index.video, index.subset, strict=True)) == dict(zip(names, subsets,
                                                                         strict=True))
    lists = json.loads((root / "splits.json").read_text())
    assert lists["train"] == names[:3] and lists["test_category3"] == names[5:]
    photographs = index.drop_duplicates("video").set_index("video").photograph
    assert photographs.is_unique
    known = datasets.load("300W", stills)
    for name, photograph in photographs.items():
        (split,) = known.split[known.photograph == photograph].unique()
        assert split == index.split[index.video == name].iloc[0]
    assert "photograph" in (root / motion.NOTE).read_text()
    for image in frames_of(root / "0001" / "vid.avi"):
        assert image.shape == (SMALL, SMALL, 3)


def test_what_is_hidden_is_written_beside_the_video(stills, tmp_path):
    root = write(tmp_path / "300VW", stills)
    hidden = {name: w300vw.occluded(root, name, FRAMES) for name in w300vw.videos(root)}
    assert all(h.shape == (FRAMES, 68) for h in hidden.values())
    assert {name for name, h in hidden.items() if h.any()} == {"0003", "0006"}  # S3 and its kind


def test_points_on_disk_are_a_homography_of_the_still_s(stills, tmp_path):
    root = write(tmp_path / "300VW", stills)
    index, known = datasets.load("300VW", root), datasets.load("300W", stills)
    for row in index[index.video == "0005"].itertuples():
        still = known[known.photograph == row.photograph].iloc[0].points
        matrix, _ = cv2.findHomography(still, row.points)
        np.testing.assert_allclose(moved(matrix, still), row.points, atol=1e-4)


def test_the_same_seed_gives_the_same_bytes_in_other_processes(stills, tmp_path):
    one = write(tmp_path / "one", stills, clips=dict(reversed(CLIPS.items())))
    two = write(tmp_path / "two", stills, jobs=2)
    assert bytes_of(one) == bytes_of(two)
    other = write(tmp_path / "other", stills, seed=4)
    assert bytes_of(one)["0004/vid.avi"] != bytes_of(other)["0004/vid.avi"]


def test_a_finished_folder_is_left_alone_until_a_photograph_changes(stills, tmp_path):
    root = write(tmp_path / "300VW", stills)
    before = (root / "0001" / "vid.avi").stat().st_mtime_ns
    write(root, stills)
    assert (root / "0001" / "vid.avi").stat().st_mtime_ns == before
    used = pd.read_csv(root / "sources.csv", dtype=str).photograph[0]
    known = datasets.load("300W", stills)
    image = known.image[known.photograph == used].iloc[0]
    invented_image(77).save(stills / image)
    write(root, stills)
    assert (root / "0001" / "vid.avi").stat().st_mtime_ns != before
    record = json.loads((root / motion.RECORD).read_text())
    assert record["version"] == motion.VERSION and record["clips"] == CLIPS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["300VW", "300W"]


def test_a_folder_of_something_else_is_never_overwritten(stills, tmp_path):
    with pytest.raises(FileExistsError, match="no motion.json"):
        write(stills, stills)
    assert (stills / "afw" / "11_1.jpg").exists()


def test_a_damaged_photograph_is_named_and_nothing_is_written(stills, tmp_path):
    index = datasets.load("300W", stills)
    for image in index.image[index.split == "train"]:
        cut_off(stills / image)
    with pytest.raises(ValueError, match=r"(jpg|png): "):
        motion.write(tmp_path / "x", index, stills, {"train": 1}, 2, 0, 32, jobs=1, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["300W"]


@pytest.mark.parametrize("changes, cause", [
    ({"clips": {"S4": 1}}, "unknown subsets.*S4"), ({"clips": {"S1": -1}}, "S1 is -1"),
    ({"frames": 0}, "frames is 0"), ({"size": 8}, "size is 8")])
def test_impossible_requests_are_refused(stills, tmp_path, changes, cause):
    with pytest.raises(ValueError, match=cause):
        write(tmp_path / "x", stills, **changes)
    assert not (tmp_path / "x").exists()
