"""A file of trained weights that says of itself which network they belong to.

A safetensors file: the weights as tensors, and everything else as JSON under the key HEADER of
its metadata:

    format       FORMAT
    kind         "detector1d" or "tracker1d"
    config       {"detector": fields of a TrainingConfig, "tracker": arguments of Tracker1D}; the
                 latter for trackers only
    landmarks    N
    scale        side of the square crop in longer sides of the face's box
    box          which box that is, a name in BOXES; files without the key are of "points"
    oversample   px of the cached picture for each px of the crop, in training
    confidence   `usual_confidence` of the detector, or null where it was not measured
    calibration  fields of a `confidence.Calibration`, or null where there is none
    scheme       which points the landmarks are, a name in `landmarks.SCHEMES`
    placement    fields of a `faces.Placement`, or null where it was not measured
    about        what else is to be known, strings by name
"""

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from study import config as configs, training
from study.confidence import Calibration
from study.datasets import augment
from study.landmarks import SCHEMES
from study.models import Tracker1D

FORMAT = 2  # raise it when files written before can no longer be read
HEADER = "study"
KINDS = ("detector1d", "tracker1d")
BOXES = ("points", "annotated")  # the landmarks' tight box, or one that was drawn apart from them
SHIPPED = Path(__file__).with_name("pretrained") / "detector.safetensors"
# Layers whose weights can be stored in half precision: the bulk of a file.
BULK = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file and the cause."""


@dataclass(frozen=True)
class Meta:
    """What a file of weights says of them; attributes as listed above.

    `config` is the detector's TrainingConfig, `tracker` the arguments of its Tracker1D ({} for a
    bare detector). The scheme may be one that SCHEMES does not have; one that it has must be of
    as many landmarks. The calibration is a Calibration, and the placement a tuple (dx, dy, scale)
    or None.
    """

    kind: str
    config: configs.TrainingConfig
    landmarks: int
    scale: float = 1.25
    oversample: float = 1.25
    confidence: float | None = None
    tracker: dict = field(default_factory=dict)
    calibration: Calibration | None = None
    scheme: str = "ibug68"
    placement: tuple | None = None
    box: str = "points"
    about: dict = field(default_factory=dict)

    def __post_init__(self):
        for name, (allowed, wanted) in _FIELDS.items():
            value = getattr(self, name)
            if not allowed(value):
                raise ValueError(f"{name} is {value!r}; it must be {wanted}")
        scheme, offsets = SCHEMES.get(self.scheme), self.calibration and self.calibration.offsets
        if scheme is not None and scheme.count != self.landmarks:
            raise ValueError(f"{self.landmarks} landmarks; {self.scheme} has {scheme.count}")
        if offsets is not None and len(offsets) != self.landmarks:
            raise ValueError(f"{self.landmarks} landmarks; calibrated for {len(offsets)}")


def _number(value, low=-math.inf):
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and math.isfinite(value) and value > low


def _numbers(values, count=None):
    listed = isinstance(values, list | tuple) and count in (None, len(values))
    return listed and all(map(_number, values))


def _is_placement(value):
    return value is None or (_numbers(value, 3) and value[2] > 0)


def _is_about(value):
    strings = isinstance(value, dict) and [*value, *value.values()]
    return strings is not False and all(isinstance(one, str) for one in strings)


# What may stand in a Meta, and how it is said.
_FIELDS = {
    "kind": (lambda v: v in KINDS, " or ".join(KINDS)),
    "landmarks": (lambda v: _number(v, 0) and isinstance(v, int), "a whole number above 0"),
    "scale": (lambda v: _number(v, 0), "a number above 0"),
    "oversample": (lambda v: _number(v, 0), "a number above 0"),
    "confidence": (lambda v: v is None or _number(v), "a number or none"),
    "scheme": (lambda v: isinstance(v, str), "the name of a scheme"),
    "placement": (_is_placement, "dx, dy and a scale above 0, or none"),
    "box": (lambda v: v in BOXES, " or ".join(BOXES)),
    "about": (_is_about, "strings by name"),
}
# Keys of the header that are a Meta's fields as they stand.
_PLAIN = tuple(_FIELDS)
KEYS = ("config", *(key for key in _PLAIN if key != "box"), "calibration")


def save(path, model, meta, half=False):
    """Writes weights; the file appears when it is complete.

    Args:
        path: the file; one of that name is replaced.
        model: a Detector1D, or a Tracker1D for kind "tracker1d".
        meta: the Meta that describes it.
        half: whether to store the weights of convolutions in 16 bits, at half the size.
            Statistics, offsets and what is small otherwise keep their 32.

    Raises:
        WeightsError: a model that is not what the meta describes, or has weights that are not
            finite (in 16 bits: above 65504), or the file cannot be written.
    """
    path = Path(path)
    try:
        _build(meta).load_state_dict(model.state_dict())
        tensors = _finite(_tensors(model, half))
    except (ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path}: the model is not the described one: {_line(error)}") from error
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        header = {HEADER: json.dumps(_values(meta), allow_nan=False)}
        part.write_bytes(safetensors.torch.save(tensors, header))
        os.replace(part, path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written: {_line(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def _tensors(model, half):
    bulk = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, BULK)}
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return {
        name: (value.half() if half and name in bulk else value).contiguous()
        for name, value in state.items()
    }


def _finite(tensors):
    """The tensors, of which all numbers are finite."""
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise ValueError(f"{name} is not finite")
    return tensors


def _values(meta):
    """What the header says, but for the tensors."""
    config = {"detector": dataclasses.asdict(meta.config)}
    if meta.kind == "tracker1d":
        config["tracker"] = dict(meta.tracker)
    calibration = meta.calibration and dataclasses.asdict(meta.calibration)
    values = {"format": FORMAT, "config": config, "calibration": calibration}
    return values | {key: getattr(meta, key) for key in _PLAIN}


def load(path=None, lam=None):
    """A network and what its file says of it.

    Args:
        path: a file that `save` wrote; None is the one that ships with the study, SHIPPED.
        lam: λ in place of a tracker's own, in [0, 1].

    Returns:
        (Detector1D or Tracker1D in evaluation mode on the CPU, in float32, and its Meta).

    Raises:
        WeightsError: no such file, not weights of this study or damaged ones, those of another
            format, or a λ for a detector, which has none.
    """
    path = Path(SHIPPED if path is None else path)
    values, tensors = _read(path)
    meta = _meta(path, values)
    if lam is not None:
        if meta.kind != "tracker1d":
            raise WeightsError(f"{path}: holds a detector alone, which has no lambda to change")
        meta = dataclasses.replace(meta, tracker={**meta.tracker, "lam": lam})
    try:
        model = _build(meta)
        model.load_state_dict(_finite(_as_built(model, tensors)))
    except (ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path}: {_line(error)}") from error
    return model.eval(), meta


def _as_built(model, tensors):
    """The tensors in the precision of the model's own; whole numbers stay whole ones."""
    own = model.state_dict()
    for name, value in tensors.items():
        if name in own and own[name].is_floating_point() != value.is_floating_point():
            raise ValueError(f"{name} is {value.dtype}, not {own[name].dtype}")
    return {name: v.to(own[name].dtype) if name in own else v for name, v in tensors.items()}


def _read(path):
    """The values of a file's header, and its tensors."""
    if path.is_dir():
        raise WeightsError(f"{path}: a folder, not a file of weights")
    if not path.exists():
        hint = ": this copy of the study ships no weights; name a file" if path == SHIPPED else ""
        raise WeightsError(f"{path}: no such file{hint}")
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or _line(error)}") from error
    except (safetensors.SafetensorError, RuntimeError, ValueError) as error:
        cause = "not a safetensors file, or a damaged one"
        raise WeightsError(f"{path}: {cause}: {_line(error)}") from error
    return _header(path, header), tensors


def _header(path, text):
    """The header's values, from their JSON; they are of this format and none is missing."""
    try:
        values = json.loads(text or "")
    except ValueError:
        values = None
    if not isinstance(values, dict) or "format" not in values:
        raise WeightsError(f"{path}: not weights as `study.weights.save` writes them")
    if values["format"] != FORMAT:
        raise WeightsError(
            f"{path}: format {values['format']!r}; this version of the study reads {FORMAT}"
        )
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise WeightsError(f"{path}: lacks {', '.join(missing)}")
    return {"box": "points", **values}


def _meta(path, values):
    """The Meta of a header's values."""
    try:
        config = configs.training_config(values["config"]["detector"], "detector")
        tracker = values["config"]["tracker"] if values["kind"] == "tracker1d" else {}
    except (configs.ConfigError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: config: {_line(error)}") from error
    own = {key: values[key] for key in _PLAIN}
    try:
        own["placement"] = own["placement"] and tuple(own["placement"])
        calibration = _calibration(values["calibration"])
        return Meta(config=config, tracker=tracker, calibration=calibration, **own)
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: {_line(error)}") from error


def _calibration(values):
    """A Calibration from its fields, or None."""
    if values is None:
        return None
    within, slopes, offsets = (values[key] for key in ("within", "slopes", "offsets"))
    if not (_number(within, 0) and _numbers(slopes, 2) and _numbers(offsets)):
        raise ValueError("calibration: not numbers as those of a Calibration")
    return Calibration(within, tuple(slopes), tuple(offsets))


def _build(meta):
    """The network that a Meta describes, with weights of no meaning.

    Built without drawing: the caller's random numbers go on as if nothing had been built.
    """
    if meta.config.model != "detector1d":
        raise ValueError(f"the detector inside is a {meta.config.model}, not a detector1d")
    with torch.random.fork_rng(devices=[]):
        detector = training.build_model(meta.config, meta.landmarks)
        return Tracker1D(detector, **meta.tracker) if meta.kind == "tracker1d" else detector


def _line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


# --- how sure a detector is -------------------------------------------------------------------


def confidence(h_x, h_y):
    """How sure a detector is that it sees a face: 1 where each heatmap is as in training.

    The targets' peaks are 1 (Eq. 12 as we scale it). What a detector is unsure of, it spreads
    out and lowers: the mean over the landmarks of the lower of their two peaks.

    Args:
        h_x, h_y: detected heatmaps, each (B, N, L), before any refinement.

    Returns:
        (B,).
    """
    return torch.minimum(h_x.amax(dim=-1), h_y.amax(dim=-1)).float().mean(dim=-1)


@torch.inference_mode()
def usual_confidence(detector, faces, device, batch=64):
    """The median confidence of a detector on faces that it has not been trained on.

    Args:
        detector: a Detector1D in evaluation mode, on the device.
        faces: `training.Faces`, for instance those of the validation split.
        device: a `study.device.Device`.
        batch: faces a pass.

    Returns:
        float.
    """
    found = []
    for rows in torch.arange(len(faces)).split(batch):
        images, _ = augment.plain(
            faces.pictures[rows], faces.points[rows], size=detector.size, share=faces.share
        )
        found.append(confidence(*detector(device.move(images))).cpu())
    return torch.cat(found).median().item()
