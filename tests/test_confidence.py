"""Peaks, the fit of a calibration, and reliability."""

import math

import pytest
import torch

from study.confidence import LOWEST, Calibration, fit, peaks, reliability

N, L = 3, 24


def heatmaps(*tops):
    """(1, N, L) with these peaks, one a landmark."""
    h = torch.full((1, len(tops), L), -0.1)
    h[0, torch.arange(len(tops)), torch.arange(len(tops)) + 5] = torch.tensor(tops)
    return h


def test_the_lower_peak_comes_first_and_both_are_clipped():
    found = peaks(heatmaps(0.9, 0.001, 1.4), heatmaps(0.5, 0.8, 0.7))
    expected = torch.tensor([[[0.5, 0.9], [LOWEST, 0.8], [0.7, 1.0]]])
    torch.testing.assert_close(found, expected)


def test_a_probability_is_the_logistic_of_the_weighted_logarithms():
    sure = Calibration(0.05, (2.0, 1.0), (3.0, 0.0, -1.0))(
        heatmaps(0.9, 0.5, 1.0), heatmaps(0.5, 0.5, 1.0)
    )
    by_hand = [3 + 2 * math.log(0.5) + math.log(0.9), 3 * math.log(0.5), -1.0]
    expected = torch.tensor([[1 / (1 + math.exp(-value)) for value in by_hand]])
    torch.testing.assert_close(sure, expected)


def test_heatmaps_of_other_landmarks_are_refused():
    with pytest.raises(ValueError, match="2 landmarks; calibrated for 3"):
        Calibration(0.05, (1.0, 1.0), (0.0,) * 3)(heatmaps(0.5, 0.5), heatmaps(0.5, 0.5))


def drawn(count, slopes, offsets, seed=0):
    """Peaks and hits of landmarks that follow a calibration."""
    generator = torch.Generator().manual_seed(seed)
    peak = torch.rand(count, len(offsets), 2, generator=generator).clamp_min(0.05)
    peak = peak.sort(dim=-1).values
    sure = torch.sigmoid(peak.log() @ torch.tensor(slopes) + torch.tensor(offsets))
    return peak, torch.rand(sure.shape, generator=generator) < sure


def test_a_fit_finds_the_calibration_that_drew_the_hits():
    slopes, offsets = (1.5, 0.5), (2.0, 0.5, 3.0)
    found = fit(*drawn(20_000, slopes, offsets), within=0.05)
    assert found.slopes == pytest.approx(slopes, abs=0.1)
    assert found.offsets == pytest.approx(offsets, abs=0.1)


def test_a_landmark_that_was_always_close_keeps_a_probability_below_one():
    peak, close = drawn(40, (1.0, 0.0), (1.0, 1.0, 1.0))
    close[:, 2] = True
    found = fit(peak, close, within=0.05)
    assert math.isfinite(found.offsets[2])
    assert max(found.offsets[:2]) < found.offsets[2] < 10


def test_fitted_confidence_is_as_often_right_as_it_says():
    peak, close = drawn(4000, (1.5, 0.5), (2.0, 0.5, 3.0))
    found = fit(peak, close, within=0.05)
    logs = peak.double().log()
    sure = torch.sigmoid(
        logs @ logs.new_tensor(found.slopes) + logs.new_tensor(found.offsets)
    )
    for mean, share, count in reliability(sure, close, bins=5):
        assert count == 4000 * N / 5
        assert abs(mean - share) < 0.03


@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 3, 1)])
def test_a_fit_without_faces_or_with_other_shapes_is_refused(shape):
    with pytest.raises(ValueError, match="peaks are"):
        fit(torch.ones(shape), torch.ones(shape[:2], dtype=torch.bool), within=0.05)


def test_reliability_orders_by_confidence_and_leaves_missing_ones_out():
    sure = [0.9, float("nan"), 0.1, 0.8, 0.2]
    close = [True, True, False, True, True]
    assert reliability(sure, close, bins=2) == [
        (pytest.approx(0.15), 0.5, 2), (pytest.approx(0.85), 1.0, 2)
    ]
