"""Tables of the shipped detector: by box, facial area and turn of the head, and how sure it is."""

import numpy as np
import pandas as pd

from study import calibration, confidence, metrics, paths, shipped, tables
from study.landmarks import IBUG68
from study.predict import Marker

LIMIT = 0.08  # of the distance of the eye corners: an NRMSE above it is a failure, as in 300W
SCORE = ("subset", "boxes", "faces", "missed", "percent", "low", "high", "worse", "worse_low")
SCORE += ("worse_high", "median_percent", "failures_percent", "looks", "data")
AREA = ("subset", "boxes", "area", "faces", "percent", "low", "high", "data")
TURN = ("subset", "boxes", "turn", "faces", "missed", "percent", "low", "high", "data")
BIN = ("boxes", "bin", "confidence", "share", "low", "high", "landmarks", "within", "data")
CHOICE = ("decoder", "mirror", "passes", "boxes", "faces", "missed", "percent", "chosen")
CHOICE += ("weights", "data")
# Tenths of `metrics.turn`, half the sine of the yaw -> what a reader understands.
TURNS = {(0, 0): "up to about 6°", (1, 1): "to about 17°", (2, 2): "to about 30°"}
TURNS[(3, 99)] = "more than about 30°"
DECODERS = ("argmax", "taylor", "local")
WAYS = ((False, 1), (False, 2), (True, 1), (True, 2))  # mirror, passes


def on(evidence):
    """What a number was measured on, as printed beside it."""
    trained = evidence.about.get("trained_on") or "trained elsewhere"
    return f"{evidence.about['data']}; shipped detector, {trained}"


def _interval(errors):
    """Mean and 95 % interval over faces, in percent; NaN where there is no face."""
    return tables.percent(metrics.bootstrap_mean(errors[None])) if len(errors) else [np.nan] * 3


def _subsets(evidence):
    """Printed name of a test subset, and its rows (B,)."""
    for named, subset in tables.SUBSETS.items():
        rows = evidence.arrays["subset"] == subset
        if rows.any():
            yield named, rows


def of_profile(profile, evidence):
    """All tables of the evidence on a profile's test faces: name -> table."""
    run = evidence.about.get("run", "").partition(" ")[0]
    return {
        "shipped": scores(evidence, shipped.looks(profile, run)),
        "shipped_areas": by_area(evidence),
        "shipped_turns": by_turn(evidence),
        "reliability": reliability(evidence),
    }


def scores(evidence, looks=0):
    """NRMSE with each kind of box: how much a user's box costs.

    Args:
        evidence: `shipped.Evidence`.
        looks: how often the test set was looked at with shipped weights.

    Returns:
        SCORE; percent over the faces that were found; worse: points above the annotated boxes, on
        the same faces; failures: NRMSE above LIMIT, or missed.
    """
    rows = []
    for named, here in _subsets(evidence):
        for kind in evidence.kinds:
            errors, usual = evidence.errors(kind)[here], evidence.errors("annotated")[here]
            missed = np.isnan(errors)
            mean, low, high = _interval(errors[~missed])
            worse = _worse(errors[~missed], usual[~missed]) if kind != "annotated" else {}
            failed = missed | (np.nan_to_num(errors) > LIMIT)
            rows.append(
                {
                    **{"subset": named, "boxes": kind, "faces": len(errors)},
                    **{"missed": int(missed.sum()), "percent": mean, "low": low, "high": high},
                    **worse,
                    "median_percent": 100 * pd.Series(errors).median(),
                    "failures_percent": 100 * failed.mean(),
                    **{"looks": looks, "data": on(evidence)},
                }
            )
    return tables.tidy(rows, SCORE)


def _worse(errors, usual):
    if not len(errors):
        return {}
    found = tables.percent(metrics.bootstrap_difference(errors[None], usual[None]))
    return dict(zip(("worse", "worse_low", "worse_high"), found, strict=True))


def by_area(evidence):
    """NRMSE of each facial area by kind of box: AREA."""
    rows = []
    for named, here in _subsets(evidence):
        for kind in evidence.kinds:
            errors = evidence.point_errors(kind)[here]
            errors = errors[~np.isnan(errors).any(axis=1)]
            for area, landmarks in IBUG68.areas.items():
                mean, low, high = _interval(errors[:, list(landmarks)].mean(axis=1))
                row = {"subset": named, "boxes": kind, "area": area, "faces": len(errors)}
                row |= {"percent": mean, "low": low, "high": high, "data": on(evidence)}
                rows.append(row)
    return tables.tidy(rows, AREA)


def by_turn(evidence):
    """NRMSE by how far heads turn aside, and kind of box: TURN."""
    rows = []
    for named, here in _subsets(evidence):
        for kind in evidence.kinds:
            for (least, most), turn in TURNS.items():
                there = evidence.arrays["turn"]
                errors = evidence.errors(kind)[here & (there >= least) & (there <= most)]
                known = errors[~np.isnan(errors)]
                row = {"subset": named, "boxes": kind, "turn": turn, "faces": len(errors)}
                row |= {"missed": len(errors) - len(known), "data": on(evidence)}
                row |= dict(zip(("percent", "low", "high"), _interval(known), strict=True))
                rows.append(row)
    return tables.tidy(rows, TURN)


def reliability(evidence, bins=10):
    """How often landmarks of about the same confidence lie within `calibration.WITHIN`: BIN.

    Intervals are over faces: landmarks of one face are no independent draws.
    """
    rows = []
    for kind in evidence.kinds:
        sure = evidence.arrays[f"confidence_{kind}"].astype(np.float64)
        known = ~np.isnan(sure).any(axis=1)
        if not known.any():
            continue
        close = evidence.point_errors(kind)[known] <= calibration.WITHIN
        drawn = _redrawn(sure[known], close, bins)
        for number, (mean, share, count) in enumerate(
            confidence.reliability(sure[known], close, bins)
        ):
            low, high = np.quantile(drawn[:, number], [0.025, 0.975])
            row = {"boxes": kind, "bin": number + 1, "confidence": mean, "share": share}
            row |= {"low": low, "high": high, "landmarks": count}
            rows.append(row | {"within": calibration.WITHIN, "data": on(evidence)})
    return tables.tidy(rows, BIN)


def _redrawn(sure, close, bins, draws=300, seed=0):
    """Shares that are close, in the bins of all, of faces drawn with replacement: (draws, bins)."""
    order = np.empty(sure.size, dtype=int)
    order[np.argsort(sure, axis=None, kind="stable")] = np.arange(sure.size)
    parts = np.array_split(np.arange(sure.size), bins)
    ends = np.array([part[-1] for part in parts])
    number = np.searchsorted(ends, order).reshape(sure.shape)  # (B, N) bin of each landmark
    inside = np.stack([(number == n).sum(axis=1) for n in range(bins)], axis=1)  # (B, bins)
    hits = np.stack([((number == n) & close).sum(axis=1) for n in range(bins)], axis=1)
    drawn = np.random.default_rng(seed).integers(len(sure), size=(draws, len(sure)))
    return hits[drawn].sum(axis=1) / np.maximum(inside[drawn].sum(axis=1), 1)


def ensure_choices(profile, progress=True):
    """`choices` of the shipped weights, read back where they are saved.

    Only the profile that trained the weights can choose: of any other there are no rows.

    Args:
        profile: a `config.Profile`.
    """
    marker, kept = Marker(), tables.read("shipped_choices", profile.name)
    about = shipped.describe(profile, marker)
    if kept is not None and set(kept["weights"]) == {about["weights"]}:
        return kept
    if not about["run"].endswith(f" of profile {profile.name}"):
        return tables.tidy([], CHOICE)
    return choices(profile, progress=progress)


def choices(profile, progress=True):
    """What decoder, mirroring and a second look are worth on held-out training faces: CHOICE.

    The one that is chosen has the lowest mean over the kinds of boxes; the test set has no say.

    Args:
        profile: a `config.Profile` whose stills are here.
    """
    index, train, held, _ = shipped.split(profile)
    given = shipped.official(profile, index, train)
    ways = [dict(decoder=d, mirror=m, passes=p) for m, p in WAYS for d in DECODERS]
    markers = [Marker(**way) for way in ways]
    root = paths.ROOT / profile.data.root
    marked = shipped.mark(markers, index[held], root, given, progress)
    rows = []
    for way, marker, arrays in zip(ways, markers, marked, strict=True):
        evidence = shipped.Evidence(shipped.describe(profile, marker), arrays)
        for kind in evidence.kinds:
            errors = evidence.errors(kind)
            row = {**way, "boxes": kind, "faces": len(errors), "missed": np.isnan(errors).sum()}
            row |= {"percent": 100 * np.nanmean(errors), "weights": evidence.about["weights"]}
            row |= {"data": f"{on(evidence)}, held out"}
            rows.append(row)
    found = pd.DataFrame(rows)
    means = found.groupby(["decoder", "mirror", "passes"])["percent"].transform("mean")
    return tables.tidy(found.assign(chosen=means == means.min()), CHOICE)
