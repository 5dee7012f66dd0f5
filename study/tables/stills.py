"""Tidy tables of stills: which run fills which row, Table 1, every decoder, and the gains."""

import numpy as np
import pandas as pd
import torch

from study import (
    claims,
    heatmaps,
    metrics,
    paper,
    results,
    tables,
)

METHODS = {"detector-1d": "detector1d", "detector-2d": "detector2d"}  # Table 1's name -> model
ABSENT = "images not available"
TOLERANCE = 1e-9  # L/F are compared as floats
DECODERS = tuple(heatmaps.DECODERS)


def ratio(config):
    """L/F of a training configuration."""
    return config.length / config.size


def lines(profile, group="resolution"):
    """A group's measured systems: one `config.Run` (the first seed) a name, in its order."""
    first = {}
    for run in profile.group(group):
        first.setdefault(run.name, run)
    return list(first.values())


def bins(config):
    """L of a configuration, or None where there are no heatmaps."""
    return config.length or None


def find(profile, model, *, over_input=None, length=None):
    """The system of a model at one L/F or at one L, or None; the first listed where several are."""
    for run in lines(profile):
        same = run.config.model == model and length in (None, run.config.length)
        if same and (over_input is None or abs(ratio(run.config) - over_input) < TOLERANCE):
            return run
    return None


def why_empty(found, run, subset):
    """Why there is no number of ours for a system on a test subset; "" where there is one.

    Args:
        found: `results.Results`.
        run: a run of the system, or None where the profile has no such system.
        subset: "common", "challenging" or "full".
    """
    if run is None:
        return f"not run in {found.profile.name}"
    if not found.recorded(run.name):
        return f"not trained yet ({found.reasons[run.id]})"
    return "" if found.faces(subset) else ABSENT


OURS = ("size", "ours_length", "ours_percent", "ours_low", "ours_high", "seeds", "faces")


def table1(found, trackers=None):
    """Table 1 with our numbers beside the paper's, joined on L/F; ours by argmax, as the paper.

    Args:
        found: `results.Results`.
        trackers: `temporal.table1_row`, which fills the half of the trackers; None leaves it empty.

    Returns:
        the paper's rows, then those of our systems at other L/F; the paper's columns, then
        size (F, px), ours_length (L), ours_percent with the 95 % interval ours_low, ours_high
        over faces and seeds, seeds, faces, data, reason.
    """
    published = paper.table1()
    rows = [*published.to_dict("records"), *_beyond(found.profile, published)]
    rows = [{**row, **_ours(found, row, trackers)} for row in rows]
    columns = [*published.columns, *OURS, "data", "reason"]
    return tables.tidy(rows, columns)


def _beyond(profile, published):
    """Rows for systems of ours at an L/F that the paper has not, such as its bins per face."""
    rows = []
    for method, model in METHODS.items():
        shares = published[published["method"] == method]["length_over_input"]
        own = [ratio(run.config) for run in lines(profile) if run.config.model == model]
        for share in sorted(set(own) - set(shares)):
            at = {"method": method, "length_over_input": share, "note": "not in the paper"}
            rows += [{**at, "subset": subset} for subset in tables.SUBSETS]
    return rows


def _ours(found, row, trackers):
    if row["method"] not in METHODS:
        return trackers(found, row) if trackers else {"reason": "trackers are in another table"}
    model, subset = METHODS[row["method"]], tables.SUBSETS[row["subset"]]
    run = find(found.profile, model, over_input=row["length_over_input"])
    reason = why_empty(found, run, subset)
    if reason:
        return {"reason": reason}
    score = mean_of(found, run, "argmax", subset)
    return {
        "size": run.config.size,
        "ours_length": run.config.length,
        "ours_percent": score.pop("percent"),
        **score,
        "data": results.describe(found.first(run.name)),
        "reason": "",
    }


def mean_of(found, run, decoder, subset):
    """Mean NRMSE of a recorded system: percent, ours_low and ours_high, seeds, faces."""
    errors = found.by_seed(run.name, decoder, subset)
    mean, low, high = tables.percent(metrics.bootstrap_mean(errors))
    counts = {"seeds": errors.shape[0], "faces": errors.shape[1]}
    return {"percent": mean, "ours_low": low, "ours_high": high, **counts}


def decoders(found):
    """Every system by every decoder on every test subset there is.

    Returns:
        name, model, size (F), length (L), length_over_input, gamma, sigma_bins, decoder,
        validation_percent (mean over seeds), subset, percent with 95 % interval low, high,
        rms_percent (root of the mean square over landmarks), pupil_percent (over the distance
        of the eyes' centres), seeds, faces, data, reason.
    """
    subsets = [subset for subset in results.PARTS if found.faces(subset)] or ["common"]
    rows = []
    for run in lines(found.profile):
        for decoder in DECODERS:
            rows += [_decoded(found, run, decoder, subset) for subset in subsets]
    columns = ["name", "model", "size", "length", "length_over_input", "gamma"]
    columns += ["sigma_bins", "decoder"]
    columns += ["validation_percent", "subset", "percent", "low", "high"]
    columns += ["rms_percent", "pupil_percent"]
    columns += ["seeds", "faces", "data", "reason"]
    return tables.tidy(rows, columns)


def _decoded(found, run, decoder, subset):
    settings = run.config
    row = {
        "name": run.name,
        "model": settings.model,
        "size": settings.size,
        "length": settings.length,
        "length_over_input": ratio(settings),
        "gamma": settings.gamma if settings.model == "detector1d" else np.nan,
        "sigma_bins": settings.target_sigma,
        "decoder": decoder,
        "subset": subset,
        "reason": why_empty(found, run, subset),
    }
    if row["reason"]:
        return row
    errors = found.by_seed(run.name, decoder, subset)
    mean, low, high = tables.percent(metrics.bootstrap_mean(errors))
    row |= {"percent": mean, "low": low, "high": high}
    for measure in ("rms", "pupil"):
        errors_so = found.by_seed(run.name, decoder, subset, measure)
        row[f"{measure}_percent"] = 100 * errors_so.mean()
    row["validation_percent"] = 100 * found.validation(run.name)[decoder]
    row |= {"seeds": errors.shape[0], "faces": errors.shape[1]}
    return row | {"data": results.describe(found.first(run.name))}


def best_decoder(found, run):
    """The decoder with the lowest validation NRMSE of a system, chosen without the test set."""
    scores = found.validation(run.name)
    return min(scores, key=scores.get)


# Each compares two systems (model, L/F or L); the paper's two are rows of its Table 1.
LOWEST, HIGHEST, HALF = 0.25, 3.0, 0.5
COMPARISONS = {
    "1D, L/F 0.25 to 3": (
        ("detector1d", {"over_input": LOWEST}),
        ("detector1d", {"over_input": HIGHEST}),
        (("detector-1d", 64), ("detector-1d", 768)),
    ),
    "1D, L 64 to 768": (
        ("detector1d", {"length": 64}),
        ("detector1d", {"length": 768}),
        (("detector-1d", 64), ("detector-1d", 768)),
    ),
    "2D at L/F 0.5 to 1D at L/F 3": (
        ("detector2d", {"over_input": HALF}),
        ("detector1d", {"over_input": HIGHEST}),
        (("detector-2d", 128), ("detector-1d", 768)),
    ),
}
BEST = "best on validation"
GAIN = ("comparison", "subset", "decoder", "before", "after", "before_percent", "after_percent")
GAIN += ("decrease_percent", "low", "high", "paper_percent", "verdict", "seeds", "faces", "data")
GAIN += ("reason",)


def gains(found):
    """Relative decreases of NRMSE between two systems, paired over faces, against the paper's.

    The paper decodes by argmax; a verdict is given for that alone. The rows with "best on
    validation" take each system's best decoder, chosen on the validation split.

    Returns:
        comparison, subset, decoder, before, after (names and decoders), before_percent,
        after_percent, decrease_percent with 95 % interval low, high, paper_percent, verdict,
        seeds, faces, data, reason.
    """
    rows = [
        _gain(found, comparison, decoder, subset)
        for comparison in COMPARISONS
        for decoder in (*DECODERS, BEST)
        for subset in tables.SUBSETS
    ]
    return tables.tidy(rows, GAIN)


def _gain(found, comparison, decoder, named):
    *sides, published = COMPARISONS[comparison]
    systems = [find(found.profile, model, **where) for model, where in sides]
    printed = paper.decrease(*published, named) if decoder == "argmax" else None
    row = {"comparison": comparison, "subset": named, "decoder": decoder}
    return row | compare(found, systems, named, decoder, printed)


def compare(found, systems, named, decoder, printed=None):
    """The relative decrease of NRMSE from one system to another, paired over faces.

    Args:
        found: `results.Results`.
        systems: two runs, or None in the place of one that the profile does not have.
        named: subset, as Table 1 names it, or "AFLW".
        decoder: of both, BEST for each one's, or a pair of these.
        printed: the paper's decrease in percent, for which there is a verdict; or None.

    Returns:
        dict of columns of `gains`, without comparison, subset and decoder.
    """
    subset, row = tables.SUBSETS.get(named, named), {"verdict": ""}
    if printed is not None:
        row |= {"paper_percent": printed, "verdict": claims.NOT_RUN}
    reasons = [why_empty(found, run, subset) for run in systems]
    row["reason"] = next(filter(None, reasons), "")
    if row["reason"]:
        return row
    wanted = (decoder, decoder) if isinstance(decoder, str) else decoder
    used = [
        best_decoder(found, run) if by == BEST else by
        for run, by in zip(systems, wanted, strict=True)
    ]
    before, after = (
        found.by_seed(run.name, by, subset) for run, by in zip(systems, used, strict=True)
    )
    decrease, low, high = tables.percent(metrics.bootstrap_decrease(before, after))
    first = found.first(systems[1].name)
    row |= {
        "before": f"{systems[0].name}, {used[0]}",
        "after": f"{systems[1].name}, {used[1]}",
        "before_percent": 100 * before.mean(),
        "after_percent": 100 * after.mean(),
        "decrease_percent": decrease,
        "low": low,
        "high": high,
        "seeds": min(len(before), len(after)),
        "faces": before.shape[1],
        "data": results.describe(first),
    }
    if printed is not None:
        standin = first["data"]["standin"]
        row["verdict"] = claims.verdict(printed, decrease, low, high, standin)
    return row


def cumulative(found, limit=0.10, steps=101):
    """Cumulative error distributions by argmax, all seeds together, over the faces of a subset.

    Args:
        limit: the largest NRMSE, a fraction.
        steps: thresholds from 0 to the limit.

    Returns:
        name, model, length_over_input, subset, threshold_percent, share (of faces), seeds, faces,
        data; empty where nothing is recorded.
    """
    parts = []
    for run in lines(found.profile):
        for subset in ("common", "challenging"):
            if why_empty(found, run, subset):
                continue
            errors = torch.from_numpy(found.by_seed(run.name, "argmax", subset))
            seeds, faces = errors.shape
            thresholds, shares = metrics.cumulative_errors(errors.ravel(), limit, steps)
            row = dict(name=run.name, model=run.config.model, length_over_input=ratio(run.config))
            row |= dict(subset=subset, threshold_percent=100 * thresholds.numpy())
            row |= dict(share=shares.numpy(), seeds=seeds, faces=faces)
            parts.append(pd.DataFrame(row | dict(data=results.describe(found.first(run.name)))))
    columns = ["name", "model", "length_over_input", "subset", "threshold_percent", "share"]
    columns += ["seeds", "faces", "data"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
