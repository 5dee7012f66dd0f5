"""What a training step needs of memory, counted on any machine and without that memory.

The step of the training loop itself runs on fake tensors: torch's meta tensors, which have shapes
and no numbers, and here answer as tensors on a CPU would. Counted, in bytes (GiB = 2**30):

    weights, buffers   of the model, frozen parts included
    gradients, adam    of what is trained: a number a weight; two moments a weight, and the steps
    average            the copy of the model that a running average of the weights keeps
    inputs             the batch: images or heatmaps, and points
    activations        what autograd keeps for the backward pass, images and targets among it, each
                       storage once; weights and buffers not, nor copies that are not kept
    peak               the most that is alive at once, at any operation of the step

The peak is not the sum of the others. Gradients of weights are there from the step before until
the backward pass begins, and grow again while activations go; and more is alive than autograd
keeps. Large 2D heatmaps put the peak at the loss: the network's output, the copy of it that the
loss reads, the targets, and the squares, twice. Large features put it early in the backward pass,
where gradients of activations are alive as well, and co-attention to where it makes its weights.

Not counted: the context of a GPU (about half a GiB), the workspaces of its convolutions, and what
its allocator rounds up and leaves in gaps. So what does not fit here fits nowhere, and what fits
narrowly here may not.
"""

import dataclasses
import weakref
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from study import adversarial, paper, tracking, training, work
from study.config import TrackerConfig
from study.device import Device
from study.models.fan import FAN, STEMS

GIB = 2**30  # bytes
LANDMARKS = 68  # N, of the schemes that networks are trained on


# --- writing down ------------------------------------------------------------------------------


class Trace(TorchDispatchMode):
    """Writes down what is alive, and what is computed, while it is entered.

    Use it with `saved_tensors_hooks(trace.pack, trace.unpack)` around the same code. Views share a
    storage, and a storage is gone with its last tensor. Only shapes are read, so real and fake
    tensors give the same.

    Args:
        weights: tensors that are alive before, and no activations where autograd keeps them.
        others: tensors that are alive before, and may go.

    Attributes:
        live: bytes at each operation, its results and those alive before included.
        flops: floating point operations until then, a multiplication and an addition being two.
        activations: bytes of what autograd kept.
        forward: operations before the backward pass, which begins where something kept is asked
            for; None until then.
    """

    def __init__(self, weights=(), others=()):
        super().__init__()
        self.live, self.flops, self.activations, self.forward = [], [], 0, None
        self._bytes, self._watched, self._kept = {}, {}, set()
        self._now = self._computed = 0
        for tensor in (*weights, *others):
            self._note(tensor)
        self._weights = {_key(tensor) for tensor in weights}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        output = operation(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        if not made:
            return output
        least, passing = _beyond_shapes(operation, args, made)
        for tensor, nbytes in zip(made, least, strict=True):
            self._note(tensor, nbytes)
        if count := flop_registry.get(operation.overloadpacket):
            self._computed += count(*args, **(kwargs or {}), out_val=output)
        self.live.append(self._now + passing)
        self.flops.append(self._computed)
        return output

    def _note(self, tensor, least=0):
        storage, key = tensor.untyped_storage(), _key(tensor)
        if key in self._bytes:
            return
        self._bytes[key] = max(storage.nbytes(), least)
        self._watched[key] = weakref.ref(storage, lambda _: self._forget(key))
        self._now += self._bytes[key]

    def _forget(self, key):
        """A storage is gone; another may get its key."""
        self._now -= self._bytes.pop(key)
        del self._watched[key]
        self._kept.discard(key)

    def pack(self, tensor):
        """Counts a tensor that autograd keeps."""
        key = _key(tensor)
        if key not in self._kept and key not in self._weights:
            self._note(tensor)
            self._kept.add(key)
            self.activations += self._bytes[key]
        return tensor

    def unpack(self, tensor):
        """Notes where the backward pass begins."""
        if self.forward is None:
            self.forward = len(self.live)
        return tensor


def _key(tensor):
    return tensor.untyped_storage()._cdata


def _beyond_shapes(operation, args, made):
    """Bytes that an operation takes and that the shapes of its results do not tell.

    A summed loss squares in one storage of the input's size and adds up in another, which stays
    with the sum. Batch norm keeps its statistics in float32 whatever its input is.

    Returns:
        list of the least that the storage of each result takes, and what is gone at the end.
    """
    if operation is torch.ops.aten.mse_loss.default and args[2:] != (0,):  # 0: nothing is summed
        squares = args[0].numel() * args[0].element_size()
        return [squares], squares
    if operation is torch.ops.aten.native_batch_norm.default:
        return [0, *(4 * statistic.numel() for statistic in made[1:])], 0
    return [0] * len(made), 0


# --- one training step -------------------------------------------------------------------------


@dataclass(frozen=True)
class Ledger:
    """What one training step needs.

    Attributes:
        parameters: weights of the model, a count, frozen ones included.
        weights, buffers, gradients, adam, average, inputs, activations, peak: bytes, as the
            module describes them.
        at: "forward" or "backward", the pass of the peak.
        flops, forward_flops: of the step and of its forward pass; of multiplications in
            convolutions, deconvolutions and products of matrices alone.
        live: (operations,) int64 bytes at each operation of the step.
    """

    parameters: int
    weights: int
    buffers: int
    gradients: int
    adam: int
    average: int
    inputs: int
    activations: int
    peak: int
    at: str
    flops: int
    forward_flops: int
    live: np.ndarray = field(repr=False, compare=False)


def ledger(config, landmarks=LANDMARKS, build=work.build_model):
    """What a training step of a configuration needs, without the memory for it.

    Args:
        config: a `TrainingConfig` or a `TrackerConfig`; F, L, batch and precision are its own.
        landmarks: N.
        build: (config, landmarks) -> the model, where it is not the configuration's own.

    Returns:
        Ledger.

    Raises:
        ValueError: sizes that the model cannot have.

    bfloat16 is counted as autocast does it on a CPU; on a GPU a few more operations than there
    stay in float32.
    """
    with torch.device("meta"):
        model = build(config, landmarks).to(memory_format=torch.channels_last)
    with FakeTensorMode():
        return count(_fake(model), config, landmarks)


def count(model, config, landmarks=LANDMARKS):
    """`ledger` of a model that is there, on fake or on real tensors; its weights do not change.

    Args:
        model: of the configuration, on the CPU.
        config, landmarks: as in `ledger`.
    """
    task, batch = task_of(config, landmarks), inputs(config, landmarks)
    weights, buffers = list(model.parameters()), list(model.buffers())
    trace = Trace([*weights, *buffers], batch)
    with trace, saved_tensors_hooks(trace.pack, trace.unpack):
        task.step(model.train(), _Standstill(model), batch, Device("cpu", config.precision))
    sizes = _sizes(weights, buffers, config)
    live = np.array(trace.live) + sizes["adam"] + sizes["average"]
    live[: trace.forward] += sizes["gradients"]  # the last step's; this one's are in the trace
    return Ledger(
        parameters=sum(weight.numel() for weight in weights),
        **sizes,
        inputs=_nbytes(batch),
        activations=trace.activations,
        peak=int(live.max()),
        at="forward" if live.argmax() < trace.forward else "backward",
        flops=trace.flops[-1],
        forward_flops=trace.flops[trace.forward - 1],
        live=live,
    )


def _sizes(weights, buffers, config):
    """Bytes of what is there all the time, and of gradients."""
    trained = [weight for weight in weights if weight.requires_grad]
    gradients = _nbytes(trained)
    return {
        "weights": _nbytes(weights),
        "buffers": _nbytes(buffers),
        "gradients": gradients,
        "adam": 2 * gradients + 4 * len(trained),  # two moments, and a float32 count of steps
        "average": _nbytes([*weights, *buffers]) if config.average else 0,
    }


class _Standstill:
    """An optimizer that forgets gradients as Adam does, and moves no weight.

    Fused Adam computes in place, so its step is never the peak; of its state the size is known.
    """

    def __init__(self, model):
        self.weights = list(model.parameters())

    def zero_grad(self, set_to_none=True):
        for weight in self.weights:
            weight.grad = None

    def step(self):
        pass


def inputs(config, landmarks=LANDMARKS):
    """A batch as a training step gets it, all zeros: images or heatmaps, and points."""
    faces, size = config.batch, config.size
    if not isinstance(config, TrackerConfig):
        images = torch.zeros(faces, 3, size, size)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, torch.zeros(faces, landmarks, 2)
    clips = faces, config.frames
    points = torch.zeros(*clips, landmarks, 2)
    if config.model == "tracker2d":
        return torch.zeros(*clips, 3, size, size), points
    if config.model == "gan":
        features = config.detector.hidden * config.detector.columns**2
        return torch.zeros(*clips, features, dtype=torch.float16), points, points.clone()
    maps = (torch.zeros(*clips, landmarks, config.length, dtype=torch.float16) for _ in "xy")
    return *maps, points


def task_of(config, landmarks=LANDMARKS):
    """The task whose `step` trains a configuration; it has no data."""
    if config.model == "gan":
        return adversarial.SequenceTask(config, None, None, None, None)
    if isinstance(config, TrackerConfig):
        return tracking.ClipTask(config, None, None, None)
    return training.FaceTask(config, None, None, landmarks)


def _fake(model):
    """A model on the meta device as one on fake tensors of the CPU, laid out in the same way."""
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            weight = nn.Parameter(_alike(weight), requires_grad=weight.requires_grad)
            setattr(module, name, weight)
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, _alike(buffer))
    return model


def _alike(tensor):
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)


def _nbytes(tensors):
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


# --- what fits ---------------------------------------------------------------------------------


class Growth:
    """What a training step needs as a function of its batch, exactly, from two of its batches.

    The operations are the same at every batch, and the bytes that are alive after each of them
    are a line in the batch, since no tensor has the batch among its sizes twice. So the peak is
    the highest of these lines.

    Args:
        config, landmarks, build: as in `ledger`; the batch of the configuration does not matter.
    """

    def __init__(self, config, landmarks=LANDMARKS, build=work.build_model):
        low, high = (
            ledger(dataclasses.replace(config, batch=batch), landmarks, build) for batch in (2, 3)
        )
        self.parameters = low.parameters
        self._slope = high.live - low.live
        self._constant = low.live - 2 * self._slope
        self._activations = high.activations - low.activations
        self._without_batch = low.activations - 2 * self._activations

    def activations(self, batch):
        """Bytes of saved activations at a batch."""
        return int(self._without_batch + batch * self._activations)

    def peak(self, batch):
        """Bytes at the peak of a step at a batch."""
        return int((self._constant + batch * self._slope).max())

    def largest_batch(self, card):
        """The largest batch whose peak a card of so many bytes holds; 0 where it holds none."""
        grows = self._slope > 0
        if self._constant[~grows].max(initial=0) > card:
            return 0
        return max(0, int(((card - self._constant[grows]) // self._slope[grows]).min()))


def largest_batch(config, card, landmarks=LANDMARKS, build=work.build_model):
    """The largest batch of a configuration that a card holds.

    Args:
        card: bytes.
        config, landmarks, build: as in `ledger`; the batch of the configuration does not matter.

    Returns:
        faces, or clips of a tracker; 0 where not even one fits. Batch norm trains on two or more.
    """
    return Growth(config, landmarks, build).largest_batch(card)


def largest_length(config, card, lengths, landmarks=LANDMARKS, build=work.build_model):
    """The largest L that a card holds at the batch of a configuration.

    Args:
        config: a `TrainingConfig`; its own L does not matter.
        card: bytes.
        lengths: candidates, such as `lengths_of_paper` or `multiples`.
        landmarks, build: as in `ledger`.

    Returns:
        L, or None where not even the smallest fits.
    """
    fits, candidates = None, sorted(lengths)
    while candidates:  # what a longer heatmap needs is never less
        middle = len(candidates) // 2
        tried = dataclasses.replace(config, length=candidates[middle])
        if ledger(tried, landmarks, build).peak <= card:
            fits, candidates = candidates[middle], candidates[middle + 1 :]
        else:
            candidates = candidates[:middle]
    return fits


def multiples(size, longest):
    """All L that a deconvolution can reach, multiples of F/4, up to a longest one."""
    return list(range(size // 4, longest + 1, size // 4))


def lengths_of_paper(size):
    """The L of Table 1's seven L/F at a crop of F px."""
    return [round(ratio * size) for ratio in sorted(set(paper.table1()["length_over_input"]))]


# --- the question of Table 1 -------------------------------------------------------------------


def fan(config, landmarks):
    """`models.FAN` of a `TrainingConfig`: hourglasses at L x L, and no head to deconvolve."""
    shape = {key: getattr(config, key) for key in ("size", "length", "channels", "stacks", "depth")}
    return FAN(landmarks=landmarks, **shape)


SYSTEMS = {  # name -> (model of the configuration, how it is built)
    "2D, hourglasses at L x L": ("detector2d", fan),
    "2D, deconvolved from F/4": ("detector2d", work.build_model),
    "1D": ("detector1d", work.build_model),
}


def table(config, lengths=None, card=None):
    """What the three systems need over L: why Table 1 has no 2D detector at L = F, and 1D ones.

    Args:
        config: a `TrainingConfig`: F, the backbone, the head, the batch and the precision of all.
        lengths: L, multiples of F/4; None takes the paper's. Hourglasses at L x L are counted
            where a stem gives L x L.
        card: GiB; None takes the paper's.

    Returns:
        pandas.DataFrame: system, length (L), length_over_input (L/F), activations_gib, peak_gib,
        parameters_m (millions), card_gib, fits (the peak at the batch of the configuration),
        largest_batch (that fits; 0 for none), size (F), batch, precision.

    Differs from the paper: it prints "out of memory" at L = F for 2D heatmaps as such, on a card
    of 32 GiB at batch 10. Which 2D detector that was, it does not say; it is so where the
    hourglasses run at L x L, and not where the heatmaps are deconvolved from F/4.
    """
    card = paper.card() if card is None else card
    lengths = lengths_of_paper(config.size) if lengths is None else lengths
    rows = []
    for system, (model, build) in SYSTEMS.items():
        for length in lengths:
            if build is not fan or config.size / length in STEMS:
                one = dataclasses.replace(config, model=model, length=length)
                rows.append({"system": system, **_row(one, Growth(one, build=build), card)})
    return pd.DataFrame(rows)


def _row(config, growth, card):
    peak = growth.peak(config.batch)
    return {
        "length": config.length,
        "length_over_input": config.length / config.size,
        "activations_gib": growth.activations(config.batch) / GIB,
        "peak_gib": peak / GIB,
        "parameters_m": growth.parameters / 1e6,
        "card_gib": card,
        "fits": peak <= card * GIB,
        "largest_batch": growth.largest_batch(card * GIB),
        "size": config.size,
        "batch": config.batch,
        "precision": config.precision,
    }
