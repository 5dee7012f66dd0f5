import math

import pytest
import torch

from study.models.coordinates import Coordinates
from study.models.gan import Discriminator, GANTracker

B, T, SIZE, N, HIDDEN = 2, 5, 32, 68, 16


def built():
    torch.manual_seed(0)
    detector = Coordinates(
        landmarks=N, size=SIZE, channels=8, stacks=1, depth=1, width=8, hidden=8
    )
    return GANTracker(detector.eval(), hidden=HIDDEN)


def taught():
    """A tracker whose corrections are not zero."""
    tracker = built()
    torch.nn.init.normal_(tracker.correct.weight, std=0.1)
    return tracker.eval()


def frames(seed=0):
    return torch.rand(B, T, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def sequences(seed=0):
    return torch.rand(B, T, N, 2, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_parameters_are_pinned():
    tracker = built()
    assert sum(p.numel() for p in tracker.parameters() if p.requires_grad) == 241_561
    assert sum(p.numel() for p in tracker.discriminator.parameters()) == 232_833


def test_a_fresh_tracker_is_its_detector():
    tracker, images = built().eval(), frames()
    with torch.inference_mode():
        state = None
        for t in range(T):
            points, state = tracker.step(images[:, t], state)
            torch.testing.assert_close(points, tracker.detector(images[:, t]))


def test_a_clip_is_its_frames_one_by_one():
    tracker, images = taught(), frames()
    with torch.inference_mode():
        seen = [tracker.observe(images[:, t]) for t in range(T)]
        whole, last = tracker(*(torch.stack(part, dim=1) for part in zip(*seen, strict=True)))
        state = None
        for t in range(T):
            points, state = tracker.step(images[:, t], state)
            torch.testing.assert_close(points, whole[:, t])
    torch.testing.assert_close(state, last)


def test_the_past_matters_and_a_reset_forgets_it():
    tracker, images = taught(), frames()
    with torch.inference_mode():
        _, state = tracker.step(images[:, 0])
        alone, _ = tracker.step(images[:, 1])
        after, _ = tracker.step(images[:, 1], state)
        assert not torch.allclose(alone, after)
        kept = tracker.reset(state, torch.tensor([True, False]))
        mixed, _ = tracker.step(images[:, 1], kept)
    torch.testing.assert_close(mixed[0], alone[0])
    torch.testing.assert_close(mixed[1], after[1])


def test_the_detector_is_frozen_in_training_too():
    tracker = built().train()
    assert not any(p.requires_grad for p in tracker.detector.parameters())
    assert not any(module.training for module in tracker.detector.modules())


# --- the discriminator ---------------------------------------------------------------------------


def test_the_discriminator_judges_a_frame_by_it_and_those_before():
    torch.manual_seed(0)
    judge, points = Discriminator(landmarks=N), sequences()
    changed = points.clone()
    changed[:, 3] += 0.1
    with torch.inference_mode():
        before, after = judge(points), judge(changed)
    assert before.shape == (B, T)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.isclose(before[:, 3], after[:, 3]).any()


def test_its_movement_is_that_from_the_frame_before():
    torch.manual_seed(0)
    judge, seen = Discriminator(landmarks=N), []
    judge.movement.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    points = sequences()
    judge(points)
    assert (seen[0][:, 0] == 0).all()
    torch.testing.assert_close(seen[0][:, 2], 50 * (points[:, 2] - points[:, 1]).flatten(1))


def paths(count, shuffled, seed):
    """Faces that swing slowly, (count, 12, N, 2); their frames in a random order or not."""
    draw = torch.Generator().manual_seed(seed)
    shape = 0.5 * torch.rand(N, 2, generator=torch.Generator().manual_seed(99)) - 0.25
    phase = 6.28 * torch.rand(count, 1, 2, generator=draw)
    pace = 0.2 + 0.2 * torch.rand(count, 1, 2, generator=draw)
    swing = 0.05 * (phase + pace * torch.arange(12)[None, :, None]).sin()
    if shuffled:
        swing = torch.stack([one[torch.randperm(12, generator=draw)] for one in swing])
    noise = 0.002 * torch.randn(count, 12, N, 2, generator=draw)
    return shape + swing[:, :, None] + noise


def test_it_learns_to_tell_sequences_from_the_same_frames_in_a_random_order():
    # Each frame alone is as likely in both: only the movement tells.
    torch.manual_seed(0)
    judge = Discriminator(landmarks=N, hidden=32)
    optimizer = torch.optim.Adam(judge.parameters(), lr=3e-3)
    for step in range(60):
        true, false = judge(paths(16, False, step)), judge(paths(16, True, 1000 + step))
        loss = torch.nn.functional.softplus(-true).mean()
        loss = loss + torch.nn.functional.softplus(false).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        true, false = (judge(paths(64, shuffled, 5000 + shuffled)) for shuffled in (False, True))
    right = (true.mean(1) > 0).float().mean() + (false.mean(1) < 0).float().mean()
    assert right / 2 >= 0.8
    assert math.isfinite(loss.item()) and loss < 2 * math.log(2)


@pytest.mark.parametrize("length", [1, 2])
def test_short_sequences_are_judged_too(length):
    assert Discriminator(landmarks=N)(sequences()[:, :length]).shape == (B, length)
