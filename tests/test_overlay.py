import numpy as np
import pytest

from study.landmarks import SCHEMES
from study.marking import overlay


def ring(center=(60.0, 45.0), radius=30.0):
    """68 points (68, 2) on a circle."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return np.array(center) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_each_landmark_is_on_one_line_of_its_area():
    indices = [n for _, line, _ in overlay.LINES for n in line]
    assert sorted(indices) == list(range(68))
    for area, line, _ in overlay.LINES:
        assert set(line) <= set(SCHEMES["ibug68"].areas[area])


def test_eyes_and_lips_are_closed_and_nothing_else():
    closed = [line[0] for _, line, closed in overlay.LINES if closed]
    assert closed == [36, 42, 48, 60]
    assert [line[0] for _, line, closed in overlay.LINES if not closed] == [0, 17, 22, 27, 31]


def test_areas_have_colors_of_their_own():
    assert set(overlay.COLORS) == set(SCHEMES["ibug68"].areas)
    assert len(set(overlay.COLORS.values())) == 5


def test_a_landmark_is_drawn_in_its_color_on_its_pixel():
    picture = np.full((90, 120, 3), 128, dtype=np.uint8)
    points = ring()
    drawn = overlay.draw(picture, points)
    for area, line, _ in overlay.LINES:
        x, y = np.round(points[line[len(line) // 2]]).astype(int)
        assert np.abs(drawn[y, x].astype(int) - overlay.COLORS[area]).max() < 60, area
    assert (picture == 128).all()
    assert drawn.shape == picture.shape and drawn.dtype == np.uint8


def test_a_line_is_centred_on_its_points_to_a_fraction_of_a_pixel():
    picture = np.zeros((60, 90, 3), dtype=np.uint8)
    points = np.full((68, 2), -500.0)
    points[36:42] = [[x, 30.25] for x in (10, 22, 34, 46, 58, 70)]  # an eye, flat
    drawn = overlay.draw(picture, points)[..., 0].astype(float)
    rows = drawn[:, 20:60].sum(axis=1)
    assert (rows * np.arange(60)).sum() / rows.sum() == pytest.approx(30.25, abs=0.15)


def test_lines_grow_with_the_face():
    def covered(size):
        picture = np.zeros((size, size, 3), dtype=np.uint8)
        return (overlay.draw(picture, ring((size / 2, size / 2), 0.4 * size)) > 50).any(-1).mean()

    assert covered(1600) == pytest.approx(covered(800), rel=0.25)  # half as much if they did not


@pytest.mark.parametrize("center", [(-40.0, 20.0), (1e7, -1e7), (0.0, 0.0)])
def test_a_face_outside_the_picture_is_no_fault(center):
    drawn = overlay.draw(np.zeros((50, 70, 3), dtype=np.uint8), ring(center))
    assert drawn.shape == (50, 70, 3)


def test_of_other_landmarks_the_lines_are_their_schemes_own():
    for name in ("aflw19", "tf7"):
        scheme = SCHEMES[name]
        lines = overlay.features(scheme)
        assert sorted(n for _, line, _ in lines for n in line) == list(range(scheme.count))
        for area, line, _ in lines:
            assert not area or set(line) <= set(scheme.areas[area])
        drawn = overlay.draw(np.zeros((90, 120, 3), dtype=np.uint8), ring()[: scheme.count], scheme)
        assert drawn.any()


def test_without_a_scheme_there_are_points_and_no_lines():
    points = np.array([[20.0, 20.0], [100.0, 20.0], [60.0, 70.0]])
    drawn = overlay.draw(np.zeros((90, 120, 3), dtype=np.uint8), points, None)
    for x, y in points.astype(int):
        assert drawn[y, x].tolist() == list(overlay.OTHER)
    assert not drawn[20, 40:80].any()


def test_an_unsure_landmark_is_a_cross_and_the_others_stay_as_they_are():
    picture, points = np.full((90, 120, 3), 128, dtype=np.uint8), ring()
    sure = np.arange(68) != 33
    plain, crossed = overlay.draw(picture, points), overlay.draw(picture, points, sure=sure)
    x, y = np.round(points[33]).astype(int)
    assert np.abs(crossed[y, x].astype(int) - overlay.UNSURE).max() < 60
    ys, xs = np.nonzero((plain != crossed).any(axis=-1))
    assert np.hypot(xs - points[33, 0], ys - points[33, 1]).max() < 7
    assert np.array_equal(overlay.draw(picture, points, sure=np.ones(68, dtype=bool)), plain)
