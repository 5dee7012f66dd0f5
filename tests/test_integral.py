import math

import pytest
import torch

from study.heatmaps import decode_joint
from study.models.coordinates import to_pixels
from study.models.integral import absolute_loss, expectation

B, N = 3, 5
PEAK = 100.0  # above maps of zeros: e^-100 of the mass is elsewhere


def random_maps(length=24):
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(B, N, length, length, generator=generator)


def random_sides():
    return torch.rand(B, N, 2, generator=torch.Generator().manual_seed(0)) - 0.5


def with_peaks(length, *bins):
    """A map of zeros with equal peaks at bins (x, y)."""
    h = torch.zeros(length, length, dtype=torch.float64)
    for x, y in bins:
        h[y, x] = PEAK
    return h


# --- the centre of mass -----------------------------------------------------------------------


@pytest.mark.parametrize("x, y", [(5, 2), (0, 7), (7, 0)])
def test_one_peak_is_the_centre_of_its_bin(x, y):
    # Eight bins of an eighth of the side each, the first from -1/2.
    found = expectation(with_peaks(8, (x, y)))
    assert found.tolist() == pytest.approx([(x + 0.5) / 8 - 0.5, (y + 0.5) / 8 - 0.5], abs=1e-12)


def test_two_equal_peaks_are_half_way():
    found = expectation(with_peaks(8, (1, 2), (4, 7)))
    assert found.tolist() == pytest.approx([(1.5 + 4.5) / 16 - 0.5, (2.5 + 7.5) / 16 - 0.5])


@pytest.mark.parametrize("value", [0.0, -30.0, 500.0])
def test_a_flat_map_is_the_centre_whatever_its_height(value):
    found = expectation(torch.full((B, N, 16, 16), value))
    assert found.shape == (B, N, 2)
    torch.testing.assert_close(found, torch.zeros(B, N, 2), atol=1e-7, rtol=0)


def test_weights_are_the_softmax_by_hand():
    # Two bins a side, at -1/4 and 1/4: weights 1 and 2 above, 3 and 6 below.
    h = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.float64).log() + 40
    assert expectation(h).tolist() == pytest.approx([(8 - 4) / 12 / 4, (9 - 3) / 12 / 4])


def test_rows_run_along_y():
    h = random_maps()
    torch.testing.assert_close(expectation(h.mT), expectation(h).flip(-1))
    x, y = expectation(with_peaks(8, (6, 1))).tolist()
    assert x > 0 > y


@pytest.mark.parametrize("length", [16, 17, 24])
def test_a_mirrored_map_changes_the_sign_of_x_alone(length):
    h = random_maps(length)
    found, mirrored = expectation(h), expectation(h.flip(-1))
    expected = found * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(mirrored, expected, atol=1e-6, rtol=0)
    assert found[..., 0].abs().min() > 1e-4  # else no sign was seen


def test_peaks_in_px_are_those_of_a_hand_case():
    # F = 64, eight bins of 8 px: bin 5 covers 39.5 to 47.5 px, bin 2 covers 15.5 to 23.5.
    found = to_pixels(expectation(with_peaks(8, (5, 2))), 64)
    assert found.tolist() == pytest.approx([43.5, 19.5])


@pytest.mark.parametrize("size, length", [(64, 16), (60, 90), (256, 64)])
def test_it_is_the_integral_decoder_on_the_softmax_of_the_map(size, length):
    h = random_maps(length).double()
    p = h.flatten(-2).softmax(-1).unflatten(-1, (length, length))
    expected = decode_joint(p, size, "integral")
    torch.testing.assert_close(to_pixels(expectation(h), size), expected, atol=1e-5, rtol=0)


def test_a_batch_equals_its_maps_one_by_one():
    h = random_maps()
    whole = expectation(h)
    torch.testing.assert_close(whole[1, 3], expectation(h[1, 3]))


# --- its gradient -----------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_centre_of_mass():
    h = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(expectation, (h,))


def test_each_bin_pulls_by_its_weight_and_its_distance_from_the_mean():
    h = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)
    x, _ = expectation(h)
    x.backward()
    sides = (torch.arange(6, dtype=torch.float64) + 0.5) / 6 - 0.5
    p = h.detach().flatten().softmax(0).reshape(6, 6)
    torch.testing.assert_close(h.grad, p * (sides - x.detach()))


@pytest.mark.parametrize("height", [1e4, -1e4])
def test_extreme_maps_have_finite_points_and_gradients(height):
    h = (height * torch.rand(B, N, 16, 16)).requires_grad_()
    found = expectation(h)
    found.sum().backward()
    assert found.isfinite().all() and h.grad.isfinite().all() and found.abs().max() < 0.5


def test_bfloat16_gives_finite_points_near_those_of_float32():
    h = random_maps().bfloat16()
    exact = expectation(h.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = expectation(h.float())
    for found in (expectation(h), under):
        assert found.isfinite().all()
        torch.testing.assert_close(found.float(), exact, atol=5e-3, rtol=0)


# --- the loss ---------------------------------------------------------------------------------


def test_the_loss_counts_in_px_of_a_crop_of_256():
    wanted, output = torch.zeros(2, 3, 2), torch.zeros(2, 3, 2)
    output[0, 1, 0], output[1, 2, 1], wanted[1, 0, 0] = 4 / 256, -20 / 256, 3 / 256
    found = absolute_loss((output,), (wanted,))
    assert found.shape == () and found.item() == pytest.approx((4 + 20 + 3) / 2)


def test_the_loss_is_zero_at_the_truth_alone():
    sides = random_sides()
    assert absolute_loss((sides,), (sides.clone(),)).item() == 0
    assert absolute_loss((sides,), (-sides,)).item() > 1


def test_the_loss_pulls_alike_at_every_distance():
    wanted, output = torch.zeros(2, 1, 2), torch.tensor([[[0.4, -1e-3]], [[0.0, -0.3]]])
    output.requires_grad_()
    absolute_loss((output,), (wanted,)).backward()
    assert output.grad.flatten().tolist() == [128, -128, 0, -128]  # 256 over two faces


def test_outputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"output is \(3, 1, 2\), wanted is \(3, 5, 2\)"):
        absolute_loss((torch.zeros(B, 1, 2),), (torch.zeros(B, N, 2),))
    with pytest.raises(ValueError):
        absolute_loss((torch.zeros(B, N, 2),) * 2, (torch.zeros(B, N, 2),))


def test_nothing_is_written_into_arguments():
    h, output, wanted = random_maps(), random_sides(), -random_sides()
    kept = [part.clone() for part in (h, output, wanted)]
    expectation(h), absolute_loss((output,), (wanted,))
    assert all(torch.equal(a, b) for a, b in zip((h, output, wanted), kept, strict=True))


def test_a_map_learns_its_point_by_the_loss_alone():
    # Nothing else says what the map has to look like.
    h, wanted = torch.zeros(1, 1, 16, 16, requires_grad=True), torch.tensor([[[0.21, -0.33]]])
    optimizer = torch.optim.Adam([h], lr=0.3)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 + math.cos(math.pi * step / 200)) / 2
        optimizer.zero_grad()
        absolute_loss((expectation(h),), (wanted,)).backward()
        optimizer.step()
    torch.testing.assert_close(expectation(h), wanted, atol=1e-3, rtol=0)
