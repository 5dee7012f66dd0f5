import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from study.marking import faces
from study.marking.faces import Box, Placement
from study.standin.face import draw, sample_face


@pytest.fixture(scope="module")
def rendered():
    """A rendered face (256 px) and its 68 points."""
    return draw(sample_face(np.random.default_rng(1), "common"), 256)


def tight(points):
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def test_a_rendered_face_is_found_where_it_is(rendered):
    image, points = rendered
    found = faces.find(image)
    assert len(found) == 1
    assert faces.overlap(faces.tight_box(found[0]), tight(points)) > 0.6


def test_a_found_box_moves_and_grows_with_the_picture(rendered):
    image, _ = rendered
    (box,) = faces.find(image)
    moved = np.full((300, 400, 3), 90, dtype=np.uint8)
    moved[30:286, 120:376] = image
    (there,) = faces.find(moved)
    step = (box.x2 - box.x1) / 8  # the detector's grid is coarse
    assert np.allclose(np.array(there[:4]) - [120, 30, 120, 30], box[:4], atol=step)
    doubled = np.asarray(Image.fromarray(image).resize((512, 512)))
    (twice,) = faces.find(doubled)
    assert np.allclose((np.array(twice[:4]) + 0.5) / 2 - 0.5, box[:4], atol=step)


def test_a_small_face_is_found_by_the_fine_search_alone(rendered):
    image, points = rendered
    picture = np.full((480, 640, 3), 90, dtype=np.uint8)
    picture[200:280, 300:380] = np.asarray(Image.fromarray(image).resize((80, 80)))
    assert faces.find(picture, fine=False) == []
    (box,) = faces.find(picture)
    small = (points + 0.5) * (80 / 256) - 0.5 + [300, 200]
    assert faces.overlap(faces.tight_box(box), tight(small)) > 0.5


def test_the_largest_face_comes_first(rendered):
    image, _ = rendered
    picture = np.full((256, 420, 3), 90, dtype=np.uint8)
    picture[80:208, 10:138] = np.asarray(Image.fromarray(image).resize((128, 128)))
    picture[:, 160:416] = image
    found = faces.find(picture)
    assert len(found) == 2
    sides = [box.x2 - box.x1 for box in found]
    assert sides == sorted(sides, reverse=True) and found[0].x1 > 150


def test_all_faces_are_found_small_ones_beside_a_large_one_too(rendered):
    image, _ = rendered
    picture = np.full((960, 1280, 3), 90, dtype=np.uint8)
    for side, x, y in ((512, 20, 40), (128, 700, 100), (60, 900, 600)):
        small = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS)
        picture[y : y + side, x : x + side] = np.asarray(small)
    assert len(faces.find(picture)) == 1
    found = faces.find_all(picture)
    assert [[x < 600, 600 < x < 850, x > 850].index(True) for x, *_ in found] == [0, 1, 2]
    assert [box.x2 - box.x1 for box in found] == pytest.approx([300, 75, 35], rel=0.3)


def test_copies_of_a_small_picture_that_would_be_alike_are_searched_once(monkeypatch):
    searched = []
    monkeypatch.setattr(faces, "_search", lambda _, longest: searched.append(longest) or [])
    for side in (100, 461, 5000):
        assert faces.find_all(np.zeros((30, side, 3), dtype=np.uint8)) == []
    assert searched == [200, 640, 922, 640, 1280, 2560]


def test_of_boxes_of_one_face_the_surest_is_kept():
    one, shifted = Box(0, 0, 40, 40, 1.0), Box(10, 0, 50, 40, 2.0)  # 30 of 50 are shared
    inside, beside = Box(10, 10, 30, 30, 0.5), Box(39, 0, 79, 40, 0.1)
    kept = faces.without_overlaps([one, beside, shifted, inside])
    assert kept == [shifted, inside, beside]
    assert faces.without_overlaps([]) == []


def test_overlap_by_hand():
    assert faces.overlap((0, 0, 40, 40), (10, 0, 50, 40)) == pytest.approx(30 / 50)
    assert faces.overlap((0, 0, 40, 40), (10, 10, 30, 30)) == pytest.approx(0.25)
    assert faces.overlap((0, 0, 4, 4), (4, 0, 8, 4)) == faces.overlap((0, 0, 4, 4), (6, 6, 8, 8))
    assert faces.overlap((0, 0, 4, 4), (6, 6, 8, 8)) == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (240, 320)])
def test_a_picture_without_a_face_has_none(shape):
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    for find in (faces.find, faces.find_all):
        assert find(noise) == []
        assert find(np.zeros_like(noise)) == []


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 7), dtype=np.uint8),
        np.zeros((5, 7, 3), dtype=np.float32),
        np.zeros((5, 7, 4), dtype=np.uint8),
        np.zeros((0, 7, 3), dtype=np.uint8),
    ],
)
def test_what_is_no_picture_is_named(image):
    for find in (faces.find, faces.find_all):
        with pytest.raises(ValueError, match=r"image is \("):
            find(image)


def test_finding_leaves_the_picture_as_it_was(rendered):
    image = rendered[0].copy()
    faces.find(image)
    assert np.array_equal(image, rendered[0])


def test_the_tight_box_by_hand():
    box = Box(10.0, 20.0, 50.0, 60.0, 1.0)  # centre (30, 40), side 40
    expected = [30 + 4 - 25, 40 - 8 - 25, 30 + 4 + 25, 40 - 8 + 25]
    assert np.allclose(faces.tight_box(box, Placement(0.1, -0.2, 1.25)), expected)


def test_our_placement_treats_left_and_right_alike():
    assert faces.PLACEMENT.dx == 0
    assert inspect.signature(faces.tight_box).parameters["placement"].default is faces.PLACEMENT


@given(
    st.floats(-0.3, 0.3),
    st.floats(-0.3, 0.3),
    st.floats(0.5, 2.0),
    st.lists(st.tuples(st.floats(-99, 99), st.floats(-99, 99), st.floats(5, 99)), min_size=1),
)
def test_fitting_gives_back_the_placement_that_made_the_boxes(dx, dy, scale, boxes):
    wanted = Placement(dx, dy, scale)
    found = [(x, y, x + side, y + side) for x, y, side in boxes]
    tight = [faces.tight_box(box, wanted) for box in found]
    placement, spread = faces.fit(found, tight)
    assert np.allclose(placement, wanted, atol=1e-6)
    assert np.allclose(spread, 0, atol=1e-6)


def test_fitting_takes_medians_and_the_middle_of_the_spread():
    found = np.tile([0.0, 0.0, 10.0, 10.0], (101, 1))
    shift = np.linspace(-5, 5, 101)  # px, so -0.5 to 0.5 sides
    shift[-1] = 1000.0  # an outlier moves neither
    tight = found + np.stack([shift, 0 * shift, shift, 0 * shift], axis=1)
    placement, spread = faces.fit(found, tight)
    assert placement == pytest.approx((0.0, 0.0, 1.0))
    assert spread == pytest.approx((0.34, 0.0, 0.0))


@pytest.mark.parametrize("found, tight", [([], []), ([(0, 0, 1, 1)], [])])
def test_fitting_needs_pairs(found, tight):
    with pytest.raises(ValueError, match="found boxes"):
        faces.fit(found, tight)


def test_measuring_counts_the_faces_that_are_found(rendered, tmp_path):
    image, points = rendered
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(np.full_like(image, 90)).save(tmp_path / "b.png")
    box = tight(points)
    index = pd.DataFrame({"image": ["a.png", "b.png"], "box": [box, box]})
    measured = faces.measure(index, tmp_path)
    assert (measured["faces"], measured["found"]) == (2, 1)
    (found,) = faces.find(image)
    assert np.allclose(faces.tight_box(found, measured["placement"]).mean(), box.mean())
