import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from study import faces
from study.faces import Box, Placement
from study.standin.face import draw, sample_face


@pytest.fixture(scope="module")
def rendered():
    """A rendered face (256 px) and its 68 points."""
    return draw(sample_face(np.random.default_rng(1), "common"), 256)


def tight(points):
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def overlap(one, other):
    """Intersection over union of two boxes."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    areas = [np.prod(box[2:] - box[:2]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def test_a_rendered_face_is_found_where_it_is(rendered):
    image, points = rendered
    found = faces.find(image)
    assert len(found) == 1
    assert overlap(faces.tight_box(found[0]), tight(points)) > 0.6


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
    assert overlap(faces.tight_box(box), tight(small)) > 0.5


def test_the_largest_face_comes_first(rendered):
    image, _ = rendered
    picture = np.full((256, 420, 3), 90, dtype=np.uint8)
    picture[80:208, 10:138] = np.asarray(Image.fromarray(image).resize((128, 128)))
    picture[:, 160:416] = image
    found = faces.find(picture)
    assert len(found) == 2
    sides = [box.x2 - box.x1 for box in found]
    assert sides == sorted(sides, reverse=True) and found[0].x1 > 150


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (240, 320)])
def test_a_picture_without_a_face_has_none(shape):
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    assert faces.find(noise) == []
    assert faces.find(np.zeros_like(noise)) == []


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
    with pytest.raises(ValueError, match=r"image is \("):
        faces.find(image)


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
