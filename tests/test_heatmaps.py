import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from study import heatmaps
from study.heatmaps import (
    DECODERS,
    JOINT_DECODERS,
    decode_joint,
    decode_marginals,
    distribution_targets,
    half_bin,
    joint_targets,
    marginal_targets,
    quantization_error,
    quantize,
    quantize_to_centres,
    to_bins,
    to_pixels,
)

B, N = 3, 5  # unequal to each other and to every F and L: a wrong broadcast fails
SIZES = [(64, 16), (64, 192), (60, 90), (56, 72)]  # (F, L): L < F, L > F, L / F no integer
STUDY_LENGTHS = [16, 32, 64, 96, 128, 160, 192, 384, 768]
SUB_BIN = [name for name in DECODERS if name not in ("argmax", "quarter")]


def random_points(size, seed=0, margin=0.0):
    """(B, N, 2) px in float64; a crop spans [-0.5, F - 0.5]."""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(B, N, 2, generator=generator, dtype=torch.float64)
    return (margin + (1 - 2 * margin) * unit) * size - 0.5


def sigma_of(length):
    return max(1.0, 0.035 * length)


def one_hot(bin, length):
    return torch.eye(length, dtype=torch.float64)[bin]


# --- quantization -----------------------------------------------------------------------------


@pytest.mark.parametrize("length, expected", [(128, 1.11), (768, 0.18)])
def test_quantization_error_equals_the_worked_example_of_section_3(length, expected):
    for dtype in (torch.float32, torch.float64):
        point = torch.tensor([142.84, 188.72], dtype=dtype)
        assert quantization_error(point, 256, length).item() == pytest.approx(expected, abs=0.005)


def test_quantize_rounds_down_to_the_start_of_a_bin():
    points = torch.tensor([[0.0, 3.99], [4.0, 13.5]])
    expected = torch.tensor([[0.0, 0.0], [4.0, 12.0]])
    assert torch.equal(quantize(points, 64, 16), expected)


def test_quantization_error_of_a_batch_has_a_value_a_point():
    error = quantization_error(random_points(60) + 0.5, 60, 90)
    assert error.shape == (B, N)
    assert error.min() >= 0
    assert error.max() <= math.sqrt(2) * 60 / 90


@pytest.mark.parametrize(
    "size, length, expected", [(64, 16, 1.5), (64, 64, 0.0), (64, 192, -1 / 3), (256, 768, -1 / 3)]
)
def test_half_a_bin_is_counted_from_its_start_in_px_from_zero_to_its_centre_in_ours(
    size, length, expected
):
    # Four px a bin: px 0 to 4 as the paper has them are -0.5 to 3.5 of ours, with the centre 1.5.
    assert half_bin(size, length) == pytest.approx(expected)
    assert half_bin(size, length) == pytest.approx(to_pixels(0, size, length))


def test_centres_of_the_bins_that_points_are_rounded_down_to_by_hand():
    points = torch.tensor([[0.0, 3.99], [4.0, 13.5]])
    expected = torch.tensor([[1.5, 1.5], [5.5, 13.5]])
    assert torch.equal(quantize_to_centres(points, 64, 16), expected)
    assert torch.equal(quantize_to_centres(points, 64, 64), torch.tensor([[0.0, 3], [4, 13]]))


@given(
    x=st.floats(0, 1, exclude_max=True),
    size=st.sampled_from([32, 60, 64, 256]),
    length=st.sampled_from([16, 45, 96, 192, 768]),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_rounding_to_centres_is_rounding_down_and_half_a_bin(x, size, length):
    point = torch.tensor([x * size, size - x * size / 2], dtype=torch.float64)
    start, centre = quantize(point, size, length), quantize_to_centres(point, size, length)
    assert torch.equal(centre, start + half_bin(size, length))
    bins = to_bins(centre, size, length)  # whole ones, those of Eq. 3
    torch.testing.assert_close(bins, bins.round(), atol=1e-9, rtol=0)
    torch.testing.assert_close(bins, torch.floor(point * length / size), atol=1e-9, rtol=0)
    # The paper's px are half a px more than ours.
    assert ((centre + 0.5 - point).abs() <= 0.5 * size / length + 1e-9).all()


def test_bins_and_pixels_are_inverse():
    points = random_points(60)
    torch.testing.assert_close(
        to_pixels(to_bins(points, 60, 90), 60, 90), points, atol=1e-12, rtol=0
    )


def test_crop_edges_are_the_edges_of_the_first_and_the_last_bin():
    edges = torch.tensor([-0.5, 63.5], dtype=torch.float64)
    assert to_bins(edges, 64, 96).tolist() == [-0.5, 95.5]


# --- targets ----------------------------------------------------------------------------------


def test_a_target_is_the_gaussian_around_the_continuous_landmark():
    point = torch.tensor([[6.5, 2.5]], dtype=torch.float64)  # F = 16, L = 8: bins 3 and 1
    h_x, h_y = marginal_targets(point, 16, 8, sigma=2.0)
    for h, center in ((h_x, 3), (h_y, 1)):
        expected = [math.exp(-((i - center) ** 2) / 8) for i in range(8)]
        assert h[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_a_target_between_two_bins_is_equal_on_both():
    h_x, h_y = marginal_targets(torch.tensor([[7.5, 7.5]], dtype=torch.float64), 16, 8, sigma=1.0)
    assert h_x[0, 3].item() == pytest.approx(h_x[0, 4].item(), abs=1e-12)
    assert h_x[0, 3].item() == pytest.approx(math.exp(-0.125), abs=1e-12)


@pytest.mark.parametrize("size, length", SIZES)
def test_target_shapes(size, length):
    points = random_points(size)
    h_x, h_y = marginal_targets(points, size, length, 2.0)
    assert h_x.shape == h_y.shape == (B, N, length)
    assert joint_targets(points, size, length, 2.0).shape == (B, N, length, length)


@pytest.mark.parametrize("size, length", SIZES)
def test_marginal_targets_are_the_marginals_of_the_joint_target_up_to_scale(size, length):
    points = random_points(size)
    h = joint_targets(points, size, length, sigma=1.7)
    for marginal, along in zip(marginal_targets(points, size, length, 1.7), (-2, -1), strict=True):
        summed = h.sum(dim=along)
        scaled = summed / summed.amax(-1, keepdim=True) * marginal.amax(-1, keepdim=True)
        torch.testing.assert_close(scaled, marginal, atol=1e-12, rtol=0)


def test_joint_rows_run_along_y():
    h = joint_targets(torch.tensor([[2.0, 5.0]]), 8, 8, sigma=1.0)
    assert h[0].argmax().item() == 5 * 8 + 2


def test_a_landmark_outside_the_crop_leaves_a_finite_tail():
    h_x, h_y = marginal_targets(torch.tensor([[-6.0, 70.0]], dtype=torch.float64), 64, 96, 3.0)
    assert h_x[0].argmax() == 0 and h_y[0].argmax() == 95
    assert 0 < h_x.max() < 1


def test_a_distribution_by_hand():
    # F = L = 3: bin 1 is at px 1. Weights e^-1/2, 1, e^-1/2 along x; y lies between bins 0 and 1.
    point = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    p_x, p_y = distribution_targets(point, 3, 3, sigma=1.0)
    side, edge, far = math.exp(-1 / 2), math.exp(-1 / 8), math.exp(-9 / 8)
    assert p_x[0].tolist() == pytest.approx([w / (1 + 2 * side) for w in (side, 1, side)])
    assert p_y[0].tolist() == pytest.approx([w / (2 * edge + far) for w in (edge, edge, far)])


@pytest.mark.parametrize("size, length", SIZES)
def test_distributions_are_positive_and_sum_to_one_up_to_the_border_and_beyond(size, length):
    outside = torch.tensor([-9.0 * size, -0.5, size - 0.5, 9.0 * size], dtype=torch.float64)
    points = torch.cat([random_points(size).flatten(0, 1), outside[:, None].repeat(1, 2)])
    for p in distribution_targets(points.float(), size, length, sigma=2.0):
        assert p.shape == (B * N + 4, length)
        assert (p > 0).all()
        torch.testing.assert_close(p.sum(-1), torch.ones(B * N + 4))
        assert p[-4].argmax() == 0 and p[-1].argmax() == length - 1


@pytest.mark.parametrize("size, length", SIZES)
def test_a_distribution_is_the_marginal_target_over_its_sum(size, length):
    points = random_points(size)
    maps = marginal_targets(points, size, length, sigma=2.0)
    for p, h in zip(distribution_targets(points, size, length, 2.0), maps, strict=True):
        torch.testing.assert_close(p, h / h.sum(-1, keepdim=True), atol=1e-12, rtol=0)


@pytest.mark.parametrize("size, length", SIZES)
def test_mirrored_points_have_mirrored_distributions(size, length):
    points = random_points(size)
    mirrored = points.clone()
    mirrored[..., 0] = size - 1 - points[..., 0]
    p_x, p_y = distribution_targets(points, size, length, 1.5)
    other_x, other_y = distribution_targets(mirrored, size, length, 1.5)
    torch.testing.assert_close(other_x, p_x.flip(-1), atol=1e-12, rtol=0)
    assert torch.equal(other_y, p_y)


# --- decoding: what holds for all decoders ----------------------------------------------------


def test_a_one_hot_heatmap_decodes_to_its_bin_centre():
    h = one_hot(3, 8)
    for decoder in ("argmax", "quarter"):
        assert decode_marginals(h, h, 16, decoder).tolist() == [6.5, 6.5]
        assert decode_joint(h[:, None] * h[None], 16, decoder).tolist() == [6.5, 6.5]


@pytest.mark.parametrize("length", STUDY_LENGTHS)
def test_round_trip_errs_by_at_most_half_a_bin(length):
    points = random_points(64)
    maps = marginal_targets(points, 64, length, sigma_of(length))
    decoded = decode_marginals(*maps, 64)
    assert decoded.shape == (B, N, 2)
    assert (decoded - points).abs().max() <= 0.5 * 64 / length + 1e-9


@pytest.mark.parametrize("size, length", SIZES)
def test_joint_round_trip_errs_by_at_most_half_a_bin(size, length):
    points = random_points(size)
    decoded = decode_joint(joint_targets(points, size, length, 2.0), size)
    assert decoded.shape == (B, N, 2)
    assert (decoded - points).abs().max() <= 0.5 * size / length + 1e-9


@pytest.mark.parametrize("length", [16, 90, 192, 768])
def test_round_trip_is_unbiased(length):
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(40, 50, 2, generator=generator, dtype=torch.float64) * 60 - 0.5
    decoded = decode_marginals(*marginal_targets(points, 60, length, sigma_of(length)), 60)
    error = (decoded - points).flatten(0, 1)
    standard_error = error.std(dim=0) / len(error) ** 0.5
    assert (error.mean(dim=0).abs() < 4 * standard_error).all()
    assert standard_error.max() < 0.02 * 60 / length  # half a bin of bias would be 20 of these


@pytest.mark.parametrize("decoder", DECODERS)
@given(x=st.floats(-0.5, 59.5), y=st.floats(-0.5, 59.5), length=st.sampled_from([16, 45, 90, 192]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_decoding_commutes_with_mirroring(decoder, x, y, length):
    size, sigma = 60, sigma_of(length)
    point = torch.tensor([[x, y]], dtype=torch.float64)
    bin = to_bins(point, size, length)
    if ((bin - 0.5) - (bin - 0.5).round()).abs().min() < 1e-6:
        return  # on the edge of two bins both are nearest, and the first is taken
    mirrored = point.clone()
    mirrored[:, 0] = size - 1 - point[:, 0]
    for known in (None, sigma):
        for targets, decode in (
            (marginal_targets, decode_marginals),
            (joint_targets, decode_joint),
        ):
            if targets is joint_targets and length > 90:
                continue
            decoded, back = (
                decode(*_tuple(targets(p, size, length, sigma)), size, decoder, sigma=known)
                for p in (point, mirrored)
            )
            back[:, 0] = size - 1 - back[:, 0]
            torch.testing.assert_close(back, decoded, atol=1e-9, rtol=0)


def _tuple(maps):
    return maps if isinstance(maps, tuple) else (maps,)


@pytest.mark.parametrize("decoder", JOINT_DECODERS)
@pytest.mark.parametrize("size, length", SIZES[2:])
def test_mirroring_the_maps_of_a_batch_mirrors_the_points(decoder, size, length):
    points = random_points(size)
    h = joint_targets(points, size, length, 2.0)
    h_x, h_y = marginal_targets(points, size, length, 2.0)
    for straight, flipped in (
        (decode_joint(h, size, decoder), decode_joint(h.flip(-1), size, decoder)),
        (
            decode_marginals(h_x, h_y, size, decoder),
            decode_marginals(h_x.flip(-1), h_y, size, decoder),
        ),
    ):
        straight[..., 0] = size - 1 - straight[..., 0]
        torch.testing.assert_close(flipped, straight, atol=1e-9, rtol=0)


@pytest.mark.parametrize("decoder", DECODERS)
def test_one_and_two_dimensions_agree_on_separable_maps(decoder):
    points = random_points(60, margin=0.15)
    maps = marginal_targets(points, 60, 90, 2.0)
    one = decode_marginals(*maps, 60, decoder, sigma=2.0)
    two = decode_joint(joint_targets(points, 60, 90, 2.0), 60, decoder, sigma=2.0)
    torch.testing.assert_close(one, two, atol=1e-6, rtol=0)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e4])
def test_the_scale_of_a_heatmap_does_not_matter(decoder, scale):
    h_x, h_y = marginal_targets(random_points(60, margin=0.1), 60, 90, 2.0)
    plain = decode_marginals(h_x, h_y, 60, decoder)
    scaled = decode_marginals(scale * h_x, scale * h_y, 60, decoder)
    torch.testing.assert_close(scaled, plain, atol=1e-5, rtol=0)


# Bins that a decoder may be off on a clean Gaussian in the interior. The window of `local` cuts
# tails: 2 bins for a sigma of 1 bin at L = 16, less where L is larger.
TOLERANCE = {"argmax": 0.5, "quarter": 0.26, "fractional": 1e-6, "integral": 1e-4, "local": 0.1}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("length", [16, 32, 90, 192])
@pytest.mark.parametrize("knows_sigma", [True, False])
def test_clean_gaussians_are_recovered_in_the_interior(decoder, length, knows_sigma):
    points, sigma = random_points(60, margin=0.35), sigma_of(length)
    known = sigma if knows_sigma else None
    # DARK's blur cuts its kernel at three sigma, which leaves it a hundredth of a bin.
    allowed = {**TOLERANCE, "taylor": 0.02 if knows_sigma else 1e-6}[decoder] * 60 / length
    maps = marginal_targets(points, 60, length, sigma)
    decoded = decode_marginals(*maps, 60, decoder, sigma=known)
    assert (decoded - points).abs().max() <= allowed + 1e-9
    joint = joint_targets(points, 60, length, sigma)
    assert (decode_joint(joint, 60, decoder, sigma=known) - points).abs().max() <= allowed + 1e-9


@pytest.mark.parametrize("decoder", SUB_BIN)
def test_decoders_below_the_bin_beat_argmax(decoder):
    points = random_points(60, margin=0.35)
    maps = marginal_targets(points, 60, 30, sigma_of(30))
    error = (decode_marginals(*maps, 60, decoder) - points).abs().mean()
    assert error < 0.2 * (decode_marginals(*maps, 60) - points).abs().mean()


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("value", [0.0, -1.0, 1.0])
def test_flat_maps_give_finite_points_on_the_crop(decoder, value):
    h = torch.full((B, N, 24), value)
    flat = torch.full((B, N, 24, 24), value)
    for known in (None, 1.5):
        for points in (
            decode_marginals(h, h, 64, decoder, sigma=known),
            decode_joint(flat, 64, decoder, sigma=known),
        ):
            assert points.shape == (B, N, 2)
            assert points.isfinite().all()
            assert points.min() >= -0.5 - 64 / 24 and points.max() <= 63.5 + 64 / 24


@pytest.mark.parametrize("decoder", ["argmax", "quarter", "local"])
def test_the_peak_of_a_negative_map_is_found(decoder):
    h = one_hot(7, 24) - 2
    assert decode_marginals(h, h, 24, decoder)[0].item() == pytest.approx(7, abs=1e-6)
    joint = one_hot(7, 24)[:, None] * one_hot(11, 24)[None] - 2
    assert decode_joint(joint, 24, decoder).tolist() == pytest.approx([11, 7], abs=1e-6)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("bin", [0, 23])
def test_a_peak_at_the_border_stays_within_a_bin_of_it(decoder, bin):
    h = marginal_targets(torch.tensor([[bin, bin]], dtype=torch.float64), 24, 24, 1.0)
    reach = 1.0 if decoder in ("local", "integral") else 1e-6  # half of their mass is missing
    assert (decode_marginals(*h, 24, decoder, sigma=1.0) - bin).abs().max() <= reach
    joint = h[1][..., :, None] * h[0][..., None, :]
    assert (decode_joint(joint, 24, decoder, sigma=1.0) - bin).abs().max() <= reach


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoding_does_not_write_into_its_arguments(decoder):
    points = random_points(60)
    h_x, h_y = marginal_targets(points, 60, 90, 2.0)
    h = joint_targets(points, 60, 90, 2.0) - 0.1
    kept = [t.clone() for t in (points, h_x, h_y, h)]
    for known in (None, 2.0):
        decode_marginals(h_x, h_y, 60, decoder, sigma=known)
        decode_joint(h, 60, decoder, sigma=known)
    assert all(torch.equal(a, b) for a, b in zip((points, h_x, h_y, h), kept, strict=True))


@pytest.mark.parametrize("decoder", DECODERS)
def test_axes_are_not_swapped(decoder):
    point = torch.tensor([[11.3, 41.7]], dtype=torch.float64)
    for points in (
        decode_marginals(*marginal_targets(point, 60, 90, 2.0), 60, decoder),
        decode_joint(joint_targets(point, 60, 90, 2.0), 60, decoder),
    ):
        assert (points - point).abs().max() < 60 / 90


def test_both_dimensions_offer_the_same_decoders():
    assert list(DECODERS) == list(JOINT_DECODERS)


def test_unequal_marginals_are_refused_with_their_shapes():
    with pytest.raises(ValueError, match=r"h_x is \(3, 5, 64\), h_y is \(3, 5, 96\)"):
        decode_marginals(torch.zeros(3, 5, 64), torch.zeros(3, 5, 96), 64)


def test_an_oblong_joint_map_is_refused():
    with pytest.raises(ValueError, match="24 x 16"):
        decode_joint(torch.zeros(2, 24, 16), 64)


def test_an_unknown_decoder_is_named_with_those_that_exist():
    for decode, maps in (
        (decode_marginals, (torch.zeros(3, 8), torch.zeros(3, 8))),
        (decode_joint, (torch.zeros(3, 8, 8),)),
    ):
        with pytest.raises(ValueError, match="'softmax' is unknown; there are argmax, quarter"):
            decode(*maps, 64, "softmax")


# --- decoders by hand, in bins: F = L, so a bin is a px ---------------------------------------


def decode_row(values, decoder, sigma=None):
    h = torch.tensor(values, dtype=torch.float64)
    return decode_marginals(h, h, len(values), decoder, sigma=sigma)[0].item()


def test_quarter_moves_towards_the_larger_neighbour():
    assert decode_row([0, 1, 5, 2, 0], "quarter") == 2.25
    assert decode_row([0, 2, 5, 1, 0], "quarter") == 1.75
    assert decode_row([0, 2, 5, 2, 0], "quarter") == 2.0


def test_quarter_leaves_a_peak_at_the_border():
    assert decode_row([5, 2, 0, 0, 0], "quarter") == 0.0
    assert decode_row([0, 0, 0, 2, 5], "quarter") == 4.0


def test_quarter_of_a_joint_map_by_hand():
    h = torch.zeros(6, 6, dtype=torch.float64)
    h[0, 3], h[0, 2], h[0, 4], h[1, 3] = 5.0, 1.0, 2.0, 4.0  # the peak is in the first row
    assert decode_joint(h, 6, "quarter").tolist() == [3.25, 0.0]


def test_fractional_takes_the_logarithm_of_the_next_bin():
    # x = 2 + 1/2 + 1.5^2 ln(3 / 4)
    expected = 2.5 + 2.25 * math.log(3 / 4)
    assert decode_row([0, 1, 4, 3, 0], "fractional", sigma=1.5) == pytest.approx(expected)


def test_fractional_takes_the_bin_before_at_the_upper_border():
    expected = 3.5 - 2.25 * math.log(3 / 4)
    assert decode_row([0, 0, 1, 3, 4], "fractional", sigma=1.5) == pytest.approx(expected)


def test_fractional_takes_the_next_bin_at_the_lower_border():
    expected = 0.5 + 2.25 * math.log(3 / 4)
    assert decode_row([4, 3, 1, 0, 0], "fractional", sigma=1.5) == pytest.approx(expected)


def test_fractional_of_a_joint_map_takes_the_bins_to_the_right_and_below():
    h = torch.full((6, 6), 0.1, dtype=torch.float64)
    h[2, 3], h[2, 4], h[3, 3] = 4.0, 3.0, 1.0
    h[2, 2], h[1, 3] = 3.9, 3.9  # to the left and above: not looked at
    expected = [3.5 + 1.5**2 * math.log(3 / 4), 2.5 + 1.5**2 * math.log(1 / 4)]
    expected[1] = max(expected[1], 1.0)  # at most one bin from the peak
    assert decode_joint(h, 6, "fractional", sigma=1.5).tolist() == pytest.approx(expected)


def test_fractional_of_a_joint_map_takes_the_bins_before_at_its_right_and_lower_border():
    h = torch.full((6, 6), 0.1, dtype=torch.float64)
    h[5, 5], h[5, 4], h[4, 5] = 4.0, 3.0, 2.0
    expected = [4.5 - 1.2**2 * math.log(3 / 4), 4.5 - 1.2**2 * math.log(2 / 4)]
    assert decode_joint(h, 6, "fractional", sigma=1.2).tolist() == pytest.approx(expected)


def test_fractional_without_sigma_takes_the_width_from_the_curvature():
    variance = 1 / (2 * math.log(4) - math.log(1) - math.log(3))
    expected = 2.5 + variance * math.log(3 / 4)
    assert decode_row([0, 1, 4, 3, 0], "fractional") == pytest.approx(expected)


def test_both_sides_of_fractional_agree_on_a_gaussian():
    values = [math.exp(-((i - 3.3) ** 2) / (2 * 1.5**2)) for i in range(8)]
    assert decode_row(values, "fractional", sigma=1.5) == pytest.approx(3.3, abs=1e-9)
    assert decode_row(values[:4], "fractional", sigma=1.5) == pytest.approx(3.3, abs=1e-9)


def test_taylor_steps_by_slope_over_curvature_of_the_logarithm():
    slope = (math.log(3) - math.log(1)) / 2
    curvature = math.log(3) - 2 * math.log(4) + math.log(1)
    assert decode_row([0, 1, 4, 3, 0], "taylor") == pytest.approx(2 - slope / curvature)


def test_taylor_blurs_with_the_width_of_the_targets():
    # One hot, sigma 1: the kernel's own shape, symmetric around its bin.
    assert decode_row([0, 0, 0, 0, 9, 0, 0, 0, 0], "taylor", sigma=1.0) == pytest.approx(4.0)
    # Noise two bins away moves a sharp peak only after blurring.
    noisy = [0, 0.5, 0, 0.1, 2, 0.1, 0, 0, 0]
    assert decode_row(noisy, "taylor") == pytest.approx(4.0)
    assert decode_row(noisy, "taylor", sigma=1.0) < 3.99


def test_the_blur_and_the_step_after_it_by_hand():
    # Kernel of sigma 1/3: radius 1, weights k = e^-9/2 beside 1. Peak 4 at bin 2, 1 and 3 beside.
    k = math.exp(-4.5)
    total = 1 + 2 * k
    blurred = [(1 + 4 * k) / total, (4 + 4 * k) / total, (3 + 4 * k) / total]
    found = heatmaps._smooth(torch.tensor([0.0, 1, 4, 3, 0], dtype=torch.float64), 1 / 3)
    assert found[1:4].tolist() == pytest.approx(blurred)
    below, top, above = map(math.log, blurred)
    expected = 2 - (above - below) / 2 / (above - 2 * top + below)
    assert decode_row([0, 1, 4, 3, 0], "taylor", sigma=1 / 3) == pytest.approx(expected)


def test_taylor_of_a_joint_map_by_hand():
    # ln h: 0 at the peak (2, 1), gradient (1/2, 0), Hessian [[-3, 1/2], [1/2, -2]].
    logs = torch.full((5, 5), -9.0, dtype=torch.float64)
    logs[1, 2], logs[1, 1], logs[1, 3] = 0.0, -2.0, -1.0  # dx = 1/2, dxx = -3
    logs[0, 2], logs[2, 2] = -1.0, -1.0  # dy = 0, dyy = -2
    logs[0, 1], logs[2, 3], logs[0, 3], logs[2, 1] = -1.0, -1.0, -2.0, -2.0  # dxy = 1/2
    determinant = 6 - 1 / 4
    step = [2 * 0.5 / determinant, 0.5 * 0.5 / determinant]  # -H^-1 D
    expected = [2 + step[0], 1 + step[1]]
    assert decode_joint(logs.exp(), 5, "taylor").tolist() == pytest.approx(expected)


def test_the_blur_of_a_flat_map_is_flat_up_to_the_border():
    flat = torch.full((B, N, 24), 3.0, dtype=torch.float64)
    torch.testing.assert_close(heatmaps._smooth(flat, 2.0), flat)


@pytest.mark.parametrize("length", [16, 64, 192])
def test_the_blur_draws_towards_a_border_nearer_than_three_sigma(length):
    sigma = sigma_of(length)
    bins = torch.linspace(-0.4, 4 * sigma, 60, dtype=torch.float64)
    points = torch.stack([bins, length - 1 - bins], dim=-1)
    decoded = decode_marginals(
        *marginal_targets(points, length, length, sigma), length, "taylor", sigma=sigma
    )
    error = (decoded - points).abs().amax(-1)
    assert error.max() < sigma + 0.5
    assert error[bins > 3 * sigma].max() < 0.02
    assert error[bins < 2 * sigma].max() > 0.1  # the docstring's warning is still true


def test_taylor_follows_the_cross_term_of_a_correlated_gaussian():
    length, center = 20, torch.tensor([9.3, 11.4], dtype=torch.float64)
    precision = torch.tensor([[0.30, -0.22], [-0.22, 0.40]], dtype=torch.float64)
    bins = torch.arange(length, dtype=torch.float64)
    offset = torch.stack(torch.meshgrid(bins, bins, indexing="xy"), -1) - center  # (y, x, 2)
    h = torch.exp(-0.5 * torch.einsum("...i,ij,...j->...", offset, precision, offset))
    torch.testing.assert_close(decode_joint(h, length, "taylor"), center, atol=1e-7, rtol=0)
    separately = heatmaps._through_peak(heatmaps._taylor)(h, None)
    assert (separately - center).abs().max() > 0.05  # so the cross term is what recovers it


def test_taylor_leaves_a_saddle_alone():
    h = torch.full((9, 9), 1.0, dtype=torch.float64)
    h[4, 4], h[4, 3], h[4, 5], h[3, 4], h[5, 4] = 2.0, 1.9, 1.9, 1.9, 1.9
    h[3, 3], h[5, 5] = 1.99, 1.99  # the diagonal rises where the axes fall
    assert decode_joint(h, 9, "taylor").tolist() == [4.0, 4.0]


def test_local_sees_a_tenth_of_the_axis_on_either_side():
    h = torch.zeros(40, dtype=torch.float64)
    h[20], h[24], h[25] = 2.0, 1.0, 1.9  # radius 4: bin 24 counts, bin 25 does not
    assert decode_marginals(h, h, 40, "local")[0].item() == pytest.approx(20 + 4 / 3)


def test_local_sees_two_bins_at_least():
    assert decode_row([0, 0, 3, 0, 1, 2], "local") == pytest.approx(2.5)


def test_integral_is_the_centre_of_mass_of_what_is_positive():
    assert decode_row([1, -5, 0, 3], "integral") == pytest.approx(9 / 4)


def test_local_and_integral_of_joint_maps_by_hand():
    h = torch.zeros(8, 8, dtype=torch.float64)
    h[3, 4], h[4, 4], h[3, 5], h[7, 0] = 4.0, 1.0, 1.0, 2.0  # the last one is far away
    x, y = decode_joint(h, 8, "local").tolist()
    assert (x, y) == (pytest.approx(25 / 6), pytest.approx(19 / 6))
    x, y = decode_joint(h, 8, "integral").tolist()
    assert (x, y) == (pytest.approx(25 / 8), pytest.approx(33 / 8))
