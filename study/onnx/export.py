"""Weights to ONNX: `python -m study export --out detector.onnx`; `exported` runs the file."""

import contextlib
import dataclasses
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from study import confidence, training, weights as weight_files
from study.heatmaps import DECODERS
from study.onnx import exported
from study.onnx.exported import OUTPUTS, OnnxError

CLOSE = 1e-4  # of the highest peak: what a file's heatmaps may differ by from those of PyTorch
OF_TRACKER = "the detector inside a tracker, without what refines its heatmaps over time"


class Whole(nn.Module):
    """A detector, its decoder and its confidence as one network.

    (B, 3, F, F) -> points (B, N, 2) px of the crop, h_x, h_y (B, N, L), confidence (B, N).
    """

    def __init__(self, detector, meta, decoder):
        super().__init__()
        self.detector, self.meta, self.decoder = detector, meta, decoder

    def forward(self, images):
        h_x, h_y = self.detector(images)
        points = training.decode((h_x, h_y), self.meta.config, self.decoder)
        return points, h_x, h_y, sure(self.meta, h_x, h_y)


def sure(meta, h_x, h_y):
    """(B, N) confidences: by the calibration, or without one the lower of a landmark's peaks."""
    if meta.calibration is not None:
        return meta.calibration(h_x, h_y)
    return confidence.peaks(h_x, h_y)[..., 0]


def export(path, weights=None, decoder=None):
    """Writes a detector as ONNX; the file appears when it is complete and gives what it should.

    Args:
        path: the file; one of that name is replaced.
        weights: a file as `weights.save` writes it; None is the one that ships with the study. Of
            a tracker, the detector inside is exported.
        decoder: a key of DECODERS; None takes the weights' own.

    Returns:
        the detector's `weights.Meta`; its `about` says under "exported" where it is a tracker's.

    Raises:
        OnnxError: an unknown decoder, a file that cannot be written, or one whose heatmaps are not
            those of PyTorch.
        WeightsError: unusable weights.
    """
    path = Path(path)
    if path.is_dir():
        raise OnnxError(f"{path}: a folder, not the file to write")
    detector, meta = load(weights)
    decoder = decoder or meta.config.decoder
    if decoder not in DECODERS:
        raise OnnxError(f"decoder {decoder!r} is unknown; there are {', '.join(DECODERS)}")
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        part.touch()  # before the work: there may be no such folder
        network = Whole(detector, meta, decoder).eval()
        part.write_bytes(_graph(network).SerializeToString())
        _check(part, path, network)
        os.replace(part, path)
    except OSError as error:
        raise OnnxError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return meta


def load(weights=None):
    """The detector of a file of weights, and its Meta; of a tracker, those of the one inside.

    Args:
        weights: as for `export`.

    Raises:
        WeightsError: unusable weights.
    """
    model, meta = weight_files.load(weights)
    if meta.kind != "tracker1d":
        return model, meta
    about = {**meta.about, "exported": OF_TRACKER}
    return model.detector, dataclasses.replace(meta, kind="detector1d", tracker={}, about=about)


def _graph(network):
    """A `Whole` as an ONNX model of any number of faces, with its metadata."""
    size = network.meta.config.size
    with _quiet():
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, size, size),),
            dynamo=True,  # the older exporter rounds -(-L // 10) towards zero
            input_names=["images"],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("faces")},),
            verbose=False,
        )
    model = _bare(program.model_proto)
    onnx.helper.set_model_props(model, exported.describe(network.meta, network.decoder))
    return model


@contextlib.contextmanager
def _quiet():
    """Without what the exporter says of packages that are not here, and of torch's own code."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _bare(model):
    """A model without the stack traces in it, which name files of the machine that wrote it."""
    graph = model.graph
    for parts in (graph.node, graph.value_info, graph.input, graph.output, graph.initializer):
        for part in parts:
            part.ClearField("metadata_props")
            part.ClearField("doc_string")
    for field in ("metadata_props", "doc_string"):
        graph.ClearField(field)
    return model


@torch.inference_mode()
def _check(part, path, network):
    """Raises an OnnxError where a file's heatmaps are not the network's."""
    size = network.meta.config.size
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    found = exported.Runner(part).run(images.numpy(), ("h_x", "h_y"))
    for h, wanted in zip(found.values(), network.detector(images), strict=True):
        off = np.abs(h - wanted.numpy()).max() / wanted.abs().max().item()
        if not off <= CLOSE:
            raise OnnxError(f"{path}: not written: its heatmaps are off by {off:.1e} of their peak")
