"""A detector as an ONNX file: what the file says of itself, and how it is run.

The network's input and outputs, B faces of any number:

    images      float32 (B, 3, F, F) in [0, 1], RGB
    points      float32 (B, N, 2), px of the crop: 0-based, pixel centres at integers
    h_x, h_y    float32 (B, N, L), the heatmaps
    confidence  float32 (B, N), by the calibration; without one, the lower of a landmark's two peaks

The metadata are strings by name, each of them JSON: `format`, FORMAT; `decoder`, what turned the
heatmaps into points; `size`, F; and the fields of a `weights.Meta`.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from study import config as configs, predict, weights
from study.confidence import Calibration
from study.marking import look

FORMAT = 1  # raise it when files written before can no longer be read
OUTPUTS = ("points", "h_x", "h_y", "confidence")
# Of a Meta; a tracker's own are none of a detector's.
FIELDS = tuple(f.name for f in dataclasses.fields(weights.Meta) if f.name != "tracker")
BATCH = 64  # faces a pass


class OnnxError(weights.WeightsError):
    """A detector as ONNX that cannot be written or used; the message names file and cause."""


def describe(meta, decoder):
    """The metadata of a file: dict of strings.

    Args:
        meta: the detector's `weights.Meta`.
        decoder: a key of DECODERS.
    """
    fields = dataclasses.asdict(meta)
    values = {"format": FORMAT, "decoder": decoder, "size": meta.config.size}
    values |= {name: fields[name] for name in FIELDS}
    return {name: json.dumps(value) for name, value in values.items()}


def described(texts):
    """What `describe` was given: (Meta, decoder).

    Args:
        texts: dict of strings, a file's metadata.

    Raises:
        ValueError: not those of such a file, or of another format.
    """
    if "format" not in texts or "decoder" not in texts:
        raise ValueError("not a detector that `python -m study export` wrote")
    values = {"box": "points"} | {name: json.loads(text) for name, text in texts.items()}
    if values["format"] != FORMAT:
        raise ValueError(f"format {values['format']!r}; this version of the study reads {FORMAT}")
    try:
        fields = {name: values[name] for name in FIELDS}
        fields["config"] = configs.training_config(fields["config"], "config")
        fields["calibration"] = _calibration(fields["calibration"])
        fields["placement"] = fields["placement"] and tuple(fields["placement"])
        return weights.Meta(**fields), values["decoder"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"metadata: {type(error).__name__}: {error}") from error


def _calibration(fields):
    if fields is None:
        return None
    slopes, offsets = tuple(fields["slopes"]), tuple(fields["offsets"])
    return Calibration(fields["within"], slopes, offsets)


class Runner:
    """Marks faces of photographs with an exported detector, on a CPU.

    Args:
        path: a file that `export.export` wrote.
        threads: of the network. Those of the crops are torch's, see `torch.set_num_threads`.

    Attributes:
        meta: its `weights.Meta`.
        decoder: the one inside.

    Raises:
        OnnxError: no such file, or not one of an exported detector.
    """

    def __init__(self, path, threads=1):
        path = Path(path)
        self.session = _session(path, threads)
        try:
            self.meta, self.decoder = described(self.session.get_modelmeta().custom_metadata_map)
        except ValueError as error:
            raise OnnxError(f"{path}: {error}") from error

    def __call__(self, image, boxes):
        """The landmarks of faces in a picture: those of a `predict.Marker` of the same weights.

        Args:
            image: a path, a Pillow image, or (H, W, 3) uint8 RGB.
            boxes: (B, 4) or (4,) x1, y1, x2, y2: tight boxes of the landmarks, px of the picture.

        Returns:
            (B, N, 2) float64 points in px of the picture, and (B, N) float32 confidences.

        Raises:
            PhotoError: a file that cannot be read.
            ValueError: what is no picture, or boxes that cannot be a face's in it.
        """
        image = predict.as_rgb(image)
        boxes = predict.require_boxes(boxes, image.shape)
        points, sure = [np.zeros((0, self.meta.landmarks, 2))], []
        sure.append(np.zeros((0, self.meta.landmarks), dtype=np.float32))
        for first in range(0, len(boxes), BATCH):
            images, to_image = look.look_at_all(image, boxes[first : first + BATCH], self.meta)
            found = self.run(images.numpy(), ("points", "confidence"))
            points.append(to_image(torch.from_numpy(found["points"])))
            sure.append(found["confidence"])
        return np.concatenate(points), np.concatenate(sure)

    def run(self, images, names=OUTPUTS):
        """Outputs of the network by name, for images (B, 3, F, F) float32 in [0, 1]."""
        found = self.session.run(list(names), {"images": images})
        return dict(zip(names, found, strict=True))


def _session(path, threads):
    """An onnxruntime session of a file, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that wait give way: beside other load, those that spin collapse.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; they are raised as well
    if path.is_dir():
        raise OnnxError(f"{path}: a folder, not an ONNX file")
    try:
        data = path.read_bytes()
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise OnnxError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # onnxruntime's own have no base of their own
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise OnnxError(f"{path}: not an ONNX file, or a damaged one: {cause}") from error
