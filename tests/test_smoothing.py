import math
from functools import partial

import numpy as np
import pytest
import torch

from study import metrics
from study.models import STA, smoothing, sta
from study.models.smoothing import Paths

N, LENGTHS = 6, (7, 3, 1, 5)
FACE = 100 * torch.rand(N, 2, generator=torch.Generator().manual_seed(5)).double()


class Detector(torch.nn.Module):
    """What a stabiliser needs of a detector that sees nothing."""

    landmarks, size = N, 32


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def straight(videos, frames=14, noise=1.0, seed=0):
    """Paths of faces about 100 px large on straight ways at constant speeds of about 2 px a frame.

    The noise is of each coordinate by itself, px.
    """
    time = torch.arange(frames).double()[:, None, None]
    shapes = FACE + 5 * random(videos, 1, N, 2, seed=seed)
    truth = (shapes + 2 * random(videos, 1, 1, 2, seed=seed + 1) * time).flatten(0, 1)
    observed = truth + noise * random(*truth.shape, seed=seed + 2)
    return Paths(observed, truth, (frames,) * videos)


def ragged(seed=0):
    truth = FACE + random(sum(LENGTHS), N, 2, seed=seed)
    return Paths(truth + random(*truth.shape, seed=seed + 1), truth, LENGTHS)


def law(**changed):
    parts = smoothing.variances(straight(4))
    full = {"factors": torch.ones(3), "share": torch.tensor(0.1)}
    full |= {"pi": torch.tensor(0.4), "beta": torch.tensor(0.8)}
    return sta.law_of(**{**parts, **full, **changed})


SMOOTHERS = {
    "sta": partial(smoothing.steady, law=law(), steps=5),
    "exponential": partial(smoothing.exponential, share=0.4),
    "kalman": partial(smoothing.kalman, acceleration=0.1, speed=0.5),
}


def score(smoother, paths):
    observed, truth = paths.beside
    return smoothing.measured(smoother(observed), truth, paths.lengths)


# --- side by side -----------------------------------------------------------------------------


def test_videos_side_by_side_and_back():
    points = ragged().truth
    beside = smoothing.side_by_side(points, LENGTHS)
    assert beside.shape == (7, 4, N, 2)
    assert torch.equal(beside[:3, 1], points[7:10])
    assert torch.equal(beside[:, 2], points[10].expand(7, N, 2))  # held at its only frame
    assert torch.equal(smoothing.one_by_one(beside, LENGTHS), points)


@pytest.mark.parametrize("lengths", [(7, 3, 1, 4), (8, 3, 0, 5)])
def test_lengths_that_are_not_those_of_the_frames_are_refused(lengths):
    with pytest.raises(ValueError, match="16 frames are not those of videos"):
        smoothing.side_by_side(ragged().truth, lengths)


@pytest.mark.parametrize("name", SMOOTHERS)
def test_videos_are_smoothed_each_by_itself(name):
    paths, smoother = ragged(), SMOOTHERS[name]
    whole = smoothing.smoothed(smoother, paths.observed, LENGTHS)
    for found, seen in zip(whole.split(LENGTHS), paths.observed.split(LENGTHS), strict=True):
        torch.testing.assert_close(found, smoothing.smoothed(smoother, seen, (len(seen),)))


@pytest.mark.parametrize("name", SMOOTHERS)
def test_no_smoother_looks_ahead(name):
    observed, _ = straight(3).beside
    changed = observed.clone()
    changed[8:] += 30
    before, after = SMOOTHERS[name](observed), SMOOTHERS[name](changed)
    assert torch.equal(before[:8], after[:8]) and not torch.equal(before[8], after[8])
    assert torch.equal(before[0], observed[0])


@pytest.mark.parametrize("name", SMOOTHERS)
def test_a_larger_face_elsewhere_is_smoothed_alike(name):
    observed, _ = straight(3).beside
    place = torch.tensor([30.0, -7.0]).double()
    expected = 2.5 * SMOOTHERS[name](observed) + place
    torch.testing.assert_close(SMOOTHERS[name](2.5 * observed + place), expected)


def test_measures_of_ragged_videos_are_means_over_all_of_their_frames():
    paths = ragged()
    observed, truth = paths.beside
    found = smoothing.measured(observed, truth, LENGTHS)
    videos = zip(paths.observed.split(LENGTHS), paths.truth.split(LENGTHS), strict=True)
    videos = list(videos)
    for name, term in metrics.STABILITY.items():
        terms = torch.cat([term(*video) for video in videos])
        assert found[name] == pytest.approx(terms.nanmean().item())


# --- the controls -----------------------------------------------------------------------------


def test_exponential_smoothing_by_hand():
    seen = torch.tensor([4.0, 8.0, 0.0]).reshape(3, 1, 1, 1)
    assert smoothing.exponential(seen, 0.25).flatten().tolist() == [4, 5, 3.75]


def test_the_kalman_filter_equals_that_of_matrices():
    acceleration, speed = 0.3, 0.7
    seen = random(9, 1, 1, 1)
    move, look = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    push = np.array([[0.5], [1.0]])
    state, spread = np.array([[seen[0].item()], [0.0]]), np.diag([1.0, speed])
    expected = [state[0, 0]]
    for value in seen[1:].flatten().tolist():
        state, spread = move @ state, move @ spread @ move.T + acceleration * push @ push.T
        gain = spread @ look.T / (look @ spread @ look.T + 1)
        state = state + gain * (value - look @ state)
        spread = (np.eye(2) - gain @ look) @ spread
        expected.append(state[0, 0])
    found = smoothing.kalman(seen, acceleration, speed).flatten().tolist()
    assert found == pytest.approx(expected)


def test_a_kalman_filter_that_knows_no_speed_yet_takes_that_of_two_frames():
    observed, truth = straight(3, noise=0.0).beside
    torch.testing.assert_close(smoothing.kalman(observed, 0.0, 1e9), truth, rtol=0, atol=1e-5)


# --- what a fit starts from ---------------------------------------------------------------------


@pytest.mark.parametrize("spread", [5.0, 0.0])  # of the shapes; 0 is one rigid face
def test_directions_are_orthonormal_and_start_with_the_face_as_a_whole(spread):
    truth = FACE + spread * random(40, N, 2) + 30 * random(40, 1, 2, seed=1)
    basis = smoothing.directions(truth)
    torch.testing.assert_close(basis @ basis.T, torch.eye(2 * N).double())
    one = torch.full((N,), N**-0.5).double()
    torch.testing.assert_close(basis[0, 0::2].abs(), one)
    torch.testing.assert_close(basis[1, 1::2].abs(), one)
    shapes = (truth - truth.mean(1, keepdim=True)) / sta.extent(truth)[:, None, None]
    mean = shapes.mean(0)
    larger = (mean / mean.norm()).flatten()
    assert (basis[2] @ larger).abs().item() == pytest.approx(1)
    around = torch.stack([-mean[:, 1], mean[:, 0]], -1).flatten() / mean.norm()
    assert (basis[3] @ around).abs().item() == pytest.approx(1)
    rest = ((shapes - mean).flatten(1) @ basis[4:].T).square().sum(0)
    assert (rest[:-1] >= rest[1:] - 1e-9).all()  # largest first


def test_variances_by_hand():
    # A face of 100 px goes 2 px to the right in every frame, and is seen 3 px too low.
    face = FACE / sta.extent(FACE) * 100
    truth = (face + torch.tensor([2.0, 0.0]) * torch.arange(5)[:, None, None]).repeat(2, 1, 1)
    truth[5:] += 50  # another video, so that no movement leads there
    paths = Paths(truth + torch.tensor([0.0, 3.0]), truth, (5, 5))
    found = smoothing.variances(paths)
    assert found["q1"][0].item() == pytest.approx(N * 0.02**2)  # along x
    assert found["r"][1].item() == pytest.approx(N * 0.03**2)  # along y
    floor = smoothing.FLOOR
    assert found["q1"][1:].tolist() == pytest.approx([floor * N * 0.02**2 / (2 * N)] * (2 * N - 1))
    assert found["q2"].max() < 1e-11 and found["q2"].min() > 0


# --- fits -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steadied():
    """A stabiliser fitted to noisy straight paths."""
    model = STA(Detector())
    smoothing.fit(model, straight(16), share=0.03, evaluations=40)
    return model


def test_on_noisy_straight_paths_it_is_smooth_and_in_time(steadied):
    others = straight(32, seed=50)
    before = score(lambda observed: observed, others)
    after = score(smoothing.smoother_of(steadied), others)
    assert after["E3"] < 0.35 * before["E3"] and after["E4"] < 0.35 * before["E4"]
    assert abs(after["E1"]) < 0.2
    assert after["E2"] < 0.9 * before["E2"]


def test_a_fit_sets_what_it_has_found():
    model, paths = STA(Detector()), straight(8)
    smoothing.fit(model, paths, share=0.03, evaluations=10)
    found = smoothing.fitted(paths, model.steps, share=0.03, evaluations=10)
    for name, value in found.items():
        torch.testing.assert_close(getattr(model, name), value.float())
    assert model.share.item() == pytest.approx(0.03)
    assert not torch.equal(model.factors, torch.ones(3))


@pytest.mark.parametrize("name", smoothing.CONTROLS)
def test_a_control_is_fitted_to_the_same_aims(name):
    paths = straight(16)
    found = {
        weight: score(smoothing.fit_control(name, paths, weight=weight), paths)
        for weight in (0.1, 10.0)
    }
    assert found[10.0]["E4"] < found[0.1]["E4"]  # smoothness counts more,
    assert found[10.0]["E1"] > found[0.1]["E1"]  # time less
    raw = score(lambda observed: observed, paths)
    for weight, there in found.items():
        assert smoothing.objective(there, weight) < smoothing.objective(raw, weight)


def test_a_fit_of_one_number_finds_the_least_of_a_fine_grid():
    paths = straight(16)
    goals = [
        smoothing.objective(score(partial(smoothing.exponential, share=share), paths), 1.0)
        for share in np.linspace(0.02, 1, 99)
    ]
    fit = smoothing.fit_control("exponential", paths, weight=1.0)
    assert smoothing.objective(score(fit, paths), 1.0) <= min(goals) + 1e-4


def by_extent(truth):
    return sta.extent(truth)


def test_the_error_is_the_mean_nrmse_over_frames():
    paths = ragged()
    expected = metrics.nrmse(paths.observed, paths.truth, sta.extent(paths.truth)).mean().item()
    assert smoothing.error(lambda seen: seen, paths, by_extent) == pytest.approx(expected)


def test_what_is_chosen_errs_least_on_what_is_held_out():
    paths, held, model = straight(4), straight(4, seed=70), STA(Detector())
    tried = dict(weights=(0.1, 10.0), shares=(0.0, 0.1), evaluations=8, normalizer=by_extent)
    choice = smoothing.choose(model, paths, held, **tried)
    pairs = [one[:2] for one in choice["errors"]]
    assert pairs == [(weight, share) for weight in (0.1, 10.0) for share in (0.0, 0.1)]
    weight, share, least = min(choice["errors"], key=lambda one: one[2])
    assert (choice["weight"], choice["share"]) == (weight, share)
    assert model.share.item() == pytest.approx(share)
    found = smoothing.error(smoothing.smoother_of(model), held, by_extent)
    assert found == pytest.approx(least, rel=1e-4)


def test_a_chosen_control_errs_least_on_what_is_held_out():
    paths, held = straight(8), straight(8, seed=70)
    smoother, choice = smoothing.choose_control("kalman", paths, held, normalizer=by_extent)
    errors = dict(choice["errors"])
    assert list(errors) == list(smoothing.WEIGHTS)
    assert errors[choice["weight"]] == min(errors.values())
    assert smoothing.error(smoother, held, by_extent) == min(errors.values())
    assert math.isfinite(min(errors.values()))
