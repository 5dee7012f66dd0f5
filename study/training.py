"""Fit and predict: the loops, and nothing about files but the checkpoint they resume from."""

import inspect
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from study import device as devices, heatmaps, metrics
from study.datasets import augment
from study.models import MODELS
from study.models.objectives import OBJECTIVES

# What a training computes, by model. Raise a model's number when a change alters its weights: all
# its records are then of another recipe, and are trained anew. A test pins the first ten steps.
RECIPES = {
    **{"detector1d": 1, "detector2d": 1, "simcc": 1, "coordinates": 1, "integral": 1},
    **{"lab": 1, "lab1d": 1, "lab_landmarks": 1},
    **{"tracker1d": 2, "tracker2d": 1, "gan": 1, "sdm": 1, "sdm_tracker": 1, "sta": 1},
}


class TrainingError(RuntimeError):
    """A training that cannot go on; the message says where and why."""


@dataclass(frozen=True)
class Faces:
    """Faces of one side of a split, as cached.

    Attributes:
        pictures: (B, 3, S, S) uint8, may be memory-mapped.
        points: (B, N, 2) float64, px of the cached picture; NaN where a landmark is hidden.
        share: of the cached side that a crop covers.
        order: the scheme's mirror order.
        sizes: (B,) float64, what errors are divided by, px of the cached picture; None where that
            is the distance of the outer eye corners.
        hides: whether landmarks may be hidden. Where they may not, NaN stops the training.
    """

    pictures: torch.Tensor
    points: torch.Tensor
    share: float
    order: tuple
    sizes: torch.Tensor | None = None
    hides: bool = False

    def __len__(self):
        return len(self.points)


@dataclass
class State:
    """A training between two epochs: all that an exact resume needs."""

    model: dict
    optimizer: dict
    average: dict | None
    epoch: int = 0
    seconds: float = 0.0
    history: list = field(default_factory=list)


def build_model(config, landmarks):
    """The model of a configuration, its weights drawn from torch's global generator.

    It is given those values of the configuration that its constructor asks for by name; what a
    configuration does not have keeps the constructor's default.
    """
    model = MODELS[config.model]
    asked = inspect.signature(model).parameters.keys() - {"landmarks"}
    known = {key: getattr(config, key) for key in asked if hasattr(config, key)}
    return model(landmarks=landmarks, **known)


def targets(points, config):
    """What the model's output is compared with, a tuple: (h_x, h_y), (h,) or another.

    Args:
        points: (B, N, 2) px of the crop.
        config: a `config.TrainingConfig` or `config.TrackerConfig`.
    """
    make = OBJECTIVES[config.model].targets
    points = points.float()
    if config.rule == "floor":
        points = heatmaps.quantize_to_centres(points, config.size, config.length)
    return make(points, config.size, config.length, config.target_sigma)


def as_tuple(output):
    """A model's output as a tuple."""
    return output if isinstance(output, tuple) else (output,)


def learning_rate(step, steps, config):
    """The rate of a step, a pure function of its number: resuming needs no scheduler's state."""
    progress = step / steps
    if config.schedule == "constant":
        return config.rate
    if config.schedule == "steps":
        return config.rate * 0.1 ** ((progress >= 1 / 2) + (progress >= 5 / 6))
    if progress < config.warmup:
        return config.rate * (0.04 + 0.96 * _ease(progress / config.warmup))
    return config.rate * _ease((1 - progress) / (1 - config.warmup))


def _ease(share):
    """From 0 to 1 along half a cosine."""
    return (1 - torch.cos(torch.pi * torch.tensor(share, dtype=torch.float64)).item()) / 2


def epoch_generator(seed, epoch):
    """The generator of an epoch's order and augmentation: the same after a resume."""
    return torch.Generator().manual_seed(1_000_003 * seed + epoch)


def batches(faces, config, generator):
    """One epoch of augmented batches: images (B, 3, F, F), points (B, N, 2) px of the crop.

    The faces are drawn in a new order; a last batch of one face, which batch norm cannot take,
    is left out.
    """
    order = torch.randperm(len(faces), generator=generator)
    for rows in order.split(config.batch):
        if len(rows) > 1:
            yield augment.augment(
                faces.pictures[rows],
                faces.points[rows],
                size=config.size,
                share=faces.share,
                order=faces.order,
                settings=config.augmentation,
                generator=generator,
            )


def make_optimizer(model, config):
    """The paper's Adam on what is not frozen, at the configuration's rate."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.Adam(trained, lr=config.rate, fused=True)


def train_step(model, optimizer, images, points, config, device, hides=False):
    """One step of Adam on a batch; returns the loss, a tensor that has not been waited for.

    Args:
        hides: whether points may be NaN, of landmarks that are hidden. These are in no loss.
    """
    images = device.move(images).contiguous(memory_format=torch.channels_last)
    wanted = targets(device.move(points), config)
    with device.autocast():
        output = as_tuple(model(images))
    if hides:
        hidden = device.move(points.isnan().any(dim=-1))  # (B, N)
        output, wanted = without(output, hidden), without(wanted, hidden)
    loss = OBJECTIVES[config.model].losses[config.loss]
    return descend(loss(output, wanted), optimizer)


def without(parts, hidden):
    """A tuple of tensors (B, N, ...) with zeros in the places of hidden landmarks, (B, N) bool.

    A zero beside a zero adds nothing to any loss, and pulls at no weight.
    """
    return tuple(
        part.masked_fill(hidden.reshape(*hidden.shape, *[1] * (part.dim() - 2)), 0)
        for part in parts
    )


def descend(loss, optimizer):
    """One step down a loss; returns the loss without its graph."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def decode(output, config, decoder):
    """Points of a model's output in px of the crop: (B, N, 2)."""
    read = OBJECTIVES[config.model].points
    points = read(output, config.size, decoder, config.target_sigma)
    if config.rule == "floor":
        points = points - heatmaps.half_bin(config.size, config.length)
    return points


def decoders_of(config):
    """The decoders that are recorded for a run: its own, and the others of its model."""
    return tuple(dict.fromkeys([config.decoder, *OBJECTIVES[config.model].decoders]))


@torch.inference_mode()
def predict(model, faces, config, device, decoders=None, batch=64):
    """Predictions of a model in evaluation mode on plain crops.

    Args:
        model: a detector.
        faces: `Faces`, B of them.
        config: its `TrainingConfig`.
        device: a `Device`.
        decoders: names; None takes the configuration's own.
        batch: faces a pass; changes no result beyond the float's last digits.

    Returns:
        dict from decoder to (B, N, 2) float64 px of the cached picture, and the true points in
        the same px.
    """
    model.eval()
    side = faces.pictures.shape[-1]
    found = {name: [] for name in decoders or (config.decoder,)}
    for rows in torch.arange(len(faces)).split(batch):
        images, _ = augment.plain(
            faces.pictures[rows], faces.points[rows], size=config.size, share=faces.share
        )
        matrix, shift = augment.crop_affine(len(rows), config.size, side, faces.share)
        images = device.move(images).contiguous(memory_format=torch.channels_last)
        with device.autocast():
            output = as_tuple(model(images))
        for name in found:
            points = decode(output, config, name).double().cpu()
            found[name].append(augment.to_cached(points, matrix, shift, config.size, side))
    return {name: torch.cat(parts) for name, parts in found.items()}, faces.points


def validate(model, faces, config, device, decoders=None):
    """Mean NRMSE on held-out training faces, by decoder; a face's scale cancels."""
    predicted, truth = predict(model, faces, config, device, decoders)
    normalizer = metrics.interocular(truth) if faces.sizes is None else faces.sizes
    return {
        name: metrics.nrmse(points, truth, normalizer).mean().item()
        for name, points in predicted.items()
    }


# --- checkpoints ------------------------------------------------------------------------------


def save_checkpoint(path, state, identity):
    """Writes a state atomically: a kill leaves the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".part{os.getpid()}")
    torch.save({"identity": identity, "state": asdict(state)}, part)
    os.replace(part, path)


def load_checkpoint(path, identity):
    """The state of an interrupted training, or None where there is none of this identity."""
    path = Path(path)
    if not path.exists():
        return None
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["identity"] != identity:
        return None
    return State(**saved["state"])


# --- the loop ---------------------------------------------------------------------------------


def _average_of(model, config):
    if not config.average:
        return None
    decay = config.average
    return torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay), use_buffers=True
    )


def _rates(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


@dataclass(frozen=True)
class FaceTask:
    """The training of a detector on faces, as `fit_task` asks for it.

    Attributes:
        config: a `config.TrainingConfig`.
        training, validation: `Faces`.
        landmarks: N.
    """

    config: object
    training: Faces
    validation: Faces
    landmarks: int

    @property
    def samples(self):
        """Faces of an epoch."""
        return len(self.training)

    @property
    def steps(self):
        """Batches of an epoch."""
        parts = torch.arange(len(self.training)).split(self.config.batch)
        return sum(len(rows) > 1 for rows in parts)

    def build(self):
        """The model before training, drawn from torch's global generator."""
        if len(self.training) < 2:
            raise TrainingError(f"{len(self.training)} faces to train on; batch norm needs two")
        return build_model(self.config, self.landmarks)

    def batches(self, generator):
        """One epoch of batches."""
        return batches(self.training, self.config, generator)

    def step(self, model, optimizer, batch, device):
        """One step of Adam; returns the loss."""
        hides = self.training is not None and self.training.hides
        return train_step(model, optimizer, *batch, self.config, device, hides)

    def validate(self, model, device, decoders=None):
        """Mean NRMSE on what is held out, by decoder."""
        return validate(model, self.validation, self.config, device, decoders)


def _run_epoch(model, average, optimizer, task, device, epoch, seed):
    """One epoch; returns its mean loss and the last rate. Stops at a loss that is not finite."""
    model.train()
    config, per_epoch = task.config, task.steps
    total = torch.zeros((), device=device.kind)
    rate = config.rate
    for number, batch in enumerate(task.batches(epoch_generator(seed, epoch))):
        step = epoch * per_epoch + number
        rate = learning_rate(step, config.epochs * per_epoch, config)
        _rates(optimizer, rate)
        loss = task.step(model, optimizer, batch, device)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} in epoch {epoch + 1}, batch {number + 1} of "
                f"{per_epoch}, at a learning rate of {rate:.3g}: lower `rate`, or look at the data"
            )
        if average is not None:
            average.update_parameters(model)
        total += loss
    return (total / per_epoch).item(), rate


def _snapshot(model, average, optimizer):
    return dict(
        model=model.state_dict(),
        optimizer=optimizer.state_dict(),
        average=average.state_dict() if average is not None else None,
    )


def fit(config, training, validation, *, seed, landmarks, checkpoint=None, data="", report=print):
    """Trains a detector on faces: `fit_task` of a `FaceTask`.

    Args:
        config: a `TrainingConfig`.
        training, validation: `Faces`.
        landmarks: N.
        seed, checkpoint, data, report: as in `fit_task`.

    Raises:
        TrainingError: as `fit_task`; or there are fewer than two training faces.
    """
    task = FaceTask(config, training, validation, landmarks)
    return fit_task(task, seed=seed, checkpoint=checkpoint, data=data, report=report)


def fit_task(task, *, seed, checkpoint=None, data="", report=print):
    """Trains a model, resuming from a checkpoint exactly where there is one.

    Args:
        task: a `FaceTask` or `tracking.ClipTask`: its config, samples and steps an epoch; build,
            batches, step and validate. Of `study.fitted`, one with `solve` in place of these.
        seed: of weights, order and augmentation.
        checkpoint: file for the state after each epoch; None keeps none.
        data: fingerprint of the data, so that a checkpoint of other data is not resumed.
        report: called with a dict after each epoch: epoch, epochs, rate, loss,
            validation_nrmse, seconds, samples_per_second, seconds_left.

    Returns:
        the model in evaluation mode on its device, and its final `State`.

    Raises:
        TrainingError: the loss is not finite; names epoch and batch.
    """
    config = task.config
    device = devices.choose(config.precision)
    torch.manual_seed(seed)
    if hasattr(task, "solve"):  # nothing is descended to, and nothing to resume from
        model, history = task.solve(seed, device, report)
        seconds = sum(row["seconds"] for row in history)
        return model, State({}, {}, None, len(history), seconds, history)
    model = device.place(task.build())
    average = _average_of(model, config)
    optimizer = make_optimizer(model, config)
    identity = {
        "config": asdict(config),
        "seed": seed,
        "data": data,
        "recipe": RECIPES[config.model],
    }
    state = load_checkpoint(checkpoint, identity) if checkpoint else None
    if state is None:
        state = State(**_snapshot(model, average, optimizer))
    else:
        model.load_state_dict(state.model)
        optimizer.load_state_dict(state.optimizer)
        if average is not None:
            average.load_state_dict(state.average)
    for epoch in range(state.epoch, config.epochs):
        start = time.perf_counter()
        loss, rate = _run_epoch(model, average, optimizer, task, device, epoch, seed)
        trained = time.perf_counter() - start
        kept = average.module if average is not None else model
        score = task.validate(kept, device)[config.decoder]
        seconds = time.perf_counter() - start
        state.history.append(
            {
                "epoch": epoch + 1,
                "rate": rate,
                "loss": loss,
                "validation_nrmse": score,
                "seconds": seconds,
            }
        )
        history, done = state.history, state.seconds + seconds
        state = State(**_snapshot(model, average, optimizer))
        state.epoch, state.seconds, state.history = epoch + 1, done, history
        if checkpoint:
            save_checkpoint(checkpoint, state, identity)
        report(
            {
                **history[-1],
                "epochs": config.epochs,
                "samples_per_second": task.samples / trained,
                "seconds_left": done / (epoch + 1) * (config.epochs - epoch - 1),
            }
        )
    kept = average.module if average is not None else model
    return kept.eval(), state
