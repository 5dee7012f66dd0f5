import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from study.heatmaps import joint_targets, marginal_targets
from study.models import STA
from study.models.coordinates import to_pixels, to_sides
from study.models.sta import (
    Law,
    across,
    along,
    extent,
    guesses,
    law_of,
    responsibilities,
    stabilise,
    weighed,
)

B, N, SIZE, LENGTH, SIGMA, STEPS = 3, 5, 32, 16, 1.5, 5


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def law(count=2 * N, seed=0, **changed):
    """A law with a random basis and random variances of some hundredths of a face."""
    basis = torch.linalg.qr(random(count, count, seed=seed)).Q
    r, q1, q2 = (0.03 * random(3, count, seed=seed + 1).exp()).square()
    return Law(basis, r, q1, q2, tensor(0.4)[0], tensor(0.8)[0])._replace(**changed)


def plain(r, q1, q2, pi, beta=1.0, count=2 * N):
    """A law of equal variances in every direction, along the axes."""
    full = [torch.full((count,), value, dtype=torch.float64) for value in (r, q1, q2)]
    return Law(torch.eye(count, dtype=torch.float64), *full, *tensor(pi, beta))


def seen(seed=0):
    """p_t, y_(t-1) and y_(t-2) of faces about 20 px large that move by about a px."""
    last = 20 * torch.rand(B, N, 2, generator=torch.Generator().manual_seed(seed)).double()
    return last + random(B, N, 2, seed=seed + 1), (last, last + random(B, N, 2, seed=seed + 2))


class Blobs(torch.nn.Module):
    """A detector whose heatmaps are those of points around the brightness of its images."""

    landmarks, size = N, SIZE

    def __init__(self, joint=True):
        super().__init__()
        self.joint, self.norm = joint, torch.nn.BatchNorm1d(1)

    def forward(self, images):
        points = self.points(images)
        make = joint_targets if self.joint else marginal_targets
        return make(points, SIZE, LENGTH, SIGMA)

    @staticmethod
    def points(images):
        """(B, N, 2) px, between bins."""
        ring = torch.linspace(0, 2 * torch.pi, N + 1)[:N]
        ring = torch.stack([ring.cos(), ring.sin()], dim=-1)
        return 14 + 3 * images.mean(dim=(1, 2, 3))[:, None, None] + 9 * ring


def fitted(joint=True):
    """A stabiliser around `Blobs` with a law that is not the fresh one."""
    model = STA(Blobs(joint), sigma=SIGMA, steps=STEPS)
    found = law()
    model.adopt(found._asdict())
    model.adopt({"factors": tensor(0.5, 1.5, 2.0), "share": torch.tensor(0.1)})
    return model


def frames(count, seed=3):
    return torch.rand(count, B, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * (
        torch.linspace(0, 2, count)[:, None, None, None, None]
    )


# --- equations --------------------------------------------------------------------------------


def test_extent_is_the_longer_side_of_the_tight_box():
    assert extent(tensor([0, 0], [3, 1], [1, 7])).item() == pytest.approx(7)
    assert extent(tensor([0, 0], [9, 1], [1, 7])).item() == pytest.approx(9)


def test_a_basis_and_its_inverse_undo_each_other():
    basis, change = law().basis, random(B, N, 2)
    torch.testing.assert_close(across(basis, along(basis, change)), change)


def test_guesses_by_hand():
    last, before, points = (torch.full((1, 2, 2), value) for value in (5.0, 3.0, 9.0))
    none = torch.full_like(last, torch.nan)
    half = torch.tensor(0.5)

    def first(past):
        return guesses(past, points, half)[:, 0, 0, 0].tolist()

    assert first((last, before)) == [5, 6]  # 5 + (5 - 3) / 2
    assert first((last, none)) == [5, 5]  # no speed is known
    assert first((none, none)) == [9, 9]
    assert first((none, before)) == [9, 9]  # a speed towards what is seen would be of noise


def test_one_e_step_by_hand():
    # One coordinate of variance 4 and 1; y is 2 from the first guess and 1 from the second:
    # N_1 = exp(-4/8) / 2, N_2 = exp(-1/2) / 1, up to the same constant; pi = 1/4.
    one = plain(1.0, 4.0, 1.0, 0.25, count=1)
    share = responsibilities(tensor([0.0]), tensor([[2.0]], [[-1.0]]), one).flatten()
    first, second = 0.25 * math.exp(-0.5) / 2, 0.75 * math.exp(-0.5)
    expected = [first / (first + second), second / (first + second)]
    assert share.tolist() == pytest.approx(expected)
    assert expected == pytest.approx([1 / 7, 6 / 7])


def test_one_m_step_by_hand():
    # 1/R = 1/2; r/Q = 1/4 / 1 and 3/4 / 3: (2 + 8) / 4 over 1/2 + 1/4 + 1/4.
    moved = weighed(tensor([[2.0]], [[8.0]]), tensor([0.25], [0.75]), plain(2, 1, 3, 0.5, count=1))
    assert moved.item() == pytest.approx(2.5)


def test_responsibilities_do_not_underflow_in_many_directions():
    count = 2 * 68
    guessed = torch.stack([torch.full((1, count), 3.0), torch.full((1, count), 2.9)]).double()
    narrow = plain(1.0, 1e-6, 1e-6, 0.5, count=count)
    share = responsibilities(torch.zeros(1, count).double(), guessed, narrow)
    assert share.flatten().tolist() == [0, 1]


@pytest.mark.parametrize(("pi", "kept"), [(1.0, 0), (0.0, 1)])
def test_a_share_of_all_or_none_leaves_one_guess(pi, kept):
    one = law(pi=tensor(pi)[0])
    share = responsibilities(random(B, 2 * N), random(2, B, 2 * N), one)
    assert (share[kept] == 1).all() and (share[1 - kept] == 0).all()


@pytest.mark.parametrize("pi", [0.0, 1.0])
def test_of_one_guess_it_is_the_update_of_a_kalman_filter(pi):
    """y = mu + Q / (Q + R) (p - mu) in each direction, in one step as in many."""
    points, past = seen()
    one = law(pi=tensor(pi)[0])
    mu = past[0] if pi else past[0] + one.beta * (past[0] - past[1])
    q = one.q1 if pi else one.q2
    gain = q / (q + one.r)
    expected = mu + across(one.basis, gain * along(one.basis, points - mu))
    for steps in (1, STEPS):
        torch.testing.assert_close(stabilise(points, past, one, steps), expected)


def test_that_update_in_px_by_hand():
    # A face of 10 px; R = 3, Q = 1 in squares of it: a quarter of the way to what is seen.
    last = tensor([0, 0], [10, 0], [0, 4])[None]
    points = last + tensor(4.0, -8.0)
    found = stabilise(points, (last, last - 1), plain(3, 1, 9, 1.0, count=6), STEPS)
    torch.testing.assert_close(found, last + tensor(1.0, -2.0))


@pytest.mark.parametrize("r", [0.0, 1e-12])
def test_a_detector_without_error_is_believed(r):
    points, past = seen()
    one = law(r=torch.full((2 * N,), r).double())
    torch.testing.assert_close(stabilise(points, past, one, STEPS), points, rtol=0, atol=1e-6)


def test_a_face_that_moves_on_for_sure_is_extrapolated():
    points, past = seen()
    found = stabilise(points, past, plain(0.01, 1.0, 1e-14, 0.0), STEPS)
    torch.testing.assert_close(found, 2 * past[0] - past[1])


def test_a_face_that_stays_for_sure_stays():
    points, past = seen()
    torch.testing.assert_close(stabilise(points, past, plain(0.01, 1e-14, 1.0, 1.0), 5), past[0])


def test_a_face_without_past_is_where_it_is_seen():
    points, (last, before) = seen()
    none = torch.full_like(points, torch.nan)
    assert torch.equal(stabilise(points, (none, none), law(), STEPS), points)
    assert torch.equal(stabilise(points, (none, before), law(), STEPS), points)
    still = stabilise(points, (last, last), law(), STEPS)
    assert torch.equal(stabilise(points, (last, none), law(), STEPS), still)


@pytest.mark.parametrize("r", [0.01, 1.0])
def test_steps_climb_to_a_maximum_of_the_posterior(r):
    """No step of EM lowers ln N(p; y, R) + ln sum_k pi_k N(y; mu_k, Q_k), and the last is flat."""
    one = law(r=r * law().r)
    points, past = seen()
    side = extent(past[0])[:, None]
    mu = along(one.basis, guesses(past, points, one.beta) - points) / side

    def log_posterior(y):
        spread = torch.stack([one.q1, one.q2])[:, None]
        prior = -((y - mu).square() / spread + spread.log()).sum(-1) / 2
        prior = (prior + torch.stack([one.pi, 1 - one.pi]).log()[:, None]).logsumexp(0)
        return prior - (y.square() / one.r).sum(-1) / 2

    heights = []
    for steps in (0, 1, 2, 3, 50):
        y = along(one.basis, stabilise(points, past, one, steps) - points) / side
        y.requires_grad_()
        heights.append(log_posterior(y))
    assert all((b >= a - 1e-6).all() for a, b in zip(heights, heights[1:], strict=False))
    assert (heights[-1] > heights[0]).all()
    (slope,) = torch.autograd.grad(heights[-1].sum(), y)
    assert (slope * one.r.sqrt()).abs().max() < 1e-5


@given(
    scale=st.floats(0.05, 20), x=st.floats(-500, 500), y=st.floats(-500, 500),
    seed=st.integers(0, 100),
)
@settings(max_examples=30, deadline=None)
def test_a_larger_face_elsewhere_gives_the_same_larger_and_there(scale, x, y, seed):
    points, past = seen(seed)
    moved = [scale * part + tensor(x, y) for part in (points, *past)]
    expected = scale * stabilise(points, past, law(), STEPS) + tensor(x, y)
    found = stabilise(moved[0], tuple(moved[1:]), law(), STEPS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7 * max(1, scale) * 10)


def test_a_batch_equals_its_faces_one_by_one():
    points, past = seen()
    past[0][0] = torch.nan
    past[1][1] = torch.nan
    whole = stabilise(points, past, law(), STEPS)
    for face in range(B):
        rows = slice(face, face + 1)
        alone = stabilise(points[rows], tuple(part[rows] for part in past), law(), STEPS)
        torch.testing.assert_close(whole[rows], alone)


def test_the_law_of_a_fit_by_hand():
    ones = torch.ones(2, dtype=torch.float64)
    parts = (torch.eye(2), ones, 2 * ones, 3 * ones, tensor(10, 100, 1000))
    found = law_of(*parts, *tensor(0.5, 0.25, 0.75))
    assert found.r.tolist() == [10, 10]
    assert found.q1.tolist() == [205, 205] and found.q2.tolist() == [3005, 3005]
    assert (found.pi, found.beta) == (0.25, 0.75)


# --- the module -------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", [True, False])
def test_it_observes_by_the_fraction_of_a_bin(joint):
    model, images = STA(Blobs(joint), sigma=SIGMA), frames(1)[0]
    expected = to_sides(Blobs.points(images), SIZE)
    torch.testing.assert_close(model.observe(images), expected, rtol=0, atol=1e-5)
    # Without the targets' width, from the curvature at the peak.
    unsure = STA(Blobs(joint)).observe(images)
    torch.testing.assert_close(unsure, expected, rtol=0, atol=1e-3)


def test_a_fresh_stabiliser_equals_its_detector():
    model, state = STA(Blobs(), sigma=SIGMA), None
    for images in frames(3):
        (points,), state = model.step(images, state)
        torch.testing.assert_close(points, model.observe(images))


def test_steps_are_the_equations_one_after_the_other():
    model, state, past = fitted(), None, None
    for images in frames(4):
        (points,), state = model.step(images, state)
        observed = to_pixels(model.observe(images), SIZE)
        none = torch.full_like(observed, torch.nan)
        past = (none, none) if past is None else past
        steady = stabilise(observed, past, model.law, STEPS)
        torch.testing.assert_close(to_pixels(points, SIZE), steady)
        torch.testing.assert_close(state, (steady, past[0]), equal_nan=True)
        past = steady, past[0]
    assert (steady - observed).abs().max() > 0.1  # it does something


def test_a_state_is_not_written_into():
    model = fitted()
    first, second, third = frames(3)
    _, state = model.step(second, model.step(first)[1])
    kept = tuple(part.clone() for part in state)
    model.step(third, state)
    model.reset(state, torch.tensor([True, False, True]))
    assert all(torch.equal(a, b) for a, b in zip(state, kept, strict=True))


def test_a_lost_face_starts_anew_and_the_others_go_on():
    model = fitted()
    first, second, third = frames(3)
    _, state = model.step(second, model.step(first)[1])
    lost = torch.tensor([False, True, False])
    (after,), _ = model.step(third, model.reset(state, lost))
    (whole,), _ = model.step(third, state)
    assert torch.equal(after[~lost], whole[~lost])
    assert torch.equal(after[lost], model.observe(third)[lost])
    assert not torch.equal(after[lost], whole[lost])
    assert model.reset(None, lost) is None


def test_its_detector_is_a_frozen_copy_in_evaluation_mode():
    detector = Blobs().train()
    model = STA(detector).train()
    assert model.training and not model.detector.training and not model.detector.norm.training
    assert detector.training and model.detector is not detector
    assert not any(p.requires_grad for p in model.parameters())
    assert all(p.requires_grad for p in detector.parameters())


def test_a_state_dict_carries_the_law_and_the_detector():
    model, copy = fitted(), STA(Blobs(), sigma=SIGMA, steps=STEPS)
    model.detector.norm.running_mean.fill_(7.0)
    copy.load_state_dict(model.state_dict())
    assert copy.detector.norm.running_mean.item() == 7
    torch.testing.assert_close(copy.law, model.law, rtol=0, atol=0)
    states = [None, None]
    for images in frames(3):
        outputs = [m.step(images, s) for m, s in zip((model, copy), states, strict=True)]
        states = [state for _, state in outputs]
        assert torch.equal(outputs[0][0][0], outputs[1][0][0])


def test_a_law_may_be_of_another_precision_than_its_points():
    model, (points, past) = fitted(), seen()
    steady, _ = model.stabilise(points, past)
    assert steady.dtype == torch.float64
    single, _ = model.stabilise(points.float(), tuple(part.float() for part in past))
    torch.testing.assert_close(single.double(), steady, rtol=0, atol=1e-4)


def test_autocast_does_not_touch_movements():
    model, (points, past) = fitted(), seen()
    points, past = points.float(), tuple(part.float() for part in past)
    expected, _ = model.stabilise(points, past)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = model.stabilise(points, past)
    assert torch.equal(found, expected)


def test_what_does_not_belong_together_is_refused():
    model, (points, past) = fitted(), seen()
    with pytest.raises(ValueError, match=r"points are \(3, 4, 2\); wanted \(B, 5, 2\)"):
        model.stabilise(points[:, :4])
    with pytest.raises(ValueError, match="the past is"):
        model.stabilise(points[:2], past)
