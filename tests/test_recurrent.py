import pytest
import torch

from study.heatmaps import joint_targets
from study.models import Detector2D, Tracker2D
from study.models.recurrent import MotionMemory

B, T, N, F, L = 3, 4, 5, 64, 32
TINY = dict(landmarks=N, size=F, channels=8, stacks=1, depth=2, width=8, hidden=12)
HIDDEN = 7


def warmed(model):
    """A model whose batch norms have seen a batch, in evaluation mode."""
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(4, 3, F, F))
    return model.eval()


def detector(length=L, seed=0, **changed):
    torch.manual_seed(seed)
    return warmed(Detector2D(**{**TINY, "length": length, **changed}))


def fresh(**changed):
    made = detector(**changed)
    torch.manual_seed(1)
    return Tracker2D(made, hidden=HIDDEN)


def tracker(**changed):
    """A tracker whose added branches and maps are not near zero, in evaluation mode."""
    made = fresh(**changed)
    # The detector's last layer starts near zero, and with it all that is fed back.
    for layer in (made.feedback, made.memory.fuse, made.detector.head[-1]):
        torch.nn.init.normal_(layer.weight, std=0.5)
        torch.nn.init.normal_(layer.bias, std=0.5)
    return made.eval()


def clips(seed=2, size=F):
    return torch.rand(B, T, 3, size, size, generator=torch.Generator().manual_seed(seed))


def streamed(model, images, state=None):
    outputs = []
    for frame in images.unbind(1):
        h, state = model.step(frame, state)
        outputs.append(h)
    return torch.stack(outputs, dim=1)


# --- a fresh tracker --------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stacks", [1, 2])
def test_a_fresh_tracker_equals_its_detector_bit_for_bit(stacks, training):
    model, inside, state = fresh(stacks=stacks).train(training), detector(stacks=stacks), None
    for images in clips().unbind(1):
        h, state = model.step(images, state)
        with torch.no_grad():
            assert torch.equal(h, inside(images))


def test_a_fresh_tracker_learns_from_its_first_step_on():
    model = fresh()
    model(clips()).square().sum().backward()
    for layer in (model.feedback, model.memory.fuse, model.detector.backbone.stem[0]):
        assert layer.weight.grad.abs().max() > 0


def test_every_layer_gets_a_gradient():
    model = tracker().train()
    model(clips()).square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


# --- states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 32, 48, 64])
def test_shapes_of_heatmaps_and_states(length):
    with torch.no_grad():
        h, state = tracker(length=length).step(clips()[:, 0])
    assert h.shape == (B, N, length, length)
    assert [part.shape for part in state] == [(B, HIDDEN), (B, HIDDEN), (B, N, 16, 16)]


def test_the_state_holds_the_mean_of_each_cell_of_the_heatmaps():
    with torch.no_grad():
        h, (_, _, coarse) = tracker(length=48).step(clips()[:, 0])
    cells = h.reshape(B, N, 16, 3, 16, 3).mean(dim=(3, 5))
    torch.testing.assert_close(coarse, cells)
    assert coarse.data_ptr() != h.data_ptr()


def test_a_clip_equals_its_frames_one_by_one():
    model = tracker()
    with torch.no_grad():
        h = model(clips())
        assert h.shape == (B, T, N, L, L)
        torch.testing.assert_close(h, streamed(model, clips()), atol=1e-6, rtol=1e-5)


def test_earlier_frames_change_later_maps_and_later_ones_change_no_earlier_maps():
    model, first, last = tracker(), clips(), clips()
    first[:, 0] = clips(seed=9)[:, 0]
    last[:, -1] = clips(seed=9)[:, -1]
    with torch.no_grad():
        h, other_past, other_future = model(clips()), model(first), model(last)
    assert all(not torch.equal(h[:, t], other_past[:, t]) for t in range(T))
    assert (h - other_past)[:, 1].abs().max() > 1e-4
    assert torch.equal(h[:, :-1], other_future[:, :-1])


@pytest.mark.parametrize("part", [0, 1, 2])
def test_each_part_of_the_state_counts(part):
    model = tracker()
    with torch.no_grad():
        _, state = model.step(clips()[:, 0])
        other = list(state)
        other[part] = other[part] + 1
        h, changed = (model.step(clips()[:, 1], s)[0] for s in (state, tuple(other)))
    assert (h - changed).abs().max() > 1e-4


def test_the_memory_of_a_state_is_the_lstm_s_output_and_then_its_cell():
    model = tracker()
    with torch.no_grad():
        _, (h, c, coarse) = model.step(clips()[:, 0])
        _, (new_h, new_c, _) = model.step(clips()[:, 1], (h, c + 100, coarse))
    assert new_h.abs().max() <= 1 and new_c.min() > 1  # an LSTM's output is bounded


def test_no_past_gives_the_memory_of_zeros():
    model = tracker()
    zeros = torch.zeros(B, HIDDEN), torch.zeros(B, HIDDEN), torch.zeros(B, N, 16, 16)
    with torch.no_grad():
        torch.nn.init.zeros_(model.feedback.bias)  # the feedback of an empty map
        (h, state), (same, kept) = model.step(clips()[:, 0]), model.step(clips()[:, 0], zeros)
    assert torch.equal(h, same) and all(map(torch.equal, state, kept))


def test_a_batch_equals_its_items_one_by_one():
    model, images = tracker().double(), clips().double()
    with torch.no_grad():
        whole = model(images)
        for i in range(B):
            torch.testing.assert_close(model(images[i : i + 1])[0], whole[i], atol=1e-10, rtol=0)


def test_arguments_and_states_are_unchanged_after_the_call():
    model, images = tracker(length=16), clips()  # M = 1: the state could be the heatmaps
    with torch.no_grad():
        _, state = model.step(images[:, 0])
        kept = [part.clone() for part in (*state, images)]
        h, after = model.step(images[:, 1], state)
        model.reset(state, torch.tensor([True, False, True]))
        assert all(map(torch.equal, kept, (*state, images)))
        kept = after[2].clone()
        h.zero_()  # what is handed out is the caller's own
    assert torch.equal(after[2], kept)


def test_reset_forgets_the_lost_faces_and_no_others():
    model, lost, images = tracker(), torch.tensor([False, True, False]), clips()
    with torch.no_grad():
        _, state = model.step(images[:, 0])
        after = model.reset(state, lost)
        going_on, reset = (model.step(images[:, 1], s)[0] for s in (state, after))
    assert all(not part[lost].any() for part in after)
    assert all(torch.equal(part[~lost], old[~lost]) for part, old in zip(after, state, strict=True))
    assert torch.equal(reset[~lost], going_on[~lost])
    assert not torch.equal(reset[lost], going_on[lost])


# --- training ---------------------------------------------------------------------------------


def test_the_statistics_of_batch_norms_stay_the_detector_s():
    model = tracker().train()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    assert norms and model.memory.training and not any(norm.training for norm in norms)
    model(clips())
    assert all(torch.equal(norm.running_mean, b) for norm, b in zip(norms, before, strict=True))


def test_the_detector_that_was_given_stays_as_it_is():
    given = detector().train()
    model = Tracker2D(given, hidden=HIDDEN)
    with torch.no_grad():
        model.detector.head[-1].bias += 1
    assert given.training
    assert torch.equal(given.head[-1].bias, detector().head[-1].bias)


def test_the_memory_carries_gradients_through_time_and_the_feedback_does_not():
    model, images = tracker(), clips()
    first = images[:, 0].requires_grad_()
    _, (h, c, coarse) = model.step(first)
    assert h.requires_grad and c.requires_grad and not coarse.requires_grad
    found, _ = model.step(images[:, 1], (h, c, coarse))
    found.sum().backward()
    assert first.grad.abs().max() > 0


def scene(seed, count=8):
    """Clips (count, 2, 3, 16, 16) of a red and a green blob, the second frame empty; targets."""
    points = 2 + 12 * torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed))
    drawn = joint_targets(points, 16, 16, 1.0)  # (count, 2, 16, 16)
    image = torch.cat([drawn, torch.zeros(count, 1, 16, 16)], dim=1)
    images = torch.stack([image, torch.zeros_like(image)], dim=1)
    return images, joint_targets(points, 16, 8, 1.0)


def train(model, steps, errors):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for seed in range(steps):
        loss = errors(*scene(seed)).square().sum()
        optimizer.zero_grad()
        (loss / 8).backward()
        optimizer.step()


def test_a_tracker_learns_to_see_on_an_empty_frame_what_was_there_before():
    sizes = dict(landmarks=2, size=16, length=8, channels=16, depth=1, columns=2)
    made = Detector2D(**sizes, stacks=1, width=16, hidden=32)
    train(made, 50, lambda images, wanted: made(images[:, 0]) - wanted)
    model = Tracker2D(made, hidden=16)
    train(model, 80, lambda images, wanted: model(images) - wanted[:, None])
    images, wanted = scene(10_000, count=40)
    with torch.no_grad():
        _, state = model.step(images[:, 0])
        tracked, alone = (
            (model.step(images[:, 1], s)[0] - wanted).square().sum().item() for s in (state, None)
        )
    assert tracked < 0.5 * alone


# --- the memory -------------------------------------------------------------------------------


def test_the_memory_starts_as_nothing_and_remembers_the_mean_of_the_motion_half():
    memory = MotionMemory(channels=6, hidden=HIDDEN)
    x = torch.rand(B, 6, 4, 4)
    with torch.no_grad():
        found, state = memory(x)
        turned, same = memory(x.flip(-1))  # the mean does not know where
        torch.nn.init.normal_(memory.fuse.weight)
        changed, _ = memory(x)
    assert torch.equal(found, x) and torch.equal(turned, x.flip(-1))
    for part, other in zip(state, same, strict=True):
        assert part.shape == (B, HIDDEN)
        torch.testing.assert_close(part, other)
    assert not torch.equal(changed, x)


def test_what_is_remembered_is_added_alike_at_every_place():
    memory = MotionMemory(channels=6, hidden=HIDDEN)
    torch.nn.init.normal_(memory.fuse.weight)
    x, past = torch.rand(B, 6, 4, 5), (torch.ones(B, HIDDEN), torch.ones(B, HIDDEN))
    with torch.no_grad():
        added = memory(x, past)[0] - memory(x)[0]
    assert added.abs().max() > 1e-3
    torch.testing.assert_close(added, added[..., :1, :1].expand_as(added), atol=1e-5, rtol=0)


# --- wrong values -----------------------------------------------------------------------------


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="96 x 96 px.*64"):
        fresh().step(torch.zeros(B, 3, 96, 96))


def test_states_of_other_shapes_are_refused():
    model = fresh()
    _, state = model.step(clips()[:, 0])
    with pytest.raises(ValueError, match=r"\(3, 7\).*this tracker and batch need.*\(2, 7\)"):
        model.step(clips()[:2, 0], state)
    with pytest.raises(ValueError, match=r"\(3, 5, 16, 16\)"):
        model.step(clips()[:, 0], state[:2])
