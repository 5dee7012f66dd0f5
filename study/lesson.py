"""The first notebook's detector: from a face that is drawn to a face that is marked, in a minute.

Nothing is written: neither faces, nor a record, nor weights.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm import tqdm

from study import config, material, metrics, training
from study.datasets import augment, crops as crop_cache
from study.landmarks import SCHEMES
from study.standin import folders
from study.standin.face import draw, sample_face

HELD = 40  # faces that are not trained on, and measured on
PICTURE = 160  # px of a rendered picture
SMALL = dict(channels=16, depth=3, width=32, hidden=64, batch=16, rate=1.0e-2)
VARIED = augment.Augmentation(rotation=10.0, scale=0.1, occlusion=0.0)


@dataclass(frozen=True)
class Sitters:
    """The faces of a lesson.

    Attributes:
        shown: `training.Faces` to train on.
        held: `training.Faces` to measure on.
        label: what they are, in words.
    """

    shown: training.Faces
    held: training.Faces
    label: str


@dataclass(frozen=True)
class Lesson:
    """What a training of a lesson gave.

    Attributes:
        config: its `config.TrainingConfig`.
        model: the detector in evaluation mode.
        history: a row an epoch: run, epoch, loss, validation_percent.
        label: of the faces.
        images: (B, 3, F, F) held-out crops.
        points, predicted: (B, N, 2) px of the crop, predicted by argmax.
        h_x, h_y: (B, N, L) heatmaps.
    """

    config: object
    model: object
    history: pd.DataFrame
    label: str
    images: torch.Tensor
    points: torch.Tensor
    predicted: torch.Tensor
    h_x: torch.Tensor
    h_y: torch.Tensor


def faces(profile, count, size, jobs=2):
    """Faces to learn from: a profile's training faces where they are cut already, else new ones.

    Args:
        profile: name of a profile of 68 landmarks, whose crops are looked for.
        count: faces to train on; HELD more are held out.
        size: F, px. Crops of another F do not serve.
        jobs: processes that render.

    Raises:
        ValueError: fewer than two faces.
    """
    if count < 2:
        raise ValueError(f"{count} faces to train on; batch norm needs two")
    settings = config.load(profile)
    crops = material.open_crops(settings)
    if crops is not None and settings.crops.size == size:
        train, held, _ = material.split(settings, crops)
        if train.sum() >= count and held.any():
            rows = _spread(train, count), _spread(held, HELD)
            shown, kept = (material.faces_of(settings, crops, one) for one in rows)
            return Sitters(shown, kept, settings.data.label)
    return render(count, HELD, size, jobs=jobs)


def _spread(mask, count):
    """At most so many of the masked rows, evenly spread."""
    rows = np.flatnonzero(mask)
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def render(count, held, size, seed=0, jobs=2):
    """`Sitters` that are drawn: nobody's faces, the same for the same seed."""
    tasks = [(number, seed, size) for number in range(count + held)]
    drawn = folders.each(_drawn, tasks, jobs, chunk=4)
    made = dict(tqdm(drawn, "render stand-ins", len(tasks), unit="face"))
    pictures, points = zip(*(made[number] for number, *_ in tasks), strict=True)
    pictures = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())
    points = torch.from_numpy(np.stack(points))
    cut, order = config.CropSettings(size), SCHEMES["ibug68"].mirror
    parts = (slice(count), slice(count, None))
    share = cut.scale / cut.context
    both = [training.Faces(pictures[part], points[part], share, order) for part in parts]
    return Sitters(*both, f"{count + held} rendered stand-ins")


def _drawn(task):
    """One face, cut: its number, and the crop (S, S, 3) uint8 with its points in px of the crop."""
    number, seed, size = task
    image, points = draw(sample_face(np.random.default_rng([seed, number]), "common"), PICTURE)
    cut = config.CropSettings(size)
    side = crop_cache.resolution(cut.size, cut.scale, cut.context, cut.oversample)
    affine = crop_cache.square((*points.min(0), *points.max(0)), cut.context, side)
    crop = crop_cache.cut(Image.fromarray(image), affine, side)
    return number, (crop, crop_cache.to_crop(points, affine))


def train(sitters, *, size, length, epochs, seed=0):
    """A small 1D detector, trained and looked at on the faces that were held out: a `Lesson`.

    Args:
        sitters: `Sitters`.
        size, length: F in px and L in bins.
        epochs: passes over the faces.
        seed: of weights, order and augmentation.

    Raises:
        config.ConfigError: sizes that no such detector can have.
    """
    chosen = config.TrainingConfig(
        model="detector1d", size=size, length=length, epochs=epochs, augmentation=VARIED, **SMALL
    )
    with tqdm(total=epochs, desc="train", unit="epoch") as bar:
        report = functools.partial(_advance, bar)
        model, state = training.fit(
            *(chosen, sitters.shown, sitters.held),
            **dict(seed=seed, landmarks=sitters.shown.points.shape[1], report=report),
        )
    return _looked_at(chosen, model.cpu(), state.history, sitters)


def _advance(bar, epoch):
    bar.set_postfix(loss=f"{epoch['loss']:.2f}", nrmse=f"{100 * epoch['validation_nrmse']:.1f}%")
    bar.update()


@torch.inference_mode()
def _looked_at(chosen, model, history, sitters):
    """The `Lesson` of a trained model."""
    held = sitters.held
    images, points = augment.plain(
        held.pictures, held.points, size=chosen.size, share=held.share
    )
    h_x, h_y = model(images)
    predicted = training.decode((h_x, h_y), chosen, "argmax")
    table = pd.DataFrame(history)
    table = table.assign(run="lesson", validation_percent=100 * table["validation_nrmse"])
    table = table[["run", "epoch", "loss", "validation_percent"]]
    return Lesson(chosen, model, table, sitters.label, images, points, predicted, h_x, h_y)


def errors(lesson, sitters):
    """Mean NRMSE on the held-out faces in percent, by decoder; and of the mean face in every crop.

    Args:
        lesson: a `Lesson`.
        sitters: the `Sitters` that it was trained on.

    Returns:
        dict: "argmax", "taylor" and "mean face" to percent.
    """
    normalizer = metrics.interocular(lesson.points)
    guesses = {
        name: training.decode((lesson.h_x, lesson.h_y), lesson.config, name)
        for name in ("argmax", "taylor")
    }
    shown = sitters.shown
    _, points = augment.plain(
        shown.pictures, shown.points, size=lesson.config.size, share=shown.share
    )
    guesses["mean face"] = points.mean(0).expand_as(lesson.points)
    return {
        name: 100 * metrics.nrmse(found.double(), lesson.points, normalizer).mean().item()
        for name, found in guesses.items()
    }


def answer(lesson, sitters):
    """The first notebook's answer, as sentences."""
    percent = errors(lesson, sitters)
    better = percent["argmax"] < percent["mean face"]
    shown, held, epochs = len(sitters.shown), len(sitters.held), lesson.config.epochs
    verdict = "Yes" if better else "Not yet"
    return (
        f"{verdict}: after {epochs} epochs on {shown:,} faces the detector errs by "
        f"{percent['argmax']:.1f} % of the distance of the outer eye corners by argmax, and by "
        f"{percent['taylor']:.1f} % by a Taylor step below the bin, on {held} faces that it has "
        f"not seen; the mean face, put into every crop, errs by {percent['mean face']:.1f} %. "
        f"Measured on {lesson.label}, F={lesson.config.size}, L={lesson.config.length}, one seed."
    )
