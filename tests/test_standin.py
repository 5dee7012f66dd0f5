"""Stand-in faces: what is drawn lies at its landmarks, and files are what 300W's loaders expect."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from study.datasets.formats import read_pts
from study.standin import face as standin, head, raster, skin, write
from study.standin.face import Camera, Expression, Face, Identity, Light, Pose, Scene
from study.standin.hair import STYLES
from study.standin.occluders import OCCLUDERS
from study.standin.parameters import Hair
from study.standin.scene import BACKGROUNDS

ROOT = Path(__file__).resolve().parents[1]
SIZE = 160
# Written out here on purpose: the drawing has no table of the mirror order to be compared with
MIRROR = np.array([*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
                   45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48,
                   59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65])
BALD = replace(Identity(), hair=Hair(style="bald"))


def faces(difficulty, count, seed=0):
    return [standin.sample_face(np.random.default_rng([seed, i]), difficulty)
            for i in range(count)]


def polygon_mask(points, size, shrink=1.0):
    middle = points.mean(0)
    mask = np.zeros((size, size), np.uint8)
    inner = middle + shrink * (points - middle)
    cv2.fillPoly(mask, [np.round(inner * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return mask.astype(bool)


def remaining_shift(a, b, where):
    """Small shift (x, y) px from picture a to b in a region, by least squares on the slopes."""
    dy, dx = (g[where].ravel() for g in np.gradient((a + b) / 2))
    return np.linalg.lstsq(np.stack([dx, dy], -1), (a - b)[where].ravel(), rcond=None)[0]


def centroid(image):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(image * x).sum(), (image * y).sum()]) / image.sum()


DOTS = [(pose, i) for pose, seen in (
    (Pose(), (19, 28, 33, 36, 45, 48, 51, 57)),
    (Pose(yaw=35, pitch=-12, roll=18), (19, 29, 36, 39, 48, 51, 57)),
    (Pose(yaw=-60, pitch=8), (24, 45, 46, 54, 55))) for i in seen]


@pytest.mark.parametrize("pose, landmark", DOTS)
def test_a_dot_painted_at_a_landmark_is_seen_at_that_landmark(pose, landmark, monkeypatch):
    """Paints a small dot on the head's texture and looks for it in the picture."""
    face = Face(BALD, pose=pose, scene=Scene(background="plain"))
    image, points = standin.draw(face, 320)
    model = standin._Model(face, 320, 320)
    column, row = model.grid_points()
    paint = skin.paint

    def with_dot(*args, **kwargs):
        canvas = paint(*args, **kwargs)
        x = column[landmark] * skin.WIDTH / (head.COLUMNS - 1) - 0.5
        y = row[landmark] * skin.HEIGHT / (head.ROWS - 1) - 0.5
        ys, xs = np.mgrid[: skin.HEIGHT, : skin.WIDTH]
        canvas.glow += 0.5 * np.exp(-0.5 * ((xs - x) ** 2 + (ys - y) ** 2) / 1.5**2)
        return canvas

    monkeypatch.setattr(skin, "paint", with_dot)
    dotted, _ = standin.draw(face, 320)
    difference = (dotted.astype(float) - image).sum(-1)
    assert difference.max() > 60
    dot = np.where(difference > 0.3 * difference.max(), difference, 0)
    assert np.linalg.norm(centroid(dot) - points[landmark]) < 1.0


def test_eyes_are_bright_and_irises_dark_inside_the_eye_landmarks():
    identity = replace(BALD, iris=(0.1, 0.06, 0.03), skin=0.4)
    image, points = standin.draw(Face(identity), 320)
    grey = image.mean(-1)
    for eye in (points[36:42], points[42:48]):
        inside = polygon_mask(eye, 320, 0.9)
        around = polygon_mask(eye, 320, 1.7) & ~polygon_mask(eye, 320, 1.25)
        assert np.percentile(grey[inside], 90) > np.median(grey[around])
        assert grey[inside].min() < 0.4 * np.median(grey[around])


def test_lips_of_a_painted_colour_lie_inside_the_outer_lip_landmarks():
    """The face is drawn twice, with blue and with red lips: only lip px may change."""
    a, points = standin.draw(Face(replace(BALD, lip_colour=(0.1, 0.1, 0.9))), 320)
    b, _ = standin.draw(Face(replace(BALD, lip_colour=(0.9, 0.1, 0.1))), 320)
    changed = np.abs(a.astype(int) - b).sum(-1) > 120
    inside = polygon_mask(points[48:60], 320)
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert changed[~grown].sum() == 0
    assert changed[polygon_mask(points[48:60], 320, 0.8)].mean() > 0.9


def test_an_open_mouth_is_dark_between_the_inner_lip_landmarks():
    face = Face(BALD, Expression(mouth_open=0.8))
    image, points = standin.draw(face, 320)
    gap = polygon_mask(points[60:68], 320, 0.7)
    cheek = image[int(points[3, 1]), int(points[48, 0]) - 20].mean()
    assert image[gap].mean() < 0.75 * cheek
    closed = standin.landmarks(Face(BALD), 320)
    assert points[66, 1] - points[62, 1] > 8 + closed[66, 1] - closed[62, 1]


def test_a_blink_closes_the_eyelids_landmarks():
    def opening(points):
        return points[[41, 40], 1].mean() - points[[37, 38], 1].mean()

    opened = opening(standin.landmarks(Face(), 320))
    closed = opening(standin.landmarks(Face(expression=Expression(blink_left=1.0)), 320))
    assert 0 <= closed < 0.15 * opened


@pytest.mark.parametrize("shift", [(0.3, 0.0), (0.0, -0.45), (1.7, 2.2)])
def test_moving_a_face_moves_points_exactly_and_picture_alike(shift):
    """The background stays where it is, so only the inner face is compared."""
    still = Face(BALD, pose=Pose(scale=0.4, y=0.05), scene=Scene(background="plain"))
    pose = replace(still.pose, x=shift[0] / 200, y=0.05 + shift[1] / 200)
    a, p = standin.draw(still, 200)
    b, q = standin.draw(replace(still, pose=pose), 200)
    np.testing.assert_allclose(q - p, np.tile(shift, (68, 1)), atol=1e-9)
    low, high = np.floor(p[36:].min(0)).astype(int) - 6, np.ceil(p[36:].max(0)).astype(int) + 6
    where = slice(low[1], high[1]), slice(low[0], high[0])
    back = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]])
    a, b = a.mean(-1), cv2.warpAffine(b.mean(-1), back, (200, 200), flags=cv2.INTER_CUBIC)
    np.testing.assert_allclose(remaining_shift(a, b, where), 0, atol=0.1)
    np.testing.assert_allclose(remaining_shift(a, np.roll(a, 1, 1), where), [1, 0], atol=0.5)


def test_a_symmetric_face_seen_from_the_front_has_mirrored_points():
    for expression in (Expression(), Expression(mouth_open=0.5, smile=0.6, brow_raise=0.4)):
        points = standin.landmarks(Face(expression=expression), 201)
        mirrored = points[MIRROR] * [-1, 1] + [200, 0]
        np.testing.assert_allclose(mirrored, points, atol=1e-6)


def test_turning_the_other_way_mirrors_the_points():
    left = standin.landmarks(Face(pose=Pose(yaw=-40, pitch=5, roll=-10)), 201)
    right = standin.landmarks(Face(pose=Pose(yaw=40, pitch=5, roll=10)), 201)
    np.testing.assert_allclose(left[MIRROR] * [-1, 1] + [200, 0], right, atol=1e-6)


@pytest.mark.parametrize("yaw, pitch, on_outline", [
    (0, 0, (3, 4, 5, 8, 11, 12, 13)), (40, 0, (8, 12, 13, 14)), (-40, 10, (2, 3, 4, 8)),
    (60, -10, (8,))])
def test_the_contour_lies_on_the_visible_outline(yaw, pitch, on_outline, monkeypatch):
    """The head, and only the head, is painted brightly; its landmarks are on that area's edge."""
    face = Face(BALD, pose=Pose(yaw=yaw, pitch=pitch))
    image, points = standin.draw(face, 320)
    paint = skin.paint

    def bright(*args, **kwargs):
        canvas = paint(*args, **kwargs)
        canvas.glow += 4
        return canvas

    monkeypatch.setattr(skin, "paint", bright)
    area = (standin.draw(face, 320)[0].astype(int) - image).sum(-1) > 60
    distance = cv2.distanceTransform(area.astype(np.uint8), cv2.DIST_L2, 5)
    distance += cv2.distanceTransform((~area).astype(np.uint8), cv2.DIST_L2, 5)
    for i in on_outline:
        x, y = np.round(points[i]).astype(int)
        assert distance[y, x] < 3.5, i  # px; an edge px has 1


def test_points_and_pictures_do_not_depend_on_earlier_drawings():
    one, other = faces("challenging", 2)
    first = standin.draw(one, SIZE)
    standin.draw(other, SIZE)
    again = standin.draw(one, SIZE)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert np.array_equal(standin.landmarks(one, SIZE), first[1])


def test_expression_and_pose_change_the_face_and_keep_the_identity():
    face = faces("common", 1)[0]
    a, b = (standin.landmarks(replace(face, expression=Expression(smile=smile)), 300)
            for smile in (-0.5, 0.9))
    assert np.abs(a[48:] - b[48:]).max() > 4
    np.testing.assert_allclose(a[17:36], b[17:36], atol=4)


def test_a_rectangular_picture_has_its_height_and_width():
    image, points = standin.draw(Face(), (150, 210))
    assert image.shape == (150, 210, 3) and image.dtype == np.uint8
    assert points.shape == (68, 2) and points.dtype == np.float64
    square = standin.landmarks(Face(), 150)
    np.testing.assert_allclose(points - [30, 0], square, atol=1e-9)


@pytest.mark.parametrize("difficulty, share", [("common", 0.999), ("challenging", 0.97)])
def test_points_are_finite_and_nearly_all_inside_the_picture(difficulty, share):
    points = np.array([standin.landmarks(f, SIZE) for f in faces(difficulty, 120)])
    assert np.isfinite(points).all()
    assert ((points > 0) & (points < SIZE - 1)).all(-1).mean() > share


def test_challenging_faces_are_harder_by_construction():
    common, hard = faces("common", 150), faces("challenging", 150)

    def mean(of, group):
        return np.mean([of(f) for f in group])

    assert mean(lambda f: abs(f.pose.yaw), hard) > 2 * mean(lambda f: abs(f.pose.yaw), common)
    assert mean(lambda f: abs(f.pose.roll), hard) > 2 * mean(lambda f: abs(f.pose.roll), common)
    assert mean(lambda f: f.scene.occluder != "", hard) > 0.5
    assert mean(lambda f: f.scene.occluder != "", common) < 0.12
    assert mean(lambda f: f.light.fill, hard) < 0.7 * mean(lambda f: f.light.fill, common)
    assert mean(lambda f: f.camera.blur, hard) > 1.5 * mean(lambda f: f.camera.blur, common)
    assert mean(lambda f: f.camera.noise, hard) > 1.5 * mean(lambda f: f.camera.noise, common)


def test_an_occluder_hides_part_of_the_face():
    clear = Face(scene=Scene(background="plain"))
    a, points = standin.draw(clear, SIZE)
    box = polygon_mask(points[:27][cv2.convexHull(points[:27].astype(np.float32),
                                                  returnPoints=False).ravel()], SIZE)
    for kind in OCCLUDERS:
        hidden = replace(clear, scene=replace(clear.scene, occluder=kind, occluder_seed=3))
        b, same = standin.draw(hidden, SIZE)
        assert np.array_equal(points, same)
        changed = (np.abs(a.astype(int) - b).sum(-1) > 60)[box].mean()
        assert 0.03 < changed < 0.9, kind


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_hair_style_leaves_most_of_the_inner_face_free(style):
    bald, points = standin.draw(Face(BALD), SIZE)
    drawn, _ = standin.draw(Face(replace(BALD, hair=Hair(style=style))), SIZE)
    inner = polygon_mask(points[[17, 36, 48, 57, 54, 45, 26]], SIZE)
    changed = np.abs(bald.astype(int) - drawn).sum(-1) > 150
    assert changed[inner].mean() < 0.15


def test_every_background_and_all_glasses_can_be_drawn():
    seen = []
    for i, background in enumerate(BACKGROUNDS):
        glasses = ("", "thin", "thick", "sun")[i % 4]
        image, _ = standin.draw(Face(scene=Scene(background=background, glasses=glasses)), 64)
        seen.append(image.tobytes())
    assert len(set(seen)) == len(BACKGROUNDS)


def test_the_mean_frontal_face_has_human_proportions():
    shapes = []
    for face in faces("common", 60):
        pose = Pose(scale=0.5)
        points = standin.landmarks(replace(face, pose=pose, expression=Expression()), 300)
        shapes.append((points - points.mean(0)) / np.linalg.norm(points - points.mean(0)))
    mean = np.mean(shapes, 0)
    x, y = mean.T
    assert (y[17:27].max() < y[[36, 39, 42, 45]].min() < y[30] < y[33] < y[51] < y[57] < y[8])
    assert (np.diff(x[:17]) > 0).all() and (np.diff(x[17:27]) > 0).all()
    assert x[0] < x[36] < x[39] < x[27] < x[42] < x[45] < x[16]
    assert x[36] < x[48] < x[31] < x[35] < x[54] < x[45]
    assert np.diff(y[:9]).min() > 0 and np.diff(y[8:17]).max() < 0
    outer = np.linalg.norm(mean[45] - mean[36])
    assert 0.60 < outer / (y[8] - y[27]) < 0.90  # outer eye corners over nose root to chin
    assert 0.55 < outer / (x[16] - x[0]) < 0.75
    assert 0.9 < (x[16] - x[0]) / (y[8] - y[19]) < 1.15


def test_identities_differ_in_their_proportions():
    shapes = [standin.landmarks(replace(f, pose=Pose(), expression=Expression()), 300)
              for f in faces("common", 30)]
    assert np.std(shapes, 0).mean() > 1.0  # px


def test_rasterizer_finds_the_nearest_of_two_squares():
    def square(low, high, depth):
        x, y = np.meshgrid([low, high], [low, high])
        return raster.Sheet(np.stack([x, y, np.full((2, 2), depth)], -1).astype(float))

    far, near = square(2, 17, 0.0), square(5, 9, 1.0)
    part, column, row = raster.rasterize([far, near], 20, 24)
    assert (part >= 0).sum() == 16 * 16 and (part == 1).sum() == 5 * 5
    assert part[5, 5] == part[9, 9] == 1 and part[10, 10] == 0 and part[1, 1] == -1
    np.testing.assert_allclose(column[3, [2, 17]], [0, 1], atol=1e-5)
    np.testing.assert_allclose(row[[2, 17], 3], [0, 1], atol=1e-5)


def test_rasterizer_leaves_holes_open_and_skips_back_sides():
    x, y = np.meshgrid(np.arange(5.0) * 4, np.arange(5.0) * 4)
    grid = np.stack([x, y, 0 * x], -1)
    holes = np.ones((2, 2), bool)
    holes[0, 0] = False
    part, _, _ = raster.rasterize([raster.Sheet(grid, alpha=holes)], 17, 17)
    assert (part[:8, :8] == -1).all() and (part[9:, 9:] == 0).all()
    back = raster.Sheet(grid[:, ::-1].copy())
    assert (raster.rasterize([back, raster.Sheet(grid[:2, :2])], 17, 17)[0] != 0).all()


def test_interpolation_is_exact_at_vertices_and_linear_on_an_edge():
    grid = np.random.default_rng(0).normal(size=(4, 7, 2))
    c, r = np.meshgrid(np.arange(7.0), np.arange(4.0))
    np.testing.assert_allclose(raster.interpolate(grid, c.ravel(), r.ravel()),
                               grid.reshape(-1, 2), atol=1e-12)
    middle = raster.interpolate(grid, np.array([2.5]), np.array([1.0]))[0]
    np.testing.assert_allclose(middle, (grid[1, 2] + grid[1, 3]) / 2, atol=1e-12)


# ---- files ----

COUNTS = {"helen/trainset": 6, "lfpw/trainset": 1, "afw": 2, "helen/testset": 1,
          "lfpw/testset": 1, "ibug": 2}


def bytes_of(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*"))
            if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("standin") / "300W"
    write.write_300w(root, COUNTS, seed=5, jobs=1, progress=False)
    return root


def test_the_official_layout_is_complete(written):
    for folder, count in COUNTS.items():
        images = [p for p in (written / folder).iterdir() if p.suffix in (".jpg", ".png")]
        assert len(images) == count
        for image in images:
            text = image.with_suffix(".pts").read_text().splitlines()
            assert text[:3] == ["version: 1", "n_points:  68", "{"] and text[-1] == "}"
            points = read_pts(image.with_suffix(".pts"))
            height, width = cv2.imread(str(image)).shape[:2]
            assert points.shape == (68, 2)
            assert ((points > -30) & (points < [width + 30, height + 30])).all()
    assert "rendered" in (written / write.NOTE).read_text()
    assert len(bytes_of(written)) == 2 * sum(COUNTS.values()) + 2


def test_names_are_in_each_set_s_style(written):
    names = {folder: sorted(p.name for p in (written / folder).iterdir()) for folder in COUNTS}
    assert names["lfpw/testset"][0] == "image_0001.png"
    assert names["ibug"][0] == "image_003.jpg"
    assert names["helen/trainset"][0] == "100000_1.jpg"
    assert names["afw"][0] == "1000001_1.jpg"
    shared = [n for n in names["helen/trainset"] if n.endswith("_2.jpg")]
    assert shared and shared[0].replace("_2", "_1") in names["helen/trainset"]


def test_points_on_disk_are_those_of_the_picture(written):
    folder, name, photograph, number = write.plan_files(COUNTS)[0]
    face = write.face_of(folder, photograph, number, 5)
    points = standin.landmarks(face, write.size_of(folder, photograph, 5))
    stored = read_pts((written / folder / name).with_suffix(".pts"))
    np.testing.assert_allclose(stored, points, atol=1e-6)


def test_two_jobs_write_the_same_bytes_as_one(written, tmp_path):
    order = dict(reversed(COUNTS.items()))
    write.write_300w(tmp_path / "again", order, seed=5, jobs=2, progress=False)
    assert bytes_of(tmp_path / "again") == bytes_of(written)


def test_another_process_writes_the_same_bytes(written, tmp_path):
    code = ("from study.standin.write import write_300w; "
            f"write_300w({str(tmp_path / 'other')!r}, {COUNTS!r}, 5, jobs=1, progress=False)")
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=environment)
    assert bytes_of(tmp_path / "other") == bytes_of(written)


def test_another_seed_writes_other_faces(tmp_path):
    for seed in (1, 2):
        write.write_300w(tmp_path / str(seed), {"ibug": 1}, seed=seed, jobs=1, progress=False)
    a, b = (bytes_of(tmp_path / str(seed)) for seed in (1, 2))
    assert a["ibug/image_003.jpg"] != b["ibug/image_003.jpg"]


def test_a_finished_folder_is_left_alone_and_a_changed_request_replaces_it(tmp_path):
    root = tmp_path / "300W"
    write.write_300w(root, {"ibug": 1}, seed=1, jobs=1, progress=False)
    before = (root / "ibug/image_003.jpg").stat().st_mtime_ns
    write.write_300w(root, {"ibug": 1}, seed=1, jobs=1, progress=False)
    assert (root / "ibug/image_003.jpg").stat().st_mtime_ns == before
    write.write_300w(root, {"afw": 1}, seed=1, jobs=1, progress=False)
    assert not (root / "ibug").exists() and len(list((root / "afw").iterdir())) == 2
    assert json.loads((root / write.RECORD).read_text())["version"] == write.VERSION
    assert [p.name for p in tmp_path.iterdir()] == ["300W"]


def test_real_photographs_are_never_overwritten(tmp_path):
    (tmp_path / "300W").mkdir()
    (tmp_path / "300W" / "photo.jpg").write_bytes(b"real")
    with pytest.raises(FileExistsError, match="no standin.json"):
        write.write_300w(tmp_path / "300W", {"afw": 1}, seed=1, jobs=1, progress=False)
    assert (tmp_path / "300W" / "photo.jpg").read_bytes() == b"real"


def test_unknown_folders_and_difficulties_are_refused(tmp_path):
    with pytest.raises(ValueError, match="helen/train"):
        write.write_300w(tmp_path / "x", {"helen/train": 1}, seed=1)
    with pytest.raises(ValueError, match="'easy'"):
        standin.sample_face(np.random.default_rng(0), "easy")


def test_ibug_is_the_hardest_and_training_folders_are_harder_than_the_common_test_ones():
    yaws = {folder: np.mean([abs(write.face_of(folder, i, 1, 0).pose.yaw) for i in range(80)])
            for folder in write.NAMES}
    common = max(yaws["helen/testset"], yaws["lfpw/testset"])
    assert yaws["ibug"] > 1.3 * max(v for k, v in yaws.items() if k != "ibug")
    assert yaws["ibug"] > 1.8 * common
    assert np.mean([yaws[folder] for folder in write.TRAINING]) > 1.1 * common


def test_light_from_the_left_makes_the_left_cheek_brighter():
    def brightness(x):
        light = Light(direction=(x, 0.2, 0.5), fill=0.2)
        image, points = standin.draw(Face(BALD, light=light), SIZE)
        return [image[int(p[1]), int(p[0])].mean() for p in (
            0.6 * points[3] + 0.4 * points[33], 0.6 * points[13] + 0.4 * points[33])]

    assert np.subtract(*brightness(-1.0)) > 25 > -25 > np.subtract(*brightness(1.0))


def test_noise_and_jpeg_come_from_the_camera_alone():
    plain, points = standin.draw(Face(), SIZE)
    noisy, same = standin.draw(Face(camera=Camera(noise=0.05, jpeg=60, seed=1)), SIZE)
    assert np.array_equal(points, same)
    assert 3 < np.abs(plain.astype(float) - noisy).mean() < 20
