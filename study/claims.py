"""The paper's claims against our measurements: the rule of the verdicts, and the table of them."""

import math

import pandas as pd

from study import paper
from study.config import AFLW

REPRODUCED, CONTRADICTED = "reproduced", "contradicted"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run"
NOT_YET = "not part of this study yet"
NO_AFLW = "AFLW: images not available"
NO_GAMMA = "no detector of this γ in the profile"
NO_GAMMA_ON_VIDEO = "no tracker around a detector of another γ in the profile"
NO_TRACKER = "no tracker of this comparison in the profile"
NO_FOLDS = "cross-validated on 300W alone"
NO_MEMORY = "the ledger has not been made yet"
NOT_ALL = "not every system of Table 3 is rebuilt"


def verdict(published, ours, low, high, standin=False):
    """What a measured effect with its 95 % interval says about a published one.

    Args:
        published, ours: the effect, in one unit; positive or negative.
        low, high: ends of our interval.
        standin: measured on stand-ins, whose verdict never gets beyond inconclusive.

    Returns:
        "contradicted": the opposite sign with an interval that excludes 0, or an interval wholly
        below a quarter of the published effect. Else "reproduced": the same sign with an
        interval that excludes 0. Else "inconclusive"; "not run" without a number of ours.

    An effect of the same sign that is small beyond doubt counts as contradicted: the second
    condition of "contradicted" is looked at before "reproduced".
    """
    if ours is None or math.isnan(ours):
        return NOT_RUN
    if standin:
        return INCONCLUSIVE
    sign = math.copysign(1, published)
    low, high = sorted((sign * low, sign * high))
    if high < 0 or high < abs(published) / 4:
        return CONTRADICTED
    return REPRODUCED if low > 0 else INCONCLUSIVE


# --- the table of claims -----------------------------------------------------------------------

# Claims that a table of gains measures: id -> table, comparison, subset, decoder.
MEASURED = {
    **{
        f"resolution-300w-{part}": ("resolution_gain", "1D, L/F 0.25 to 3", f"300W {part}")
        for part in ("com", "cha", "full")
    },
    **{
        f"1d-below-2d-{part}": ("resolution_gain", "2D at L/F 0.5 to 1D at L/F 3", f"300W {part}")
        for part in ("com", "cha")
    },
    **{
        f"gamma-300w-{part}": ("coattention_gain", "γ 0 to 0.4", f"300W {part}")
        for part in ("com", "cha", "full")
    },
    "gamma-aflw": ("coattention_gain", "γ 0 to 0.4", AFLW),
    **{
        f"resolution-300vw-s{n}": ("temporal_gain", "1D, L/F 0.25 to 3", f"300VW S{n}")
        for n in (1, 2, 3)
    },
    **{
        f"lambda-300vw-s{n}": ("temporal_gain", "λ 0 to 0.3, each trained", f"300VW S{n}")
        for n in (1, 2, 3)
    },
    "lambda-tf": ("temporal_gain", "λ 0 to 0.3, each trained", "TF"),
    "1d-below-2d-s1": ("temporal_gain", "2D at L/F 0.5 to 1D at L/F 3", "300VW S1"),
    **{
        f"ours-below-fhr-{part}": ("rivals_gain", "FHR to Ours", f"300W {part}")
        for part in ("com", "cha")
    },
    "ours-below-fhr-aflw": ("rivals_gain", "FHR to Ours", AFLW),
}
DECODER = {"rivals_gain": "fractional, argmax"}  # of a table's measured rows, where not argmax
COMPUTED = {"quantization-example-half": 0.5, "quantization-example-three": 3.0}  # id -> L/F
CHOSEN = {"optimal-gamma-300w": "gamma", "optimal-lambda": "lam"}  # id -> weight of `folds`
MEMORY = "memory-2d"
# Why a claim is not measured, where its own table does not say so.
REASONS = {
    **dict.fromkeys(("coattention_gain",), NO_GAMMA),
    **dict.fromkeys(("temporal_gain",), NO_TRACKER),
    **dict.fromkeys((*(f"gamma-300vw-s{n}" for n in (1, 2, 3)), "gamma-tf"), NO_GAMMA_ON_VIDEO),
    **dict.fromkeys(("optimal-gamma-aflw", "optimal-gamma-300vw"), NO_FOLDS),
    "state-of-the-art-300w": NOT_ALL,
}


def table(example, made):
    """Every claim of the paper with our measurement and a verdict.

    Args:
        example: `tables.worked_example`.
        made: name -> table or None, as `report.make_tables` names them: of resolution_gain,
            coattention_gain, temporal_gain, rivals_gain, cross_validation and memory those that
            there are.

    Returns:
        id, claim, subset, paper_value, unit, ours, ours_low, ours_high, verdict, data, reason.
    """
    rows = [{**row, **_measured(row["id"], example, made)} for row in _claims()]
    columns = ["id", "claim", "subset", "paper_value", "unit", "ours", "ours_low", "ours_high"]
    return pd.DataFrame(rows, columns=[*columns, "verdict", "data", "reason"])


def _claims():
    return paper.claims().to_dict("records")


def _measured(id, example, made):
    if id in COMPUTED:
        return _computed(example.set_index("length_over_input").loc[COMPUTED[id]])
    if id == MEMORY and made.get("memory") is not None:
        return memory(made["memory"])
    if id in CHOSEN and made.get("cross_validation") is not None:
        return _chosen_weight(made["cross_validation"].set_index("weight").loc[CHOSEN[id]])
    name, comparison, subset = MEASURED.get(id, (None, None, None))
    gains = made.get(name)
    if gains is None:
        unmeasured = NO_MEMORY if id == MEMORY else REASONS.get(id, NOT_YET)
        return {"verdict": NOT_RUN, "data": "", "reason": unmeasured}
    if subset == AFLW and subset not in set(gains["subset"]):
        return {"verdict": NOT_RUN, "data": "", "reason": NO_AFLW}
    if comparison not in set(gains["comparison"]):
        return {"verdict": NOT_RUN, "data": "", "reason": REASONS[name]}
    if "landmarks" in gains:
        gains = gains[gains["landmarks"] == "all"]
    row = row_of(gains, comparison, subset, DECODER.get(name, "argmax"))
    return {"ours": row["decrease_percent"]} | _with_interval(row)


def _computed(row):
    """A worked example: reproduced where it rounds to what the paper prints."""
    same = round(row["error_px"], 2) == row["paper_px"]
    text = REPRODUCED if same else CONTRADICTED
    return {"ours": row["error_px"], "verdict": text, "data": "computed", "reason": ""}


def _chosen_weight(row):
    """A weight that cross-validation chose, between the lowest and the highest of its folds."""
    values = {"low": row["lowest"], "high": row["highest"]}
    return {"ours": row["chosen"]} | _with_interval({**row.to_dict(), **values})


def _with_interval(row):
    keys = {"ours_low": "low", "ours_high": "high"}
    same = {key: row[key] for key in ("verdict", "data", "reason")}
    return {ours: row.get(key, math.nan) for ours, key in keys.items()} | same


def memory(ledger):
    """Whether 2D heatmaps at L = F are too large for the paper's card, and the longest 1D fit.

    Args:
        ledger: `memory.table` of the paper's own size.

    The paper prints it of 2D heatmaps as such: where one way to make them does not fit and
    another does, the claim is "inconclusive", and `data` says which.
    """
    same = ledger[ledger["length_over_input"] == 1]
    two = same[same["system"].str.startswith("2D")].set_index("system")
    one = ledger[ledger["system"] == "1D"].sort_values("length").iloc[-1]
    beyond = ~two["fits"].astype(bool)
    text = CONTRADICTED if not beyond.any() or not one["fits"] else INCONCLUSIVE
    if beyond.all() and one["fits"]:
        text = REPRODUCED
    peaks = [f"{name} {row['peak_gib']:.1f} GiB" for name, row in two.iterrows()]
    peaks.append(f"1D at L={one['length']} {one['peak_gib']:.1f} GiB")
    return {
        "ours": two["peak_gib"].max(),
        "verdict": text,
        "data": f"counted, F={one['size']}, batch {one['batch']}: {'; '.join(peaks)}",
        "reason": "",
    }


def row_of(gains, comparison, subset, decoder="argmax"):
    """One row of `tables.gains` as a dict."""
    found = gains[
        (gains["comparison"] == comparison)
        & (gains["subset"] == subset)
        & (gains["decoder"] == decoder)
    ]
    return found.iloc[0].to_dict()
