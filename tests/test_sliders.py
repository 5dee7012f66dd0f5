import base64
import math

import numpy as np
import pytest
import torch
from matplotlib import pyplot

from study import heatmaps, results, sliders
from study.figures import adjustable
from study.models import Detector1D, tracker

SIZE, LENGTH, NAMES = 16, 32, [f"point {n}" for n in range(40)]


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def images(count=2):
    return torch.rand(count, 3, SIZE, SIZE)


def points(count=2):
    return 2 + 12 * torch.rand(count, 40, 2)


def title(ax):
    return ax.get_title(loc="left") or ax.get_title()


def drawn_once():
    """An Explorer of one number, and the values that it was drawn at."""
    seen = []

    def draw(lam):
        seen.append(lam)
        return adjustable.past(lam)

    return sliders.Explorer(draw, lam=sliders._real("λ", 0.0, 1.0, 0.1, 0.3)), seen


def bundle_of(explorer):
    """The PNG that a front end without widgets shows."""
    return base64.b64decode(explorer._repr_mimebundle_()[sliders.PNG])


def test_a_slider_draws_at_its_first_value_and_again_when_it_moves():
    explorer, seen = drawn_once()
    first = explorer.picture.value
    explorer.set(lam=0.8)
    assert seen == [0.3, 0.8]
    assert explorer.picture.value != first
    explorer.set(lam=0.3)
    assert explorer.picture.value == first, "the same values give the same bytes"


def test_without_a_front_end_the_figure_at_the_present_values_is_shown():
    explorer, _ = drawn_once()
    assert bundle_of(explorer) == explorer.picture.value
    assert bundle_of(explorer).startswith(b"\x89PNG")


@pytest.mark.parametrize("rule, left", [("floor", (2.0, 4.0)), ("centre", (2.5, 4.5))])
def test_rounding_shows_the_error_of_its_rule(rule, left):
    # L = F/2: bins of 2 px begin at 0, 2, ... (Eq. 3), or have their centres at 0.5, 2.5, ...
    axes = adjustable.rounding(images()[0], torch.tensor([3.0, 5.0]), SIZE, SIZE // 2, rule)
    error = math.dist((3.0, 5.0), left)
    assert f"a bin of 2.00 px: {error:.2f} px off" in title(axes[0, 1])


def test_rounding_to_more_bins_leaves_a_smaller_error():
    explorer = sliders.rounding(images(), points(), SIZE, NAMES)
    options = explorer.controls["length"].options
    assert options[0] == SIZE // 4 and options[-1] == 3 * SIZE
    explorer.set(length=3 * SIZE, rule="centre", face=1, landmark=7)
    assert bundle_of(explorer).startswith(b"\x89PNG")


def test_the_target_says_its_width_in_px_and_what_argmax_errs_by():
    axes = adjustable.target((3.0, 5.0), SIZE, 8, 1.5)
    assert "σ=1.5 bins or 3.00 px" in title(axes[0, 0])
    assert f"{math.hypot(0.5, 0.5):.2f} px" in title(axes[0, 0])  # centres at 2.5 and 4.5


def test_the_bars_of_a_target_are_the_heatmap():
    axes = adjustable.target((3.0, 5.0), SIZE, 8, 1.5)
    pair = heatmaps.marginal_targets(torch.tensor([[3.0, 5.0]]).double(), SIZE, 8, 1.5)
    for ax, h in zip(axes[:, 0], pair, strict=True):
        shown = ax.patches[0].get_data().values
        np.testing.assert_allclose(shown, h[0].numpy())


@pytest.mark.parametrize("decoder", heatmaps.DECODERS)
def test_true_heatmaps_are_read_by_every_decoder_within_a_bin(decoder):
    true = points()
    pair = heatmaps.marginal_targets(true, SIZE, LENGTH, 2.0)
    explorer = sliders.reading(images(), true, *pair, NAMES, 2.0)
    explorer.set(decoder=decoder)
    axes = explorer._draw(face=1, landmark=3, decoder=decoder)
    off = float(title(axes[0, 0]).split(": ")[1].split(" px")[0])
    assert off < SIZE / LENGTH


def weighed(gammas=(0.0, 0.4, 1.0)):
    torch.manual_seed(1)
    small = dict(channels=8, stacks=1, depth=2, width=8, hidden=8, columns=2)
    model = Detector1D(landmarks=40, size=SIZE, length=LENGTH, gamma=0.4, **small).eval()
    faces = images()
    return model, results.weighed(model, faces, points(), gammas)


def test_at_its_own_gamma_a_detector_is_weighed_as_it_predicts():
    model, seen = weighed()
    with torch.inference_mode():
        h_x, h_y = model(seen.images)
    torch.testing.assert_close(seen.h_x[1], h_x)
    torch.testing.assert_close(seen.h_y[1], h_y)


def test_other_gammas_change_the_heatmaps_and_not_the_affinities():
    _, seen = weighed()
    assert not torch.allclose(seen.h_x[0], seen.h_x[2])
    rows = torch.ones(seen.w_xy.shape[:-1])
    torch.testing.assert_close(seen.w_xy.sum(-1), rows)
    torch.testing.assert_close(seen.w_yx.sum(-1), rows)


def test_gamma_zero_is_the_same_detector_without_co_attention():
    model, seen = weighed()
    model.co_attention.gamma = 0
    with torch.inference_mode():
        h_x, _ = model(seen.images)
    torch.testing.assert_close(seen.h_x[0], h_x)


def test_the_slider_of_gamma_begins_at_the_detectors_own():
    explorer = sliders.coattention(weighed()[1], NAMES)
    assert explorer.controls["gamma"].value == 0.4
    first = explorer.picture.value
    explorer.set(gamma=1.0)
    assert explorer.picture.value != first


def test_attention_of_a_landmark_is_the_row_of_its_position():
    w = torch.eye(4)
    axes = adjustable.attended(images()[0], (5.5, 13.5), w, w)
    # 4 positions of 4 px: x = 5.5 lies in the second, y = 13.5 in the last.
    assert [bar.get_height() for bar in axes[0, 0].patches] == [0, 0, 0, 4]
    assert [bar.get_width() for bar in axes[1, 1].patches] == [0, 4, 0, 0]


@pytest.mark.parametrize("point, position", [((-3, 0), [0, 0]), ((15.4, 99), [3, 3])])
def test_a_landmark_beyond_the_crop_lies_in_the_nearest_position(point, position):
    assert adjustable.at_position(torch.tensor(point).float(), 16, 4).tolist() == position


def test_a_frame_is_felt_by_lambda_to_the_power_of_its_age():
    axes = adjustable.past(0.5, frames=4)
    assert "in sum 1.88 frames of 4" in title(axes[0, 0])
    one = tracker.accumulate(torch.eye(4)[:1], 0.5)[0]
    assert one.tolist() == [1, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("lam, speed, lag", [(0.0, 4.0, 0), (0.9, 0.0, 0)])
def test_without_past_or_without_motion_nothing_lags(lam, speed, lag):
    axes = adjustable.past(lam, speed)
    assert f"the peak lags by {lag} bins" in title(axes[0, 1])


def test_a_long_past_of_a_fast_landmark_lags():
    axes = adjustable.past(1.0, 2.0)
    assert "lags by 0 bins" not in title(axes[0, 1])


def test_what_moves_ends_at_three_quarters_of_the_axis():
    u = adjustable.moved(2.0, 3, 65, 3.0)
    assert u.argmax(-1).tolist() == [44, 46, 48]
