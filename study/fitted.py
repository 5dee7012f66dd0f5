"""The fitting of what no gradient trains: supervised descent, its tracker, and the stabiliser."""

import time
from dataclasses import dataclass

import torch

from study import metrics, tracking, training
from study.datasets import augment
from study.models import sdm, smoothing

STARTS = sdm.Starts(near=0.4)  # of the views that a cascade is fitted on; share by validation


def _row(number, loss, score, seconds):
    """A line of history.csv; there is no rate."""
    keys = ("epoch", "rate", "loss", "validation_nrmse", "seconds")
    return dict(zip(keys, (number, 0.0, loss, score, seconds), strict=True))


def _report(report, row, last, samples):
    seconds = max(row["seconds"], 1e-9)
    left = seconds / max(row["epoch"], 1) * (last - row["epoch"])
    news = {"epochs": last, "samples_per_second": samples / seconds, "seconds_left": left}
    report(row | news)


@dataclass(frozen=True)
class CascadeTask(training.FaceTask):
    """The fitting of an `sdm.SDM`, as `training.fit_task` asks for it.

    `config.epochs` is how many views of every training face it is fitted on, each augmented and
    started anew; the epochs of its history are the steps of the cascade, 0 its start.
    """

    def solve(self, seed, device, report):
        """The fitted cascade and its history.

        Args:
            seed: of views and starts.
            device: a `Device`.
            report: as in `training.fit_task`.
        """
        begun, config = time.perf_counter(), self.config
        generator = training.epoch_generator(seed, 0)
        model, seen = device.place(self.build()), []
        sdm.fit(model, self._views(device, generator), generator, seen.append, starts=STARTS)
        scores = self._scores(model, device)
        first = seen[0]["residual"] / seen[0]["relative"]
        losses = [first, *(news["residual"] for news in seen)]
        spent = time.perf_counter() - begun
        history = []
        for number, (loss, score) in enumerate(zip(losses, scores, strict=True)):
            history.append(_row(number, loss, score, spent if number == len(seen) else 0.0))
        _report(report, history[-1], len(seen), self.samples * config.epochs)
        return model.eval(), history

    def _views(self, device, generator):
        """Batches of every view: images (b, 3, F, F) and points (b, N, 2) px of the crop."""
        for _ in range(self.config.epochs):
            for images, points in self.batches(generator):
                yield device.move(images), device.move(points)

    @torch.inference_mode()
    def _scores(self, model, device):
        """Mean NRMSE on what is held out, at the start and after each step."""
        found, faces = [], self.validation
        for rows in torch.arange(len(faces)).split(64):
            images, points = augment.plain(
                faces.pictures[rows],
                faces.points[rows],
                size=self.config.size,
                share=faces.share,
            )
            stages = model.forward_all(device.move(images)).double().cpu()
            normalizer = metrics.interocular(points)
            found.append(torch.stack([metrics.nrmse(one, points, normalizer) for one in stages]))
        return torch.cat(found, dim=1).mean(dim=1).tolist()


@dataclass(frozen=True)
class CarriedTask:
    """A tracker around a fitted detector in which nothing is left to fit: `sdm.SDMTracker`.

    Attributes:
        config: a `config.TrackerConfig`.
        detector: the fitted detector.
        training, validation: `tracking.Videos`.
    """

    config: object
    detector: torch.nn.Module
    training: tracking.Videos
    validation: tracking.Videos

    @property
    def samples(self):
        """Frames of the training videos."""
        return len(self.training.all_rows)

    def solve(self, seed, device, report):
        """The tracker, and a history of one line; see `CascadeTask.solve`."""
        begun = time.perf_counter()
        model = device.place(tracking.build_tracker(self.config, self.detector)).eval()
        self.adapt(model, device)
        score = self.validate(model, device)[self.config.decoder]
        row = _row(1, float("nan"), score, time.perf_counter() - begun)
        _report(report, row, 1, self.samples)
        return model, [row]

    def adapt(self, model, device):
        """Fits what the videos say, if anything is to be fitted."""

    def validate(self, model, device, decoders=None):
        """Mean NRMSE over the frames of the held-out videos, by decoder."""
        return tracking.validate(model, self.validation, self.config, device, decoders)


@dataclass(frozen=True)
class StabiliserTask(CarriedTask):
    """The fitting of a `sta.STA` to what its detector sees of the training videos."""

    def adapt(self, model, device):
        """Fits motion and noise on the training videos, and chooses its weights on held-out ones.

        In px of the image: a crop follows the face, and hides how it moves.
        """
        paths, held = (self._paths(model, videos, device) for videos in self._sides)
        chosen = smoothing.choose(model, paths, held)
        model.chosen = {key: chosen[key] for key in ("weight", "share")}

    @property
    def _sides(self):
        return self.training, self.validation

    def _paths(self, model, videos, device):
        watched = tracking.Stateless(model.observe)
        found = tracking.follow(watched, videos, self.config, device)[self.config.decoder]
        rows, crops = videos.all_rows, videos.crops
        observed, truth = (
            torch.from_numpy(crops.to_image(points.numpy(), rows))
            for points in (found, videos.points(rows))
        )
        return smoothing.Paths(observed, truth, tuple(len(one) for one in videos.rows))

    def notes(self, model, device):
        """What was chosen on held-out videos, for the record."""
        return model.chosen
