import inspect

import pytest
import torch

from study.heatmaps import marginal_targets
from study.models import TRACKERS, Detector1D, Detector2D, Tracker1D, Tracker2D
from study.models.tracker import accumulate, coarse_stride, forget, recur

B, T, N, F, L = 3, 4, 5, 64, 96
LAMBDAS = [0.0, 0.3, 0.9, 1.0]
TINY = dict(landmarks=N, size=F, channels=8, stacks=1, depth=2, width=8, hidden=12)
SMALL = dict(landmarks=68, size=64, channels=32, stacks=1, depth=4)
PAPER = dict(landmarks=68, size=256, channels=256, stacks=4, depth=4)

# Parameters that are trained: a Tracker1D's detector is frozen.
PARAMETERS = {
    "tracker1d, F=64, L=16": (SMALL, 16, 31_106),
    "tracker1d, F=64, L=192": (SMALL, 192, 32_514),
    "tracker1d, F=256, L=768": (PAPER, 768, 32_514),
    "tracker2d, F=64, L=16": (SMALL, 16, 690_564),
    "tracker2d, F=256, L=64": (PAPER, 64, 24_762_948),
}


def detector(length=L, seed=0, **changed):
    torch.manual_seed(seed)
    return Detector1D(**{**TINY, "length": length, "gamma": 0.4, **changed})


def fresh(lam=0.3, length=L, hidden=8, **changed):
    made = detector(length)
    torch.manual_seed(1)
    return Tracker1D(made, lam=lam, hidden=hidden, **changed)


def tracker(lam=0.3, length=L, **changed):
    """A tracker whose last layers are not zero any more, in evaluation mode."""
    made = fresh(lam, length, **changed)
    for cnn4 in (made.cnn4_x, made.cnn4_y):
        torch.nn.init.normal_(cnn4.deconvolve.weight, std=0.3)
        torch.nn.init.normal_(cnn4.deconvolve.bias, std=0.3)
    return made.eval()


def maps(*leading, length=L, seed=2):
    """e_x and e_y, each (*leading, N, L): Gaussians at random places, of random heights."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(*leading, N, 2, generator=generator) * F
    heights = torch.rand(2, *leading, N, 1, generator=generator)
    e_x, e_y = marginal_targets(points, F, length, 0.035 * length)
    return heights[0] * e_x, heights[1] * e_y


def images(count=B, seed=3):
    return torch.rand(count, 3, F, F, generator=torch.Generator().manual_seed(seed))


def streamed(model, e_x, e_y, state=None):
    """Refined heatmaps (B, T, N, L) of clips, one frame after the other."""
    outputs = []
    for frame in zip(e_x.unbind(1), e_y.unbind(1), strict=True):
        refined, state = model.refine(*frame, state)
        outputs.append(refined)
    return [torch.stack(axis, dim=1) for axis in zip(*outputs, strict=True)]


def trained_parameters(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# --- pinned -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_pinned(name):
    values, length, expected = PARAMETERS[name]
    with torch.device("meta"):
        if name.startswith("tracker1d"):
            model = Tracker1D(Detector1D(**values, length=length, gamma=0.4), lam=0.3)
        else:
            model = Tracker2D(Detector2D(**values, length=length))
    assert trained_parameters(model) == expected


def test_no_tracker_is_missing_from_that_table():
    others = {"gan", "sdm_tracker", "sta"}  # in test_gan, test_sdm and test_sta
    assert {name.split(",")[0] for name in PARAMETERS} == set(TRACKERS) - others


def test_lambda_changes_no_parameter():
    states = [fresh(lam).state_dict() for lam in LAMBDAS]
    for state in states[1:]:
        assert all(torch.equal(state[name], value) for name, value in states[0].items())


def test_all_but_the_detector_is_given_by_name():
    for model in TRACKERS.values():
        first, *others = inspect.signature(model).parameters.values()
        assert first.name in ("detector", "sdm")
        assert {p.kind for p in others} <= {inspect.Parameter.KEYWORD_ONLY}


# --- equation 13 ------------------------------------------------------------------------------


def equation_13(u, lam):
    """Eq. 13 as it is printed: u (B, T, ...) -> (B, T, ...), each frame a sum over its past."""
    frames = range(u.shape[1])
    weights = [[lam ** (t - tau) if tau <= t else 0.0 for tau in frames] for t in frames]
    return torch.einsum("ts,bs...->bt...", torch.tensor(weights, dtype=u.dtype), u)


def test_the_recursion_by_hand():
    u = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 3, 1, 1)
    assert accumulate(u, 0.5).flatten().tolist() == [1.0, 2.5, 5.25]
    assert accumulate(u, 1.0).flatten().tolist() == [1.0, 3.0, 7.0]
    assert accumulate(u, 0.0).flatten().tolist() == [1.0, 2.0, 4.0]
    past = torch.full((1, 1, 1), 8.0)
    assert accumulate(u, 0.5, past).flatten().tolist() == [5.0, 4.5, 6.25]


@pytest.mark.parametrize("lam", LAMBDAS)
def test_streaming_equals_equation_13_over_200_frames(lam):
    model, frames = tracker(lam), 200
    e_x, e_y = maps(2, frames)
    with torch.no_grad():
        h_x, h_y = streamed(model, e_x, e_y)
        for h, e, cnn3, cnn4 in (
            (h_x, e_x, model.cnn3_x, model.cnn4_x),
            (h_y, e_y, model.cnn3_y, model.cnn4_y),
        ):
            u = torch.stack([cnn3(frame) for frame in e.unbind(1)], dim=1)
            v = equation_13(u.double(), lam).float()
            wanted = e + torch.stack([cnn4(frame) for frame in v.unbind(1)], dim=1)
            # For lambda = 1, V is a sum of 200 features, and so are its rounding errors.
            assert (h - wanted).abs().max() <= 1e-5 * max(1, wanted.abs().max())
            assert (h - e).abs().max() > 0.1  # else nothing was refined


def test_lambda_scales_how_much_is_left_of_an_old_frame():
    u = torch.zeros(1, 6, 2, 3)
    u[:, 1] = 1
    v = accumulate(u, 0.3)
    for t, left in enumerate([0, 1, 0.3, 0.3**2, 0.3**3, 0.3**4]):
        torch.testing.assert_close(v[:, t], torch.full((1, 2, 3), float(left)))


def test_v_stays_below_its_limit():
    u = torch.ones(1, 300, 2, 3)
    assert accumulate(u, 0.9).max() <= 10.0001
    assert accumulate(u, 0.9)[:, -1].min() == pytest.approx(10, rel=1e-5)
    assert accumulate(u, 1.0)[:, -1].max() == 300  # no limit: it counts frames


def test_sums_of_half_precision_features_are_kept_in_full():
    u, v = torch.full((1,), 1.0, dtype=torch.bfloat16), torch.tensor([1000.0])
    assert recur(u, v, 1.0).item() == 1001  # bfloat16 would stay at 1000
    assert recur(u, None, 1.0).dtype == torch.float32
    assert recur(u.double(), None, 1.0).dtype == torch.float64


def test_accumulate_has_the_gradient_of_its_sum():
    u = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    v = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, v: accumulate(u, 0.7, v), (u, v))


# --- what depends on what ---------------------------------------------------------------------


def test_at_lambda_zero_all_earlier_frames_can_be_replaced():
    e_x, e_y = maps(B, T)
    other_x, other_y = maps(B, T, seed=9)
    other_x[:, -1], other_y[:, -1] = e_x[:, -1], e_y[:, -1]
    with torch.no_grad():
        for lam, same in ((0.0, True), (0.3, False)):
            model = tracker(lam)
            pairs = zip(
                streamed(model, e_x, e_y), streamed(model, other_x, other_y), strict=True
            )
            assert all(torch.equal(h[:, -1], other[:, -1]) == same for h, other in pairs)


def test_a_frame_does_not_depend_on_later_ones():
    model, (e_x, e_y) = tracker(0.9), maps(B, T)
    late_x, late_y = e_x.clone(), e_y.clone()
    late_x[:, -1] += 1
    late_y[:, -1] += 1
    with torch.no_grad():
        for h, late in zip(model(e_x, e_y), model(late_x, late_y), strict=True):
            assert torch.equal(h[:, :-1], late[:, :-1])
            assert not torch.equal(h[:, -1], late[:, -1])


def test_each_axis_has_its_own_weights_and_sees_its_own_heatmaps():
    model, (e_x, e_y) = tracker(), maps(B)
    with torch.no_grad():
        (h_x, h_y), (v_x, v_y) = model.refine(e_x, e_y)
        (same_x, new_y), (same_v, new_v) = model.refine(e_x, e_y.flip(0))
        (other, _), _ = model.refine(e_y, e_y)
    assert torch.equal(h_x, same_x) and torch.equal(v_x, same_v)
    assert not torch.equal(h_y, new_y) and not torch.equal(v_y, new_v)
    assert not torch.equal(other, h_y)


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_gradients_reach_past_frames_where_lambda_is_not_zero(lam):
    model = tracker(lam)
    e_x, e_y = (e.requires_grad_() for e in maps(B, T))
    h_x, h_y = model(e_x, e_y)
    (h_x[:, -1].square().sum() + h_y[:, -1].square().sum()).backward()
    for e in (e_x, e_y):
        size = e.grad.abs().amax(dim=(0, 2, 3))  # (T,)
        assert size[-1] > 0
        assert (size[:-1] > 0).tolist() == [lam > 0] * (T - 1)


def test_cnn3_learns_from_past_frames():
    model, (e_x, e_y) = tracker(0.5), maps(B, 2)
    gradients = []
    for first in (e_x[:, :1], torch.zeros_like(e_x[:, :1])):
        model.zero_grad()
        h_x, _ = model(torch.cat([first, e_x[:, 1:]], dim=1), e_y)
        h_x[:, -1].sum().backward()
        gradients.append(model.cnn3_x.compress.weight.grad.clone())
    assert (gradients[0] - gradients[1]).abs().max() > 1e-3


# --- a fresh tracker --------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("lam", LAMBDAS)
def test_a_fresh_tracker_equals_its_detector_bit_for_bit(lam, training):
    model, inside, state = fresh(lam).train(training), detector().eval(), None
    for seed in range(3):
        faces = images(seed=seed)
        found, state = model.step(faces, state)
        with torch.no_grad():
            assert all(torch.equal(h, e) for h, e in zip(found, inside(faces), strict=True))
    e = maps(B, T)
    assert all(torch.equal(h, part) for h, part in zip(model(*e), e, strict=True))


def test_a_fresh_tracker_learns_from_its_first_step_on():
    model = fresh()
    sum(h.square().sum() for h in model(*maps(B, T))).backward()
    assert model.cnn4_x.deconvolve.weight.grad.abs().max() > 0
    assert model.cnn4_y.deconvolve.weight.grad.abs().max() > 0


# --- shapes and states ------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 32, 64, 96, 128, 160, 192, 384, 768])
def test_heatmaps_of_every_length_are_refined(length):
    model, e = tracker(length=length), maps(B, T, length=length)
    with torch.no_grad():
        assert [h.shape for h in model(*e)] == [(B, T, N, length)] * 2
        (h_x, h_y), (v_x, v_y) = model.step(images())
    assert h_x.shape == h_y.shape == (B, N, length)
    assert v_x.shape == v_y.shape == (B, 8, N, 16)


@pytest.mark.parametrize("positions, kernel", [(16, 1), (32, 3), (48, 5), (96, 3)])
def test_positions_and_kernel_can_be_chosen(positions, kernel):
    model = tracker(positions=positions, kernel=kernel)
    with torch.no_grad():
        (h_x, _), (v_x, _) = model.refine(*maps(B))
    assert h_x.shape == (B, N, L) and v_x.shape == (B, 8, N, positions)


def test_a_clip_equals_its_frames_one_by_one():
    model, e = tracker(0.9), maps(B, T)
    with torch.no_grad():
        for h, one in zip(model(*e), streamed(model, *e), strict=True):
            torch.testing.assert_close(h, one, atol=1e-5, rtol=1e-5)


def test_a_step_is_the_detector_and_then_the_refinement():
    model, state = tracker(), None
    with torch.no_grad():
        for seed in range(3):
            wanted, kept = model.refine(*model.detector(images(seed=seed)), state)
            found, state = model.step(images(seed=seed), state)
            assert all(map(torch.equal, (*found, *state), (*wanted, *kept)))


def test_a_batch_equals_its_items_one_by_one():
    model, (e_x, e_y) = tracker(0.9).double(), (e.double() for e in maps(B, T))
    with torch.no_grad():
        whole = model(e_x, e_y)
        for i in range(B):
            items = model(e_x[i : i + 1], e_y[i : i + 1])
            for h, single in zip(whole, items, strict=True):
                torch.testing.assert_close(single[0], h[i], atol=1e-10, rtol=0)


def test_no_past_is_a_past_of_zeros():
    model, e = tracker(), maps(B)
    zeros = torch.zeros(B, 8, N, 16), torch.zeros(B, 8, N, 16)
    with torch.no_grad():
        without, with_zeros = model.refine(*e), model.refine(*e, zeros)
    for a, b in zip(without, with_zeros, strict=True):
        assert all(map(torch.equal, a, b))


def test_arguments_and_states_are_unchanged_after_the_call():
    model, e, faces = tracker(), maps(B), images()
    with torch.no_grad():
        _, state = model.refine(*e)
        kept = [part.clone() for part in (*e, *state, faces)]
        (h_x, _), _ = model.refine(*e, state)
        model.step(faces, state)
        model.reset(state, torch.tensor([True, False, True]))
        h_x.zero_()  # what is handed out is the caller's own
        assert all(map(torch.equal, kept, (*e, *state, faces)))
        clips = maps(B, T)
        kept = [part.clone() for part in clips]
        model(*clips)
    assert all(map(torch.equal, kept, clips))


def test_the_same_state_can_be_gone_on_from_twice():
    model = tracker()
    with torch.no_grad():
        _, state = model.refine(*maps(B))
        once, again = (model.refine(*maps(B, seed=7), state) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        assert all(map(torch.equal, a, b))


def test_reset_forgets_the_lost_faces_and_no_others():
    model, lost = tracker(0.9), torch.tensor([False, True, False])
    with torch.no_grad():
        _, state = model.refine(*maps(B))
        after = model.reset(state, lost)
        now = maps(B, seed=7)
        alone, going_on, reset = (model.refine(*now, s)[0] for s in (None, state, after))
    for first, other, h in zip(alone, going_on, reset, strict=True):
        assert torch.equal(h[lost], first[lost]) and torch.equal(h[~lost], other[~lost])
        assert not torch.equal(h[lost], other[lost])


def test_a_face_lost_to_features_that_are_not_finite_is_forgotten():
    state = torch.full((2, 3, 4), torch.nan), torch.full((2, 5), torch.inf)
    after = forget(state, torch.tensor([True, False]))
    assert all((part[0] == 0).all() and not part[1].isfinite().any() for part in after)


def test_there_is_nothing_to_forget_without_a_past():
    assert fresh().reset(None, torch.tensor([True])) is None


def test_lambda_can_be_changed_for_a_test():
    changed, zero, e = tracker(0.3), tracker(0.0), maps(B, T)
    with torch.no_grad():
        changed.lam = 0.0
        assert all(map(torch.equal, changed(*e), zero(*e)))


# --- the detector inside ----------------------------------------------------------------------


def test_the_detector_inside_is_frozen_and_stays_in_evaluation_mode():
    model = fresh()
    for mode in (model.train(), model.eval(), model.train(True)):
        assert not any(module.training for module in mode.detector.modules())
    assert model.cnn3_x.training and model.training
    model = tracker().train()
    before = {name: value.clone() for name, value in model.detector.state_dict().items()}
    (h_x, h_y), _ = model.step(images())
    (h_x.sum() + h_y.sum()).backward()
    assert all(p.grad is None and not p.requires_grad for p in model.detector.parameters())
    after = model.detector.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_step_keeps_nothing_of_the_detector_for_gradients():
    model, faces = tracker(), images().requires_grad_()
    (h_x, h_y), _ = model.step(faces)
    assert torch.autograd.grad((h_x + h_y).sum(), faces, allow_unused=True) == (None,)


def test_the_detector_that_was_given_stays_as_it_is():
    given = detector().train()
    model = Tracker1D(given, lam=0.3)
    assert given.training and all(p.requires_grad for p in given.parameters())
    with torch.no_grad():
        given.cnn2_x.deconvolve.bias += 1
    assert torch.equal(model.detector.cnn2_x.deconvolve.bias, detector().cnn2_x.deconvolve.bias)


def test_weights_of_a_tracker_hold_those_of_its_detector():
    other, model = Tracker1D(detector(seed=5), lam=0.3, hidden=8), tracker()
    other.load_state_dict(model.state_dict())
    other.eval()
    with torch.no_grad():
        pairs = zip(model.step(images()), other.step(images()), strict=True)
        assert all(torch.equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))


def test_every_layer_gets_a_gradient():
    model = tracker().train()
    sum(h.square().sum() for h in model(*maps(B, T))).backward()
    without = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or p.grad.abs().max() == 0)
    ]
    assert without == []


# --- symmetries -------------------------------------------------------------------------------


def test_mirrored_heatmaps_are_refined_to_mirrored_ones_by_mirrored_kernels():
    model, other, e = tracker(), tracker(), maps(B, T)
    for module in other.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            module.weight.data = module.weight.data.flip(-1)
    with torch.no_grad():
        for h, mirrored in zip(model(*e), other(*(part.flip(-1) for part in e)), strict=True):
            torch.testing.assert_close(mirrored, h.flip(-1), atol=1e-5, rtol=1e-5)


def test_heatmaps_shifted_by_a_position_are_refined_to_shifted_ones():
    model, stride, reach = tracker(), L // 16, 6  # positions that three kernels of 5 see
    e = [part.roll(0, -1) for part in maps(B, T)]
    shifted = [part.roll(stride, -1) for part in e]
    inner = slice((reach + 1) * stride, L - reach * stride)
    with torch.no_grad():
        for h, moved in zip(model(*e), model(*shifted), strict=True):
            wanted = h.roll(stride, -1)
            torch.testing.assert_close(moved[..., inner], wanted[..., inner], atol=1e-5, rtol=1e-5)


def test_landmarks_in_another_order_are_refined_in_that_order():
    model, (e_x, e_y) = tracker(), maps(B, T)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        pairs = zip(model(e_x, e_y), model(e_x[:, :, order], e_y[:, :, order]), strict=True)
        for h, ordered in pairs:
            torch.testing.assert_close(ordered, h[:, :, order], atol=1e-5, rtol=1e-5)


def test_a_landmark_is_refined_by_its_own_heatmaps_alone():
    model, e = tracker(), maps(B, T)
    others = [part.clone() for part in maps(B, T, seed=8)]
    for part, own in zip(others, e, strict=True):
        part[:, :, 2] = own[:, :, 2]
    with torch.no_grad():
        for h, other in zip(model(*e), model(*others), strict=True):
            torch.testing.assert_close(other[:, :, 2], h[:, :, 2], atol=1e-6, rtol=1e-6)
            assert (other[:, :, 1] - h[:, :, 1]).abs().max() > 0.1


# --- learning ---------------------------------------------------------------------------------


def blanked_clips(seed, count=16, frames=3, length=48):
    """Slow landmarks, each seen in the first frames and blanked in the last with chance 1/2.

    Returns e (count, frames, N, length) of one axis, the targets, and blanked (count, N).
    """
    generator = torch.Generator().manual_seed(seed)
    start = 8 + 48 * torch.rand(count, 1, N, generator=generator)
    way = 0.5 * torch.randn(count, 1, N, generator=generator)  # px a frame
    places = start + way * torch.arange(frames)[None, :, None]
    wanted, _ = marginal_targets(torch.stack([places, places], dim=-1), F, length, 2.0)
    blanked = torch.rand(count, N, generator=generator) < 0.5
    e = wanted.clone()
    e[:, -1][blanked] = 0
    return e, wanted, blanked


def loss_on_blanked(model, seed=10_000):
    e, wanted, blanked = blanked_clips(seed, count=200)
    with torch.no_grad():
        errors = (model(e, e)[0] - wanted).square().sum(-1)  # (count, T, N)
    return errors[:, -1][blanked].mean().item()


def trained(lam, steps=120):
    model = fresh(lam, length=48, hidden=32)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for seed in range(steps):
        e, wanted, _ = blanked_clips(seed)
        loss = sum((h - wanted).square().sum() for h in model(e, e)) / len(e)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_a_tracker_learns_to_see_what_is_hidden_from_past_frames_alone():
    detected, still, tracks = (
        loss_on_blanked(model) for model in (fresh(0.3, length=48), trained(0.0), trained(0.3))
    )
    assert still < detected  # without a past, a prior is all there is to learn
    assert tracks < 0.6 * still


# --- wrong values -----------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [-0.1, 1.01, float("nan")])
def test_a_lambda_outside_of_0_to_1_is_refused(lam):
    with pytest.raises(ValueError, match=rf"lambda is {lam}; it must be in \[0, 1\]"):
        fresh(lam)


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ValueError, match="kernel is 4"):
        fresh(kernel=4)


def test_the_coarse_stride_is_the_length_over_the_positions():
    assert [coarse_stride(length, 16) for length in (16, 96, 768)] == [1, 6, 48]


@pytest.mark.parametrize("positions", [0, 20, 192])
def test_positions_that_do_not_divide_the_length_are_refused(positions):
    with pytest.raises(ValueError, match=f"length 96 is no multiple of {positions} positions"):
        fresh(positions=positions)


def test_heatmaps_of_other_shapes_are_refused():
    model = fresh()
    e, longer, more = torch.zeros(B, N, L), torch.zeros(B, N, 48), torch.zeros(B, N + 1, L)
    for pair in ((e, longer), (longer, longer), (more, more), (e[0], e[0])):
        shapes = ".*".join(rf"\({', '.join(map(str, part.shape))}\)" for part in pair)
        with pytest.raises(ValueError, match=rf"{shapes}; wanted \(B, 5, 96\)"):
            model.refine(*pair)
    with pytest.raises(ValueError, match=r"\(3, 5, 96\).*wanted \(B, T, 5, 96\)"):
        model(e, e)


def test_states_of_other_shapes_are_refused():
    model, e = fresh(), maps(B)
    fitting = torch.zeros(B, 8, N, 16)
    for wrong in (torch.zeros(B - 1, 8, N, 16), torch.zeros(B, 8, N, 24)):
        shapes = rf"{wrong.shape[0]}, 8, 5, {wrong.shape[-1]}\).*3, 8, 5, 16"
        with pytest.raises(ValueError, match=shapes):
            model.refine(*e, (fitting, wrong))
    with pytest.raises(ValueError, match="needs? two of"):
        model.refine(*e, (fitting,))


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="96 x 96 px.*64"):
        fresh().step(torch.zeros(B, 3, 96, 96))


def test_lost_faces_that_are_no_row_of_bools_are_refused():
    state = torch.zeros(B, 8, N, 16), torch.zeros(B, 8, N, 16)
    with pytest.raises(ValueError, match=r"lost is \(2,\) torch.bool.*\(3,\)"):
        forget(state, torch.tensor([True, False]))
    with pytest.raises(ValueError, match=r"lost is \(3,\) torch.int64"):
        forget(state, torch.tensor([1, 0, 1]))
