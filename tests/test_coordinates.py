import math

import pytest
import torch

from study.models.coordinates import (
    squared_loss,
    to_pixels,
    to_sides,
    wing,
    wing_loss,
)

B, N = 3, 5
C = 10 - 10 * math.log(6)  # of w = 10 and epsilon = 2


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def random_sides():
    return torch.rand(B, N, 2, generator=torch.Generator().manual_seed(0)) - 0.5


def test_wing_is_a_logarithm_below_w_and_a_line_above_it():
    found = wing(doubles(0, 2, -2, 6, 12, -30))
    expected = [0, 10 * math.log(2), 10 * math.log(2), 10 * math.log(4), 12 - C, 30 - C]
    assert found.tolist() == pytest.approx(expected)


def test_wing_takes_other_widths_and_bends():
    found = wing(doubles(1, 5), w=4.0, epsilon=0.5)
    assert found.tolist() == pytest.approx([4 * math.log(3), 5 - (4 - 4 * math.log(9))])


def test_wing_is_continuous_at_w():
    below, at, above = wing(doubles(10 - 1e-9, 10, 10 + 1e-9)).tolist()
    assert at == pytest.approx(10 * math.log(6))
    assert below == pytest.approx(at, abs=1e-7) and above == pytest.approx(at, abs=1e-7)


def test_wing_grows_with_the_error_and_not_with_its_sign():
    x = torch.linspace(-40, 40, 161, dtype=torch.float64)
    torch.testing.assert_close(wing(x), wing(-x))
    assert (wing(x[80:]).diff() > 0).all()


def test_wing_pulls_with_w_over_epsilon_plus_the_error_and_beyond_w_with_one():
    x = doubles(-30, -11, -4, 0.5, 3, 9.9, 10.1, 60).requires_grad_()
    wing(x).sum().backward()
    expected = [-1, -1, -10 / 6, 10 / 2.5, 2, 10 / 11.9, 1, 1]
    assert x.grad.tolist() == pytest.approx(expected)
    assert torch.autograd.gradcheck(wing, (x,))


def test_wing_has_a_finite_gradient_where_there_is_no_error():
    x = doubles(0).requires_grad_()
    wing(x).sum().backward()
    assert x.grad.isfinite().all()


def test_losses_count_in_px_of_a_crop_of_256():
    wanted, output = torch.zeros(2, 3, 2), torch.zeros(2, 3, 2)
    output[0, 1, 0], output[1, 2, 1] = 4 / 256, -20 / 256
    expected = (10 * math.log(3) + 20 - C) / 2
    assert wing_loss((output,), (wanted,)).item() == pytest.approx(expected, rel=1e-5)
    assert squared_loss((output,), (wanted,)).item() == pytest.approx((16 + 400) / 2, rel=1e-5)


@pytest.mark.parametrize("loss", [wing_loss, squared_loss])
def test_losses_are_zero_at_the_truth_alone(loss):
    sides = random_sides()
    assert loss((sides,), (sides.clone(),)).item() == 0
    assert loss((sides,), (-sides,)).item() > 1


@pytest.mark.parametrize("loss", [wing_loss, squared_loss])
def test_outputs_of_another_shape_are_refused(loss):
    with pytest.raises(ValueError, match=r"output is \(3, 1, 2\), wanted is \(3, 5, 2\)"):
        loss((torch.zeros(B, 1, 2),), (torch.zeros(B, N, 2),))


@pytest.mark.parametrize("size", [32, 60, 256])
def test_sides_and_pixels_are_inverse_and_span_the_crop(size):
    corners = torch.tensor([[-0.5, size - 0.5], [(size - 1) / 2, 0.0]], dtype=torch.float64)
    expected = doubles(-0.5, 0.5, 0.0, 0.5 / size - 0.5).reshape(2, 2)
    torch.testing.assert_close(to_sides(corners, size), expected)
    torch.testing.assert_close(to_pixels(expected, size), corners)


def test_a_mirrored_point_changes_the_sign_of_its_sides():
    points = (random_sides().double() + 0.5) * 60
    mirrored = 60 - 1 - points
    torch.testing.assert_close(to_sides(mirrored, 60), -to_sides(points, 60))


def test_nothing_is_written_into_arguments():
    output, wanted = random_sides(), -random_sides()
    kept = output.clone(), wanted.clone()
    wing_loss((output,), (wanted,)), squared_loss((output,), (wanted,)), wing(output)
    assert torch.equal(output, kept[0]) and torch.equal(wanted, kept[1])
