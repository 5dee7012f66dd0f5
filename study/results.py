"""Records of runs become tidy results. Reads exactly the runs that the profile lists.

The evidence are residuals (predicted - truth, px of the image) with their normalisers, so every
metric can be changed without a new training; neither data nor weights are needed here, but for
`truth`.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from study import config as configs, material, metrics, paths, runs, training, work
from study.datasets import augment
from study.models import coattention

PARTS = {"common": ("common",), "challenging": ("challenging",)}
PARTS["full"] = PARTS["common"] + PARTS["challenging"]  # test subset -> its parts
STILLS, ON_VIDEO, ON_AFLW = "stills", "video", "aflw"  # what a record was trained on
# measure -> error and the array of predictions.npz that it divides by
MEASURES = {
    "nrmse": (metrics.nrmse, "normalizer"),
    "rms": (metrics.rms_error, "normalizer"),
    "pupil": (metrics.nrmse, "interpupil"),
}


@dataclass(frozen=True)
class Results:
    """All that the records of a profile hold.

    Attributes:
        profile: the `config.Profile`.
        records: run id -> its run.json, for each listed run whose record serves.
        reasons: run id -> why there is no record that serves, for the others.
        looks: date, commit, run, subset, faces: each look at the test set, one row.
    """

    profile: object
    records: dict
    reasons: dict
    looks: pd.DataFrame

    @property
    def newest(self):
        """The record on stills that was finished last, cross-validations apart, or None."""
        return _newest(self.profile, self._whole, STILLS)

    @property
    def newest_on_video(self):
        """The record on videos that was finished last, cross-validations apart, or None."""
        return _newest(self.profile, self._whole, ON_VIDEO)

    @property
    def newest_on_aflw(self):
        """The record on AFLW that was finished last, or None."""
        return _newest(self.profile, self._whole, ON_AFLW)

    @property
    def _whole(self):
        """The records of trainings on all that there is to train on."""
        return {id: record for id, record in self.records.items() if not record.get("fold")}

    @property
    def seconds(self):
        """Training time of all records together, s."""
        return sum(record["seconds"] for record in self.records.values())

    def recorded(self, name):
        """Ids of the recorded runs of a name, one a seed, in the order of their seeds."""
        return [run.id for run in self.profile.runs if run.name == name and run.id in self.records]

    def first(self, name):
        """The record of the first recorded seed of a name, or None."""
        ids = self.recorded(name)
        return self.records[ids[0]] if ids else None

    def faces(self, subset):
        """How many test faces there are of a subset; None while nothing is recorded."""
        newest = self.newest_on_aflw if subset == configs.AFLW else self.newest
        if newest is None:
            return None
        counts = [newest["data"]["test"].get(part, 0) for part in _parts(subset)]
        return sum(counts) if all(counts) else 0

    def errors(self, id, decoder, subset, measure="nrmse"):
        """Errors of one run on a test subset, faces in the order of their ids: (B,) fractions.

        Args:
            id: of a recorded run on stills that was tested.
            decoder: a recorded decoder.
            subset: "common", "challenging" or "full"; "AFLW" of a run on it.
            measure: "nrmse", "rms" (root of the mean square) or "pupil" (over the distance of the
                eyes' centres).

        Raises:
            RunError: the run was recorded without this decoder.
        """
        arrays = predictions(folder(self.profile, id))
        rows = _rows(arrays, subset)
        own = self.records[id]["config"]["decoder"]
        key = "residual" if decoder == own else f"residual_{decoder}"
        if key not in arrays:
            raise material.RunError(
                f"{id}: its predictions.npz has no points by {decoder}; record them by "
                f"`python -m study train --profile {self.profile.name} --again {id}`"
            )
        residual = torch.from_numpy(arrays[key][rows].astype(np.float64))
        error, divisor = MEASURES[measure]
        normalizer = torch.from_numpy(arrays[divisor][rows])
        truth = torch.zeros_like(residual)
        if "visible" in arrays:
            truth[~torch.from_numpy(arrays["visible"][rows])] = torch.nan
        return error(residual, truth, normalizer).numpy()

    def by_seed(self, name, decoder, subset, measure="nrmse"):
        """Errors of all recorded seeds of a name on the same faces: (S, B) fractions.

        Raises:
            ValueError: nothing is recorded, or two seeds hold different faces.
        """
        ids = self.recorded(name)
        if not ids:
            raise ValueError(f"no run of {name} is recorded")
        tested = [face_ids(folder(self.profile, id), subset) for id in ids]
        if any(list(faces) != list(tested[0]) for faces in tested):
            raise ValueError(f"the seeds of {name} were measured on different faces")
        return np.stack([self.errors(id, decoder, subset, measure) for id in ids])

    def validation(self, name):
        """Validation NRMSE of a name by decoder, mean over the recorded seeds: fractions."""
        scores = [self.records[id]["validation"] for id in self.recorded(name)]
        return {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}


def folder(profile, id):
    """Where the record of a run is, by its id."""
    return material.folder(profile, profile.run(id))


@functools.lru_cache(maxsize=128)
def _predictions(file, stamp):
    with np.load(file) as arrays:
        return {key: arrays[key] for key in arrays.files}


def predictions(where):
    """The arrays of a record's predictions.npz (see `study.runs`), read once.

    Args:
        where: folder of the record.
    """
    file = where / "predictions.npz"
    return _predictions(file, file.stat().st_mtime_ns)


def _parts(subset):
    """The parts of a test subset, itself where it has none."""
    return PARTS.get(subset, (subset,))


def _rows(arrays, subset):
    """Rows of a test subset in the order of the faces' ids."""
    rows = np.flatnonzero(np.isin(arrays["subset"], _parts(subset)))
    return rows[np.argsort(arrays["id"][rows])]


def face_ids(where, subset):
    """Sorted ids (B,) of the faces of a test subset in a record."""
    arrays = predictions(where)
    return arrays["id"][_rows(arrays, subset)]


def load(profile):
    """The results of a profile from its records on disk.

    A listed run without a record that serves is no error: it has a reason. Where records were
    made on different data, the newest's data count and the others have that as their reason;
    larger crops of the same faces are no different data.

    Args:
        profile: a `config.Profile`.
    """
    records, reasons = {}, {}
    for run in profile.runs:
        reason = runs.why_not_recorded(profile, run) or _unreadable(profile, run)
        if reason:
            reasons[run.id] = reason
        else:
            records[run.id] = runs.read_record(profile, run)
    for kind in (STILLS, ON_VIDEO, ON_AFLW, *profile.large):
        newest = _newest(profile, records, kind)
        for id, record in list(records.items()):
            alike = _kind(profile, record) == kind
            if alike and record["data"]["fingerprint"] != newest["data"]["fingerprint"]:
                reasons[id] = "recorded on other data"
                del records[id]
    return Results(profile, records, reasons, _looks(profile))


def _kind(profile, record):
    """What a record was trained on; larger crops of stills go by the name of their cache."""
    if record["group"] in configs.ON_VIDEO:
        return ON_VIDEO
    cache = profile.cache_of(profile.run(record["run"]))
    if cache in profile.large:
        return cache
    return ON_AFLW if record["data"]["name"] == configs.AFLW else STILLS


def _newest(profile, records, kind):
    here = [record for record in records.values() if _kind(profile, record) == kind]
    return max(here, key=lambda record: record["finished"], default=None)


def _unreadable(profile, run):
    """Why the files beside a run.json do not serve, or None."""
    where = material.folder(profile, run)
    needed = ["history.csv"] + ["predictions.npz"] * (run.group in configs.TESTED)
    missing = [name for name in needed if not (where / name).exists()]
    return f"{', '.join(missing)} missing beside its run.json" if missing else None


def _looks(profile):
    file = paths.reports(profile.name) / "test_looks.csv"
    if not file.exists():
        return pd.DataFrame(columns=["date", "commit", "run", "subset", "faces"])
    return pd.read_csv(file, dtype={"commit": str}, keep_default_na=False)


def history(profile, id):
    """The history of a run: epoch, rate, loss, validation_nrmse (fraction), seconds."""
    return pd.read_csv(folder(profile, id) / "history.csv")


def describe(record):
    """What a number of a record was measured on, in words that stand beside it."""
    data, size = record["data"], record["config"]["size"]
    trained = f"trained on {data['train']:,}"
    if data["standin"]:
        return f"{data['label']} (rendered), {trained} faces, F={size}"
    if data["official_train"] is None:
        return f"{data['label']}, {trained} faces, F={size}"
    return f"{data['label']}, {trained} of {data['official_train']:,} images, F={size}"


def truth(profile, crops):
    """True landmarks of all faces at hand, in px of the F-pixel crop.

    Args:
        profile: a `config.Profile`.
        crops: its `datasets.crops.Crops`.

    Returns:
        points (B, N, 2) float64 px of the crop; subset (B,) str: "train", "common" or
        "challenging".
    """
    side, size = crops.meta["resolution"], profile.crops.size
    share = profile.crops.scale / profile.crops.context
    matrix, shift = augment.crop_affine(len(crops.points), size, side, share)
    points = augment.to_crop(torch.from_numpy(crops.points.copy()), matrix, shift, size, side)
    return points, crops.table["subset"].to_numpy(dtype=str)


@dataclass(frozen=True)
class Outputs:
    """What one trained 1D detector makes of B faces.

    Attributes:
        images: (B, 3, F, F) plain crops.
        points, predicted: (B, N, 2) px of the crop, predicted by the run's own decoder.
        h_x, h_y: (B, N, L) heatmaps.
        w_xy, w_yx: (B, C, positions, positions) affinity matrices (Eq. 9).
    """

    images: torch.Tensor
    points: torch.Tensor
    predicted: torch.Tensor
    h_x: torch.Tensor
    h_y: torch.Tensor
    w_xy: torch.Tensor
    w_yx: torch.Tensor


@torch.inference_mode()
def outputs(profile, run, crops, rows):
    """`Outputs` of a run on some of the cached faces; None where its weights are not here.

    A recorded run is not trained again for its weights, so a machine may have the one without
    the other.

    Args:
        profile: a `config.Profile`.
        run: one of its 1D runs, recorded.
        crops: its `Crops`.
        rows: which faces.
    """
    if not material.weights_file(profile, run).exists():
        return None
    model, faces = work.load_model(profile, run), material.faces_of(profile, crops, rows)
    settings = run.config
    images, points = augment.plain(
        faces.pictures, faces.points, size=settings.size, share=faces.share
    )
    h_x, h_y = model(images)
    predicted = training.decode((h_x, h_y), settings, settings.decoder)
    w_xy, w_yx = model.co_attention.affinities(*model.distributions(images))
    return Outputs(images, points, predicted, h_x, h_y, w_xy, w_yx)


@dataclass(frozen=True)
class Weighed:
    """What one trained 1D detector makes of B faces at other weights of co-attention than its own.

    Attributes:
        gammas: the weights, G of them.
        gamma: the one that it was trained at.
        images: (B, 3, F, F) plain crops.
        points: (B, N, 2) px of the crop.
        h_x, h_y: (G, B, N, L) heatmaps.
        w_xy, w_yx: (B, C, positions, positions) affinity matrices (Eq. 9), of no weight.
    """

    gammas: tuple
    gamma: float
    images: torch.Tensor
    points: torch.Tensor
    h_x: torch.Tensor
    h_y: torch.Tensor
    w_xy: torch.Tensor
    w_yx: torch.Tensor


def over_gammas(profile, run, crops, rows, gammas):
    """`Weighed` of a run on some of the cached faces; None where its weights are not here.

    Args:
        profile, run, crops, rows: as in `outputs`.
        gammas: weights of the attentive feature (Eq. 10).
    """
    if not material.weights_file(profile, run).exists():
        return None
    images, points = plain_crops(profile, crops, rows)
    return weighed(work.load_model(profile, run), images, points, gammas)


@torch.inference_mode()
def weighed(model, images, points, gammas):
    """`Weighed` of a 1D detector whose co-attention is between positions."""
    d_x, d_y = model.distributions(images)
    w_xy, w_yx = model.co_attention.affinities(d_x, d_y)
    rows_y = d_y.transpose(-1, -2)  # (B, C, positions, columns)
    h_x = [model.cnn2_x(coattention.fuse(d_x, w_yx, rows_y, gamma)) for gamma in gammas]
    h_y = [model.cnn2_y(coattention.fuse(rows_y, w_xy, d_x, gamma)) for gamma in gammas]
    found = torch.stack(h_x), torch.stack(h_y)
    return Weighed(tuple(gammas), model.co_attention.gamma, images, points, *found, w_xy, w_yx)


def scheme(profile):
    """The landmark scheme of a profile's dataset."""
    return material.scheme_of(profile.data, material.open_crops(profile))


# --- videos -----------------------------------------------------------------------------------


def plain_crops(profile, crops, rows):
    """Unvaried crops of some cached faces: images (n, 3, F, F), points (n, N, 2) px of the crop."""
    faces = material.faces_of(profile, crops, rows)
    return augment.plain(faces.pictures, faces.points, size=profile.crops.size, share=faces.share)


def frames_of(crops, count, step):
    """Rows of every so many-th frame of the first test video of each subset.

    Args:
        crops: `Crops` of videos.
        count: frames of each video, at most.
        step: frames between two of them.
    """
    table = crops.table[crops.table["split"] == "test"]
    rows = []
    for _, there in table.groupby("subset", sort=True):
        first = there[there["video"] == there["video"].min()].sort_values("frame")
        rows += list(first.index[::step][:count])
    return np.array(rows)


@dataclass(frozen=True)
class Refinements:
    """What a tracker made of one landmark in each of K frames.

    Attributes:
        before, after: pairs (h_x, h_y), each (K, L): detected heatmaps and refined ones.
        points: (K, 2) true places, px of the crop.
        landmarks: (K,) which landmark, the one that the refinement moved furthest.
        size: F, px.
    """

    before: tuple
    after: tuple
    points: torch.Tensor
    landmarks: tuple
    size: int


@torch.inference_mode()
def refinements(profile, run, crops, frames):
    """`Refinements` of a 1D tracker in some test frames; None where its weights are not here.

    Args:
        profile: a `config.Profile`.
        run: one of its 1D trackers, recorded.
        crops: `Crops` of its videos.
        frames: table with columns video and frame; the tracker starts at each video's first.
    """
    if not material.weights_file(profile, run).exists():
        return None
    tracker, settings = work.load_model(profile, run), run.config
    found = []
    for video, frame in frames[["video", "frame"]].itertuples(index=False):
        table = crops.table[(crops.table["video"] == video) & (crops.table["frame"] <= frame)]
        rows = table.sort_values("frame").index.to_numpy()
        images, points = plain_crops(profile, crops, rows)
        detected, state = tracker.detector(images), None
        for t in range(len(rows)):
            refined, state = tracker.refine(*(e[t : t + 1] for e in detected), state)
        last = tuple(e[-1:] for e in detected)
        moved = [training.decode(h, settings, settings.decoder)[0] for h in (last, refined)]
        n = int((moved[0] - moved[1]).norm(dim=-1).argmax())
        found.append((n, [h[0, n] for h in last], [h[0, n] for h in refined], points[-1, n]))
    numbers, before, after, places = zip(*found, strict=True)
    pairs = [tuple(map(torch.stack, zip(*side, strict=True))) for side in (before, after)]
    return Refinements(*pairs, torch.stack(places), numbers, settings.size)
