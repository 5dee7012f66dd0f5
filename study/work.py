"""The work of a run: what it trains, on what, and what is measured of it. One class a kind."""

import dataclasses
import shutil

import numpy as np
import torch

from study import (
    adversarial,
    config as configs,
    datasets,
    device as devices,
    fitted,
    material,
    metrics,
    paths,
    tracking,
    training,
)
from study.datasets import talking_face, w300vw
from study.models import SDM
from study.models.objectives import OBJECTIVES

# Beside a run's own decoder, the one below the bin whose residuals on videos are recorded.
BELOW_THE_BIN = "local"
# Trackers that no gradient trains.
FITTED = {"sdm_tracker": fitted.CarriedTask, "sta": fitted.StabiliserTask}
COUNT = w300vw.SCHEME.count  # 68, of our predictions on every video


def of(profile, run):
    """The work of a run of a profile.

    Raises:
        material.RunError: crops or the weights of the detector inside are not here.
    """
    kinds = {"video": VideoDetector, "tracker": Tracker, "tracker_folds": Tracker}
    kind = kinds.get(run.group, Detector)
    return kind(profile, run)


def face_task(config):
    """The kind of task that a detector of a configuration is."""
    return fitted.CascadeTask if config.model == "sdm" else training.FaceTask


class Detector:
    """A detector, trained and measured on stills: the profile's, or AFLW.

    Attributes:
        task: a `training.FaceTask`.
        data: `material.fingerprint` of what it is trained on.
        train, held: faces that it is trained on, and validated on.
    """

    def __init__(self, profile, run):
        self.profile, self.run = profile, run
        self.source = profile.data_of(run)
        self.crops = material.require_crops(profile, profile.cache_of(run))
        train, held, self._test = material.split(profile, self.crops)
        if run.folds:
            train, held = material.in_folds(profile, self.crops.table, train | held, run)
        self.train, self.held = int(train.sum()), int(held.sum())
        self.data = material.fingerprint(profile, self.crops)
        faces = (self._faces(rows) for rows in (train, held))
        self.task = face_task(run.config)(run.config, *faces, self.crops.points.shape[1])

    def _faces(self, rows):
        return material.faces_of(self.profile, self.crops, rows, self.source)

    def clean(self):
        """Removes what only the training needed."""

    def describe(self):
        """What the run was trained and measured on, for its record."""
        counts = self.train, self.held
        return material.describe_data(self.profile, self.crops, *counts, self.source)

    def arrays(self, model, device):
        """Arrays of predictions.npz for all test faces, by decoder."""
        rows = np.flatnonzero(self._test)
        faces = self._faces(rows)
        decoders = training.decoders_of(self.run.config)
        predicted, truth = training.predict(model, faces, self.run.config, device, decoders)
        truth = torch.from_numpy(self.crops.to_image(truth.numpy(), rows))
        found = {
            "id": self.crops.table["id"].to_numpy(dtype=str)[rows],
            "subset": self.crops.table["subset"].to_numpy(dtype=str)[rows],
            **self._normalizers(truth, rows),
        }
        for name, points in predicted.items():
            key = "residual" if name == self.run.config.decoder else f"residual_{name}"
            residual = self.crops.to_image(points.numpy(), rows) - truth.numpy()
            found[key] = residual.astype(np.float16)  # px; 0.004 px at 4 px
        return found

    def _normalizers(self, truth, rows):
        """What the errors of some faces are divided by, px of the image, as numpy arrays.

        A scheme without eye corners has the faces' annotated size, one's own what it says; both
        have hidden landmarks.
        """
        if material.has_eyes(self.source):
            pupils = metrics.interpupil(truth).numpy()
            return {"normalizer": metrics.interocular(truth).numpy(), "interpupil": pupils}
        scheme = material.scheme_of(self.source, self.crops)
        size = material.normalizers(scheme, self.crops, rows)
        visible = np.stack(self.crops.table["visible"].to_numpy()[rows])
        return {"normalizer": size, "interpupil": np.full(len(rows), np.nan), "visible": visible}


class _OnVideo:
    """What a detector and a tracker on videos share."""

    def clean(self):
        """Removes what only the training needed."""

    def __init__(self, profile, run):
        self.profile, self.run = profile, run
        self.stills = material.require_crops(profile)
        self.videos = [material.require_crops(profile, data.name) for data in profile.videos]
        self.data = material.fingerprint(profile, [self.stills, *self.videos])
        first = self.videos[0]
        train, self.held_out, _ = material.split_videos(profile, self.stills, first)
        self.apart = material.kept_apart(profile, first, train)
        self.seen = train & ~self.apart  # by the detector inside

    def describe(self):
        """What the run was trained and measured on, for its record."""
        return material.describe_videos(
            self.profile, self.stills, self.videos, self.trained_on, self.train, self.held
        )

    def watched(self, crops, mask):
        """`tracking.Videos` of the masked frames of some crops."""
        settings = self.profile.crops
        return tracking.Videos(
            crops,
            tuple(material.by_video(crops, mask)),
            share=settings.scale / settings.context,
            scale=settings.scale,
            order=datasets.reader(self.profile.data.name).SCHEME.mirror,
        )


class VideoDetector(_OnVideo):
    """A detector trained on stills and every so many-th frame of the videos, for a tracker."""

    def __init__(self, profile, run):
        super().__init__(profile, run)
        step, self.trained_on = run.config.frame_step, self.seen
        train, held, _ = material.split(profile, self.stills)
        if profile.video.motion:  # the stills of the clips that are kept apart are so, too
            hidden = set(self.videos[0].table["photograph"][self.apart])
            train &= ~self.stills.table["photograph"].isin(hidden).to_numpy()
        sides = []
        for faces, frames in ((train, self.seen), (held, self.held_out)):
            side = material.faces_of(profile, self.stills, faces)
            if step:
                rows = material.every(self.videos[0], frames, step)
                more = material.faces_of(profile, self.videos[0], rows)
                side = material.together(side, more)
            sides.append(side)
        self.train, self.held = map(len, sides)
        self.task = face_task(run.config)(run.config, *sides, self.stills.points.shape[1])


class Tracker(_OnVideo):
    """A tracker around a trained detector, trained on clips, measured on videos."""

    def __init__(self, profile, run):
        super().__init__(profile, run)
        inside = profile.inside(run)
        detector = load_model(profile, inside)
        self.trained_on = self.apart if profile.video.apart else self.seen
        held = self.held_out
        if run.folds:
            table = self.videos[0].table
            self.trained_on, held = material.in_folds(profile, table, self.trained_on, run)
        sides = [self.watched(self.videos[0], mask) for mask in (self.trained_on, held)]
        self.train, self.held = (len(side.all_rows) for side in sides)
        self._cache = paths.build(profile.name) / "heatmaps" / run.id
        self.task = self._task(detector, sides)

    def _task(self, detector, sides):
        """What trains this kind of tracker, with what its detector makes of the clips, cached."""
        config = self.run.config
        if config.model in FITTED:
            return FITTED[config.model](config, detector, *sides)
        device = devices.choose(config.precision)
        if config.model == "gan":
            tracker = tracking.build_tracker(config, detector)
            seen = adversarial.observe(tracker, sides[0], config, device)
            return adversarial.SequenceTask(config, detector, *sides, seen)
        maps = None, None
        if config.model == "tracker1d":
            plain = dataclasses.replace(config, variants=1)
            maps = [
                tracking.detect(detector, sides[0], config, device, self._cache / "train"),
                tracking.detect(detector, sides[1], plain, device, self._cache / "held"),
            ]
        return tracking.ClipTask(config, detector, *sides, *maps)

    def clean(self):
        """Removes the cached heatmaps."""
        shutil.rmtree(self._cache, ignore_errors=True)

    def arrays(self, model, device):
        """Arrays of predictions.npz for all frames of all test videos."""
        parts = [
            measure(
                model,
                self.task.detector,
                self.watched(crops, crops.table["split"] == "test"),
                data,
                self.run,
                device,
                paths.ROOT / data.root,
            )
            for data, crops in zip(self.profile.videos, self.videos, strict=True)
        ]
        return _joined([part for part in parts if part])


# --- models -----------------------------------------------------------------------------------


def build(profile, run):
    """The untrained model of a run."""
    data = profile.data_of(run)
    crops = material.open_crops(profile, profile.cache_of(run)) if data.own else None
    return build_model(run.config, material.scheme_of(data, crops).count)


def build_model(config, landmarks):
    """The untrained model of a configuration: a detector, or a tracker with its detector inside."""
    if isinstance(config, configs.TrackerConfig):
        detector = training.build_model(config.detector, landmarks)
        return tracking.build_tracker(config, detector)
    return training.build_model(config, landmarks)


def parameters(model):
    """How many numbers of a model training finds, those of a fitted cascade among them."""
    fitted_ones = [part for name, part in model.named_buffers() if name.endswith("sdm.weights")]
    if isinstance(model, SDM):
        fitted_ones = [model.weights]
    return sum(part.numel() for part in (*model.parameters(), *fitted_ones))


def load_model(profile, run):
    """The trained model of a run on the CPU in evaluation mode.

    Raises:
        RunError: its weights are not on this machine; says how to get them.
    """
    file = material.weights_file(profile, run)
    if not file.exists():
        raise material.RunError(
            f"no weights in {file.relative_to(paths.ROOT)}: they are not kept in git; "
            f"`python -m study train --profile {profile.name} --again {run.id}` makes them"
        )
    model = build(profile, run)
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model.eval()


# --- measuring on videos ----------------------------------------------------------------------


def measure(tracker, detector, videos, data, run, device, root):
    """Arrays of predictions.npz for the frames of some test videos; None where there are none.

    Args:
        tracker: a trained tracker, with `step` (see `tracking.follow`).
        detector: the detector that it was built around, as it was before.
        videos: `tracking.Videos`.
        data: the `config.VideoData` that they are of.
        run: the run, for its configuration.
        device: a `Device`.
        root: the data set's folder, whose sidecars say what is occluded.

    Returns:
        id, subset, video (R,) str; frame (R,) int; normalizer, interpupil (R,) px; occluded
        (R, N) bool; residual (R, N, 2) px of the image by the run's own decoder, with true boxes;
        residual_local the same below the bin; residual_previous with boxes by the landmarks of
        the frame before; residual_without of a tracker trained with λ > 0 and tested with 0;
        detected what the detector inside predicts with true boxes; averaged what its heatmaps
        give, summed over the past with the tracker's λ > 0 and nothing learnt; jitter,
        jitter_detected, jitter_true, delay_along, delay_detected, delay_way (R,) of these (see
        `tracking.motion_measures`), jitter_averaged and delay_averaged.
    """
    if not len(videos.rows):
        return None
    rows, crops, config = videos.all_rows, videos.crops, run.config
    known = OBJECTIVES[config.model].decoders
    names = [config.decoder, *(name for name in known if name == BELOW_THE_BIN)]
    names = tuple(dict.fromkeys(names))
    predicted = tracking.follow(tracker, videos, config, device, decoders=names)
    loose = tracking.follow(tracker, videos, config, device, rule="previous")
    plain = _without_past(tracker, videos, config, device)
    alone = tracker.observe if config.model == "sta" else detector  # which FHR decodes
    detected = tracking.follow(tracking.Stateless(alone), videos, config, device)
    averaged = _averaged(detector, videos, config, device)
    common, own = _common(data), config.decoder
    others = {"residual_previous": loose, "residual_without": plain, "detected": detected}
    others["averaged"] = averaged
    predicted = {_key(name, config): points for name, points in predicted.items()}
    predicted |= {name: points[own] for name, points in others.items() if points}
    found = {name: _to_image(crops, points, rows)[:, common] for name, points in predicted.items()}
    truth = _to_image(crops, videos.points(rows), rows)
    table = crops.table.iloc[rows]
    normalizer = _between_eye_corners(truth, data)
    arrays = {
        "id": table["id"].to_numpy(dtype=str),
        "subset": table["subset"].to_numpy(dtype=str),
        "video": table["video"].to_numpy(dtype=str),
        "frame": table["frame"].to_numpy(dtype=np.int32),
        "normalizer": normalizer.numpy(),
        "interpupil": _between_pupils(truth).numpy(),
        "occluded": _occluded(root, table),
    }
    arrays |= {name: _residual(points - truth, common) for name, points in found.items()}
    lengths = [len(video) for video in videos.rows]
    alone, truth = found["detected"], (truth, normalizer, lengths)
    arrays |= tracking.motion_measures(found["residual"], alone, *truth)
    if averaged:
        sums = tracking.motion_measures(found["averaged"], alone, *truth)
        arrays["jitter_averaged"], arrays["delay_averaged"] = sums["jitter"], sums["delay_along"]
    return arrays


def _averaged(detector, videos, config, device):
    """Predictions by heatmaps summed over the past, or None where there is no λ to sum by."""
    if not getattr(config, "lam", 0) or config.model != "tracker1d":
        return None
    return tracking.follow(tracking.Averaging(detector, config.lam), videos, config, device)


def _without_past(tracker, videos, config, device):
    """Predictions of a trained 1D tracker whose λ is set to 0, or None for other trackers."""
    if not getattr(config, "lam", 0) or config.model != "tracker1d":
        return None
    tracker.lam = 0.0
    try:
        return tracking.follow(tracker, videos, config, device)
    finally:
        tracker.lam = config.lam


def _key(decoder, config):
    return "residual" if decoder == config.decoder else f"residual_{decoder}"


def _to_image(crops, points, rows):
    return torch.from_numpy(crops.to_image(points.numpy(), rows))


def _common(data):
    """Which of our 68 landmarks a video data set is scored on."""
    return list(talking_face.IN_IBUG68 if data.name == talking_face.NAME else range(COUNT))


def _between_eye_corners(truth, data):
    left, right = datasets.reader(data.name).SCHEME.eye_corners
    return (truth[:, left] - truth[:, right]).norm(dim=-1)


def _between_pupils(truth):
    if truth.shape[1] == COUNT:
        return metrics.interpupil(truth)
    return torch.full((len(truth),), torch.nan, dtype=truth.dtype)


def _occluded(root, table):
    """(R, 68) bool: which landmarks a sidecar of the videos says are hidden; none without one."""
    found = np.zeros((len(table), COUNT), dtype=bool)
    for video, there in table.reset_index(drop=True).groupby("video", sort=False):
        frames = there["frame"].to_numpy()
        hidden = w300vw.occluded(root, video, int(frames.max()))
        if hidden is not None:
            found[there.index] = hidden[frames - 1]
    return found


def _residual(residual, common):
    """(R, 68, 2) float16 px, NaN where a landmark is not scored, in steps of 1/32 px.

    Coarser than float16 near 0, so that the zeros of its last digits compress.
    """
    steps = np.round(residual.numpy() * 32) / 32
    found = np.full((len(steps), COUNT, 2), np.nan, dtype=np.float16)
    found[:, common] = np.clip(steps, -60000, 60000)
    return found


def _joined(parts):
    """Arrays of several data sets, one below the other."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
