import pytest
import torch

from study import heatmaps
from study.models import MODELS, TRACKERS
from study.models.objectives import OBJECTIVES, heatmap_loss

B, N, SIZE, LENGTH, SIGMA = 3, 5, 60, 90, 2.0
LABS = ("lab", "lab1d", "lab_landmarks")  # of 68 landmarks: see test_lab
OF_ANY_COUNT = [model for model in OBJECTIVES if model not in LABS]


def random_points():
    generator = torch.Generator().manual_seed(0)
    unit = 0.2 + 0.6 * torch.rand(B, N, 2, generator=generator)
    return unit * SIZE - 0.5  # (B, N, 2) px


def exact(model, points, length=LENGTH):
    """The output of a model that has learnt all there is to learn."""
    wanted = OBJECTIVES[model].targets(points, SIZE, length, SIGMA)
    return tuple(p.log() for p in wanted) if model == "simcc" else wanted


def test_the_loss_sums_over_bins_axes_and_landmarks_and_averages_over_faces():
    wanted = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    output = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    output[0][0, 1, 2], output[0][1, 0, 0], output[1][1, 2, 3] = 1.0, 2.0, 3.0
    assert heatmap_loss(output, wanted).item() == (1 + 4 + 9) / 2


def test_the_loss_of_joint_maps_by_hand():
    wanted, output = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    output[1, 2, 3, 0] = 3.0
    assert heatmap_loss((output,), (wanted,)).item() == 4.5


def test_a_wrong_number_of_maps_is_refused():
    with pytest.raises(ValueError):
        heatmap_loss((torch.zeros(2, 3, 4),), (torch.zeros(2, 3, 4),) * 2)


def test_every_model_has_an_objective():
    assert set(OBJECTIVES) == {*MODELS, *TRACKERS}


@pytest.mark.parametrize("model", OF_ANY_COUNT)
def test_every_loss_of_a_model_is_least_at_its_targets(model):
    points = random_points()
    wanted = OBJECTIVES[model].targets(points, SIZE, LENGTH, SIGMA)
    for loss in OBJECTIVES[model].losses.values():
        found = loss(exact(model, points), wanted)
        assert found.shape == () and found.item() == pytest.approx(0, abs=1e-4)
        assert loss(exact(model, points + 1), wanted) > 0.1


@pytest.mark.parametrize("model", OF_ANY_COUNT)
def test_targets_decode_to_their_points(model):
    points, objective = random_points(), OBJECTIVES[model]
    for decoder in objective.decoders:
        found = objective.points(exact(model, points), SIZE, decoder, SIGMA)
        assert found.shape == (B, N, 2)
        assert (found - points).abs().max() <= 0.51 * SIZE / LENGTH


@pytest.mark.parametrize("model", OF_ANY_COUNT)
def test_a_mirrored_output_gives_mirrored_points(model):
    points, objective = random_points(), OBJECTIVES[model]
    mirrored = points.clone()
    mirrored[..., 0] = SIZE - 1 - points[..., 0]
    for decoder in objective.decoders:
        there, back = (
            objective.points(exact(model, p), SIZE, decoder, SIGMA) for p in (points, mirrored)
        )
        there[..., 0] = SIZE - 1 - there[..., 0]
        torch.testing.assert_close(back, there, atol=2e-3, rtol=0)


def test_classes_are_decoded_from_their_softmax():
    logits = torch.randn(B, N, LENGTH), torch.randn(B, N, LENGTH)
    read = OBJECTIVES["simcc"].points
    expected = heatmaps.to_pixels(torch.stack([h.argmax(-1) for h in logits], -1), SIZE, LENGTH)
    torch.testing.assert_close(read(logits, SIZE, "argmax", SIGMA), expected)
    one = torch.tensor([[[0.5, 0.25, 0.25]]]).log() + 7
    expectation = read((one, one), 3, "integral", SIGMA)
    torch.testing.assert_close(expectation, torch.full((1, 1, 2), 0.75))


@pytest.mark.parametrize("model", ["coordinates", "integral"])
@pytest.mark.parametrize("decoder", ["direct", *heatmaps.DECODERS])
def test_regressed_points_are_themselves_whatever_the_decoder(decoder, model):
    points = random_points()
    found = OBJECTIVES[model].points(exact(model, points), SIZE, decoder, SIGMA)
    torch.testing.assert_close(found, points)
    assert OBJECTIVES[model].decoders == ("direct",)
