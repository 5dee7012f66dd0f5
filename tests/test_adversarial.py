import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from study import adversarial, device as devices, tracking, training
from study.config import TrackerConfig, TrainingConfig
from study.datasets import augment, crops
from study.landmarks import SCHEMES
from study.models.coordinates import to_sides
from study.standin.face import draw, sample_face

DEVICE, N, SIDE, SIZE, FRAMES = devices.Device("cpu"), 68, 64, 32, 4
CONTEXT, SCALE = 2.0, 1.25
DETECTOR = TrainingConfig(
    **{"model": "coordinates", "size": SIZE, "length": 0, "decoder": "direct", "loss": "wing"},
    **{"channels": 16, "depth": 1, "width": 16, "hidden": 64, "epochs": 10, "batch": 8},
    **{"rate": 3e-3, "augmentation": augment.Augmentation(*[0.0] * 9)},
)


def settings(**changed):
    values = {"hidden": 64, "frames": FRAMES, "variants": 1, "epochs": 40, "batch": 8}
    values |= {"rate": 3e-3, "adversarial": 1.0} | changed
    return TrackerConfig(model="gan", detector=DETECTOR, **values)


@pytest.fixture(scope="module")
def videos():
    """Eight rendered faces, each looked at for some frames by a camera that drifts."""
    pictures, points, affines = [], [], []
    for seed in range(8):
        image, there = draw(sample_face(np.random.default_rng(seed), "common"), 150)
        for frame in range(FRAMES + seed % 2):
            affine = crops.square([*there.min(0), *there.max(0)], CONTEXT, SIDE)
            affine = affine + np.array([0, 0.6 * frame * (-1) ** seed, 0.4 * frame])
            picture = crops.cut(Image.fromarray(image), affine, SIDE)
            pictures.append(np.moveaxis(picture, -1, 0))
            points.append(crops.to_crop(there[None], affine[None])[0])
            affines.append(affine)
    lengths = [FRAMES + seed % 2 for seed in range(8)]
    first = np.cumsum([0, *lengths])
    rows = tuple(np.arange(a, b) for a, b in zip(first[:-1], first[1:], strict=True))
    table = pd.DataFrame({"video": np.repeat(np.arange(8), lengths).astype(str)})
    made = crops.Crops(np.stack(pictures), np.stack(points), np.stack(affines), table, {})
    order = SCHEMES["ibug68"].mirror
    return tracking.Videos(made, rows, share=SCALE / CONTEXT, scale=SCALE, order=order)


@pytest.fixture(scope="module")
def detector(videos):
    """A detector that has begun to learn the eight faces."""
    rows = videos.all_rows
    share, order = videos.share, videos.order
    faces = training.Faces(videos.pictures(rows), videos.points(rows), share, order)
    model, _ = training.fit(
        DETECTOR, faces, faces, seed=0, landmarks=N, report=lambda news: None
    )
    return model


def task_of(videos, detector, **changed):
    config = settings(**changed)
    tracker = tracking.build_tracker(config, detector)
    seen = adversarial.observe(tracker, videos, config, DEVICE, batch=3)
    return adversarial.SequenceTask(config, detector, videos, videos, seen)


# --- what the detector sees ---------------------------------------------------------------------


def test_observations_are_those_of_the_detector_on_the_same_views(videos, detector):
    config = settings(variants=2)
    tracker = tracking.build_tracker(config, detector)
    seen = adversarial.observe(tracker, videos, config, DEVICE, batch=3)
    assert seen.lengths == (4, 5) * 4 and seen.first == (0, 4, 9, 13, 18, 22, 27, 31)
    for version, views in enumerate(tracking.versions(videos, config)):
        for video, (images, points) in enumerate(views):
            where = slice(seen.first[video], seen.first[video] + seen.lengths[video])
            features, found = tracker.observe(images)
            close, sides = np.testing.assert_allclose, to_sides(points, SIZE)
            close(seen.features[version, where], features, rtol=2e-3, atol=1e-3)
            close(seen.points[version, where], found, atol=1e-5)
            close(seen.truth[version, where], sides, atol=1e-6)


def test_an_epoch_has_the_clips_and_steps_that_it_says(videos, detector):
    task = task_of(videos, detector, batch=3)
    assert (task.samples, task.steps) == (8 * FRAMES, 3)
    batches = list(task.batches(torch.Generator().manual_seed(0)))
    assert len(batches) == task.steps
    features, points, truth = batches[0]
    assert points.shape == truth.shape == (3, FRAMES, N, 2)
    assert features.shape == (3, FRAMES, detector.regress.in_features)


def test_videos_shorter_than_a_clip_are_named_as_the_cause(videos, detector):
    with pytest.raises(training.TrainingError, match="no training video has 9 frames; .* has 5"):
        task_of(videos, detector, frames=9).build()


# --- losses -------------------------------------------------------------------------------------


def test_the_generator_loss_by_hand():
    # One landmark off by (3, 4) px of a 256-px crop, the other right: a mean of 25 / 2.
    truth = torch.zeros(1, 1, 2, 2)
    found = torch.tensor([[[[3 / 256, 4 / 256], [0.0, 0.0]]]])
    assert adversarial.generator_loss(found, truth, None, 0).item() == pytest.approx(12.5)
    logits = torch.tensor([[math.log(3)]])  # D = 3/4
    with_judge = adversarial.generator_loss(found, truth, logits, 2.0).item()
    assert with_judge == pytest.approx(12.5 - 2 * math.log(0.75))


def test_the_discriminator_loss_by_hand():
    # D = 3/4 of the true one, of which 0.9 is asked, and 1/5 of the found one.
    true, found = torch.tensor([[math.log(3)]]), torch.tensor([[-math.log(4)]])
    wanted = -0.9 * math.log(0.75) - 0.1 * math.log(0.25) - math.log(0.8)
    assert adversarial.discriminator_loss(true, found).item() == pytest.approx(wanted)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_neither_loss_teaches_the_other_half(videos, detector, weight):
    model = tracking.build_tracker(settings(), detector)
    torch.nn.init.normal_(model.correct.weight, std=0.1)
    draw = torch.Generator().manual_seed(0)
    features = torch.rand(2, 3, detector.regress.in_features, generator=draw)
    points, truth = (torch.rand(2, 3, N, 2, generator=draw) - 0.5 for _ in range(2))

    def gradients(loss):
        model.zero_grad()
        loss.backward()
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        return {name: p.grad for name, p in trained.items() if p.grad is not None}

    found, _ = model(features, points)
    both = gradients(adversarial.pitted(model, found, truth, weight))
    found, _ = model(features, points)
    logits = model.discriminator(found) if weight else None
    ours = gradients(adversarial.generator_loss(found, truth, logits, weight))
    judge = model.discriminator
    theirs = gradients(
        adversarial.discriminator_loss(judge(truth), judge(found.detach()))
    )
    for name, gradient in both.items():
        wanted = theirs[name] if name.startswith("discriminator.") else ours[name]
        torch.testing.assert_close(gradient, wanted)


# --- that it learns -----------------------------------------------------------------------------


def test_the_generator_learns_eight_faces_and_the_discriminator_to_tell(videos, detector):
    task = task_of(videos, detector)
    before = task.validate(task.build(), DEVICE)["direct"]
    model, state = training.fit_task(task, seed=0, report=lambda news: None)
    after = state.history[-1]["validation_nrmse"]
    assert before > 0.03 and after < 0.02, (before, after)
    notes = task.notes(model, DEVICE)
    assert notes["videos"] == 8
    assert 0 <= notes["told_from_tracked"] <= 1
    assert notes["told_from_shuffled"] >= 0.8, notes


def test_an_interrupted_training_goes_on_where_it_was(videos, detector, tmp_path):
    task = task_of(videos, detector, epochs=3)
    whole, _ = training.fit_task(task, seed=0, report=lambda news: None)

    def stop(news):
        if news["epoch"] == 2:
            raise InterruptedError

    file = tmp_path / "checkpoint.pt"
    with pytest.raises(InterruptedError):
        training.fit_task(task, seed=0, checkpoint=file, report=stop)
    again, state = training.fit_task(task, seed=0, checkpoint=file, report=lambda news: None)
    assert state.epoch == 3
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_without_weight_the_discriminator_changes_nothing_of_the_generator(videos, detector):
    weights = []
    for other in (False, True):
        task = task_of(videos, detector, adversarial=0.0, epochs=2)
        torch.manual_seed(0)
        model = task.build()
        if other:
            torch.nn.init.normal_(model.discriminator.judge.weight)
        optimizer = training.make_optimizer(model, task.config)
        for batch in task.batches(torch.Generator().manual_seed(0)):
            task.step(model, optimizer, batch, DEVICE)
        weights.append({k: v for k, v in model.state_dict().items() if "discrim" not in k})
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_the_configuration_needs_a_coordinate_detector():
    with pytest.raises(ValueError, match="a gan holds a coordinates"):
        dataclasses.replace(
            settings(), detector=dataclasses.replace(
                DETECTOR, model="detector1d", length=32, decoder="argmax", loss="squares"
            )
        )
