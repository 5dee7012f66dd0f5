"""A file of trained weights that says of itself which network they belong to.

One dictionary, as `torch.save` writes it and `torch.load(..., weights_only=True)` reads it:

    format      FORMAT
    kind        "detector1d" or "tracker1d"
    config      {"detector": fields of a TrainingConfig, "tracker": arguments of Tracker1D}; the
                latter for trackers only
    landmarks   N
    scale       side of the square crop in longer sides of the landmarks' tight box
    oversample  px of the cached picture for each px of the crop, in training
    confidence  `usual_confidence` of the detector, or None where it was not measured
    state_dict  the weights
"""

import dataclasses
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import torch

from study import config as configs
from study import training
from study.datasets import augment
from study.models import Tracker1D

FORMAT = 1  # raise it when files written before can no longer be read
KINDS = ("detector1d", "tracker1d")
KEYS = ("kind", "config", "landmarks", "scale", "oversample", "confidence", "state_dict")


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file and the cause."""


@dataclass(frozen=True)
class Meta:
    """What a file of weights says of them; attributes as listed above.

    `config` is the detector's TrainingConfig, `tracker` the arguments of its Tracker1D ({} for a
    bare detector).
    """

    kind: str
    config: configs.TrainingConfig
    landmarks: int
    scale: float = 1.25
    oversample: float = 1.25
    confidence: float | None = None
    tracker: dict = field(default_factory=dict)


def save(path, model, meta):
    """Writes weights; the file appears when it is complete.

    Args:
        path: the file; one of that name is replaced.
        model: a Detector1D, or a Tracker1D for kind "tracker1d".
        meta: the Meta that describes it.

    Raises:
        WeightsError: a model that is not what the meta describes.
    """
    path = Path(path)
    try:
        _build(meta).load_state_dict(model.state_dict())
    except (ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path}: the model is not the described one: {_line(error)}") from error
    config = {"detector": dataclasses.asdict(meta.config)}
    if meta.kind == "tracker1d":
        config["tracker"] = dict(meta.tracker)
    values = {key: getattr(meta, key) for key in ("kind", "landmarks", "scale", "oversample")}
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    values |= {"format": FORMAT, "config": config, "confidence": meta.confidence}
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        torch.save({**values, "state_dict": state}, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch found no folder
        raise WeightsError(f"{path}: cannot be written: {_line(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def load(path, lam=None):
    """A network and what its file says of it.

    Args:
        path: a file that `save` wrote.
        lam: λ in place of a tracker's own, in [0, 1].

    Returns:
        (Detector1D or Tracker1D in evaluation mode on the CPU, Meta).

    Raises:
        WeightsError: no such file, not weights of this study or damaged ones, those of another
            format, or a λ for a detector, which has none.
    """
    path = Path(path)
    meta, state = _meta(path, _read(path))
    if lam is not None:
        if meta.kind != "tracker1d":
            raise WeightsError(f"{path}: holds a detector alone, which has no lambda to change")
        meta = dataclasses.replace(meta, tracker={**meta.tracker, "lam": lam})
    try:
        model = _build(meta)
        model.load_state_dict(state)
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise WeightsError(f"{path}: {_line(error)}") from error
    return model.eval(), meta


def _read(path):
    if path.is_dir():
        raise WeightsError(f"{path}: a folder, not a file of weights")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (pickle.UnpicklingError, EOFError, RuntimeError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a file of weights, or a damaged one") from error
    if not isinstance(values, dict) or "format" not in values:
        raise WeightsError(f"{path}: not weights as `study.weights.save` writes them")
    if values["format"] != FORMAT:
        raise WeightsError(
            f"{path}: format {values['format']!r}; this version of the study reads {FORMAT}"
        )
    return values


def _meta(path, values):
    """The Meta and the state_dict of a file's values."""
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise WeightsError(f"{path}: lacks {', '.join(missing)}")
    if values["kind"] not in KINDS:
        raise WeightsError(f"{path}: kind {values['kind']!r}; there are {', '.join(KINDS)}")
    own = {key: values[key] for key in ("kind", "landmarks", "scale", "oversample", "confidence")}
    try:
        config = configs.training_config(values["config"]["detector"], "detector")
        tracker = values["config"]["tracker"] if values["kind"] == "tracker1d" else {}
    except (configs.ConfigError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: config: {_line(error)}") from error
    return Meta(config=config, tracker=tracker, **own), values["state_dict"]


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
