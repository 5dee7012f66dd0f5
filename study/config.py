"""Parameters: a profile's `params.yaml` becomes frozen dataclasses, and wrong keys fail by name.

One file a profile. `training` holds what all its trainings share, `models` what those of one
model share, `runs` the trainings themselves; the more special wins.
"""

import dataclasses
import re
import types
from dataclasses import dataclass, field

import yaml

from study import paths
from study.datasets import OWN, READERS
from study.datasets.augment import Augmentation
from study.models import MODELS, TRACKERS, lab
from study.models.coattention import FUSIONS
from study.models.detector import deconvolution_stride, halvings, means
from study.models.hourglass import require_size
from study.models.objectives import DIRECT, OBJECTIVES

PROFILES = ("demo", "cpu", "paper", "tiny", "own", "own_tiny")
CHOICES = {
    "schedule": ("one-cycle", "steps", "constant"),
    "precision": ("float32", "bfloat16"),
    "fusion": FUSIONS,
    "rule": ("centre", "floor"),
}
POSITIVE = (
    *("size", "channels", "stacks", "depth", "width", "columns", "hidden"),
    *("sigma", "epochs", "batch", "rate"),
)
# Detectors that are no row of the paper's Table 1.
RIVALS = ("simcc", "coordinates", "integral", "lab", "lab1d", "lab_landmarks", "sdm")
WITHOUT_BINS = ("coordinates", "sdm")
FITTED = ("sdm", "sdm_tracker", "sta")  # by other means than gradients: no step, so no ledger
# Detectors of any landmarks, as on AFLW and one's own data: LAB's boundaries, SDM's scores and
# all videos are of 68 points.
ON_AFLW = ("detector1d", "detector2d", "simcc", "coordinates", "integral")
# The detector that each tracker holds.
INSIDE = {
    **{"tracker1d": "detector1d", "tracker2d": "detector2d", "gan": "coordinates"},
    **{"sdm_tracker": "sdm", "sta": "detector2d"},
}
CLASSES = 3  # k of SimCC, classes a px: as many bins as the paper's highest resolution has
# Keys that not every model can use, and those that can: to give them to another is a mistake.
USED_BY = {
    **dict.fromkeys(("fusion", "head_length"), ("detector1d",)),
    "gamma": ("detector1d", "lab1d", "lab_landmarks"),
    "rule": ("detector1d", "detector2d"),
    "length": ("detector1d", "detector2d", "simcc", "integral", "lab1d", "lab_landmarks"),
    "sigma": ("detector1d", "detector2d", "simcc", "lab1d", "lab_landmarks"),
    "decoder": ("detector1d", "detector2d", "simcc"),
}


class ConfigError(ValueError):
    """A parameter that does not exist or cannot be; the message names file and key."""


def _require_choices(config, choices):
    for key, known in choices.items():
        if getattr(config, key) not in known:
            raise ConfigError(f"{key} {getattr(config, key)!r}: there are {', '.join(known)}")


def _require_positive(config, keys):
    for key in keys:
        if not getattr(config, key) > 0:
            raise ConfigError(f"{key} is {getattr(config, key)}; it must be positive")


def _require_shares(config, keys):
    for key in keys:
        if not 0 <= getattr(config, key) < 1:
            raise ConfigError(f"{key} is {getattr(config, key)}; it must be in [0, 1)")


@dataclass(frozen=True)
class TrainingConfig:
    """All that decides what one training computes, but for its data and its seed.

    Attributes:
        model: a key of `study.models.MODELS`.
        size: F, px. length: L, bins; 0 of coordinates, which have none. gamma: weight of
            co-attention (1D only).
        fusion: how co-attention is read, "positions", or "rows" (the other reading of Eq. 9) or
            "pooled" (no attention: the control). head_length: bins that the 1D head gives, whose
            means are the L bins; 0 is L (all three 1D only).
        channels, stacks, depth: of the backbone. width, columns, hidden: of the head.
        sigma: standard deviation of the targets as a share of the crop's side, so the same
            width in px at every L; never less than one bin, which would starve the target.
        rule: "centre": targets around the continuous landmark, read at the centres of bins; or
            "floor", the paper's Eq. 3, 4 and 7: targets around the bin that a landmark is rounded
            down to, read at its start.
        decoder: turns heatmaps into the points that are scored; others are recorded beside.
            "direct" of coordinates and integral regression, whose outputs are points.
        loss: one of the model's in `study.models.objectives`: "squares" of heatmaps, "kl" of
            SimCC, "wing" or "l2" of coordinates, "l1" of integral regression, "boundaries" of the
            three LABs: the wing of points, and squares of what is recognised.
        epochs, batch: passes over the training faces, and faces a step. Of SDM: views of each
            face that it is fitted on, all at once.
        schedule: "one-cycle" (up over the first `warmup` share of the steps, down to nothing),
            "steps" (a tenth at 1/2 and again at 5/6 of the epochs) or "constant".
        rate: the highest learning rate of Adam.
        average: decay of the running average of the weights that is validated and kept; 0 keeps
            the last weights themselves.
        augmentation: how far training faces are varied.
        precision: "float32" or "bfloat16" (autocast).
        frame_step: every so many-th frame of the training videos joins the stills; 0 is none.
    """

    model: str
    size: int
    length: int
    gamma: float = 0.4
    channels: int = 32
    stacks: int = 1
    depth: int = 4
    width: int = 64
    columns: int = 4
    hidden: int = 128
    sigma: float = 0.035
    decoder: str = "argmax"
    loss: str = "squares"
    epochs: int = 30
    batch: int = 16
    schedule: str = "one-cycle"
    warmup: float = 0.3
    rate: float = 2.0e-3
    average: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: str = "float32"
    frame_step: int = 0
    fusion: str = "positions"
    head_length: int = 0
    rule: str = "centre"

    def __post_init__(self):
        _require_choices(self, {"model": tuple(MODELS), **CHOICES})
        objective = OBJECTIVES[self.model]
        own = {"decoder": objective.decoders, "loss": tuple(objective.losses)}
        _require_choices(self, own)
        _require_positive(self, POSITIVE)
        _require_shares(self, ("average", "warmup", "sigma"))
        if self.batch < 2:
            raise ConfigError("batch is 1; batch norm needs two faces")
        if self.frame_step < 0:
            raise ConfigError(f"frame_step is {self.frame_step}; it must be 0 or more")
        self._require_shapes()

    def _require_shapes(self):
        """Sizes that no model can have fail here, not when the training starts."""
        if (self.length > 0) != (self.model not in WITHOUT_BINS):
            known = " and ".join(WITHOUT_BINS)
            raise ConfigError(f"length is {self.length}; it must be positive, and 0 of {known}")
        if self.channels % 4 or max(self.channels // 2, 32) % 4:
            raise ConfigError(f"channels is {self.channels}; FAN's block splits it in quarters, "
                              "and its half in quarters too")
        try:
            require_size(self.size, self.size, self.depth)
            if self.model not in ("simcc", *WITHOUT_BINS):
                deconvolution_stride(self.size, self.head_length or self.length)
                means(self.length, self.head_length)
            halvings(self.size // 4, self.columns)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    @property
    def target_sigma(self):
        """Standard deviation of the targets in bins."""
        return max(1.0, self.sigma * self.length)


@dataclass(frozen=True)
class TrackerConfig:
    """All that decides what the training of a tracker computes, but for its data and its seed.

    Attributes:
        model: a key of `study.models.TRACKERS`.
        detector: the configuration of the detector inside, which is trained first; the tracker
            of seed s holds the detector of seed s.
        lam: λ, what a past frame's features are worth to the next (Eq. 13; 1D only).
        adversarial: weight of the discriminator's word in what is trained (GAN only).
        hidden: channels of CNN3 and CNN4, or the LSTM's memory of the 2D tracker and the GAN.
        frames: T, consecutive frames of a training clip; nothing is remembered before them.
        variants: how many augmented versions of each training video there are, the plain one
            included; what the detector makes of all is cached (not of the 2D tracker).
        rotation, scale, mirror: how far the versions are varied, as in `Augmentation`; one draw
            a video, so that its motion stays smooth.
        passing: rectangles that pass before the face in 25 frames of a varied version.
        epochs, batch, schedule, warmup, rate, average, precision: as in `TrainingConfig`; a
            batch is of clips.
    """

    model: str
    detector: TrainingConfig
    lam: float = 0.3
    hidden: int = 64
    frames: int = 8
    variants: int = 2
    rotation: float = 20.0
    scale: float = 0.1
    mirror: float = 0.5
    passing: float = 2.0
    epochs: int = 10
    batch: int = 8
    schedule: str = "one-cycle"
    warmup: float = 0.3
    rate: float = 2.0e-3
    average: float = 0.0
    precision: str = "float32"
    adversarial: float = 0.0

    def __post_init__(self):
        choices = {"model": tuple(TRACKERS), "schedule": CHOICES["schedule"]}
        _require_choices(self, {**choices, "precision": CHOICES["precision"]})
        _require_positive(self, ("hidden", "frames", "variants", "epochs", "batch", "rate"))
        _require_shares(self, ("average", "warmup"))
        if not 0 <= self.lam <= 1:
            raise ConfigError(f"lam is {self.lam}; it must be in [0, 1] (Eq. 13)")
        if not 0 <= self.adversarial:
            raise ConfigError(f"adversarial is {self.adversarial}; it must be 0 or more")
        inside = INSIDE[self.model]
        if self.detector.model != inside:
            raise ConfigError(f"a {self.model} holds a {inside}, not a {self.detector.model}")

    @property
    def size(self):
        """F, px, of the detector inside."""
        return self.detector.size

    @property
    def length(self):
        """L, bins, of the detector inside."""
        return self.detector.length

    @property
    def decoder(self):
        """The decoder of the detector inside; trackers that give points have none."""
        return DIRECT if DIRECT in OBJECTIVES[self.model].decoders else self.detector.decoder

    @property
    def rule(self):
        """How the detector inside rounds."""
        return self.detector.rule

    @property
    def target_sigma(self):
        """Standard deviation of the targets in bins."""
        return self.detector.target_sigma


@dataclass(frozen=True)
class StandIns:
    """Rendered faces in place of photographs: how many in each folder, and their seed."""

    seed: int
    faces: dict


@dataclass(frozen=True)
class Data:
    """The dataset of a profile.

    Attributes:
        name: a name that `study.datasets.load` knows.
        root: its official folder, or one's own, from the project's root.
        source: what the folder comes from, for DVC: itself, or the drawing of the stand-ins.
        standin: what to render into the folder, or None for photographs.
        boxes: a file of the publisher's face detector's boxes (`datasets.boxes`), or "".
    """

    name: str
    root: str
    source: str
    standin: StandIns | None = None
    boxes: str = ""

    def __post_init__(self):
        if self.name not in READERS:
            raise ConfigError(f"name {self.name!r}: there are {', '.join(READERS)}")
        if self.own and not self.standin and self.source != self.root:
            raise ConfigError(f"source is {self.source!r}; of {OWN} it must be root, {self.root!r}")

    @property
    def label(self):
        """What a number was measured on, as printed beside it."""
        if self.own:
            return "stand-ins as own data" if self.standin else f"own data in {self.root}"
        return f"stand-ins in {self.name}'s layout" if self.standin else self.name

    @property
    def own(self):
        """Whether it is data of one's own, whose folder says which landmarks there are."""
        return self.name == OWN


@dataclass(frozen=True)
class VideoStandIns:
    """Rendered videos: frames of each, their seed, and how many videos of each subset."""

    seed: int
    frames: int
    videos: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Motion:
    """Stills set in motion: frames of each clip, clips of each subset, side of a frame in px."""

    seed: int
    frames: int
    clips: dict
    size: int = 256


@dataclass(frozen=True)
class VideoData:
    """A video data set of a profile.

    Attributes:
        name, root, source: as in `Data`.
        standin: what to render into the folder, or None.
        motion: how to set the profile's stills in motion and write them there, or None. With
            neither, the folder holds real videos.
        apart: share of the training videos that detectors inside trackers never see, and that
            trackers are trained on; 0 trains both on all of them. On faces that it has learnt
            by heart a detector hardly errs, and a tracker learns there that it never does.
    """

    name: str
    root: str
    source: str
    standin: VideoStandIns | None = None
    motion: Motion | None = None
    apart: float = 0.0

    def __post_init__(self):
        if self.name not in VIDEOS:
            raise ConfigError(f"name {self.name!r}: there are {', '.join(VIDEOS)}")
        _require_shares(self, ("apart",))
        if self.standin and self.motion:
            raise ConfigError("standin and motion: a folder holds the one or the other")

    @property
    def label(self):
        """What a number was measured on, as printed beside it."""
        if self.motion:
            return "300W stills in motion"
        return f"stand-ins in {self.name}'s layout" if self.standin else self.name

    @property
    def real(self):
        """Whether the folder holds videos of a camera."""
        return not (self.standin or self.motion)


@dataclass(frozen=True)
class CropSettings:
    """Arguments of `study.datasets.crops.build`."""

    size: int
    scale: float = 1.25
    context: float = 2.0
    oversample: float = 1.25

    def __post_init__(self):
        if not (self.size > 0 and self.oversample > 0 and 0 < self.scale <= self.context):
            raise ConfigError("all must be positive, and context at least scale")


@dataclass(frozen=True)
class Validation:
    """The fixed validation split: its share of the training photographs, and its seed."""

    share: float = 0.1
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share}; it must be between 0 and 1")


@dataclass(frozen=True)
class Machine:
    """How trainings share the machine: how many at once, with how many threads each."""

    jobs: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Run:
    """One training: a configuration and a seed, under a name.

    `group` says what it serves: "resolution" runs fill Table 1 and are scored on the test set
    once, as "coattention" runs are, which differ in γ, and "rival" runs, detectors of other kinds.
    "search" runs are candidates, and see the validation split alone, as "video" runs do:
    detectors trained on frames of videos too, which stand inside trackers. "tracker" runs are
    trackers, scored on the test videos beside the detector inside, whose run's name is `detector`
    ("" for detectors). "ablation" runs are detectors that are tested too, and differ from one of
    "resolution" in what the name says. "aflw" runs are detectors whose `data` is AFLW in place
    of the profile's stills, and are scored on its test faces. "shipped" is the detector whose
    weights come with the project. "folds" and "tracker_folds" runs belong to cross-validations:
    `folds` runs of one name and seed, each validated on its `fold` of what is trained on
    elsewhere, and tested on nothing.
    """

    name: str
    seed: int
    group: str
    config: TrainingConfig | TrackerConfig
    detector: str = ""
    fold: int = 0
    folds: int = 0
    data: str = ""

    @property
    def id(self):
        """The name of its record: name, fold (where there are any) and seed."""
        fold = f"-f{self.fold}" if self.folds else ""
        return f"{self.name}{fold}-s{self.seed}"


@dataclass(frozen=True)
class Profile:
    """All parameters of a profile."""

    name: str
    data: Data
    crops: CropSettings
    validation: Validation
    machine: Machine
    runs: tuple
    flagship: str
    video: VideoData | None = None
    talking: VideoData | None = None
    tracker: str = ""
    aflw: Data | None = None

    def data_of(self, run):
        """The `Data` of stills that a run is trained on."""
        return self.aflw if run.data else self.data

    def cache_of(self, run):
        """Name of the cached crops of stills that a run is trained on.

        That of its data set; behind it F where a run's is larger than the profile's, since crops
        must not have more px than the pictures that they are sampled from.
        """
        name, size = self.data_of(run).name, run.config.size
        return name if size <= self.crops.size else f"{name}-{size}"

    def settings_of(self, cache):
        """The `CropSettings` of cached crops by their name."""
        size = cache.partition("-")[2]
        return dataclasses.replace(self.crops, size=int(size)) if size else self.crops

    @property
    def large(self):
        """Names of the caches of stills that have more px than the profile's: "300W-128"."""
        return tuple(sorted({cache for cache in map(self.cache_of, self.runs) if "-" in cache}))

    @property
    def videos(self):
        """The video data sets of the profile; the first is the one that trackers train on."""
        return tuple(data for data in (self.video, self.talking) if data)

    def inside(self, run):
        """The run of the detector inside a tracker's run, of the same seed."""
        return self.run(f"{run.detector}-s{run.seed}")

    def run(self, id):
        """The run of this id, e.g. "detector1d_L192-s0".

        Raises:
            ConfigError: there is none; names those that are there.
        """
        for run in self.runs:
            if run.id == id:
                return run
        known = ", ".join(run.id for run in self.runs)
        raise ConfigError(f"profile {self.name} has no run {id!r}; it has {known}")

    def group(self, name):
        """The runs of a group, in the order in which they are trained."""
        return tuple(run for run in self.runs if run.group == name)


# Groups that are scored on test data, and those that are not.
TESTED = ("resolution", "coattention", "ablation", "rival", "aflw", "tracker")
GROUPS = (*TESTED, "search", "shipped", "video", "folds", "tracker_folds")
ON_VIDEO = ("video", "tracker", "tracker_folds")
IN_FOLDS = ("folds", "tracker_folds")
VIDEOS = ("300VW", "TF")
AFLW = "AFLW"  # the one other set of stills, whose runs are the group "aflw"
RUN_KEYS = {"group", "seeds", "folds", "data"}
TOP_KEYS = {
    *("profile", "root", "params_file", "data", "aflw", "video", "talking", "crops"),
    "validation",
    *("machine", "training", "models", "runs", "flagship", "tracker"),
}


def _matches(value, kind):
    if isinstance(kind, types.UnionType):
        return any(_matches(value, one) for one in kind.__args__)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def fill(kind, values, where):
    """A dataclass from a mapping; unknown keys, missing keys and wrong types fail by name.

    Args:
        kind: the dataclass.
        values: mapping from its fields to values; nested mappings fill nested dataclasses.
        where: what the message names, e.g. "params.yaml: crops".

    Raises:
        ConfigError
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected a mapping, found {values!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(str(key) for key in set(values) - set(fields))
    if unknown:
        known = ", ".join(fields)
        raise ConfigError(f"{where}: no such key: {', '.join(unknown)}. There are: {known}")
    filled = {}
    for key, value in values.items():
        filled[key] = _value(fields[key].type, value, f"{where}.{key}")
    try:
        return kind(**filled)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except TypeError:
        required = [
            f.name
            for f in fields.values()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        missing = ", ".join(sorted(set(required) - set(values)))
        raise ConfigError(f"{where}: missing: {missing}") from None


def _value(kind, value, where):
    options = kind.__args__ if isinstance(kind, types.UnionType) else (kind,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(value, option):
            return value
        if dataclasses.is_dataclass(option) and isinstance(value, dict):
            return fill(option, value, where)
    if not _matches(value, kind):
        name = getattr(kind, "__name__", str(kind))
        raise ConfigError(f"{where}: {value!r} is {type(value).__name__}, not {name}")
    return float(value) if kind is float else value


def _section(raw, key, where):
    section = raw.get(key) or {}
    if not isinstance(section, dict):
        raise ConfigError(f"{where}: {key} is no mapping")
    return section


def _merge(*sections):
    """Later sections win; `augmentation` is merged key by key."""
    merged = {}
    for section in sections:
        old, new = merged.get("augmentation"), section.get("augmentation")
        both = isinstance(old, dict) and isinstance(new, dict)
        merged = {**merged, **section, **({"augmentation": {**old, **new}} if both else {})}
    return merged


def _seeds(values, where):
    seeds = values.get("seeds", [0])
    if not (isinstance(seeds, list) and seeds and all(_matches(seed, int) for seed in seeds)):
        raise ConfigError(f"{where}.seeds: {seeds!r} is no list of whole numbers")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"{where}.seeds: {seeds!r} names a seed twice")
    return seeds


def _runs(raw, size, where):
    models = _section(raw, "models", where)
    kinds = (*MODELS, *TRACKERS)
    unknown = sorted(str(key) for key in set(models) - set(kinds))
    if unknown:
        known = ", ".join(kinds)
        raise ConfigError(f"{where}: models: no such key: {', '.join(unknown)}. There are: {known}")
    found = {}
    sections = _section(raw, "runs", where)
    # Detectors first: a tracker's configuration holds that of the detector inside.
    for name in sorted(sections, key=lambda name: _is_tracker(sections[name])):
        here = f"{where}: runs.{name}"
        values = sections[name]
        # A run's name is a folder's name, and DVC reads a dot as a level.
        if not re.fullmatch(r"[\w-]+", str(name)):
            raise ConfigError(f"{here}: a run's name is letters, digits, _ and -")
        if not isinstance(values, dict):
            raise ConfigError(f"{here}: expected a mapping, found {values!r}")
        own = {key: value for key, value in values.items() if key not in RUN_KEYS}
        shared = _section(models, own.get("model"), f"{where}: models")
        if _is_tracker(values):
            inside = _inside(found, own.get("detector"), here)
            config = fill(TrackerConfig, _merge(shared, own, {"detector": inside[0].config}), here)
        else:
            inside = []
            _require_used({**shared, **own}, here)
            model = own.get("model")
            common = {"size": size, **_used(_section(raw, "training", where), model)}
            given = _of_model(model, {**common, **shared, **own}["size"])
            config = fill(TrainingConfig, _merge(common, given, shared, own), here)
        found[name] = _seeded(str(name), values, config, inside, here)
    # All first seeds, then all second ones: an interrupted profile has every row once.
    listed = [run for name in sections for run in found[name]]
    return tuple(sorted(listed, key=lambda run: (run.group != "search", run.seed)))


def _of_model(model, size):
    """What a rival has in place of the values that heatmaps share: a mapping of keys."""
    if model == "simcc":
        return {"length": CLASSES * size, "loss": "kl"}
    if model == "coordinates":
        return {"length": 0, "decoder": DIRECT, "loss": "wing"}
    if model == "sdm":
        return {"length": 0, "decoder": DIRECT, "loss": "ridge"}
    if model == "integral":
        return {"decoder": DIRECT, "loss": "l1"}
    if model == "lab":
        maps = {"length": lab.CELLS, "sigma": lab.CELL_SIGMA / lab.CELLS}
        return {**maps, "decoder": DIRECT, "loss": "boundaries"}
    if model in ("lab1d", "lab_landmarks"):
        return {"decoder": DIRECT, "loss": "boundaries"}
    return {}


def _used(values, model):
    """Of what all trainings share, the keys that a model can use."""
    if model not in MODELS:
        return values
    return {key: value for key, value in values.items() if model in USED_BY.get(key, MODELS)}


def _require_used(values, where):
    """Keys that the model of a run cannot use fail by name."""
    model = values.get("model")
    unused = [key for key in values if key not in _used(values, model)]
    if unused:
        known = ", ".join(USED_BY[unused[0]])
        raise ConfigError(
            f"{where}: no such key of {model}: {', '.join(unused)}. With {unused[0]}: {known}"
        )


def _is_tracker(values):
    return isinstance(values, dict) and values.get("model") in TRACKERS


def _inside(found, name, where):
    """The runs of the detector that a tracker names."""
    detectors = [
        known
        for known, runs in found.items()
        if runs[0].config.model in MODELS and not runs[0].folds and not runs[0].data
    ]
    if name not in detectors:
        listed = ", ".join(map(str, detectors))
        raise ConfigError(f"{where}.detector: no detector {name!r}; there are {listed}")
    return found[name]


def _groups_of(config):
    """The groups that a run of a configuration can be in, its own if it names none first."""
    if isinstance(config, TrackerConfig):
        return ("tracker", "tracker_folds")
    if config.model in RIVALS:
        return ("rival", "search", *(["video"] if config.model in INSIDE.values() else []))
    shipped = ["shipped"] if config.model == "detector1d" else []
    return ("resolution", "coattention", "ablation", "search", "video", "folds", *shipped)


def _seeded(name, values, config, inside, where):
    """The runs of a name, one a seed."""
    data = _data(values, config, where)
    fitting = ("aflw",) if data else _groups_of(config)
    group = values.get("group", fitting[0])
    if group not in GROUPS:
        raise ConfigError(f"{where}: group {group!r}: there are {', '.join(GROUPS)}")
    if group not in fitting:
        on = f" on {data}" if data else ""
        raise ConfigError(f"{where}: group {group!r} does not fit a {config.model}{on}")
    seeds = _seeds(values, where)
    trained = {run.seed for run in inside}
    if inside and not set(seeds) <= trained:
        raise ConfigError(
            f"{where}.seeds: {sorted(set(seeds) - trained)} are no seeds of {inside[0].name}"
        )
    detector, folds = inside[0].name if inside else "", _folds(values, group, where)
    return [
        Run(name, seed, group, config, detector, fold, folds, data)
        for seed in seeds
        for fold in range(max(folds, 1))
    ]


def _data(values, config, where):
    """The data set that the runs of a name have in place of the profile's stills, or ""."""
    data = values.get("data", "")
    if data not in ("", AFLW):
        raise ConfigError(f"{where}.data: {data!r}: there is {AFLW}, and the stills without a key")
    if data and (isinstance(config, TrackerConfig) or config.model not in ON_AFLW):
        raise ConfigError(f"{where}.data: a {config.model} cannot be trained on {data}")
    if data and config.frame_step:
        raise ConfigError(f"{where}.frame_step: {data} has other landmarks than videos")
    return data


def _folds(values, group, where):
    """How many folds the runs of a name have; 0 outside cross-validations."""
    folds = values.get("folds", 0)
    if (group in IN_FOLDS) != ("folds" in values):
        raise ConfigError(f"{where}: `folds` belongs to {' and '.join(IN_FOLDS)}, and to no other")
    if not _matches(folds, int) or (folds < 2 and group in IN_FOLDS):
        raise ConfigError(f"{where}.folds: {folds!r} is no whole number of 2 or more")
    return folds


def parse(raw, where):
    """A `Profile` from the mapping of a params file.

    Args:
        raw: the parsed YAML.
        where: the file's name, for messages.

    Raises:
        ConfigError
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: expected a mapping, found {raw!r}")
    unknown = sorted(str(key) for key in set(raw) - TOP_KEYS)
    if unknown:
        known = ", ".join(sorted(TOP_KEYS))
        raise ConfigError(f"{where}: no such key: {', '.join(unknown)}. There are: {known}")
    missing = sorted({"profile", "data", "crops", "runs", "flagship"} - set(raw))
    if missing:
        raise ConfigError(f"{where}: missing: {', '.join(missing)}")
    crops = fill(CropSettings, raw["crops"], f"{where}: crops")
    profile = Profile(
        name=raw["profile"],
        data=fill(Data, raw["data"], f"{where}: data"),
        crops=crops,
        validation=fill(Validation, raw.get("validation") or {}, f"{where}: validation"),
        machine=fill(Machine, raw.get("machine") or {}, f"{where}: machine"),
        runs=_runs(raw, crops.size, where),
        flagship=raw["flagship"],
        **{
            key: fill(VideoData, raw[key], f"{where}: {key}")
            for key in ("video", "talking")
            if raw.get(key) is not None
        },
        aflw=fill(Data, raw["aflw"], f"{where}: aflw") if raw.get("aflw") is not None else None,
        tracker=raw.get("tracker") or "",
    )
    _require_video(profile, where)
    _require_aflw(profile, where)
    _require_own(profile, where)
    shown = [run for run in profile.runs if run.id == f"{profile.flagship}-s0"]
    if not shown or shown[0].config.model != "detector1d":
        raise ConfigError(f"{where}: flagship {profile.flagship!r} is no detector1d with seed 0")
    return profile


def _require_video(profile, where):
    """Runs on video need a `video`, and the tracker that is shown needs a run."""
    for run in profile.runs:
        if profile.video is None and (run.group in ON_VIDEO or _uses_frames(run)):
            raise ConfigError(f"{where}: runs.{run.name} needs videos; there is no key `video`")
    trackers = {run.name for run in profile.runs if run.config.model == "tracker1d"}
    if (profile.tracker or trackers) and profile.tracker not in trackers:
        raise ConfigError(f"{where}: tracker {profile.tracker!r} is no run of a tracker1d")


def _require_aflw(profile, where):
    """The key `aflw` names AFLW, and runs on it need the key."""
    if profile.aflw and profile.aflw.name != AFLW:
        raise ConfigError(f"{where}: aflw.name is {profile.aflw.name!r}; it must be {AFLW!r}")
    for run in profile.runs:
        if run.data and profile.aflw is None:
            raise ConfigError(f"{where}: runs.{run.name} needs {AFLW}; there is no key `aflw`")


def _require_own(profile, where):
    """Data of one's own has landmarks of its own: no videos, and no models of 68 points."""
    if not profile.data.own:
        return
    if profile.videos:
        raise ConfigError(f"{where}: {OWN} has other landmarks than videos; remove their key")
    for run in profile.runs:
        if run.config.model not in ON_AFLW:
            known = ", ".join(ON_AFLW)
            raise ConfigError(
                f"{where}: runs.{run.name}: a {run.config.model} has 68 landmarks and cannot be "
                f"trained on {OWN}; there are {known}"
            )


def _uses_frames(run):
    return isinstance(run.config, TrainingConfig) and run.config.frame_step > 0


def load(profile):
    """The parameters of a profile by its name.

    Raises:
        ConfigError: no such profile, or a fault in its file.
    """
    if profile not in PROFILES:
        raise ConfigError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    file = paths.params_file(profile)
    where = file.relative_to(paths.ROOT).as_posix()
    try:
        raw = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from None
    parsed = parse(raw, where)
    if parsed.name != profile:  # else it would write into another profile's results
        raise ConfigError(f"{where}: profile is {parsed.name!r}; it must be {profile!r}")
    return parsed


def training_config(values, where="record"):
    """The configuration of a record's mapping; keys it does not have take their defaults."""
    tracks = isinstance(values, dict) and values.get("model") in TRACKERS
    return fill(TrackerConfig if tracks else TrainingConfig, values, where)
