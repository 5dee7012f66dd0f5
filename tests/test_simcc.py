import math

import pytest
import torch

from study.heatmaps import distribution_targets
from study.models.simcc import divergence, probabilities

B, N = 3, 5


def random_points(size):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(B, N, 2, generator=generator) * size - 0.5  # (B, N, 2) px


def test_the_divergence_by_hand():
    # KL((3/4, 1/4) || (1/2, 1/2)) along x of one face of two, nothing elsewhere.
    wanted = torch.full((2, 1, 2), 0.5), torch.full((2, 1, 2), 0.5)
    wanted[0][0, 0] = torch.tensor([0.75, 0.25])
    flat = torch.zeros(2, 1, 2), torch.ones(2, 1, 2)  # softmax of both is (1/2, 1/2)
    expected = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2
    assert divergence(flat, wanted).item() == pytest.approx(expected, rel=1e-5)


def test_the_divergence_sums_over_axes_landmarks_and_bins_and_averages_over_faces():
    wanted = distribution_targets(random_points(64), 64, 90, 2.0)
    logits = tuple(torch.randn(B, N, 90) for _ in range(2))
    pairs = zip(wanted, logits, strict=True)
    expected = sum((p * (p.log() - logit.log_softmax(-1))).sum() for p, logit in pairs)
    torch.testing.assert_close(divergence(logits, wanted), expected / B)


def test_the_divergence_is_zero_at_the_target_alone():
    wanted = distribution_targets(random_points(64), 64, 90, 2.0)
    exact = tuple(p.log() + 3 for p in wanted)  # softmax does not see what is added
    assert divergence(exact, wanted).item() == pytest.approx(0, abs=1e-4)
    other = tuple(p.flip(-1) for p in exact)
    assert divergence(other, wanted).item() > 1


def test_the_divergence_s_gradient_is_softmax_minus_target():
    wanted = distribution_targets(random_points(64), 64, 90, 2.0)
    logits = tuple(torch.randn(B, N, 90, requires_grad=True) for _ in range(2))
    divergence(logits, wanted).backward()
    for logit, p in zip(logits, wanted, strict=True):
        torch.testing.assert_close(logit.grad, (logit.softmax(-1) - p).detach() / B)


def test_a_landmark_outside_the_crop_has_a_finite_loss_and_gradient():
    wanted = distribution_targets(torch.tensor([[[-500.0, 900.0]]]), 64, 90, 2.0)
    logits = tuple(torch.zeros(1, 1, 90, requires_grad=True) for _ in range(2))
    loss = divergence(logits, wanted)
    loss.backward()
    assert loss.isfinite() and all(logit.grad.isfinite().all() for logit in logits)


def test_a_wrong_number_of_axes_is_refused():
    with pytest.raises(ValueError):
        divergence((torch.zeros(2, 3, 4),), (torch.ones(2, 3, 4) / 4,) * 2)


def test_probabilities_sum_to_one_and_keep_the_peak_of_their_logits():
    logits = tuple(20 * torch.randn(40, N, 192) for _ in range(2))
    for p, logit in zip(probabilities(logits), logits, strict=True):
        torch.testing.assert_close(p.sum(-1), torch.ones(40, N))
        assert torch.equal(p.argmax(-1), logit.argmax(-1))


def test_nothing_is_written_into_arguments():
    logits = tuple(torch.randn(B, N, 90) for _ in range(2))
    wanted = distribution_targets(random_points(64), 64, 90, 2.0)
    kept = [part.clone() for part in (*logits, *wanted)]
    divergence(logits, wanted), probabilities(logits)
    assert all(torch.equal(a, b) for a, b in zip((*logits, *wanted), kept, strict=True))
