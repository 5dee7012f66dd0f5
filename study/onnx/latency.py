"""How long a face takes, from a photograph and a box to landmarks: PyTorch beside ONNX Runtime."""

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pandas as pd
import torch
from tqdm.auto import tqdm

from study import training
from study.marking import look
from study.onnx import export, exported
from study.standin import face

STAGES = ("crop", "network", "decode")
THREADS, BATCHES = (1, 2), (1, 16)
PICTURE = 448  # px, the side of the photograph; the face is half as large
# Faces of a turn of one way before it is the other's, which leaves it caches of its own; one call
# before them is not counted.
TURN = 50
FEWEST = 3  # turns, and calls of a turn, however many faces are marked at once
# What of the columns is printed, and how.
SHOWN = {
    "runtime": "{}",
    "threads": "{}",
    "faces": "{}",
    "crop_ms": "{:.2f}",
    "network_ms": "{}",
    "decode_ms": "{:.2f}",
    "total_ms": "{:.2f}",
    "quartiles": "{}",
    "ms_a_face": "{:.2f}",
    "faces_per_s": "{:.0f}",
    "times_pytorch": "{}",
}


@dataclass(frozen=True)
class Way:
    """A way from images to points.

    Attributes:
        runtime: its name in the table.
        network_is: what the network's time holds.
        network: images (B, 3, F, F) in [0, 1] -> what `decode` takes.
        decode: that -> points (B, N, 2) in px of the crop, with confidences beside them.
    """

    runtime: str
    network_is: str
    network: Callable
    decode: Callable


def _pytorch(detector, meta):
    """As `predict.Marker` does it."""
    detector = detector.to(memory_format=torch.channels_last)

    def network(images):
        return detector(images.contiguous(memory_format=torch.channels_last))

    def decode(heatmaps):
        points = training.decode(heatmaps, meta.config, meta.config.decoder)
        return points, export.sure(meta, *heatmaps)

    return Way("PyTorch", "network", network, decode)


def _onnx(runner):
    """As `exported.Runner` does it: the decoder is inside the network."""

    def network(images):
        return runner.run(images.numpy(), ("points", "confidence"))

    def decode(found):
        return torch.from_numpy(found["points"]), found["confidence"]

    return Way("ONNX", "network+decode", network, decode)


@torch.inference_mode()
def _stages(way, image, boxes, meta):
    """Seconds of each of the STAGES, once."""
    times = [time.perf_counter()]
    images, to_image = look.look_at_all(image, boxes, meta)
    times.append(time.perf_counter())
    found = way.network(images)
    times.append(time.perf_counter())
    points, _ = way.decode(found)
    to_image(points)
    times.append(time.perf_counter())
    return np.diff(times)


def _scene(faces):
    """A rendered photograph, and the box of its face once for each of some faces: (B, 4)."""
    image, points = face.draw(face.sample_face(np.random.default_rng(0), "common"), PICTURE)
    return image, np.tile(look.tight_box(points), (faces, 1))


def measure(weights=None, seconds=20.0, progress=True):
    """Times every combination of runtime, threads and batch on this machine's CPU.

    Args:
        weights: as for `export.export`.
        seconds: for each pair of PyTorch and ONNX, which run in turn so that other load hits both.
        progress: whether to show a progress bar.

    Returns:
        table, one row a combination: runtime, threads, faces (a batch), network_is; crop_ms,
        network_ms, decode_ms and total_ms, medians; low_ms and high_ms, quartiles of the total;
        ms_a_face and faces_per_s, of the median; times_pytorch, PyTorch's total over this one,
        median of the turns; calls, that each row is the median of; face_px, machine,
        cores, load (of the machine in its last minute), waiting (of PyTorch's threads, as the
        environment's OMP_WAIT_POLICY says), torch, onnxruntime, decoder, size and length.

    Raises:
        WeightsError: unusable weights.
    """
    detector, meta = export.load(weights)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "detector.onnx"
        export.export(file, weights)
        pairs = [(threads, faces) for threads in THREADS for faces in BATCHES]
        for threads, faces in tqdm(pairs, desc="latency", unit="pair", disable=not progress):
            ways = _pytorch(detector, meta), _onnx(exported.Runner(file, threads))
            with _on(threads):
                times = _in_turn(ways, *_scene(faces), meta, seconds)
            rows += _rows(ways, times, threads, faces)
    return pd.DataFrame(rows).assign(**_about(meta))


@contextlib.contextmanager
def _on(threads):
    """A context in which torch and OpenCV use so many threads."""
    was = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        yield
    finally:
        torch.set_num_threads(was[0])
        cv2.setNumThreads(was[1])


def _in_turn(ways, image, boxes, meta, seconds):
    """Seconds of the stages of ways that take turns: (turns, ways, calls, stages)."""
    turns, start = [], time.perf_counter()
    calls = max(FEWEST, TURN // len(boxes))
    while len(turns) < FEWEST or time.perf_counter() < start + seconds:
        turns.append([])
        for way in ways:
            times = [_stages(way, image, boxes, meta) for _ in range(1 + calls)]
            turns[-1].append(times[1:])
    return np.array(turns)


def _rows(ways, times, threads, faces):
    """A row of the table for each of the ways; times as `_in_turn` gives them."""
    totals = times.sum(axis=-1)  # (turns, ways, calls)
    of_turns = np.median(totals, axis=-1)
    for number, way in enumerate(ways):
        low, middle, high = np.percentile(1e3 * totals[:, number], [25, 50, 75])
        stages = np.median(1e3 * times[:, number], axis=(0, 1))
        yield {
            "runtime": way.runtime,
            "threads": threads,
            "faces": faces,
            "network_is": way.network_is,
            **{f"{stage}_ms": ms for stage, ms in zip(STAGES, stages, strict=True)},
            **{"total_ms": middle, "low_ms": low, "high_ms": high},
            **{"ms_a_face": middle / faces, "faces_per_s": 1e3 * faces / middle},
            "times_pytorch": np.median(of_turns[:, 0] / of_turns[:, number]),
            "calls": totals[:, number].size,
        }


def _about(meta):
    """What was measured, and on what."""
    box = _scene(1)[1][0]
    return {
        "face_px": round((box[2:] - box[:2]).max()),
        "machine": cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "waiting": os.environ.get("OMP_WAIT_POLICY", "default").lower(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "decoder": meta.config.decoder,
        "size": meta.config.size,
        "length": meta.config.length,
    }


def cpu():
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def text(table):
    """A table of `measure` for a terminal."""
    one = table.iloc[0]
    shown = table.assign(
        network_ms=[
            f"{ms:.2f}{'*' * (kind != 'network')}"
            for ms, kind in zip(table["network_ms"], table["network_is"], strict=True)
        ],
        quartiles=[
            f"{low:.2f}-{high:.2f}"
            for low, high in zip(table["low_ms"], table["high_ms"], strict=True)
        ],
        times_pytorch=[f"{times:.2f}x" for times in table["times_pytorch"]],
    )
    cells = {name: shown[name].map(form.format) for name, form in SHOWN.items()}
    lines = [
        f"{one['machine']}, {one['cores']} cores, load {one['load']}; torch {one['torch']} "
        f"(OMP_WAIT_POLICY {one['waiting']}), onnxruntime {one['onnxruntime']}",
        f"F={one['size']}, L={one['length']}, decoder {one['decoder']}; a face of "
        f"{one['face_px']} px in a photograph of {PICTURE} px; medians of "
        f"{table['calls'].min()} calls or more",
        pd.DataFrame(cells).to_string(index=False),
        "crop: uint8 photograph and box to images; decode: heatmaps to points in px of the "
        "photograph, and confidences",
        "* network+decode: the decoder is inside the ONNX file, and `decode` only the way back",
        "times_pytorch: PyTorch's total over this one, median of the turns",
    ]
    return "\n".join(lines)
