import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from study import boundaries
from study.landmarks import IBUG68
from study.standin.face import draw, sample_face

SIZE = 64


@pytest.fixture(scope="module")
def face():
    """(1, 68, 2) float64 px of a 64-px crop of a rendered face."""
    _, points = draw(sample_face(np.random.default_rng(0), "common"), (150, 150))
    points = torch.from_numpy(points).double()[None]
    low, high = points.amin(1), points.amax(1)
    return (points - (low + high) / 2) * 48 / (high - low).max() + 31.5


# --- the boundaries -----------------------------------------------------------------------------


def test_thirteen_boundaries_hold_every_landmark():
    assert boundaries.COUNT == 13 and boundaries.POINTS == 12 * 16 + 32
    assert {n for index in boundaries.BOUNDARIES.values() for n in index} == set(range(68))


def test_a_mirrored_face_has_the_mirrored_boundaries():
    lines = {frozenset(index) for index in boundaries.BOUNDARIES.values()}
    mirrored = {frozenset(IBUG68.mirror[n] for n in line) for line in lines}
    assert mirrored == lines


def matrix_of(count, fine):
    return torch.from_numpy(boundaries.spline_matrix(count, fine))


# --- splines ------------------------------------------------------------------------------------


def test_the_spline_of_two_points_is_their_segment():
    matrix = matrix_of(2, 2)  # at 0, 1/3, 2/3, 1
    share = torch.linspace(0, 1, 4, dtype=torch.float64)
    torch.testing.assert_close(matrix, torch.stack([1 - share, share], dim=1))


def test_the_natural_spline_of_three_points_by_hand():
    # p = 0, 1, 0: the one inner second derivative is 6 (0 - 2 + 0) / 4 = -3, so at t = 1/2 the
    # spline is 1/2 + ((1/8 - 1/2) * -3) / 6 = 11/16.
    matrix = matrix_of(3, 3)  # nine samples, a quarter apart
    values = matrix @ torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    assert values[[0, 2, 4, 6, 8]].tolist() == pytest.approx([0, 11 / 16, 1, 11 / 16, 0])


@pytest.mark.parametrize("count", [2, 4, 5, 7, 17])
def test_a_spline_keeps_lines_and_passes_its_points(count):
    matrix = matrix_of(count, 10)
    number = torch.arange(count, dtype=torch.float64)
    torch.testing.assert_close(matrix.sum(1), torch.ones(10 * count, dtype=torch.float64))
    torch.testing.assert_close(
        matrix @ number, torch.linspace(0, count - 1, 10 * count, dtype=torch.float64)
    )
    # One more sample than knots, so that every (fine)-th sample is a knot.
    dense = matrix_of(count, count - 1)
    every = dense[:: count] if count > 2 else dense
    torch.testing.assert_close(every[0], torch.eye(count, dtype=torch.float64)[0])
    torch.testing.assert_close(dense[-1], torch.eye(count, dtype=torch.float64)[-1])


# --- points of equal distance -------------------------------------------------------------------


def test_equal_arcs_of_a_corner_by_hand():
    line = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [3.0, 1.0]]])  # 4 px long
    found = boundaries.equal_arcs(line, 5)
    assert found[0].tolist() == [[0, 0], [1, 0], [2, 0], [3, 0], [3, 1]]


@given(st.integers(0, 1000), st.integers(2, 20), st.integers(2, 30))
def test_equal_arcs_keep_both_ends_and_lie_on_the_line(seed, vertices, count):
    line = torch.randn(2, vertices, 2, generator=torch.Generator().manual_seed(seed)).double()
    found = boundaries.equal_arcs(line, count)
    torch.testing.assert_close(found[:, [0, -1]], line[:, [0, -1]])
    start, way = line[:, :-1], line[:, 1:] - line[:, :-1]
    off = found[:, :, None] - start[:, None]
    share = (off * way[:, None]).sum(-1) / way.square().sum(-1)[:, None].clamp(min=1e-12)
    distance = (off - share.clamp(0, 1)[..., None] * way[:, None]).norm(dim=-1).amin(-1)
    assert distance.max() < 1e-6


def test_a_line_without_length_is_one_point():
    line = torch.full((1, 4, 2), 7.0)
    assert torch.equal(boundaries.equal_arcs(line, 3), torch.full((1, 3, 2), 7.0))


def test_curve_points_begin_and_end_at_landmarks(face):
    curves, first = boundaries.curve_points(face), 0
    assert curves.shape == (1, boundaries.POINTS, 2)
    for name, index in boundaries.BOUNDARIES.items():
        last = first + boundaries.samples(name)
        torch.testing.assert_close(curves[:, first], face[:, index[0]])
        torch.testing.assert_close(curves[:, last - 1], face[:, index[-1]])
        first = last


def test_curve_points_move_turn_and_grow_with_the_face(face):
    angle = torch.tensor(0.4, dtype=torch.float64)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]),
                        torch.stack([angle.sin(), angle.cos()])])
    torch.testing.assert_close(
        boundaries.curve_points(1.3 * face @ turn.T + 5),
        1.3 * boundaries.curve_points(face) @ turn.T + 5,
    )


# --- maps ---------------------------------------------------------------------------------------


def lines_at(point):
    """Curves that are all one point, px."""
    return torch.tensor(point, dtype=torch.float64).expand(1, boundaries.POINTS, 2)


def test_a_map_of_a_point_by_hand():
    # 32 px on 16 cells: the centre of cell i is at px 2 i + 0.5.
    maps = boundaries.boundary_maps(lines_at((2 * 5 + 0.5, 2 * 9 + 0.5)), 32, 16, 1.0)
    assert maps.shape == (1, 13, 16, 16)
    assert maps[0, 0, 9, 5] == 1  # row y, column x
    assert maps[0, 0, 9, 6].item() == pytest.approx(math.exp(-0.5))
    assert maps[0, 0, 11, 6].item() == pytest.approx(math.exp(-2.5))
    assert maps[0, 0, 9, 8] == 0 and maps[0, 0, 9, 7].item() == pytest.approx(math.exp(-2))


def test_a_map_is_that_of_the_nearest_of_many_points_on_its_lines(face):
    maps = boundaries.boundary_maps(boundaries.curve_points(face), SIZE, SIZE, 1.5)
    centre = torch.arange(SIZE, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(centre, centre, indexing="xy"), dim=-1)  # (y, x, 2)
    first = 0
    for number, name in enumerate(boundaries.BOUNDARIES):
        last = first + boundaries.samples(name)
        line = boundaries.curve_points(face)[0, first:last]
        share = torch.linspace(0, 1, 200, dtype=torch.float64)[:, None, None]
        dense = (line[:-1] + share * (line[1:] - line[:-1])).flatten(0, 1)
        square = torch.cdist(grid.flatten(0, 1), dense).amin(1).square().view(SIZE, SIZE)
        wanted = torch.where(square < 4.5**2, torch.exp(-square / 4.5), 0.0)
        near = (square - 4.5**2).abs() > 0.1  # where the cut falls is a matter of rounding
        torch.testing.assert_close(maps[0, number][near], wanted[near], atol=2e-3, rtol=0)
        first = last


def test_the_maps_of_a_mirrored_face_are_the_mirrored_maps(face):
    mirrored = face[:, list(IBUG68.mirror)] * torch.tensor([-1.0, 1.0])
    mirrored = mirrored + torch.tensor([SIZE - 1.0, 0.0])
    lines = [frozenset(index) for index in boundaries.BOUNDARIES.values()]
    order = [lines.index(frozenset(IBUG68.mirror[n] for n in line)) for line in lines]
    ours, theirs = (
        boundaries.boundary_maps(boundaries.curve_points(points), SIZE, 32, 1.0)
        for points in (face, mirrored)
    )
    torch.testing.assert_close(theirs[:, order].flip(-1), ours, atol=1e-6, rtol=0)
