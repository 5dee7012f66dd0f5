"""The training of the GAN tracker: cached features of clips, two losses, one optimiser."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from study import tracking, training
from study.datasets import augment
from study.models import coordinates

TRUE_LABEL = 0.9  # one-sided smoothing of what a discriminator is told of true sequences


@dataclass(frozen=True)
class Observations:
    """What a frozen detector makes of the training videos, in each of their versions.

    Attributes:
        features: (versions, R, D) float16, videos one after the other.
        points: (versions, R, N, 2) float32, found, in sides of the crop.
        truth: (versions, R, N, 2) float32, true, in sides of the crop.
        first, lengths: for each video, its first of the R rows, and its frames.
    """

    features: np.ndarray
    points: np.ndarray
    truth: np.ndarray
    first: tuple
    lengths: tuple


@torch.inference_mode()
def observe(tracker, videos, config, device, batch=64):
    """`Observations` of some videos.

    Args:
        tracker: a `GANTracker`.
        videos: `tracking.Videos` to train on.
        config: the `TrackerConfig`.
        device: a `Device`.
    """
    tracker = device.place(tracker).eval()
    found = []
    for views in tracking.versions(videos, config):
        parts = []
        for images, points in views:
            for some, true in zip(images.split(batch), points.split(batch), strict=True):
                moved = device.move(some).contiguous(memory_format=torch.channels_last)
                with device.autocast():
                    features, seen = tracker.observe(moved)
                sides = coordinates.to_sides(true, config.size)
                parts.append((features.half().cpu(), seen.float().cpu(), sides.float()))
        found.append([torch.cat(part) for part in zip(*parts, strict=True)])
    stacked = [torch.stack(part).numpy() for part in zip(*found, strict=True)]
    lengths = tuple(len(rows) for rows in videos.rows)
    first = tuple(int(n) for n in np.cumsum([0, *lengths])[:-1])
    return Observations(*stacked, first, lengths)


def generator_loss(found, truth, logits, weight):
    """The generator's: squared distances, and what the discriminator does not believe.

    Args:
        found, truth: (B, T, N, 2), sides of the crop.
        logits: (B, T), of the found sequences; None where weight is 0.
        weight: of -log D.

    Returns:
        scalar, a mean over frames; distances in px of a crop of 256 px, a mean over landmarks.
    """
    distances = (coordinates.UNIT * (found - truth)).square().sum(dim=-1).mean()
    return distances + weight * functional.softplus(-logits).mean() if weight else distances


def discriminator_loss(of_true, of_found):
    """Cross-entropy of the discriminator on true and on found sequences, logits (B, T) each."""
    wanted = torch.full_like(of_true, TRUE_LABEL)
    told = functional.binary_cross_entropy_with_logits(of_true, wanted)
    return told + functional.softplus(of_found).mean()


def pitted(model, found, truth, weight):
    """Both losses together, neither of which teaches the other's half.

    The discriminator judges once with its weights held fixed, which passes gradients to the found
    points alone, and once on points that pass none.
    """
    judge, logits = model.discriminator, None
    if weight:
        fixed = {name: value.detach() for name, value in judge.named_parameters()}
        logits = torch.func.functional_call(judge, fixed, (found,))
    generated = generator_loss(found, truth, logits, weight)
    return generated + discriminator_loss(judge(truth), judge(found.detach()))


@dataclass(frozen=True)
class SequenceTask(tracking.Clips):
    """The training of a GAN tracker on clips, as `training.fit_task` asks for it.

    Attributes:
        config: a `config.TrackerConfig` of model "gan".
        detector: the trained `Coordinates` inside.
        training, validation: `tracking.Videos`.
        seen: `Observations` of the training videos.
    """

    config: object
    detector: torch.nn.Module
    training: object
    validation: object
    seen: Observations

    def batches(self, generator):
        """One epoch of batches of clips: features, points, true points, each (B, T, ...)."""
        config, seen = self.config, self.seen
        clips = tracking.windows(seen.lengths, config.frames, generator)
        picked = torch.randint(config.variants, (len(clips),), generator=generator).tolist()
        places = [
            (version, seen.first[video] + start)
            for version, (video, start) in zip(picked, clips, strict=True)
        ]
        for part in range(0, len(places), config.batch):
            some = places[part : part + config.batch]
            yield tuple(
                torch.from_numpy(np.stack([one[v, at : at + config.frames] for v, at in some]))
                for one in (seen.features, seen.points, seen.truth)
            )

    def step(self, model, optimizer, batch, device):
        """One step of Adam for both halves at once; returns the sum of their losses."""
        features, points, truth = (device.move(part).float() for part in batch)
        with device.autocast():
            found, _ = model(features, points)
        loss = pitted(model, found.float(), truth, self.config.adversarial)
        return training.descend(loss, optimizer)

    def validate(self, model, device, decoders=None):
        """Mean NRMSE over the frames of the held-out videos, by decoder."""
        return tracking.validate(model, self.validation, self.config, device, decoders)

    @torch.inference_mode()
    def notes(self, model, device):
        """What the discriminator tells apart on held-out videos, for the record.

        Returns:
            dict: `told_from_shuffled`, the share of held-out videos whose true landmarks it finds
            more likely true than the same frames in a random order; `told_from_tracked`, than the
            tracker's own; of `videos`.
        """
        videos, rows = self.validation, self.validation.all_rows
        found = tracking.follow(model, videos, self.config, device)[self.config.decoder]
        lengths = [len(one) for one in videos.rows]
        true = self._in_sides(videos.points(rows)).split(lengths)
        tracked = self._in_sides(found).split(lengths)
        draw = torch.Generator().manual_seed(0)
        shuffled = [one[torch.randperm(len(one), generator=draw)] for one in true]
        judge = model.discriminator
        scores = [
            torch.stack([judge(device.move(one)[None]).mean().cpu() for one in sequences])
            for sequences in (true, shuffled, tracked)
        ]
        return {
            "told_from_shuffled": (scores[0] > scores[1]).float().mean().item(),
            "told_from_tracked": (scores[0] > scores[2]).float().mean().item(),
            "videos": len(lengths),
        }

    def _in_sides(self, points):
        """Cached px (R, N, 2) in sides of the plain crop, float32."""
        size, videos = self.config.size, self.validation
        matrix, shift = augment.crop_affine(1, size, videos.side, videos.share)
        moved = augment.to_crop(points, matrix, shift, size, videos.side)
        return coordinates.to_sides(moved, size).float()
