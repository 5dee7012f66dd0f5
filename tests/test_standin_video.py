"""Stand-in videos: one person who talks, drawn without flicker, with exact and smooth points."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from study import datasets
from study.datasets import formats, talking_face, w300vw
from study.datasets.video import frames as frames_of
from study.standin import acting, face as standin, folders, signals, video
from study.standin.face import Camera, Expression, Face, Identity, Light, Pose, Scene, Sitter
from study.standin.parameters import Hair
from study.standin.write import NOTE, RECORD

ROOT = Path(__file__).resolve().parents[1]
SIZE = 72, 88  # px, height and width: small, for speed
BALD = replace(Identity(), hair=Hair(style="bald"))


def performance(scenario, frames=40, seed=0, size=video.SIZE):
    return acting.perform(np.random.default_rng(seed), scenario, frames, size)


def tracks(played, step=1, size=video.SIZE):
    """Points (T, 68, 2) of every `step`-th frame, without drawing."""
    return np.array([standin.landmarks(face, size) for face in played.faces[::step]])


# ---- signals ----


def test_a_signal_wanders_about_zero_with_a_deviation_of_one():
    time = np.arange(20_000)
    for seed in range(3):
        values = signals.wander(np.random.default_rng(seed))(time)
        assert abs(values.mean()) < 0.05
        assert values.std() == pytest.approx(1, abs=0.05)


def test_a_signal_is_slower_than_its_highest_frequency_allows():
    signal = signals.wander(np.random.default_rng(0), 0.2, 2.0)
    values = signal(np.arange(0, 500, 0.25))
    assert np.abs(np.gradient(values, 0.25)).max() <= 2 * np.pi * 2.0 / 25 * np.sqrt(8)
    assert signal(np.array([3.0, 7.5]))[1] == signal(7.5)


def test_a_limited_signal_stays_within_one_and_a_half_spreads():
    signal = signals.wander(np.random.default_rng(1))
    values = signals.limited(signal, np.arange(5000), 4.0)
    assert np.abs(values).max() < 6.0 and np.abs(values).max() > 4.0


def test_bumps_are_as_high_and_as_long_as_asked():
    values = signals.bumps(np.arange(20), [5.0, 14.0], [4.0, 6.0], [2.0, 1.0])
    assert values[5] == 2.0 and values[14] == 1.0
    np.testing.assert_allclose(values[4], 1.0)  # half a flank: half the height
    assert np.flatnonzero(values).tolist() == [4, 5, 6, 12, 13, 14, 15, 16]


def test_a_crossing_runs_from_minus_one_to_one_slowly_in_the_middle():
    at = signals.crossing(np.array([2.0, 7.0, 12.0]), 7.0, 10.0)
    np.testing.assert_allclose(at, [-1, 0, 1])
    steps = np.diff(signals.crossing(np.arange(2.0, 13.0), 7.0, 10.0))
    assert (steps > 0).all() and steps[5] < 0.4 * steps[0]


# ---- acting ----


@pytest.mark.parametrize("scenario", video.SCENARIOS)
def test_one_person_in_one_place_before_one_camera(scenario):
    faces = performance(scenario).faces
    assert len({(f.identity, f.scene) for f in faces}) == 1
    assert len({f.camera.tint for f in faces}) == 1
    assert len({f.camera.seed for f in faces}) == len(faces)  # of the sensor's noise
    assert not faces[0].scene.occluder


@pytest.mark.parametrize("frames", [12, 23, 60])
def test_every_short_video_has_a_blink_that_closes_and_opens(frames):
    for seed in range(8):
        closed = acting.blinks(np.random.default_rng(seed), frames)
        assert closed.max() == 1 and closed.min() == 0
        assert np.abs(np.diff(closed)).max() < 0.8  # no frame between is missing


def test_blinks_of_a_long_video_are_two_to_five_seconds_apart_and_short():
    closed = acting.blinks(np.random.default_rng(0), 3000)
    shut = np.flatnonzero(closed == 1)
    gaps = np.diff(shut) / signals.FPS
    assert 2 <= gaps.min() and gaps.max() <= 5
    assert 3 <= (closed > 0).sum() / len(shut) <= 8


def test_syllables_come_three_to_five_a_second_with_pauses():
    for seed in range(4):
        opening, rounding = acting.speech(np.random.default_rng(seed), 750)
        assert 0 <= opening.min() and 0.15 < opening.max() < 0.55
        inner = opening[1:-1]
        peaks = ((inner > opening[:-2]) & (inner >= opening[2:])).sum() / 30
        assert 2.3 < peaks < 5
        assert 0.02 < (opening == 0).mean() < 0.4
        assert (rounding[opening == 0] == 0).all()


def test_the_drawn_points_blink_and_talk():
    points = tracks(performance("S1", 24))
    mouth = points[:, 66, 1] - points[:, 62, 1]
    eye = points[:, 41, 1] - points[:, 37, 1]
    assert mouth.max() > mouth.min() + 2.5  # px
    assert eye.min() < 0.15 * eye.max()


@pytest.mark.parametrize("scenario", video.SCENARIOS)
def test_points_move_smoothly_and_stay_in_the_picture(scenario):
    """Rigid points: features that move by themselves are left out but for their corners."""
    for seed in (1, 2):
        points = tracks(performance(scenario, 24, seed))
        assert ((points > 0) & (points < [239, 199])).all()
        rigid = points[:, [1, 15, 27, 30, 33, 36, 39, 42, 45]]
        assert np.linalg.norm(np.diff(rigid, axis=0), axis=-1).max() < 8
        assert np.linalg.norm(np.diff(rigid, 2, axis=0), axis=-1).max() < 2.5
        assert np.linalg.norm(np.diff(points, 2, axis=0), axis=-1).max() < 12


def test_scenarios_are_ever_harder():
    def mean(of):
        return [np.mean([of(performance(s, 50, seed)) for seed in range(12)])
                for s in video.SCENARIOS]

    def light(played):
        return np.std([f.light.strength for f in played.faces]) / played.faces[0].light.strength

    for measure in (lambda p: np.ptp([f.pose.yaw for f in p.faces]), light,
                    lambda p: np.mean([f.camera.motion for f in p.faces])):
        assert sorted(mean(measure)) == mean(measure)
    for seed in range(12):
        assert [len(performance(s, 50, seed).passes) for s in video.SCENARIOS] == [0, 0, 3]


# ---- drawing ----


def test_a_sitter_has_the_points_of_a_single_picture_and_looks_like_it():
    face = Face(BALD, Expression(smile=0.3, gaze_x=0.4), Pose(yaw=12, roll=-5), Light(), Scene())
    sitter = Sitter(face, (120, 130))
    for expression in (face.expression, Expression(mouth_open=0.4, blink_left=1, smile=0.3)):
        acted = replace(face, expression=expression)
        image, points, hidden = sitter.draw(acted)
        alone, exact = standin.draw(acted, (120, 130))
        assert np.array_equal(points, exact) and not hidden.any()
        assert np.abs(image.astype(int) - alone).mean() < 0.6


def test_what_does_not_move_does_not_flicker():
    """Opening the mouth changes nothing above it but shadows; hair and skin keep each px."""
    face = standin.sample_face(np.random.default_rng(3), "common")
    face = replace(face, camera=Camera(), expression=Expression())
    sitter = Sitter(face, (120, 130))
    closed, points, _ = sitter.draw(face)
    opened, *_ = sitter.draw(replace(face, expression=Expression(mouth_open=0.4)))
    changed = np.abs(closed.astype(int) - opened).sum(-1) > 6
    top = int(points[[31, 35], 1].min()) - 3
    assert changed[top:].sum() > 50
    assert changed[:top].sum() == 0


def test_a_frame_does_not_depend_on_the_frames_before():
    played = performance("S3", 9, 5, SIZE)
    whole = list(video.film(played, SIZE))
    (alone,) = video.film(played, SIZE, [6])
    for a, b in zip(whole[6], alone, strict=True):
        assert np.array_equal(a, b)


def test_noise_differs_from_frame_to_frame_where_nothing_moves():
    face = Face(BALD, camera=Camera(noise=0.02, seed=1))
    sitter = Sitter(face, SIZE)
    a, b = (sitter.draw(replace(face, camera=replace(face.camera, seed=seed)))[0].astype(float)
            for seed in (1, 2))
    assert 1 < np.abs(a - b).mean() < 12


def test_the_background_moves_with_the_camera():
    face = Face(BALD, scene=Scene(background="bricks", focus=0.0))
    sitter = Sitter(face, (90, 110), margin=4)
    still, moved = (sitter.draw(face, pan=pan)[0].astype(int) for pan in ((0, 0), (3, -2)))
    np.testing.assert_array_equal(moved[:20, 4:15], still[2:22, 1:12])


def test_what_passes_hides_the_points_behind_it_and_nothing_else():
    played = performance("S3", 16, 2, (120, 140))
    passing = acting.Pass("phone", 1, 8.0, 12.0, (1.0, 0.0))
    played = replace(played, passes=[passing])
    clear = replace(played, passes=[])
    hiding = [0, 2, 8, 14]
    shots, plain = (list(video.film(p, (120, 140), hiding)) for p in (played, clear))
    counts = [int(hidden.sum()) for *_, hidden in shots]
    assert counts[0] == counts[1] == counts[3] == 0 and 4 < counts[2] < 64
    (a, points, hidden), (b, same, _) = shots[2], plain[2]
    assert np.array_equal(points, same)
    changed = np.abs(a.astype(int) - b).sum(-1)
    x, y = np.round(points).astype(int).T
    assert np.median(changed[y, x][hidden]) > 4 * max(np.median(changed[y, x][~hidden]), 5)


def test_a_thing_that_passes_is_away_at_both_ends():
    passing = acting.Pass("hand", 0, 10.0, 8.0, (0.0, 1.0))
    assert passing.offset(6) is None and passing.offset(14) is None
    np.testing.assert_allclose(passing.offset(10), 0)
    assert passing.offset(13)[1] > 8 > 2 > abs(passing.offset(10.5)[1])


# ---- files ----

VIDEOS = {"train": 2, "S1": 1, "S3": 1}
NAMES = {"001": "train", "002": "train", "114": "S1", "410": "S3"}
FRAMES = 3


def bytes_of(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*"))
            if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("standin") / "300VW"
    video.write_300vw(root, VIDEOS, FRAMES, 5, jobs=1, progress=False, size=SIZE)
    return root


def test_the_layout_is_read_as_300vw(written):
    index = datasets.load("300VW", written)
    assert len(index) == len(NAMES) * FRAMES
    assert dict(zip(index.video, index.subset, strict=True)) == NAMES
    assert set(index.photograph) == set(NAMES)
    for name in NAMES:
        images = list(frames_of(written / name / "vid.avi"))
        assert [image.shape for image in images] == [(*SIZE, 3)] * FRAMES
    assert "rendered" in (written / NOTE).read_text()
    assert "300VW" in (written / NOTE).read_text()


def test_points_on_disk_are_those_of_the_performance(written):
    played = acting.perform(video._rng(5, "300VW", 410), "S3", FRAMES, SIZE)
    index = datasets.load("300VW", written)
    stored = np.array(index.points[index.video == "410"].tolist())
    np.testing.assert_allclose(stored, tracks(played, size=SIZE), atol=1e-6)


def test_only_the_third_scenario_hides_landmarks(written):
    hidden = {name: w300vw.occluded(written, name, FRAMES).sum() for name in NAMES}
    assert hidden["410"] > 0
    assert hidden["001"] == hidden["002"] == hidden["114"] == 0  # training: S1 and S2


def test_the_same_seed_gives_the_same_bytes_in_other_processes(written, tmp_path):
    video.write_300vw(tmp_path / "two", dict(reversed(VIDEOS.items())), FRAMES, 5, jobs=2,
                      progress=False, size=SIZE)
    assert bytes_of(tmp_path / "two") == bytes_of(written)


def test_talking_face_is_the_same_for_any_jobs_and_has_its_own_markup(tmp_path, monkeypatch):
    roots = tmp_path / "a", tmp_path / "b"
    video.write_talking_face(roots[0], 5, 2, jobs=1, progress=False, size=SIZE)
    monkeypatch.setattr(video, "CHUNK", 2)  # drawn in three parts
    video.write_talking_face(roots[1], 5, 2, jobs=1, progress=False, size=SIZE)
    assert bytes_of(roots[0]) == bytes_of(roots[1])
    index = datasets.load("TF", roots[0])
    assert index.id.tolist() == [f"franck_{i:05d}#{i}" for i in range(5)]
    played = acting.perform(video._rng(2, "TF", 0), "S1", 5, SIZE)
    common = tracks(played, size=SIZE)[:, list(talking_face.IN_IBUG68)]
    np.testing.assert_allclose(np.array(index.points.tolist()), common, atol=1e-6)
    stored = formats.read_pts(roots[0] / "franck_00004.pts")
    assert stored.shape == (68, 2) and np.isfinite(stored).all()
    with Image.open(roots[0] / "franck_00004.jpg") as image:
        assert image.size == SIZE[::-1]


def test_talking_face_points_take_the_seven_common_ones_as_they_are():
    points = np.random.default_rng(0).normal(size=(68, 2))
    out = video.talking_points(points)
    np.testing.assert_array_equal(out[list(talking_face.IN_FILES)],
                                  points[list(talking_face.IN_IBUG68)])


def test_training_videos_take_the_three_scenarios_in_turn():
    plan = video.plan_videos({"train": 4, "S2": 2})
    assert plan == [("001", "train", "S1"), ("002", "train", "S2"), ("003", "train", "S3"),
                    ("004", "train", "S1"), ("203", "S2", "S2"), ("208", "S2", "S2")]


def test_a_finished_folder_is_left_alone_and_a_changed_request_replaces_it(tmp_path):
    root = tmp_path / "TF"
    video.write_talking_face(root, 1, 2, jobs=1, progress=False, size=SIZE)
    before = (root / "franck_00000.jpg").stat().st_mtime_ns
    video.write_talking_face(root, 1, 2, jobs=1, progress=False, size=SIZE)
    assert (root / "franck_00000.jpg").stat().st_mtime_ns == before
    video.write_talking_face(root, 2, 2, jobs=1, progress=False, size=SIZE)
    assert (root / "franck_00001.jpg").exists()
    assert json.loads((root / RECORD).read_text())["version"] == video.VERSION
    assert [p.name for p in tmp_path.iterdir()] == ["TF"]


def test_a_real_folder_is_never_overwritten(tmp_path):
    (tmp_path / "vid.avi").write_bytes(b"real")
    with pytest.raises(FileExistsError, match="no standin.json"):
        video.write_300vw(tmp_path, {"S1": 1}, 1, 0, jobs=1, progress=False)
    assert (tmp_path / "vid.avi").read_bytes() == b"real"


def test_an_interrupted_writing_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError):
        with folders.replacing(tmp_path / "made", {"a": 1}, "record.json", {}) as made:
            (made / "half").write_text("half")
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("videos, frames, cause", [
    ({"S4": 1}, 3, "unknown subsets.*S4"), ({"S3": 15}, 3, "S3 is to hold 15 videos of 14"),
    ({"S1": -1}, 3, "S1 is to hold -1"), ({"S1": 1}, 0, "0 frames")])
def test_impossible_requests_are_refused_before_anything_is_written(tmp_path, videos, frames,
                                                                    cause):
    with pytest.raises(ValueError, match=cause):
        video.write_300vw(tmp_path / "x", videos, frames, 0, jobs=1, progress=False)
    with pytest.raises(ValueError, match="5001 frames"):
        video.write_talking_face(tmp_path / "x", 5001, 0)
    assert not (tmp_path / "x").exists()


def test_another_process_performs_alike():
    """Hash seeds, imports and the like must not matter."""
    code = ("import numpy as np; from study.standin import acting, face; "
            "p = acting.perform(np.random.default_rng(4), 'S3', 6, (72, 88)); "
            "print(face.landmarks(p.faces[5], (72, 88)).sum().hex(), p.passes[0].seed)")
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=environment,
                          capture_output=True, text=True).stdout
    played = performance("S3", 6, 4, SIZE)
    points = standin.landmarks(played.faces[5], SIZE).sum()
    assert told.split() == [points.hex(), str(played.passes[0].seed)]


def test_pictures_are_drawn_in_one_thread_or_many_alike():
    face = performance("S2", 1, 0, SIZE).faces[0]
    threads = cv2.getNumThreads()
    images = []
    for count in (1, 4):
        cv2.setNumThreads(count)
        images.append(Sitter(face, SIZE).draw(face)[0])
    cv2.setNumThreads(threads)
    assert np.array_equal(*images)
