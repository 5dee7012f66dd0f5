"""The evidence of the shipped detector: what it makes of test faces, cropped by three boxes.

A benchmark crops by the annotated points, a user by what a face detector finds. So every test face
is marked from

    annotated   the tight box of its true points, as benchmarks do
    official    the publisher's own detector's box (`Data.boxes`, where there are any)
    found       the box of the built-in face detector (`study.faces`), a miss where it finds none

The evidence is `reports/<profile>/shipped/`: predictions.npz with id, subset, turn (how far the
head turns, in tenths of `metrics.turn`), normalizer (px) and, for each kind of box KIND,
residual_KIND (B, N, 2) px of the image file and confidence_KIND (B, N), NaN where it was missed;
and shipped.json, which says of which weights and faces. Each look at the test set is counted.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from study import datasets, faces, material, metrics, paths, runs
from study.datasets import boxes as box_lists
from study.datasets.formats import read_image
from study.predict import Marker

KINDS = ("annotated", "official", "found")
FORMAT = 1


def folder(profile):
    """Where the evidence is."""
    return paths.reports(profile.name) / "shipped"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is recorded of the shipped detector on a profile's test faces.

    Attributes:
        about: dict: weights (sha256), decoder, mirror, passes, data, trained_on, faces.
        arrays: of predictions.npz.
    """

    about: dict
    arrays: dict

    @property
    def kinds(self):
        """The kinds of boxes that were at hand."""
        return tuple(kind for kind in KINDS if f"residual_{kind}" in self.arrays)

    def errors(self, kind):
        """NRMSE of each face, (B,) fractions; NaN where the face was missed."""
        return self.point_errors(kind).mean(axis=1)

    def point_errors(self, kind):
        """Distance of each point from the true one over that of the eye corners: (B, N)."""
        residual = self.arrays[f"residual_{kind}"].astype(np.float64)
        return np.linalg.norm(residual, axis=-1) / self.arrays["normalizer"][:, None]


def read(profile):
    """The recorded `Evidence`, or None where there is none."""
    file = folder(profile) / "shipped.json"
    if not file.exists():
        return None
    with np.load(folder(profile) / "predictions.npz") as kept:
        return Evidence(json.loads(file.read_text()), dict(kept))


def ensure(profile, weights=None, again=False, progress=True):
    """The evidence of these weights on a profile's test faces, measured where there is none.

    Args:
        profile: a `config.Profile`.
        weights: a file; None is the shipped one.
        again: whether to measure where the same has been measured.
        progress: whether to show a bar.

    Returns:
        Evidence.

    Raises:
        datasets.DatasetError: faces or boxes that cannot be read.
        weights.WeightsError: unusable weights.
    """
    marker = Marker(weights)
    wanted = describe(profile, marker)
    kept = read(profile)
    here = (paths.ROOT / profile.data.root).exists()
    if kept and not again and (_same(kept.about, wanted) or not here):
        return kept
    return measure(profile, marker, wanted, progress)


def _same(about, wanted):
    return {key: about.get(key) for key in wanted} == wanted


def describe(profile, marker):
    """What a measurement is of, as far as it is known beforehand."""
    return {
        "format": FORMAT,
        "weights": hashlib.sha256(Path(marker.file).read_bytes()).hexdigest(),
        "decoder": marker.decoder,
        "mirror": marker.mirror,
        "passes": marker.passes,
        "data": profile.data.label,
        "trained_on": marker.meta.about.get("data", ""),
    }


def measure(profile, marker, wanted, progress=True):
    """Marks a profile's test faces from all kinds of boxes, and writes the evidence.

    Args:
        marker: a `predict.Marker`.
        wanted: of `describe`.
    """
    index, train, _, test = split(profile)
    given = official(profile, index, train)
    [arrays] = mark([marker], index[test], paths.ROOT / profile.data.root, given, progress)
    where = folder(profile)
    where.mkdir(parents=True, exist_ok=True)
    (where / "shipped.json").unlink(missing_ok=True)
    np.savez_compressed(where / "predictions.npz", **arrays)
    runs.note_look(profile, "shipped", arrays)
    about = {**wanted, "faces": len(arrays["id"])}
    (where / "shipped.json").write_text(json.dumps(about, indent=1) + "\n")
    return Evidence(about, arrays)


def split(profile):
    """A profile's stills: index, and masks (B,) of training, held-out and test faces."""
    index = datasets.load(profile.data.name, paths.ROOT / profile.data.root)
    return index, *material.split_table(profile, index)


def official(profile, index, train):
    """The tight boxes that the publisher's detector's boxes let one expect, by id.

    Where the landmarks' tight box lies in such a box is fitted on training faces.

    Args:
        index: table of all faces; train: (B,) bool, those to fit on.

    Returns:
        dict from id to (4,) px; empty where the profile has no boxes here.
    """
    file = profile.data.boxes and paths.ROOT / profile.data.boxes
    if not file or not file.exists():
        return {}
    listed = box_lists.read(file, profile.data.name)
    known = index[train & index["id"].isin(listed).to_numpy()]
    placement, _ = faces.fit([listed[id] for id in known["id"]], list(known["box"]))
    return {id: faces.tight_box(listed[id], placement) for id in index["id"] if id in listed}


def mark(markers, index, root, given, progress=True):
    """Arrays of predictions.npz for the faces of an index, one dict a marker.

    Args:
        markers: list of `predict.Marker`, which get the same pictures and boxes.
        index: rows of `datasets.load`.
        root: folder of its images.
        given: of `official`.
    """
    kinds = [kind for kind in KINDS if kind != "official" or given]
    made = [[] for _ in markers]
    for row in tqdm(index.itertuples(), "faces", len(index), unit="face", disable=not progress):
        image = np.asarray(read_image(Path(root) / row.image))
        tight = {"annotated": row.box, "official": given.get(row.id), "found": _found(image, row)}
        for rows, marker in zip(made, markers, strict=True):
            rows.append({kind: _residual(marker, image, row, tight[kind]) for kind in kinds})
    truth = torch.from_numpy(np.stack(list(index["points"])))
    faces_alike = {
        "id": index["id"].to_numpy(dtype=str),
        "subset": index["subset"].to_numpy(dtype=str),
        "normalizer": metrics.interocular(truth).numpy(),
        "turn": (10 * metrics.turn(truth).abs()).round().numpy().astype(np.int8),
    }
    return [faces_alike | _arrays(rows, kinds) for rows in made]


def _arrays(rows, kinds):
    """Residuals and confidences by kind of box, half precision: 0.004 px at 4 px."""
    return {
        f"{name}_{kind}": np.stack([row[kind][part] for row in rows]).astype(np.float16)
        for kind in kinds
        for part, name in enumerate(("residual", "confidence"))
    }


def _found(image, row):
    """The tight box expected of the found box that belongs to this face, or None."""
    boxes = [box for box in faces.find(image) if faces.belongs(box, row.box)]
    return faces.tight_box(boxes[0]) if boxes else None


def _residual(marker, image, row, box):
    """Predicted minus true points (N, 2) px, and confidences (N,); NaN without a box."""
    count = len(row.points)
    if box is None:
        return np.full((count, 2), np.nan), np.full(count, np.nan)
    [face] = marker.mark(image, [box])
    return face.points - row.points, face.confidence
