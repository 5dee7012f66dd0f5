import math

import numpy as np
import pytest
import torch

from study import metrics
from study.landmarks import AFLW19, IBUG68

B, N = 3, 5


def test_nrmse_by_hand():
    truth = torch.zeros(2, 3, 2)
    predicted = torch.tensor([[[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0]] * 3])
    normalizer = torch.tensor([2.0, 7.0])
    assert metrics.nrmse(predicted, truth, normalizer).tolist() == [1.0, 0.0]  # (5 + 1 + 0)/3/2


def test_a_landmark_that_is_not_visible_counts_in_no_mean():
    truth = torch.zeros(2, 3, 2)
    truth[0, 1] = truth[1, :] = torch.nan
    predicted = torch.tensor([[[3.0, 4.0], [9.0, 9.0], [0.0, 1.0]], [[1.0, 0.0]] * 3])
    normalizer = torch.tensor([2.0, 1.0])
    found = metrics.nrmse(predicted, truth, normalizer)
    assert found[0] == 1.5 and found[1].isnan()  # (5 + 1)/2/2; a face without any has no error
    assert metrics.rms_error(predicted, truth, normalizer)[0] == pytest.approx(math.sqrt(13) / 2)
    whole = metrics.nrmse(predicted[:1, [0, 2]], truth[:1, [0, 2]], normalizer[:1])
    assert whole[0] == found[0]


def test_areas_leave_out_what_is_hidden():
    truth = torch.zeros(1, 19, 2)
    truth[0, [0, 18]] = torch.nan  # a brow's end, and the chin, which is the whole contour
    predicted = torch.zeros(1, 19, 2)
    predicted[0, :6, 0] = torch.arange(6.0)
    found = metrics.area_nrmse(predicted, truth, torch.ones(1), AFLW19)
    assert found["eyebrows"].item() == 3.0 and found["contour"].isnan().item()  # (1+2+3+4+5)/5
    assert found["eyes"].item() == 0.0


def test_a_prediction_that_is_no_number_stays_none():
    truth, predicted = torch.zeros(1, 3, 2), torch.zeros(1, 3, 2)
    predicted[0, 0] = torch.nan
    assert metrics.nrmse(predicted, truth, torch.ones(1)).isnan().all()
    truth[0, 1] = torch.nan
    assert metrics.nrmse(predicted, truth, torch.ones(1)).isnan().all()


def test_rms_error_by_hand():
    truth = torch.zeros(1, 2, 2)
    predicted = torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    error = metrics.rms_error(predicted, truth, torch.tensor([2.0])).item()
    assert error == pytest.approx(math.sqrt((25 + 1) / 2) / 2)


def test_rms_error_is_never_below_nrmse():
    predicted, truth = torch.randn(B, N, 2), torch.randn(B, N, 2)
    normalizer = torch.rand(B) + 1
    rms = metrics.rms_error(predicted, truth, normalizer)
    assert (rms >= metrics.nrmse(predicted, truth, normalizer)).all()


def test_nrmse_does_not_depend_on_scale_or_place():
    predicted, truth = torch.randn(B, 68, 2).double(), torch.randn(B, 68, 2).double()
    moved = [3.5 * points + torch.tensor([10.0, -4.0]) for points in (predicted, truth)]
    expected = metrics.nrmse(predicted, truth, metrics.interocular(truth))
    torch.testing.assert_close(metrics.nrmse(*moved, metrics.interocular(moved[1])), expected)


def test_each_face_is_divided_by_its_own_normaliser():
    predicted, truth = torch.ones(B, N, 2), torch.zeros(B, N, 2)
    normalizer = torch.tensor([1.0, 2.0, 4.0])
    expected = [math.sqrt(2), math.sqrt(2) / 2, math.sqrt(2) / 4]
    assert metrics.nrmse(predicted, truth, normalizer).tolist() == pytest.approx(expected)


def test_interocular_is_the_distance_of_the_outer_eye_corners():
    truth = torch.randn(B, 68, 2)
    truth[:, 36], truth[:, 45] = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 6.0])
    assert metrics.interocular(truth).tolist() == [5.0] * B


def test_interpupil_is_the_distance_of_the_mean_eyes():
    truth = torch.randn(2, 68, 2)
    truth[:, 36:42] = torch.tensor([[0.0, 0], [1, -1], [2, -1], [3, 0], [2, 1], [1, 1]])
    truth[:, 42:48] = truth[:, 36:42] + torch.tensor([6.0, 8.0])
    assert metrics.interpupil(truth).tolist() == pytest.approx([10.0, 10.0])


def faces_turned(aside):
    """A face with eye corners 10 px apart, the tip of its nose as far aside as this says."""
    truth = torch.zeros(1, 68, 2, dtype=torch.float64)
    truth[0, 36], truth[0, 45] = torch.tensor([20.0, 30.0]), torch.tensor([30.0, 30.0])
    truth[0, 30] = torch.tensor([25.0 + aside, 36.0])
    return truth


def test_a_face_turns_as_far_as_the_tip_of_its_nose_lies_aside():
    turns = [metrics.turn(faces_turned(aside)).item() for aside in (0.0, 2.0, -2.0)]
    assert turns == pytest.approx([0, 0.2, -0.2])


def test_a_turn_aside_does_not_depend_on_roll_size_or_place():
    truth = faces_turned(3.0)
    roll = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    moved = 2.5 * truth @ roll.T + torch.tensor([7.0, -3.0])
    assert metrics.turn(moved).item() == pytest.approx(0.3)


def test_areas_average_to_the_whole_by_their_sizes():
    predicted, truth = torch.randn(B, 68, 2), torch.randn(B, 68, 2)
    normalizer = torch.rand(B) + 1
    areas = metrics.area_nrmse(predicted, truth, normalizer, IBUG68)
    whole = sum(len(IBUG68.areas[area]) * error for area, error in areas.items()) / 68
    torch.testing.assert_close(whole, metrics.nrmse(predicted, truth, normalizer))


def test_an_area_sees_its_own_landmarks_alone():
    truth, predicted = torch.zeros(1, 68, 2), torch.zeros(1, 68, 2)
    predicted[0, 30] = torch.tensor([9.0, 0.0])  # the tip of the nose, one of nine landmarks
    areas = metrics.area_nrmse(predicted, truth, torch.tensor([2.0]), IBUG68)
    assert areas.pop("nose").item() == 0.5
    assert all(error.item() == 0 for error in areas.values())


# --- curves -----------------------------------------------------------------------------------


def test_the_cumulative_curve_equals_counting():
    errors = torch.rand(57, dtype=torch.float64) * 0.12
    errors[:3] = torch.tensor([0.0, 0.04, 0.08])
    thresholds, shares = metrics.cumulative_errors(errors, limit=0.08, steps=9)
    assert thresholds[0] == 0 and thresholds[-1] == 0.08 and len(thresholds) == 9
    counted = [(errors <= t).double().mean().item() for t in thresholds]
    assert shares.tolist() == pytest.approx(counted, abs=1e-12)


def test_an_error_on_a_threshold_counts_as_below_it():
    _, shares = metrics.cumulative_errors(torch.tensor([0.5, 1.0]), limit=1.0, steps=3)
    assert shares.tolist() == [0.0, 0.5, 1.0]


def test_the_area_under_the_curve_by_hand():
    # Up to 0.08: the face at 0.02 counts over 3/4 of the way, that at 0.06 over 1/4, 0.5 never.
    errors = torch.tensor([0.02, 0.06, 0.5], dtype=torch.float64)
    assert metrics.area_under_curve(errors, 0.08).item() == pytest.approx((0.75 + 0.25) / 3)


def test_the_area_under_the_curve_equals_its_fine_sum():
    errors = torch.rand(40, dtype=torch.float64) * 0.12
    thresholds, shares = metrics.cumulative_errors(errors, limit=0.08, steps=20001)
    summed = torch.trapezoid(shares, thresholds).item() / 0.08
    assert metrics.area_under_curve(errors, 0.08).item() == pytest.approx(summed, abs=1e-4)


def test_the_area_under_the_curve_of_perfect_and_failed_faces():
    assert metrics.area_under_curve(torch.zeros(4)).item() == 1
    assert metrics.area_under_curve(torch.ones(4)).item() == 0


def test_the_failure_rate_counts_what_exceeds_the_limit():
    errors = torch.tensor([0.07, 0.08, 0.0801, 0.5, 0.01], dtype=torch.float64)
    assert metrics.failure_rate(errors, 0.08).item() == pytest.approx(0.4)


def test_metrics_do_not_write_into_their_arguments():
    predicted, truth, normalizer = torch.randn(B, 68, 2), torch.randn(B, 68, 2), torch.ones(B)
    errors = torch.rand(B)
    kept = [t.clone() for t in (predicted, truth, normalizer, errors)]
    metrics.nrmse(predicted, truth, normalizer)
    metrics.rms_error(predicted, truth, normalizer)
    metrics.area_nrmse(predicted, truth, normalizer, IBUG68)
    metrics.cumulative_errors(errors)
    metrics.area_under_curve(errors)
    now = (predicted, truth, normalizer, errors)
    assert all(torch.equal(a, b) for a, b in zip(now, kept, strict=True))


# --- stability --------------------------------------------------------------------------------

BOX = [[0.0, 0.0], [200.0, 0.0], [0.0, 100.0]]  # a face whose w is 2 px


def path(places):
    """(T, 3, 2) px of the box, moved as a whole to places (T, 2)."""
    return torch.tensor(BOX).double() + torch.tensor(places).double()[:, None]


def shaken(frames=9, seed=0, landmarks=5):
    """Output and truth of a face that moves anyhow, (T, N, 2) px."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(2, frames, landmarks, 2, generator=generator, dtype=torch.float64)
    place = 50 * torch.rand(landmarks, 2, generator=generator, dtype=torch.float64)
    truth = place + steps[0].cumsum(dim=0)
    return truth + steps[1], truth


def test_w_is_a_hundredth_of_the_longer_side():
    truth = torch.tensor([BOX, [[0, 0], [10, 0], [3, 40]]])
    assert metrics.hundredth(truth).tolist() == pytest.approx([2, 0.4])


def test_the_truth_has_no_delay_and_the_frame_before_has_one():
    _, truth = shaken()
    assert metrics.lag(truth, truth)[1:].abs().max() == 0
    late = torch.cat([truth[:1], truth[:-1]])
    torch.testing.assert_close(metrics.lag(late, truth)[1:], torch.ones(8).double())
    early = 2 * truth - late
    torch.testing.assert_close(metrics.lag(early, truth)[1:], -torch.ones(8).double())


def test_a_delay_by_hand():
    truth = path([[0.0, 0], [4, 0], [4, 2], [4, 2]])
    output = path([[9.0, 9], [3, 7], [4, 1.5], [0, 0]])
    found = metrics.lag(output, truth)
    # <(-1, 7), (-4, 0)> / 16 and <(0, -1/2), (0, -2)> / 4; the last frame is still.
    assert found[1:3].tolist() == pytest.approx([0.25, 0.25])
    assert found[[0, 3]].isnan().all()
    assert metrics.stability(output, truth)["E1"] == pytest.approx(0.25)


def test_a_delay_is_of_motion_and_not_of_rounding():
    output, truth = path([[5.0, 0]] * 3), path([[0.0, 0], [1e-9, 0], [1e-2, 0]])
    found = metrics.lag(output, truth)  # 5 px ahead of a step of 1e-2 px
    assert found[1].isnan() and found[2].item() == pytest.approx(-499, rel=1e-6)


def test_a_delay_is_the_ratio_of_what_delay_terms_sum():
    output, truth = shaken()
    along, way = metrics.delay_terms(output, truth, torch.ones(9).double())
    torch.testing.assert_close(metrics.lag(output, truth)[1:], (along / way)[1:])


def test_an_error_in_percent_of_the_face_by_hand():
    output, truth = path([[0.0, 0], [0, 0]]), path([[0.0, 0], [0, 0]])
    output[1, 0] += torch.tensor([3.0, 4.0])
    assert metrics.extent_error(output, truth).tolist() == pytest.approx([0, (25 / 3) ** 0.5 / 2])


def test_a_straight_way_at_a_constant_speed_is_even():
    output = path([[3.0 * t, -1.5 * t] for t in range(5)])
    for measure in (metrics.unevenness, metrics.crookedness):
        assert measure(output, output)[1:-1].abs().max() < 1e-12


def test_a_straight_way_at_an_uneven_speed_is_uneven_but_not_crooked():
    truth = path([[0.0, 0]] * 4)
    output = path([[0.0, 0], [1, 2], [5, 10], [6, 12]])
    assert metrics.crookedness(output, truth)[1:-1].abs().max() < 1e-12
    # (1, 2) - (5, 10) / 2 and (5, 10) - (7, 14) / 2, each (1.5, 3) long, over 2 px.
    expected = [math.hypot(1.5, 3) / 2] * 2
    assert metrics.unevenness(output, truth)[1:-1].tolist() == pytest.approx(expected)


def test_a_way_that_turns_back_is_crooked_by_what_it_turns_back():
    truth = path([[0.0, 0]] * 4)
    output = path([[0.0, 0], [6, 0], [4, 0], [4, 0]])  # q is clipped to 1: 2 px from (4, 0)
    assert metrics.crookedness(output, truth)[1:-1].tolist() == pytest.approx([1, 0])
    back = path([[0.0, 0], [3, 4], [0, 0]])  # both neighbours are one
    assert metrics.crookedness(back, truth[:3])[1].item() == pytest.approx(2.5)


def test_a_crooked_way_by_hand():
    output, truth = path([[0.0, 0], [1, 3], [4, 0]]), path([[0.0, 0]] * 3)  # q = 1/4
    assert metrics.crookedness(output, truth)[1].item() == pytest.approx(1.5)
    assert metrics.unevenness(output, truth)[1].item() == pytest.approx(math.hypot(1, 3) / 2)


def test_one_q_is_for_all_landmarks():
    truth = torch.zeros(3, 2, 2) + torch.tensor([[0.0, 0], [100, 0]])
    output = truth.clone()
    output[1, 0, 0], output[2, 0, 0] = 1, 1  # one landmark takes its way at once,
    output[2, 1, 0] += 1  # the other later; each way is straight, that of both is not
    expected = (0.25 + 0.25) ** 0.5 / 2**0.5
    assert metrics.crookedness(output, truth)[1].item() == pytest.approx(expected)


def test_what_is_crooked_is_never_more_than_what_is_uneven():
    for seed in range(20):
        output, truth = shaken(seed=seed)
        even, crooked = (m(output, truth) for m in (metrics.unevenness, metrics.crookedness))
        assert (crooked[1:-1] <= even[1:-1] + 1e-12).all()


def test_stability_does_not_depend_on_scale_or_place():
    output, truth = shaken()
    expected = metrics.stability(output, truth)
    moved = [3.5 * part + torch.tensor([10.0, -4.0]) for part in (output, truth)]
    assert metrics.stability(*moved) == pytest.approx(expected)


def test_each_frame_is_divided_by_its_own_w():
    output, truth = shaken()
    truth[4] *= 10
    wide = torch.cat([truth[:4], 2 * truth[4:5], truth[5:]])
    for measure in (metrics.unevenness, metrics.crookedness):
        ratio = measure(output, wide) / measure(output, truth)
        assert ratio[1:-1].tolist() == pytest.approx([1, 1, 1, 0.5, 1, 1, 1])


def test_videos_side_by_side_are_measured_as_one_by_one():
    videos = [shaken(seed=seed) for seed in range(3)]
    output, truth = (torch.stack(part, dim=1) for part in zip(*videos, strict=True))
    for name, term in metrics.STABILITY.items():
        alone = torch.stack([term(*video) for video in videos], dim=1)
        torch.testing.assert_close(term(output, truth), alone, equal_nan=True)
        means = [metrics.stability(*video)[name] for video in videos]
        assert means == pytest.approx(alone.nanmean(dim=0).tolist())


@pytest.mark.parametrize("frames", [1, 2])
def test_a_short_video_has_no_smoothness(frames):
    found = metrics.stability(*(part[:frames] for part in shaken()))
    assert math.isnan(found["E3"]) and math.isnan(found["E4"]) and found["E2"] > 0
    assert math.isnan(found["E1"]) == (frames == 1)


# --- intervals --------------------------------------------------------------------------------


def test_the_interval_of_the_mean_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(150):
        _, low, high = metrics.bootstrap_mean(rng.exponential(1.0, 80), draws=400, seed=seed)
        covered += low <= 1.0 <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_the_interval_of_the_mean_is_as_wide_as_its_standard_error_says():
    errors = np.random.default_rng(1).normal(5.0, 2.0, 400)
    mean, low, high = metrics.bootstrap_mean(errors)
    assert mean == pytest.approx(errors.mean())
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * 2.0 / 20, rel=0.15)


def test_seeds_that_differ_widen_the_interval():
    faces = np.random.default_rng(2).normal(5.0, 0.5, 300)
    alike = np.stack([faces, faces, faces])
    apart = alike + np.array([[-0.3], [0.0], [0.3]])
    _, low, high = metrics.bootstrap_mean(alike)
    _, wider_low, wider_high = metrics.bootstrap_mean(apart)
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 300**0.5, rel=0.15)
    assert wider_high - wider_low > 3 * (high - low)


def test_one_seed_may_be_given_as_a_row():
    errors = np.random.default_rng(3).random(50)
    assert metrics.bootstrap_mean(errors) == metrics.bootstrap_mean(errors[None])


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    errors = np.random.default_rng(4).random(50)
    assert metrics.bootstrap_mean(errors, seed=1) == metrics.bootstrap_mean(errors, seed=1)
    assert metrics.bootstrap_mean(errors, seed=1) != metrics.bootstrap_mean(errors, seed=2)


def test_a_paired_decrease_sees_a_small_shift_through_a_large_spread():
    before = np.random.default_rng(5).lognormal(0.0, 1.0, 300)
    decrease, low, high = metrics.bootstrap_decrease(before, before * 0.98)
    assert decrease == pytest.approx(0.02)
    assert (low, high) == (pytest.approx(0.02, abs=1e-9), pytest.approx(0.02, abs=1e-9))
    shifted = metrics.bootstrap_decrease(before, before - 0.02)
    assert 0 < shifted[1] < shifted[0] < shifted[2]
    _, mean_low, mean_high = metrics.bootstrap_mean(before)
    assert shifted[2] - shifted[1] < 0.05 * (mean_high - mean_low) / before.mean()


def test_an_unpaired_order_of_faces_loses_that_shift():
    before = np.random.default_rng(5).lognormal(0.0, 1.0, 300)
    after = np.random.default_rng(6).permutation(before) * 0.98
    _, low, high = metrics.bootstrap_decrease(before, after)
    assert low < 0 < high


def test_a_decrease_that_got_worse_is_negative():
    before = np.full(20, 2.0)
    assert metrics.bootstrap_decrease(before, before * 1.5) == (-0.5, -0.5, -0.5)


def test_a_decrease_takes_different_numbers_of_seeds():
    rng = np.random.default_rng(7)
    faces = rng.random(100) + 1
    before, after = np.stack([faces] * 3), np.stack([faces * 0.9] * 2)
    decrease, low, high = metrics.bootstrap_decrease(before, after)
    assert (decrease, low, high) == (pytest.approx(0.1),) * 3


def test_seeds_that_differ_widen_the_interval_of_a_decrease():
    faces = np.random.default_rng(8).random((1, 100)) + 1
    before = faces * np.array([[0.95], [1.0], [1.05]])
    _, low, high = metrics.bootstrap_decrease(before, faces * 0.9)
    assert high - low > 0.03


def test_faces_that_are_not_paired_are_refused():
    with pytest.raises(ValueError, match="not paired: 5 and 6 faces"):
        metrics.bootstrap_decrease(np.ones(5), np.ones(6))


def test_paired_seeds_take_what_seeds_differ_in_out_of_the_interval():
    rng = np.random.default_rng(0)
    level = np.array([[0.04], [0.05], [0.06]])  # of three seeds
    before = level * rng.uniform(0.8, 1.2, 40)
    after = 0.98 * before
    exact = metrics.bootstrap_decrease(before, after, paired=True)
    np.testing.assert_allclose(exact, [0.02] * 3)
    _, low, high = metrics.bootstrap_decrease(before, after)
    assert low < 0 < high


def test_paired_seeds_are_as_many_before_as_after():
    with pytest.raises(ValueError, match="not paired: 3 and 2 seeds"):
        metrics.bootstrap_decrease(np.ones((3, 5)), np.ones((2, 5)), paired=True)


def test_a_difference_of_constant_errors_is_known_without_an_interval():
    before, after = np.full((3, 20), 5.0), np.full((2, 20), 3.5)
    assert metrics.bootstrap_difference(before, after) == (1.5, 1.5, 1.5)
    assert metrics.bootstrap_difference(after, before) == (-1.5, -1.5, -1.5)  # got worse


def test_a_difference_is_that_of_the_means_with_an_interval_around_it():
    rng = np.random.default_rng(9)
    before, after = rng.random((3, 60)) + 1, rng.random((2, 60)) + 0.9
    difference, low, high = metrics.bootstrap_difference(before, after)
    assert difference == pytest.approx(before.mean() - after.mean())
    assert low < difference < high
    weights = rng.random(60)
    weighted = metrics.bootstrap_difference(before, after, weights=weights)[0]
    by_hand = [np.average(e, axis=1, weights=weights).mean() for e in (before, after)]
    assert weighted == pytest.approx(by_hand[0] - by_hand[1])


def test_a_difference_is_as_certain_as_its_standard_error_says():
    change = np.random.default_rng(10).normal(0.5, 2.0, 400)
    before = np.random.default_rng(11).normal(50.0, 30.0, 400)
    _, low, high = metrics.bootstrap_difference(before, before - change)
    assert high - low == pytest.approx(2 * 1.96 * 2.0 / 20, rel=0.15)  # the spread of faces is out


def test_a_difference_over_paired_seeds_leaves_out_what_seeds_differ_in():
    level = np.array([[4.0], [5.0], [6.0]])
    before = level + np.random.default_rng(12).random(40)
    exact = metrics.bootstrap_difference(before, before - 0.25, paired=True)
    np.testing.assert_allclose(exact, [0.25] * 3)
    _, low, high = metrics.bootstrap_difference(before, before - 0.25)
    assert low < 0 < high


def test_a_difference_refuses_what_is_not_paired():
    with pytest.raises(ValueError, match="not paired: 5 and 6 faces"):
        metrics.bootstrap_difference(np.ones(5), np.ones(6))
    with pytest.raises(ValueError, match="not paired: 3 and 2 seeds"):
        metrics.bootstrap_difference(np.ones((3, 5)), np.ones((2, 5)), paired=True)
