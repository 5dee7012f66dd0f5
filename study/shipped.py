"""The evidence of the shipped detector: what it makes of test faces, cropped by three boxes.

A benchmark crops by the annotated points, a user by what a face detector finds. So every test face
is marked from

    annotated   the tight box of its true points, as benchmarks do
    official    the publisher's own detector's box (`Data.boxes`, where there are any)
    found       the box of the built-in face detector (`marking.faces`), a miss where it finds none

The evidence is `reports/<profile>/shipped/`: predictions.npz with id, subset, turn (how far the
head turns, in tenths of `metrics.turn`) and, for each kind of box KIND,
error_KIND (B, N), the distance of each point from the true one over that of the outer eye corners,
and confidence_KIND (B, N), NaN where it was missed; and shipped.json, which says of which weights
and faces. The directions of the errors are not kept: these weights are public, and prediction minus
error would be the data set's annotation, which is not ours to give. Each look at the test set is
counted.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from study import datasets, material, metrics, paths, runs, weights as weight_files
from study.datasets import boxes as box_lists
from study.datasets.formats import read_image
from study.marking import faces
from study.predict import Marker

KINDS = ("annotated", "official", "found")
FORMAT = 1
LOOK = "shipped"  # how test_looks.csv names a look with these weights


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
        return tuple(kind for kind in KINDS if f"error_{kind}" in self.arrays)

    def errors(self, kind):
        """NRMSE of each face, (B,) fractions; NaN where the face was missed."""
        return self.point_errors(kind).mean(axis=1)

    def point_errors(self, kind):
        """Distance of each point from the true one over that of the eye corners: (B, N)."""
        return self.arrays[f"error_{kind}"].astype(np.float64)


def read(profile):
    """The recorded `Evidence`, or None where there is none."""
    file = folder(profile) / "shipped.json"
    if not file.exists():
        return None
    with np.load(folder(profile) / "predictions.npz") as kept:
        return Evidence(json.loads(file.read_text()), dict(kept))


def ensure(profile, again=False, progress=True):
    """The evidence of the shipped weights on a profile's test faces, measured where there is none.

    Args:
        profile: a `config.Profile`.
        again: whether to measure where the same has been measured.
        progress: whether to show a bar.

    Returns:
        Evidence.

    Raises:
        material.RunError: no evidence of these weights, and no crops of the profile here.
        datasets.DatasetError: faces or boxes that cannot be read.
        weights.WeightsError: unusable weights.
    """
    marker, kept = Marker(), read(profile)
    wanted, crops = describe(profile, marker), material.open_crops(profile)
    if crops is not None:
        wanted["fingerprint"] = crops.meta["fingerprint"]  # of the faces
    if kept and not again and _same(kept.about, wanted):
        return kept
    material.require_crops(profile)
    found = measure(profile, marker, wanted, progress)
    where = folder(profile)
    where.mkdir(parents=True, exist_ok=True)
    (where / "shipped.json").unlink(missing_ok=True)
    np.savez_compressed(where / "predictions.npz", **found.arrays)
    (where / "shipped.json").write_text(json.dumps(found.about, indent=1) + "\n")
    return found


def _same(about, wanted):
    return {key: about.get(key) for key in wanted} == wanted


def describe(profile, marker, file=weight_files.SHIPPED):
    """What a measurement is of, as far as it is known beforehand.

    Args:
        marker: a `predict.Marker` of the weights in `file`.
    """
    return {
        "format": FORMAT,
        "weights": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
        "decoder": marker.decoder,
        "mirror": marker.mirror,
        "passes": marker.passes,
        "data": profile.data.label,
        "run": marker.meta.about.get("run", ""),
        "trained_on": marker.meta.about.get("data", ""),
    }


def measure(profile, marker, about, progress=True):
    """The `Evidence` of a marker on a profile's test faces, from all kinds of boxes: a look.

    Args:
        marker: a `predict.Marker`.
        about: of `describe`.
    """
    index, train, _, test = split(profile)
    given = official(profile, index, train)
    [arrays] = mark([marker], index[test], paths.ROOT / profile.data.root, given, progress)
    runs.note_look(profile, LOOK, arrays)
    return Evidence({**about, "faces": len(arrays["id"])}, arrays)


def looks(profile, run=""):
    """How often a profile's test faces were looked at with weights that ship, or may.

    Args:
        run: id of the run that trained them: its own record's look counts too.
    """
    file = paths.reports(profile.name) / "test_looks.csv"
    if not file.exists():
        return 0
    table = pd.read_csv(file)
    counted = table[table["run"].isin([LOOK, run])]
    return int(counted.groupby("subset").size().max()) if len(counted) else 0


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
            rows.append({kind: _marked(marker, image, row, tight[kind]) for kind in kinds})
    alike = {
        "id": index["id"].to_numpy(dtype=str),
        "subset": index["subset"].to_numpy(dtype=str),
        "turn": _tenths(torch.from_numpy(np.stack(list(index["points"])))),
    }
    return [alike | _arrays(rows, kinds) for rows in made]


def _tenths(truth):
    """How far heads turn, by the true points (B, N, 2): tenths of `metrics.turn`."""
    return (10 * metrics.turn(truth).abs()).round().numpy().astype(np.int8)


def _arrays(rows, kinds):
    """Errors and confidences by kind of box, half precision: four digits."""
    return {
        f"{name}_{kind}": np.stack([row[kind][part] for row in rows]).astype(np.float16)
        for kind in kinds
        for part, name in enumerate(("error", "confidence"))
    }


def _found(image, row):
    """The tight box expected of the found box that belongs to this face, or None."""
    boxes = [box for box in faces.find_all(image) if faces.belongs(box, row.box)]
    return faces.tight_box(boxes[0]) if boxes else None


def _marked(marker, image, row, box):
    """Errors (N,) over the distance of the outer eye corners, and confidences (N,).

    NaN without a box.
    """
    if box is None:
        nothing = np.full(len(row.points), np.nan)
        return nothing, nothing
    [face] = marker(image, box)
    points, truth = (torch.from_numpy(np.asarray(one))[None] for one in (face.points, row.points))
    errors = metrics.point_errors(points, truth) / metrics.interocular(truth)[:, None]
    return errors[0].numpy(), face.confidence
