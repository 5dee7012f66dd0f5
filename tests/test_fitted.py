import math

import numpy as np
import pytest
import torch
from PIL import Image
from test_tracking import SIDE, tracker_config, videos_of

from study import device as devices, fitted, tracking, training, work
from study.config import TrackerConfig, TrainingConfig
from study.datasets import augment, crops
from study.landmarks import SCHEMES
from study.models import sdm
from study.standin.face import draw, sample_face

DEVICE, N, SIZE = devices.Device("cpu"), 68, 32
CASCADE = TrainingConfig(
    **{"model": "sdm", "size": SIZE, "length": 0, "decoder": "direct", "loss": "ridge"},
    **{"channels": 16, "depth": 1, "columns": 2, "epochs": 2, "batch": 8},
    augmentation=augment.Augmentation(rotation=10, scale=0.1, shift=0.03, occlusion=0),
)


def faces(seeds):
    side, context, scale = 64, 2.0, 1.25
    pictures, points = [], []
    for seed in seeds:
        image, there = draw(sample_face(np.random.default_rng(seed), "common"), 150)
        affine = crops.square([*there.min(0), *there.max(0)], context, side)
        picture = crops.cut(Image.fromarray(image), affine, side)
        pictures.append(torch.from_numpy(picture.copy()).permute(2, 0, 1))
        points.append(torch.from_numpy(crops.to_crop(there[None], affine[None])[0]))
    order = SCHEMES["ibug68"].mirror
    return training.Faces(torch.stack(pictures), torch.stack(points), scale / context, order)


@pytest.fixture(scope="module")
def cascade():
    """A fitted cascade, its history, what was reported, and its task."""
    task, news = fitted.CascadeTask(CASCADE, faces(range(30)), faces(range(50, 56)), N), []
    model, state = training.fit_task(task, seed=0, report=news.append)
    return model, state, news, task


def test_a_cascade_is_fitted_and_its_history_are_its_steps(cascade):
    model, state, news, task = cascade
    assert [row["epoch"] for row in state.history] == [0, 1, 2, 3, 4]
    losses = [row["loss"] for row in state.history]
    assert all(a > b for a, b in zip(losses, losses[1:], strict=False))
    scores = [row["validation_nrmse"] for row in state.history]
    assert min(scores[1:]) < 0.6 * scores[0]  # of faces that it was not fitted on
    assert task.validate(model, DEVICE)["direct"] == pytest.approx(scores[-1], rel=1e-4)
    assert set(state.history[0]) == {"epoch", "rate", "loss", "validation_nrmse", "seconds"}
    assert news[-1]["epochs"] == 4 and news[-1]["seconds_left"] == 0


def test_the_start_of_a_cascade_is_the_mean_shape(cascade):
    model, state, _, task = cascade
    _, points = augment.plain(
        task.validation.pictures, task.validation.points, size=SIZE, share=task.validation.share
    )
    eyes = (points[:, 36] - points[:, 45]).norm(dim=-1)
    error = (model.mean - points).norm(dim=-1).mean(dim=-1) / eyes
    assert state.history[0]["validation_nrmse"] == pytest.approx(error.mean().item(), rel=1e-5)


def test_what_a_fit_finds_counts_as_parameters(cascade):
    count = 4 * (128 * N + 1) * 2 * N
    assert work.parameters(cascade[0]) == count
    assert work.parameters(sdm.SDMTracker(cascade[0])) == count


def test_a_tracker_around_a_cascade_needs_no_fit(cascade):
    model = cascade[0]
    config = TrackerConfig(model="sdm_tracker", detector=CASCADE)
    videos = videos_of()
    videos = tracking.Videos(videos.crops, videos.rows, videos.share, videos.scale, videos.order)
    task = fitted.CarriedTask(config, model, videos, videos)
    tracker, state = training.fit_task(task, seed=0, report=lambda news: None)
    assert isinstance(tracker, sdm.SDMTracker) and len(state.history) == 1
    assert math.isnan(state.history[0]["loss"])
    assert not hasattr(task, "notes")
    found = tracking.follow(tracker, videos, config, DEVICE)["direct"]
    assert found.shape == (len(videos.all_rows), N, 2)


class Seer(torch.nn.Module):
    """A 2D detector of noise: heatmaps with one peak each, drawn by the picture's mean."""

    landmarks = N

    def __init__(self, size, length):
        super().__init__()
        self.size, self.length = size, length

    def forward(self, images):
        cells = torch.arange(self.length)
        level = (997 * images.mean(dim=(1, 2, 3))).frac()[:, None]
        where = self.length * (0.3 + 0.4 * (level + torch.arange(N) / N).frac())
        one = torch.exp(-((cells - where[..., None]) ** 2) / 8)
        return one[..., None] * one[..., None, :]


def test_a_stabiliser_is_fitted_on_one_side_and_chosen_on_the_other(monkeypatch):
    detector = {"model": "detector2d", "size": 16, "length": 16, "channels": 8, "depth": 1}
    config = tracker_config({**detector, "width": 8, "hidden": 8, "columns": 2}, model="sta")
    seen = []

    def choose(model, paths, held):
        seen.extend([paths, held])
        model.adopt({"pi": torch.tensor(0.25)})
        return {"weight": 1.0, "share": 0.1, "errors": []}

    monkeypatch.setattr(fitted.smoothing, "choose", choose)
    first, second = videos_of(), videos_of((5, 6), seed=1)
    task = fitted.StabiliserTask(config, Seer(16, 16), first, second)
    model, state = training.fit_task(task, seed=0, report=lambda news: None)
    assert [paths.lengths for paths in seen] == [(7, 4, 5), (5, 6)]
    # In px of the image, where each frame is cut 2 px further right.
    crop = first.points(first.all_rows)
    expected = first.crops.to_image(crop.numpy(), first.all_rows)
    np.testing.assert_allclose(seen[0].truth.numpy(), expected)
    assert seen[0].observed.shape == seen[0].truth.shape and SIDE == 40
    assert model.pi == 0.25
    assert task.notes(model, DEVICE) == {"weight": 1.0, "share": 0.1}
    score = tracking.validate(model, second, config, DEVICE)["direct"]
    assert state.history[0]["validation_nrmse"] == pytest.approx(score)
