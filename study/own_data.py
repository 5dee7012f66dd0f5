"""What notebook 14 shows of data of one's own: what there is, how well a detector finds it."""

import numpy as np
import pandas as pd

from study import material, metrics, results, tables
from study.config import ConfigError

SIDES = ("train", "held out", "test")
FEW = 10  # test faces, below which an interval over them is not to be trusted
SHAPE = "mean shape"  # the baseline's name


def require(profile):
    """Stops where a profile has other data than one's own.

    Raises:
        ConfigError: it has; says which profile has some.
    """
    if not profile.data.own:
        raise ConfigError(f"profile {profile.name} is on {profile.data.name}; take profile own")
    return profile


def counts(profile, index, crops):
    """What there is to train on, to hold out and to test on.

    Args:
        index, crops: what `prepare.prepare` gives, B rows.

    Returns:
        pandas.DataFrame, a row a side: side, faces, images, hidden (points), data.
    """
    hidden = ~np.stack(list(index["visible"]))  # (B, N)
    rows = [
        {
            "side": side,
            "faces": int(mask.sum()),
            "images": index["image"][mask].nunique(),
            "hidden": int(hidden[mask].sum()),
            "data": profile.data.label,
        }
        for side, mask in zip(SIDES, material.split(profile, crops), strict=True)
    ]
    return pd.DataFrame(rows)


def mean_shape(profile, crops):
    """The mean points of the training faces, held-out ones left aside: (N, 2) px of the cache.

    Faces are cut by their boxes, so that this is a mean over faces of one place and size. NaN
    for a point that no training face shows.
    """
    train, _, _ = material.split(profile, crops)
    points = crops.points[train]
    seen = ~np.isnan(points)
    return np.nansum(points, axis=0) / np.where(seen.any(axis=0), seen.sum(axis=0), np.nan)


def errors(profile, run, crops):
    """NRMSE of each test face and point, of the recorded run and of the mean shape in its place.

    Args:
        run: a recorded `config.Run` of the profile.
        crops: its `Crops`.

    Returns:
        dict from system (the run's model, and SHAPE) to (B, N) fractions, NaN where a point is
        hidden; faces in the order of the cache.
    """
    arrays = results.predictions(material.folder(profile, run))
    rows = np.flatnonzero(material.split(profile, crops)[2])
    if list(arrays["id"]) != list(crops.table["id"].iloc[rows]):
        raise material.RunError(f"{run.id} was recorded on other faces: train it with --again")
    shape = np.broadcast_to(mean_shape(profile, crops), crops.points[rows].shape)
    away = crops.to_image(shape, rows) - crops.to_image(crops.points[rows], rows)
    found = {run.config.model: arrays["residual"].astype(np.float64), SHAPE: away}
    divisor = arrays["normalizer"][:, None]
    return {name: np.linalg.norm(residual, axis=-1) / divisor for name, residual in found.items()}


def scores(profile, crops, found):
    """NRMSE with intervals, of all points together and of each.

    Args:
        crops: the profile's `Crops`.
        found: what `errors` gives, B faces of N points.

    Returns:
        pandas.DataFrame, a row a system and point: system, point ("all" or its name), faces that
        show it, nrmse_percent, low, high (95 % over faces), data. A point that no test face shows
        has no row.
    """
    names, rows = material.scheme_of(profile.data, crops).names, []
    for system, by_point in found.items():
        for point, values in [("all", _mean(by_point)), *zip(names, by_point.T, strict=True)]:
            values = values[~np.isnan(values)]
            if len(values):
                mean, low, high = tables.percent(metrics.bootstrap_mean(values))
                rows.append((system, point, len(values), mean, low, high, profile.data.label))
    columns = ["system", "point", "faces", "nrmse_percent", "low", "high", "data"]
    return pd.DataFrame(rows, columns=columns)


def _mean(by_point):
    """Mean over the visible points of each face: (B, N) -> (B,)."""
    return np.nansum(by_point, axis=1) / (~np.isnan(by_point)).sum(axis=1)


def side_by_side(table):
    """`scores` with a row a point and a column a system, percent with its interval as text."""
    texts = [f"{r.nrmse_percent:.2f} ({r.low:.2f} to {r.high:.2f})" for r in table.itertuples()]
    wide = table.assign(text=texts).pivot(index="point", columns="system", values="text")
    order, systems = dict.fromkeys(table["point"]), dict.fromkeys(table["system"])
    return wide.loc[list(order), list(systems)].rename_axis(columns="NRMSE %")


def marked(profile, run, crops, count=18):
    """Test faces with their true and their predicted points.

    Returns:
        images (n, 3, F, F), points (n, N, 2) and predicted (n, N, 2) px of the crop; None where
        the weights are not on this machine.
    """
    rows = np.flatnonzero(material.split(profile, crops)[2])[:count]
    seen = results.outputs(profile, run, crops, rows) if run.config.model == "detector1d" else None
    return seen and (seen.images, seen.points, seen.predicted)


def answer(profile, run, found):
    """The answer of 14: how far the detector errs, and whether by less than the mean shape.

    Args:
        found: what `errors` gives.
    """
    ours, shape = (_mean(by_point) for by_point in found.values())
    gain, low, high = tables.percent(metrics.bootstrap_decrease(shape[None], ours[None]))
    verdict = "It has learnt the points" if low > 0 else "No sign that it has learnt the points"
    if len(ours) < FEW:
        verdict = f"{len(ours)} test faces are too few to say whether it has learnt the points"
    return (
        f"{verdict}: NRMSE is {100 * ours.mean():.2f} % by {run.id} and {100 * shape.mean():.2f} % "
        f"by the mean shape in the same boxes, on {len(ours)} test faces, a change of "
        f"{-gain:+.1f} % ({-high:+.1f} to {-low:+.1f} %). Measured on {profile.data.label}."
    )


def described(profile, crops):
    """The scheme in a line, the same on every machine: its points, and what errors go over."""
    scheme = material.scheme_of(profile.data, crops)
    pair = [scheme.names[n] for n in scheme.eye_corners or ()]
    by = f"the distance of {' and '.join(pair)}" if pair else "the face's size"
    return f"{scheme.count} points ({', '.join(scheme.names)}); errors are divided by {by}"
