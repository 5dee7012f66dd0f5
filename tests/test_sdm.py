import copy
import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from study.models.coordinates import to_pixels
from study.models.sdm import (
    CLIP,
    FEATURES,
    SDM,
    FewRidge,
    Ridge,
    SDMTracker,
    Starts,
    describe,
    draw_starts,
    fit,
    lay_over,
    orientations,
    spread,
)

B, N, F = 3, 5, 48


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(count=B, size=F, seed=0):
    """Gray pictures (count, size, size), doubles: exact identities need no float's slack."""
    return torch.rand(count, size, size, generator=generator(seed), dtype=torch.float64)


def inner_points(margin=14.0, size=F, seed=1):
    """(B, N, 2) px at least `margin` from the crop's border."""
    drawn = torch.rand(B, N, 2, generator=generator(seed), dtype=torch.float64)
    return margin + drawn * (size - 1 - 2 * margin)


def features(gray, points, width=12.0):
    """(B, N, row of the cell, column of the cell, direction)."""
    return describe(orientations(gray), points, width).unflatten(-1, (4, 4, 8))


def ramp(degrees, size=F):
    """A picture (1, size, size) that grows by 1 a px in a direction, +x turning to +y."""
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    return (angle.cos() * x + angle.sin() * y)[None]


# --- features ---------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", range(8))
def test_a_slope_fills_the_channel_of_its_direction_alone(channel):
    found = orientations(ramp(45.0 * channel))[0, :, 1:-1, 1:-1]
    expected = torch.zeros(8, dtype=torch.float64)
    expected[channel] = 1
    torch.testing.assert_close(found, expected[:, None, None].expand_as(found))


def test_a_slope_between_two_directions_is_shared_by_how_near_it_is():
    found = orientations(ramp(360 - 45 / 4))[0, :, 5, 5]
    torch.testing.assert_close(found[[0, 7]], torch.tensor([0.75, 0.25], dtype=torch.float64))
    assert found[1:7].abs().max() < 1e-12


def test_channels_sum_to_the_length_of_the_central_difference():
    gray = noise()
    found = orientations(gray).sum(dim=1)
    assert found.shape == (B, F, F)
    x, y = 7, 11
    across = (gray[:, y, x + 1] - gray[:, y, x - 1]) / 2
    down = (gray[:, y + 1, x] - gray[:, y - 1, x]) / 2
    torch.testing.assert_close(found[:, y, x], torch.hypot(across, down))
    corner = torch.hypot(gray[:, 0, 1] - gray[:, 0, 0], gray[:, 1, 0] - gray[:, 0, 0]) / 2
    torch.testing.assert_close(found[:, 0, 0], corner)


def test_pixels_count_for_a_cell_by_their_distance():
    found = spread(9, 2.0)
    assert found[4].tolist() == pytest.approx([0, 0, 0, 0.25, 0.5, 0.25, 0, 0, 0])
    assert found[0].tolist() == pytest.approx([0.5, 0.25, 0, 0, 0, 0, 0, 0, 0])
    torch.testing.assert_close(spread(9, 1.0), torch.eye(9))


@pytest.mark.parametrize("cell", [1.0, 1.3, 2.0, 3.71])
def test_cells_weigh_one_within_the_line_and_are_symmetric(cell):
    found = spread(15, cell)
    torch.testing.assert_close(found[4:-4].sum(dim=1), torch.ones(7))
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(found, found.flip(0, 1))


def test_constant_pictures_and_places_outside_the_crop_have_no_features():
    constant = torch.full((B, F, F), 0.7, dtype=torch.float64)
    assert (features(constant, inner_points()) == 0).all()
    assert (features(noise(), inner_points() + 4 * F) == 0).all()


def test_features_are_of_length_one_and_no_value_dominates():
    found = describe(orientations(noise()), inner_points(), 12.0)
    assert found.shape == (B, N, FEATURES)
    lengths = found.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    edge = torch.zeros(1, F, F, dtype=torch.float64)
    edge[..., F // 2 :] = 1  # all of it in few values: 0.2 before the length is one again
    kept = describe(orientations(edge), torch.full((1, 1, 2), 24.0, dtype=torch.float64), 12.0)
    values = kept[kept > 0]
    assert values.max() == pytest.approx(1 / math.sqrt(len(values)))
    assert CLIP < values.max() < 2 * CLIP


def test_a_vertical_edge_is_a_gradient_along_x_in_the_cells_beside_it():
    edge = torch.zeros(1, F, F, dtype=torch.float64)
    edge[..., 18:] = 1  # between px 17 and 18
    found = features(edge, torch.tensor([[[22.0, 24.0]]], dtype=torch.float64), width=12.0)[0, 0]
    assert (found[..., 1:].abs() < 1e-12).all()
    # Cells of 3 px, centred on 17.5, 20.5, 23.5, 26.5: the edge is in the first column.
    assert (found[:, 0, 0] > found[:, 1, 0]).all() and (found[:, 2:, 0] == 0).all()


@pytest.mark.parametrize("row, column", [(0, 0), (3, 0), (1, 2)])
def test_cells_are_ordered_by_row_then_column(row, column):
    x, y = 20.0, 26.0
    gray = torch.zeros(1, F, F, dtype=torch.float64)
    width = 16.0
    place = [round(c + (i - 1.5) * width / 4) for c, i in ((y, row), (x, column))]
    gray[0, place[0], place[1]] = 1
    found = features(gray, torch.tensor([[[x, y]]], dtype=torch.float64), width)[0, 0].sum(dim=-1)
    assert found.argmax().item() == 4 * row + column


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1000),
    dx=st.integers(-4, 4),
    dy=st.integers(-4, 4),
    width=st.floats(4, 16),
)
def test_features_move_with_the_picture(seed, dx, dy, width):
    gray, points = noise(seed=seed), inner_points(margin=18.0, seed=seed + 1)
    moved = features(gray.roll((dy, dx), (1, 2)), points + torch.tensor([dx, dy]), width)
    torch.testing.assert_close(moved, features(gray, points, width))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), width=st.floats(4, 60), size=st.sampled_from([31, 48]))
def test_mirroring_picture_and_points_permutes_the_features(seed, width, size):
    gray, points = noise(size=size, seed=seed), inner_points(1.0, size, seed + 1)
    here = features(gray, points, width)
    mirrored = torch.stack([size - 1 - points[..., 0], points[..., 1]], dim=-1)
    order = [(4 - o) % 8 for o in range(8)]
    torch.testing.assert_close(
        features(gray.flip(-1), mirrored, width), here.flip(3)[..., order]
    )


def test_transposing_picture_and_points_permutes_the_features():
    gray, points = noise(), inner_points(margin=2.0)
    order = [(2 - o) % 8 for o in range(8)]
    torch.testing.assert_close(
        features(gray.mT, points.flip(-1)), features(gray, points).transpose(2, 3)[..., order]
    )


def test_light_and_contrast_change_features_little():
    gray, points = noise(), inner_points()
    torch.testing.assert_close(
        features(0.5 * gray + 0.2, points), features(gray, points), atol=1e-3, rtol=0
    )


# --- ridge regression -------------------------------------------------------------------------


def fitted(x, y, strength, chunks=1, **settings):
    ridge = Ridge(x.shape[1], y.shape[1], **{"dtype": torch.float64, **settings})
    for some, there in zip(x.chunk(chunks), y.chunk(chunks), strict=True):
        ridge.add(some, there)
    return ridge.solve(strength)


def samples(count=40, inputs=11, outputs=3, seed=0):
    drawn = torch.randn(count, inputs + outputs, generator=generator(seed), dtype=torch.float64)
    return drawn[:, :inputs] + 2, drawn[:, inputs:] + drawn[:, :outputs] - 5


def test_ridge_equals_the_case_by_hand():
    # About their means x is -1, 1 and y is -2, 2: w = 4 / (2 + penalty), b = 3 - w.
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    norm = math.sqrt(4**2 + 2 * 2**2 + 2**2)  # of the Gram matrix ((4, 2), (2, 2))
    weight, bias = fitted(x, y, strength=2 * 2 / norm).squeeze(1).tolist()  # a penalty of 2
    assert (weight, bias) == (pytest.approx(1), pytest.approx(2))


def test_ridge_without_penalty_is_least_squares():
    x, y = samples()
    ones = torch.ones(len(x), 1, dtype=torch.float64)
    expected = torch.linalg.lstsq(torch.cat([x, ones], dim=1), y).solution
    torch.testing.assert_close(fitted(x, y, 0.0), expected)


def test_ridge_is_the_minimum_of_what_it_minimises():
    x, y = samples()
    ones = torch.ones(len(x), 1, dtype=torch.float64)
    one = torch.cat([x, ones], dim=1)
    strength = 0.3
    penalty = strength * torch.linalg.matrix_norm(one.T @ one) / len(x)
    w = fitted(x, y, strength).requires_grad_()
    ((y - one @ w).square().sum() + penalty * w[:-1].square().sum()).backward()
    assert w.grad.abs().max() < 1e-9


def test_the_bias_is_not_penalised():
    x, y = samples()
    found = fitted(x, y, 1e9)
    assert found[:-1].abs().max() < 1e-6
    torch.testing.assert_close(found[-1], y.mean(dim=0))
    moved = fitted(x, y + 7, 0.5) - fitted(x, y, 0.5)
    torch.testing.assert_close(moved[-1], torch.full((3,), 7.0, dtype=torch.float64))
    assert moved[:-1].abs().max() < 1e-9


@pytest.mark.parametrize("blocks", [1, 5, 12, 50])
def test_ridge_depends_on_neither_chunks_nor_blocks(blocks):
    x, y = samples()
    torch.testing.assert_close(fitted(x, y, 0.5, chunks=7, blocks=blocks), fitted(x, y, 0.5))


def test_ridge_can_be_solved_again_and_added_to():
    x, y = samples()
    ridge = Ridge(x.shape[1], y.shape[1], dtype=torch.float64)
    ridge.add(x[:25], y[:25])
    first = ridge.solve(3.0)
    assert torch.equal(ridge.solve(3.0), first)
    ridge.add(x[25:], y[25:])
    torch.testing.assert_close(ridge.solve(0.5), fitted(x, y, 0.5))


def test_the_penalty_does_not_grow_with_the_samples():
    x, y = samples()
    # Of twice the samples, each norm is twice as large and their share of the penalty half.
    once, twice = fitted(x, y, 0.25), fitted(x.repeat(2, 1), y.repeat(2, 1), 0.5)
    torch.testing.assert_close(once, twice)


def test_an_unsolvable_system_is_an_error():
    x, y = samples()
    with pytest.raises(torch.linalg.LinAlgError):
        fitted(torch.zeros_like(x), y, 0.0)


# --- a world of blobs -------------------------------------------------------------------------

SHAPE = torch.tensor([[12.0, 14.0], [30.0, 12.0], [22.0, 22.0], [15.0, 31.0], [29.0, 32.0]])


def blobs(points, size=F):
    """Images (B, 3, F, F) with a bright or dark spot at every landmark (B, N, 2)."""
    pixels = torch.arange(size)
    along = torch.exp(-((pixels - points[..., None]) ** 2) / 18)  # (B, N, 2, F)
    height = torch.tensor([1.0, 1.0, -1.0, 0.7, -0.7])[:, None, None]
    gray = (height * along[:, :, 1, :, None] * along[:, :, 0, None, :]).sum(dim=1)
    return (0.5 + 0.3 * gray)[:, None].expand(-1, 3, -1, -1)


def world(count, seed=0, reach=4.0):
    """Views: the shape moved by up to `reach` px, each of its points by a little more."""
    draw = generator(seed)
    shift = (2 * torch.rand(count, 1, 2, generator=draw) - 1) * reach
    points = SHAPE + shift + 0.8 * torch.randn(count, N, 2, generator=draw)
    return blobs(points), points


def trained(near=0.0, **settings):
    model = SDM(landmarks=N, size=F, cascade=3)
    views = [world(150, seed) for seed in (1, 2, 3, 4)]
    return fit(model, views, generator(), starts=Starts(near=near), strength=1e-3, **settings)


@pytest.fixture(scope="module")
def model():
    return trained(near=0.3)


def errors(found, points):
    return (found - points).norm(dim=-1).mean(dim=(-2, -1))


# --- the cascade ------------------------------------------------------------------------------


def test_a_cascade_that_is_not_fitted_answers_the_centre():
    fresh = SDM(landmarks=N, size=F)
    images, _ = world(B)
    assert fresh(images).shape == (B, N, 2) and (fresh(images) == 0).all()
    torch.testing.assert_close(to_pixels(fresh(images), F), torch.full((B, N, 2), (F - 1) / 2))


def test_the_numbers_of_a_cascade_are_pinned_and_none_is_a_parameter():
    made = SDM(landmarks=68, size=64)
    shapes = {name: tuple(part.shape) for name, part in made.state_dict().items()}
    assert shapes == {"mean": (68, 2), "weights": (4, 8705, 136)}
    assert sum(part.numel() for part in made.buffers()) == 4_735_656
    assert not list(made.parameters())


def test_windows_shrink_and_the_last_serves_all_later_steps():
    made = SDM(landmarks=N, size=100, cascade=4, windows=(1.0, 0.5, 0.25))
    assert made.widths == pytest.approx((46.4, 23.2, 11.6, 11.6))
    assert SDM(landmarks=N, size=16).widths == pytest.approx((7.424, 5.1968, 4, 4))


def test_a_step_adds_its_regression_of_the_features_to_the_points():
    made = SDM(landmarks=N, size=F, cascade=2)
    made.weights.normal_(generator=generator())
    images, start = world(B)
    found = made.forward_all(images, start)
    assert found.shape == (3, B, N, 2) and torch.equal(found[0], start)
    for step in range(2):
        phi = describe(orientations(images.mean(dim=1)), found[step], made.widths[step])
        phi = torch.cat([phi.flatten(1), torch.ones(B, 1)], dim=1)
        expected = found[step] + (phi @ made.weights[step]).reshape(B, N, 2)
        torch.testing.assert_close(found[step + 1], expected, rtol=1e-4, atol=1e-4)


def test_the_answer_is_the_last_step_in_sides_of_the_crop(model):
    images, _ = world(B, seed=9)
    torch.testing.assert_close(to_pixels(model(images), F), model.forward_all(images)[-1])
    mean = model.mean.expand(B, -1, -1)
    assert torch.equal(model(images, mean), model(images))


def test_a_batch_equals_its_faces_one_by_one(model):
    images, points = world(B, seed=9)
    alone = torch.cat([model(images[i : i + 1], points[i : i + 1]) for i in range(B)])
    torch.testing.assert_close(model(images, points), alone)


def test_autocast_does_not_round_the_points(model):
    images, _ = world(B, seed=9)
    with torch.autocast("cpu", torch.bfloat16):
        cast = model(images)
    assert cast.dtype == torch.float32 and torch.equal(cast, model(images))


def test_images_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match="takes 48 x 48"):
        model(torch.zeros(B, 3, 32, 32))


def test_a_saved_cascade_answers_the_same(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "sdm.pt")
    other = SDM(landmarks=N, size=F, cascade=3)
    other.load_state_dict(torch.load(tmp_path / "sdm.pt", weights_only=True))
    images, _ = world(B, seed=9)
    assert torch.equal(other(images), model(images))


# --- fitting ----------------------------------------------------------------------------------


def similar(shape, degrees, zoom, shift):
    angle = math.radians(degrees)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    return shape @ torch.tensor([[cos, sin], [-sin, cos]]).to(shape) + torch.tensor(shift)


@pytest.mark.parametrize("degrees, zoom", [(0, 1), (25, 0.7), (-90, 1.3), (180, 2.0)])
def test_a_shape_is_laid_exactly_over_one_that_is_similar(degrees, zoom):
    points = torch.stack([SHAPE, similar(SHAPE, degrees, zoom, (3.0, -7.0))])
    torch.testing.assert_close(lay_over(SHAPE, points), points)


def test_a_shape_is_laid_where_least_squares_says():
    _, points = world(4)
    ones, zeros = torch.ones(N), torch.zeros(N)
    x, y = SHAPE.T
    rows = torch.stack([x, -y, ones, zeros, y, x, zeros, ones], dim=-1).reshape(2 * N, 4)
    wanted = torch.linalg.lstsq(rows, points.flatten(1).T).solution  # cos, sin, shift
    expected = (rows @ wanted).T.unflatten(-1, (N, 2))
    torch.testing.assert_close(lay_over(SHAPE, points), expected, rtol=1e-4, atol=1e-4)
    assert (expected - points).norm(dim=-1).mean() > 0.3


def test_starts_are_the_mean_shape_as_it_is_or_over_the_truth_where_nothing_varies():
    _, points = world(200)
    still = dict(shift=0.0, scale=0.0, turn=0.0)
    from_mean = draw_starts(SHAPE, points, Starts(**still), generator())
    torch.testing.assert_close(from_mean, SHAPE.expand_as(points))
    near = draw_starts(SHAPE, points, Starts(near=1.0, **still), generator())
    torch.testing.assert_close(near, lay_over(SHAPE, points))
    mixed = draw_starts(SHAPE, points, Starts(near=0.25, **still), generator())
    share = (mixed - near).abs().amax(dim=(1, 2)).lt(1e-3).float().mean()
    assert share.item() == pytest.approx(0.25, abs=0.1)


def test_starts_vary_as_the_settings_say():
    points = SHAPE.expand(4000, -1, -1)
    found = draw_starts(SHAPE, points, Starts(shift=0.1, scale=0.05), generator())
    middles = found.mean(dim=1) - SHAPE.mean(dim=0)
    assert middles.std(dim=0).tolist() == pytest.approx([2.0, 2.0], rel=0.05)  # of a box of 20 px
    edge = found[:, 1] - found[:, 0]
    zoom = edge.norm(dim=-1) / (SHAPE[1] - SHAPE[0]).norm()
    assert zoom.log().std().item() == pytest.approx(0.05, rel=0.05)
    assert torch.atan2(edge[:, 1], edge[:, 0]).std() < 1e-5  # none starts from the truth
    near = draw_starts(SHAPE, points, Starts(near=1.0, turn=3.0), generator())
    edge = near[:, 1] - near[:, 0]
    turned = torch.atan2(edge[:, 1], edge[:, 0]).std()
    assert torch.rad2deg(turned).item() == pytest.approx(3.0, rel=0.05)


def test_the_error_falls_with_every_step_on_views_that_were_not_fitted():
    reports = []
    made = trained(report=reports.append)
    images, points = world(100, seed=50)
    fallen = errors(made.forward_all(images), points)
    assert (fallen.diff() < 0).all()
    assert fallen[-1] < 0.5 * fallen[0]
    assert [line["step"] for line in reports] == [1, 2, 3]
    assert all(line["steps"] == 3 and line["seconds"] > 0 for line in reports)
    relative = [line["relative"] for line in reports]
    assert 1 > relative[0] > relative[1] > relative[2] > 0
    assert reports[0]["residual"] > reports[2]["residual"]


def test_the_mean_shape_is_the_views_own_or_the_one_that_is_given():
    views = [world(60, seed) for seed in (1, 2)]
    made = fit(SDM(landmarks=N, size=F, cascade=1), views, generator())
    torch.testing.assert_close(made.mean, torch.cat([views[0][1], views[1][1]]).mean(dim=0))
    given = fit(SDM(landmarks=N, size=F, cascade=1), views, generator(), mean=SHAPE)
    assert torch.equal(given.mean, SHAPE)


def test_a_fit_is_the_same_again_whatever_the_chunks_and_leaves_the_views_alone():
    views = [world(60, seed) for seed in (1, 2)]
    kept = copy.deepcopy(views)
    first, again, chunked = (
        fit(SDM(landmarks=N, size=F, cascade=2), iter(views), generator(), chunk=chunk)
        for chunk in (256, 256, 7)
    )
    assert torch.equal(first.weights, again.weights)
    images, _ = world(B, seed=9)
    torch.testing.assert_close(chunked(images), first(images), atol=1e-4, rtol=0)
    for (images, points), (as_were, there) in zip(views, kept, strict=True):
        assert torch.equal(images, as_were) and torch.equal(points, there)


# --- following --------------------------------------------------------------------------------


def test_a_tracker_starts_from_the_mean_shape_and_then_where_the_face_was(model):
    tracker = SDMTracker(model)
    assert tracker.moves
    images, _ = world(B, seed=9)
    (sides,), state = tracker.step(images)
    assert torch.equal(sides, model(images))
    torch.testing.assert_close(to_pixels(sides, F), state[0])
    (then,), _ = tracker.step(images, state)
    assert torch.equal(then, model(images, lay_over(model.mean, state[0])))
    assert not torch.equal(then, sides)


def test_a_tracker_follows_a_face_out_of_the_reach_of_the_mean_shape(model):
    tracker, state = SDMTracker(model), None
    for frame in range(13):
        points = (SHAPE + torch.tensor([1.0, -0.5]) * frame)[None]
        images = blobs(points)
        _, state = tracker.step(images, state)
    followed = (state[0] - points).norm(dim=-1).mean()
    assert followed < 1.0 < 3.0 < errors(model.forward_all(images), points)[-1]


def test_a_tracker_that_looks_at_one_picture_does_not_drift(model):
    tracker, state = SDMTracker(model), None
    images, points = world(20, seed=9)
    for _ in range(10):
        _, state = tracker.step(images, state)
    assert errors(state[0][None], points) < 1.2 * errors(model.forward_all(images), points)[-1]


def test_faces_that_were_lost_start_from_the_mean_shape_again(model):
    tracker = SDMTracker(model)
    images, points = world(B, seed=9)
    _, state = tracker.step(images)
    kept = state[0].clone()
    lost = torch.tensor([False, True, False])
    forgot = tracker.reset(state, lost)
    assert forgot[0][1].isnan().all() and torch.equal(state[0], kept)
    assert tracker.reset(None, lost) is None
    start = lay_over(model.mean, state[0])
    (found,), _ = tracker.step(images, forgot)
    assert found.isfinite().all()
    torch.testing.assert_close(found[1], model(images)[1])
    torch.testing.assert_close(found[[0, 2]], model(images, start)[[0, 2]])


def test_a_state_of_other_faces_is_refused(model):
    images, _ = world(B, seed=9)
    with pytest.raises(ValueError, match=r"the state is \(2, 5, 2\), not \(3, 5, 2\)"):
        SDMTracker(model).step(images, (torch.zeros(2, N, 2),))


@pytest.mark.parametrize("samples", [2, 9, 40])
def test_few_samples_give_the_same_ridge(samples):
    draw = torch.Generator().manual_seed(samples)
    x = 3 + torch.randn(samples, 12, generator=draw, dtype=torch.float64)
    y = torch.randn(samples, 4, generator=draw, dtype=torch.float64)
    many, few = Ridge(12, 4, dtype=torch.float64), FewRidge()
    for ridge in (many, few):
        for part in torch.arange(samples).split(5):
            ridge.add(x[part], y[part])
    torch.testing.assert_close(few.solve(0.3), many.solve(0.3))
