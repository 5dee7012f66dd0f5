"""Tidy tables of the cross-validations of γ and λ (Section 5.1).

A candidate is trained once a fold, on the other folds of the training faces (or clips), and scored
on its own: by photograph for stills, by clip for videos. No test face is among them. Fractions
become percent here.
"""

import math

import numpy as np

from study import claims, paper, tables

# Weight -> the group of its runs, the claim of the paper that it is held against.
WEIGHTS = {
    "gamma": ("folds", "optimal-gamma-300w"),
    "lam": ("tracker_folds", "optimal-lambda"),
}
SYMBOL = {"gamma": "γ", "lam": "λ"}
# The 97.5 % points of Student's t at 1 to 9 degrees of freedom; of more, the last is wide enough.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
CHOICE = ("weight", "paper", "chosen", "lowest", "highest", "folds", "percent", "at_paper_percent")
CHOICE += ("worse_percent", "low", "high", "verdict", "data", "reason")


def scores(found):
    """The score of every candidate on every fold, by its own decoder.

    Args:
        found: `results.Results`.

    Returns:
        weight ("gamma" or "lam"), value, fold, folds, name, train, validation (faces or frames),
        percent (NRMSE on the fold), data, reason.
    """
    rows = [
        _score(found, weight, run)
        for weight, (group, _) in WEIGHTS.items()
        for run in found.profile.group(group)
    ]
    columns = ["weight", "value", "fold", "folds", "name", "train", "validation", "percent"]
    table = tables.tidy(rows, [*columns, "data", "reason"])
    return table.sort_values(["weight", "value", "fold"], kind="stable", ignore_index=True)


def _score(found, weight, run):
    row = {"weight": weight, "value": getattr(run.config, weight), "name": run.name}
    row |= {"fold": run.fold, "folds": run.folds, "data": "", "reason": ""}
    record = found.records.get(run.id)
    if record is None:
        return row | {"reason": f"not trained yet ({found.reasons[run.id]})"}
    row |= {key: record["data"][key] for key in ("train", "validation")}
    row["percent"] = 100 * record["validation"][run.config.decoder]
    source = found.profile.video if weight == "lam" else found.profile.data
    rendered = " (rendered)" if source.standin else ""
    return row | {"data": f"{record['data']['label']}{rendered}, F={run.config.size}"}


def choices(found, table):
    """The chosen weights with their spread, against the paper's.

    A weight is chosen by its mean over the folds; its spread is what the folds choose one by one.
    Candidates of one fold share its faces, so the chosen and the paper's weight are compared fold
    by fold.

    Args:
        found: `results.Results`.
        table: `scores`.

    Returns:
        weight, paper (its weight), chosen, lowest, highest (of what the folds choose), folds,
        percent (mean of the chosen), at_paper_percent (of the paper's), worse_percent (by how
        much the paper's weight is worse, relative) with 95 % interval low, high by Student's t
        over the folds, verdict, data, reason. The verdict is "reproduced" where the paper's
        weight is chosen, by every fold too; "contradicted" where another is, and the paper's is
        worse beyond the interval; else, and while a candidate lacks a fold, "inconclusive".
    """
    printed = paper.claims().set_index("id")["paper_value"]
    rows = [
        _choice(found, weight, float(printed[claim]), table[table["weight"] == weight])
        for weight, (_, claim) in WEIGHTS.items()
    ]
    return tables.tidy(rows, CHOICE)


def _choice(found, weight, printed, rows):
    row = {"weight": weight, "paper": printed, "verdict": claims.NOT_RUN, "data": ""}
    by_fold = rows.groupby(["fold", "value"])["percent"].mean().unstack().dropna()
    if rows.empty or by_fold.empty:
        missing = [] if rows.empty else [reason for reason in rows["reason"] if reason]
        return row | {"reason": (missing or [f"not run in {found.profile.name}"])[0]}
    means, own = by_fold.mean(), by_fold.idxmin(axis=1)
    row |= {"chosen": means.idxmin(), "lowest": own.min(), "highest": own.max()}
    row |= {"folds": len(by_fold), "percent": means.min(), "reason": ""}
    row["data"] = ", ".join(dict.fromkeys(filter(None, rows["data"])))
    if printed not in by_fold:
        return row | {"verdict": claims.INCONCLUSIVE}
    worse = 100 * (by_fold[printed] / by_fold[row["chosen"]] - 1)
    low, high = interval(worse.to_numpy())
    row |= {"at_paper_percent": means[printed], "worse_percent": worse.mean()}
    row |= {"low": low, "high": high, "verdict": claims.INCONCLUSIVE}
    if rows["percent"].notna().all() and not _staged(found.profile, weight):
        row["verdict"] = _verdict(row)
    return row


def _staged(profile, weight):
    """Whether the faces of a weight's folds are no photographs, or no videos of a camera."""
    if weight == "lam":
        return profile.video is None or not profile.video.real
    return profile.data.standin is not None


def _verdict(row):
    if row["chosen"] == row["lowest"] == row["highest"] == row["paper"]:
        return claims.REPRODUCED
    if row["chosen"] != row["paper"] and row["low"] > 0:
        return claims.CONTRADICTED
    return claims.INCONCLUSIVE


def interval(values):
    """A 95 % interval of a mean by Student's t: (n,) -> low, high; NaN for one value alone."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = STUDENT[min(n - 1, len(STUDENT)) - 1] * np.std(values, ddof=1) / math.sqrt(n)
    return float(np.mean(values) - half), float(np.mean(values) + half)
