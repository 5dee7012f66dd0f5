"""What a profile costs before it is run: memory, disk and GPU-hours of its trainings.

Every model is built and stepped without memory for it (`study.memory`), and no data is read but
the counts of cached crops. An estimate: GPU-hours are operations over a rate that a GPU is assumed
to sustain, and reading, augmenting and scoring are thought to hide behind it.
"""

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from study import config as configs, datasets, material, memory, paths, training, work
from study.config import TrackerConfig
from study.datasets import crops as crop_cache, w300vw
from study.datasets.augment import Augmentation
from study.models.objectives import OBJECTIVES
from study.standin import own as standin

# TFLOP/s that a GPU is assumed to sustain in a training: two thirds of what a V100, the usual card
# of 32 GiB, does at most in float32.
TFLOPS = 10.0
GB = 1e9  # bytes, as disks are sold


# --- faces ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Faces:
    """How many faces there are to train on, to hold out and to test on.

    Attributes:
        train, held, test: counts of faces, or of frames.
        source: where they are from, for the reader.
    """

    train: int
    held: int
    test: int
    source: str

    @property
    def all(self):
        """Faces of the whole data set."""
        return self.train + self.held + self.test


def of_stills(profile, data=None):
    """`Faces` of a data set of stills: of the cached crops, else as published or to be drawn.

    Args:
        data: a `config.Data`; None is the profile's stills.
    """
    data = data or profile.data
    crops = material.open_crops(profile, data.name)
    if crops is None:
        return _declared(data, profile.validation.share)
    counts = (int(mask.sum()) for mask in material.split(profile, crops))
    return Faces(*counts, f"{data.name}: cached crops")


def of_videos(profile, data):
    """`Faces` of one of a profile's video data sets, as `of_stills`."""
    faces, crops = material.open_crops(profile), material.open_crops(profile, data.name)
    if faces is None or crops is None:
        return _declared(data, profile.validation.share)
    counts = (int(mask.sum()) for mask in material.split_videos(profile, faces, crops))
    return Faces(*counts, f"{data.name}: cached crops")


def _declared(data, share):
    """`Faces` of a data set that is not here; the held-out share is one of faces."""
    made, reader = _made(data), datasets.reader(data.name)
    if made is None and data.name == datasets.OWN:
        return _found(data, share)
    sizes = _official(reader) if made is None else made
    sides = {"train": 0, "test": 0}
    for folder in reader.FOLDERS:
        sides[folder.split] += sizes.get(folder.path, 0)
    held = round(share * sides["train"])
    source = "the official counts" if made is None else "to be made as the profile says"
    return Faces(sides["train"] - held, held, sides["test"], f"{data.name}: {source}")


def _found(data, share):
    """`Faces` of data of one's own, as its folder holds them."""
    sides = datasets.load(data.name, paths.ROOT / data.root)["split"].value_counts()
    held = round(share * sides["train"])
    return Faces(sides["train"] - held, held, sides["test"], f"{data.name}: {data.root}")


def _official(reader):
    """Faces of each official folder, frames with wrong annotations left out."""
    sizes = {folder.path: folder.official for folder in reader.FOLDERS}
    if reader is w300vw:
        for video, broken in w300vw.BROKEN.items():
            sizes[w300vw.VIDEOS[video]] -= len(broken)
    return sizes


def _made(data):
    """Faces of each folder of stand-ins or of stills in motion; None where they are real."""
    if getattr(data, "motion", None):
        return {name: data.motion.frames * clips for name, clips in data.motion.clips.items()}
    if data.standin is None:
        return None
    if hasattr(data.standin, "faces"):
        return data.standin.faces
    if not data.standin.videos:  # Talking Face is one video
        return {folder.path: data.standin.frames for folder in datasets.reader(data.name).FOLDERS}
    return {name: data.standin.frames * count for name, count in data.standin.videos.items()}


# --- networks ---------------------------------------------------------------------------------


def ledger(config, landmarks=memory.LANDMARKS):
    """`memory.ledger`, counted once for all configurations that need the same.

    Differs from it for 2D trackers on clips of more than three frames: `live` is empty.
    """
    return _ledger(_essential(config), landmarks)


@functools.cache
def _ledger(config, landmarks):
    if config.model == "tracker2d" and config.frames > 3:
        return _of_long_clips(config, landmarks)
    return memory.ledger(config, landmarks)


def _of_long_clips(config, landmarks):
    """A 2D tracker's ledger from clips of 2 and 3 frames: each more adds what the third did."""
    two, three = (
        memory.ledger(dataclasses.replace(config, frames=frames), landmarks) for frames in (2, 3)
    )
    grown = {
        name: getattr(three, name)
        + (config.frames - 3) * (getattr(three, name) - getattr(two, name))
        for name in ("inputs", "activations", "peak", "flops", "forward_flops")
    }
    return dataclasses.replace(three, **grown, live=np.empty(0, np.int64))


def _essential(config):
    """A configuration with what changes neither memory nor operations set to one value."""
    same = dict(epochs=1, schedule="constant", warmup=0.0, rate=1.0)
    if isinstance(config, TrackerConfig):
        plain = dict(lam=0.0, variants=1, detector=_essential(config.detector))
        return dataclasses.replace(config, **same, **plain)
    decoder = OBJECTIVES[config.model].decoders[0]
    plain = dict(sigma=0.1, decoder=decoder, augmentation=Augmentation(), frame_step=0)
    plain |= dict(gamma=float(config.gamma > 0), rule="centre")
    return dataclasses.replace(config, **same, **plain)


# --- the plan ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What one training sees.

    Attributes:
        samples: faces, or frames, of an epoch.
        held: faces or frames that it is validated on after each epoch.
        tested: faces or frames that are predicted when it is done, each as often as it is.
    """

    samples: int
    held: int
    tested: int


def _of_folds(faces, folds):
    """`Seen` of one training of a cross-validation; folds hold about as many faces each."""
    held = round(faces / folds)
    return Seen(faces - held, held, 0)


class Plan:
    """What a profile's trainings cost.

    Args:
        profile: a `config.Profile`.
        tflops: TFLOP/s, sustained.

    Attributes:
        stills, aflw: `Faces`, of AFLW None where the profile has none. videos: `Faces` of each
            video data set, the one to train on first.
        uncounted: runs that take no training steps, which the table leaves out.
        table: pandas.DataFrame, one row a name of runs: name, model, length (L), seeds (how
            many), parameters, batch (faces, or clips), peak_gib (of a training step), samples
            (faces or frames of an epoch), epochs, hours (GPU-hours of all seeds), weights_gb and
            predictions_gb (of all seeds; before compression), passing_gb (of one training, while
            it lasts).
    """

    def __init__(self, profile, tflops=TFLOPS):
        self.profile, self.tflops = profile, tflops
        self.stills = of_stills(profile)
        self.aflw = of_stills(profile, profile.aflw) if profile.aflw else None
        self.videos = [of_videos(profile, data) for data in profile.videos]
        by_name = {}
        self.uncounted = tuple(run for run in profile.runs if run.config.model in configs.FITTED)
        for run in profile.runs:
            if run not in self.uncounted:
                by_name.setdefault(run.name, []).append(run)
        self.table = pd.DataFrame([self._row(runs[0], len(runs)) for runs in by_name.values()])

    @property
    def sets(self):
        """`Faces` of every data set."""
        return [there for there in (self.stills, self.aflw, *self.videos) if there]

    def landmarks(self, run):
        """N, of what a run is trained on."""
        data, cache = self.profile.data_of(run), self.profile.cache_of(run)
        if not data.own:
            return datasets.reader(data.name).SCHEME.count
        if data.standin is not None:
            return standin.SCHEME.count
        return material.scheme_of(data, material.open_crops(self.profile, cache)).count

    def _row(self, run, seeds):
        found, hour = ledger(run.config, self.landmarks(run)), self.tflops * 1e12 * 3600
        return {
            "name": run.name,
            "model": run.config.model,
            "length": run.config.length,
            "seeds": seeds,
            "parameters": found.parameters,
            "batch": run.config.batch,
            "peak_gib": found.peak / memory.GIB,
            "samples": self.seen(run).samples,
            "epochs": run.config.epochs,
            "hours": seeds * self.operations(run) / hour,
            "weights_gb": seeds * (found.weights + found.buffers) / GB,
            "predictions_gb": seeds * self.predictions(run) / GB,
            "passing_gb": self.passing(run) / GB,
        }

    def seen(self, run):
        """`Seen` of a run."""
        if run.group == "folds":
            return _of_folds(self.stills.train + self.stills.held, run.folds)
        if run.group not in configs.ON_VIDEO:
            faces = self.aflw if run.data else self.stills
            tested = faces.test if run.group in configs.TESTED else 0
            return Seen(faces.train, faces.held, tested)
        video, first = self.profile.video, self.videos[0]
        apart = round(video.apart * first.train)
        if run.group == "tracker_folds":
            return _of_folds(apart or first.train, run.folds)
        if run.group == "tracker":
            frames = sum(there.test for there in self.videos)
            return Seen(apart or first.train, first.held, len(_residuals(run.config)) * frames)
        step = run.config.frame_step
        frames, held = ((first.train - apart) // step, first.held // step) if step else (0, 0)
        # Stills that are set in motion in clips that are kept apart are so, too.
        hidden = apart // video.motion.frames if video.motion else 0
        return Seen(self.stills.train - hidden + frames, self.stills.held + held, 0)

    def operations(self, run):
        """Floating point operations of a training, with its validations and its test.

        Each frame of a `tracker1d` passes the detector once for each of its cached versions, and
        whenever it is predicted in the test.
        """
        config, seen, found = run.config, self.seen(run), ledger(run.config, self.landmarks(run))
        faces = config.batch * getattr(config, "frames", 1)  # of a step
        forward = found.forward_flops / faces
        trained = config.epochs * seen.samples * found.flops / faces
        validated = (config.epochs + 1) * seen.held * forward
        if config.model != "tracker1d":
            return trained + validated + seen.tested * forward
        inside = ledger(config.detector, self.landmarks(run)).forward_flops / config.detector.batch
        detected = (config.variants * seen.samples + seen.held) * inside
        return trained + validated + detected + seen.tested * (forward + inside)

    def predictions(self, run):
        """Bytes of a run's predictions.npz before compression, without the names of faces."""
        if run.group not in configs.TESTED:
            return 0
        tracks = run.group == "tracker"
        names = _residuals(run.config) if tracks else training.decoders_of(run.config)
        count = self.landmarks(run)
        face = len(names) * count * 2 * 2 + 2 * 8  # float16 residuals, two normalizers
        if not tracks:
            return self.seen(run).tested * face
        face += count + 4 + 8 * 4  # what is occluded, the frame, measures of motion
        return sum(there.test for there in self.videos) * face

    def passing(self, run):
        """Bytes on disk while a training lasts: a checkpoint, and a `tracker1d`'s heatmaps."""
        config, seen, found = run.config, self.seen(run), ledger(run.config, self.landmarks(run))
        checkpoint = found.weights + found.buffers + found.adam + found.average
        if config.model != "tracker1d":
            return checkpoint
        frames = config.variants * seen.samples + seen.held
        maps = 2 * self.landmarks(run) * config.length  # along two axes
        return checkpoint + frames * maps * 2  # float16

    def crops(self):
        """Bytes of the cached crops of all data sets."""
        side = crop_cache.resolution(**dataclasses.asdict(self.profile.crops))
        return 3 * side**2 * sum(there.all for there in self.sets)

    def totals(self):
        """What the whole profile costs.

        Returns:
            dict: trainings; peak_gib, and the name of the runs that need it; hours; weights_gb,
            predictions_gb and crops_gb, which are kept; passing_gb, of as many trainings at once
            as the profile's machine runs.
        """
        rows, jobs = self.table, self.profile.machine.jobs
        highest = rows.loc[rows["peak_gib"].idxmax()]
        return {
            "trainings": int(rows["seeds"].sum()),
            **{name: highest[name] for name in ("peak_gib", "name")},
            **{name: rows[name].sum() for name in ("hours", "weights_gb", "predictions_gb")},
            "crops_gb": self.crops() / GB,
            "passing_gb": rows["passing_gb"].nlargest(jobs).sum(),
        }

    def __str__(self):
        found, faces = self.totals(), [there.source for there in self.sets]
        kept = sum(found[name] for name in ("weights_gb", "predictions_gb", "crops_gb"))
        jobs = self.profile.machine.jobs
        lines = [
            *(_aligned(self.table), ""),
            "batch: faces, or clips of trackers; samples: faces or frames of an epoch; GiB: the",
            "peak of a training step, without the context and the workspaces of a GPU",
            f"faces          {'; '.join(faces)}",
            f"trainings      {found['trainings']}",
            *self._uncounted(),
            f"memory         {found['peak_gib']:.2f} GiB at most, of {found['name']}",
            f"disk, kept     {kept:.1f} GB: weights {found['weights_gb']:.1f}, predictions before "
            f"compression {found['predictions_gb']:.1f}, crops {found['crops_gb']:.1f}",
            f"disk, passing  {found['passing_gb']:.1f} GB: checkpoints and cached heatmaps, "
            f"{jobs} training{'s'[: jobs > 1]} at once",
            f"GPU-hours      {found['hours']:.1f} at {self.tflops:g} TFLOP/s, a rate that is "
            "assumed (--tflops)",
        ]
        return "\n".join(lines)


    def _uncounted(self):
        """The line that names runs which take no steps; none without such runs."""
        names = ", ".join(dict.fromkeys(run.name for run in self.uncounted))
        return [f"not counted    {names}: fitted in minutes, without gradients"] if names else []


def _residuals(config):
    """Names of the predictions of `work.measure`, each of all test frames."""
    names = dict.fromkeys(["residual", f"residual_{work.BELOW_THE_BIN}", "residual_previous"])
    if config.decoder == work.BELOW_THE_BIN:
        del names[f"residual_{work.BELOW_THE_BIN}"]
    more = ["averaged", "residual_without"] if getattr(config, "lam", 0) else []
    return [*names, "detected", *(more if config.model == "tracker1d" else [])]


def _aligned(rows):
    """The rows as text, without what the totals alone show."""
    shown = rows.drop(columns=["length", "weights_gb", "predictions_gb", "passing_gb"])
    shown = shown.assign(
        parameters=[f"{count / 1e6:.2f} M" for count in rows["parameters"]],
        peak_gib=[f"{peak:.2f}" for peak in rows["peak_gib"]],
        hours=[f"{hours:.2f}" for hours in rows["hours"]],
    )
    shown = shown.rename(columns={"name": "run", "peak_gib": "GiB", "hours": "GPU-hours"})
    return shown.to_string(index=False)
