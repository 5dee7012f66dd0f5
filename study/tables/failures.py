"""Where the profile's detector errs, and the test faces that it fails on: tables from residuals.

No table here holds a landmark of a single face, true or predicted, nor which way it is missed:
only by how much.
"""

import numpy as np
import pandas as pd
import torch

from study import metrics, results, tables
from study.tables import areas

LIMIT = 0.08  # NRMSE above which an area or a face counts as failed: the field's usual limit
WORST = 8  # faces that are shown
TENTH = 0.1  # share of the faces, the worst ones, that are looked at by area
FACE = "the whole face"
MISSED = ["place", "id", "subset", "nrmse_percent", "landmark", "area", "percent"]
AREA = ["area", "landmarks", "percent", "low", "high", "failed_percent", "worst_tenth_percent"]
AREA += ["worst_percent", "seeds", "faces", "data"]
PLACE = ["landmark", "area", "x", "y", "bias_x", "bias_y", "sd_x", "sd_y", "percent"]


def flagship(found):
    """Ids of the recorded trainings of the profile's flagship that were tested on faces."""
    ids = found.recorded(found.profile.flagship)
    return [id for id in ids if sum(found.records[id]["data"]["test"].values())]


def faces(found, id):
    """The test faces of one run, the worst first.

    Args:
        found: `results.Results`.
        id: of a recorded run on stills.

    Returns:
        row (in its predictions.npz), id, subset, nrmse_percent.
    """
    arrays = results.predictions(results.folder(found.profile, id))
    nrmse = 100 * _relative(arrays).norm(dim=-1).mean(dim=-1).numpy()
    table = pd.DataFrame({"row": np.arange(len(nrmse)), "id": arrays["id"]})
    table = table.assign(subset=arrays["subset"], nrmse_percent=nrmse)
    return table.sort_values(["nrmse_percent", "id"], ascending=[False, True], ignore_index=True)


def _relative(arrays):
    """Residuals by the own decoder over the normaliser: (B, N, 2) fractions."""
    residual = torch.from_numpy(arrays["residual"].astype(np.float64))
    return residual / torch.from_numpy(arrays["normalizer"])[:, None, None]


def worst(found, count=WORST):
    """By how much each landmark of the flagship's worst test faces is missed, of its first seed.

    Returns:
        place (1 is the worst), id, subset, nrmse_percent, landmark (0-based), area, percent (how
        far the prediction is from the truth, % of the distance of the outer eye corners), data;
        empty where nothing is recorded.
    """
    parts = []
    for id in flagship(found)[:1]:
        arrays = results.predictions(results.folder(found.profile, id))
        missed = 100 * _relative(arrays).norm(dim=-1).numpy()  # (B, N)
        named = _areas(results.scheme(found.profile))
        for place, face in enumerate(faces(found, id).head(count).to_dict("records"), start=1):
            rows = dict(percent=missed[face.pop("row")], landmark=range(len(named)), area=named)
            parts.append(pd.DataFrame(face | rows | dict(place=place)))
    made = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=MISSED)
    ids = flagship(found)[:1]
    return made[MISSED].assign(data=_data(found, ids[0]) if ids else "")


def rows_of_worst(found, id, table, count=WORST):
    """Rows of the worst test faces of one run in the table of its crops, the worst first.

    Args:
        found: `results.Results`.
        id: of a recorded run on stills.
        table: of the `Crops`, one row a face, with id.
    """
    row = dict(zip(table["id"], range(len(table)), strict=True))
    return np.array([row[face] for face in faces(found, id).head(count)["id"]])


def _areas(scheme):
    """The facial area of each landmark, N names."""
    by = {n: area for area, index in scheme.areas.items() for n in index}
    return [by[n] for n in range(scheme.count)]


def _data(found, name=None):
    """What was measured on what: one training by its id, or all of the flagship's."""
    name = name or found.profile.flagship
    return f"{name}: {results.describe(found.records[flagship(found)[0]])}"


def by_area(found):
    """Which facial areas err, and which fail, over all test faces and seeds of the flagship.

    Returns:
        area (the last row is FACE), landmarks (how many), percent with its interval (NRMSE),
        failed_percent (of the faces, above LIMIT), worst_tenth_percent (NRMSE of the worst tenth
        of the faces), worst_percent (of these, where the area is the one that errs most), seeds,
        faces, data; empty where nothing is recorded.
    """
    ids = flagship(found)
    if not ids:
        return pd.DataFrame(columns=AREA)
    scheme = results.scheme(found.profile)
    loaded = [_ordered(found, id) for id in ids]  # (S) of (B, N) fractions
    errors = {area: _mean(loaded, list(index)) for area, index in scheme.areas.items()}
    whole, data = _mean(loaded, list(range(scheme.count))), _data(found)
    worst = whole >= np.quantile(whole, 1 - TENTH, axis=1, keepdims=True)
    most = np.stack(list(errors.values())).argmax(axis=0)  # (S, B) place of an area
    rows = []
    for place, (area, of_area) in enumerate((errors | {FACE: whole}).items()):
        count = len(scheme.areas.get(area, range(scheme.count)))
        row = dict(area=area, landmarks=count, worst_percent=np.nan)
        row |= dict(zip(("percent", "low", "high"), _percent(of_area), strict=True))
        row |= dict(failed_percent=100 * (of_area > LIMIT).mean())
        row |= dict(worst_tenth_percent=100 * of_area[worst].mean())
        if area != FACE:
            row |= dict(worst_percent=100 * (most == place)[worst].mean())
        rows.append(row | dict(seeds=len(ids), faces=whole.shape[1], data=data))
    return tables.tidy(rows, AREA)


def _ordered(found, id):
    """Error of each landmark of a run's test faces in the order of their ids: (B, N) fractions."""
    arrays = results.predictions(results.folder(found.profile, id))
    return _relative(arrays).norm(dim=-1).numpy()[np.argsort(arrays["id"])]


def _mean(loaded, index):
    return np.stack([errors[:, index].mean(axis=1) for errors in loaded])  # (S, B)


def _percent(errors):
    return tables.percent(metrics.bootstrap_mean(errors))


def landmarks(found, shape):
    """What each landmark is missed by over all test faces and seeds, on the mean of all faces.

    Args:
        found: `results.Results`.
        shape: `areas.landmarks` or None, of which the mean face in units of the eyes' distance is
            read.

    Returns:
        landmark, area, x, y (mean face), bias_x, bias_y (mean of predicted - truth), sd_x, sd_y
        (its standard deviation), percent (NRMSE), seeds, faces, data: in % of the distance of the
        outer eye corners. Nothing of any single face. Empty where nothing is recorded; x and y are
        NaN where there is no mean face.
    """
    ids = flagship(found)
    if not ids:
        return pd.DataFrame(columns=[*PLACE, "seeds", "faces", "data"])
    folders = [results.folder(found.profile, id) for id in ids]
    every = 100 * torch.cat([_relative(results.predictions(where)) for where in folders])
    bias, sd = every.mean(dim=0).numpy(), every.std(dim=0, correction=0).numpy()
    table = pd.DataFrame({"landmark": range(len(bias))})
    table["area"] = _areas(results.scheme(found.profile))
    table[["x", "y"]] = mean_face(shape, found.profile.data.label, len(bias))
    for name, values in (("bias", bias), ("sd", sd)):
        table[[f"{name}_x", f"{name}_y"]] = values
    table["percent"] = every.norm(dim=-1).mean(dim=0).numpy()
    count = len(every) // len(ids)
    return table[PLACE].assign(seeds=len(ids), faces=count, data=_data(found))


def mean_face(shape, label, count):
    """The mean of all faces of a data set: (N, 2) % of the eyes' distance, from their middle.

    Args:
        shape: `areas.landmarks` or None.
        label: of the data set; where it has no mean there, another's serves.
        count: N; NaN where there is no mean face of so many landmarks.
    """
    nothing = np.full((count, 2), np.nan)
    if shape is None or shape.empty:
        return nothing
    rows = shape[(shape["coordinates"] == areas.EYES) & (shape["subset"] == areas.WHOLE)]
    own = rows[rows["data"] == label]
    rows = own if len(own) else shape[shape["coordinates"] == areas.EYES]
    first = rows.head(1)[["data", "subset"]].merge(rows).sort_values("landmark")
    return first[["x", "y"]].to_numpy(dtype=float) if len(first) == count else nothing
