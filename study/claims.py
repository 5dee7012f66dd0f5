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
NO_LAB_ON_AFLW = "LAB is not trained on AFLW: its boundaries are curves through 68 points"
NO_FOLDS = "cross-validated on 300W alone"
NO_MEMORY = "the ledger has not been made yet"
NO_VIDEO_RIVAL = "no systems of others in videos in the profile"
NO_VARIANCES = "the variances have not been measured yet"
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

AGAINST_GAN = "GAN to Ours"  # a comparison of `video_rivals.gains`
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
    **{
        f"ours-lab-below-lab-{part}": ("rivals_gain", "LAB to Ours+LAB", f"300W {part}")
        for part in ("com", "cha")
    },
    **{f"gan-300vw-s{n}": ("video_rivals_gain", AGAINST_GAN, f"300VW S{n}") for n in (1, 2, 3)},
    "gan-tf": ("video_rivals_gain", AGAINST_GAN, "TF"),
}
# Of a table's measured rows, where not argmax; None is whatever the comparison has.
DECODER = {"rivals_gain": None, "video_rivals_gain": None}
COMPUTED = {"quantization-example-half": 0.5, "quantization-example-three": 3.0}  # id -> L/F
CHOSEN = {"optimal-gamma-300w": "gamma", "optimal-lambda": "lam"}  # id -> weight of `folds`
MEMORY = "memory-2d"
AREAS = "contour-gan"
VARIANCES = {"contour-variance-x": "x", "contour-variance-y": "y"}  # id -> axis
# Why a claim is not measured, where its own table does not say so.
REASONS = {
    **dict.fromkeys(("coattention_gain",), NO_GAMMA),
    **dict.fromkeys(("temporal_gain",), NO_TRACKER),
    **dict.fromkeys(("video_rivals_gain", AREAS), NO_VIDEO_RIVAL),
    **dict.fromkeys(VARIANCES, NO_VARIANCES),
    "ours-lab-below-lab-aflw": NO_LAB_ON_AFLW,
    **dict.fromkeys((*(f"gamma-300vw-s{n}" for n in (1, 2, 3)), "gamma-tf"), NO_GAMMA_ON_VIDEO),
    **dict.fromkeys(("optimal-gamma-aflw", "optimal-gamma-300vw"), NO_FOLDS),
    "state-of-the-art-300w": NOT_ALL,
}


def table(example, made):
    """Every claim of the paper with our measurement and a verdict.

    Args:
        example: `quantized.worked_example`.
        made: name -> table or None, as `report.make_tables` names them: of resolution_gain,
            coattention_gain, temporal_gain, rivals_gain, video_rivals_gain, variances_contour,
            cross_validation and memory those that there are.

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
    if id == AREAS and made.get("video_rivals_gain") is not None:
        return areas_below_gan(made["video_rivals_gain"])
    if id in VARIANCES and made.get("variances_contour") is not None:
        return contour_variance(made["variances_contour"], VARIANCES[id])
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


def areas_below_gan(gains):
    """Whether ours is below GAN in every facial area, and most in the contour (Fig. 4).

    Args:
        gains: `video_rivals.gains`.

    Returns:
        dict of ours (the decrease in the contour, %), its interval, verdict, data and reason. Where
        the contour's own verdict is "reproduced", so is the claim if every other area's interval
        lies above 0 and none decreases by more; one whose interval lies below 0 contradicts it.
    """
    here = gains[gains["comparison"].eq(AGAINST_GAN) & gains["subset"].eq("300VW all")]
    rows = here[here["landmarks"] != "all"].set_index("landmarks")
    row = rows.loc["contour"].to_dict()
    made = {"ours": row["decrease_percent"]} | _with_interval(row)
    if row["verdict"] != REPRODUCED:
        return made
    if (rows["high"] < 0).any():
        return made | {"verdict": CONTRADICTED}
    every = (rows["low"] > 0).all() and rows["decrease_percent"].idxmax() == "contour"
    return made | {"verdict": REPRODUCED if every else INCONCLUSIVE}


def claimed(table):
    """The rows of the data set that the claims on variances are held against.

    300VW's videos where they are of a camera, else photographs, else whatever comes first.

    Args:
        table: of `areas.variances`, `areas.landmarks` or `areas.contour_largest`.
    """
    order = 2 * (table["real"] != "yes") + (table["subset"] != "300VW all")
    first = table.loc[order.sort_values(kind="stable").index[0]]
    return table[(table["data"] == first["data"]) & (table["subset"] == first["subset"])]


def contour_variance(largest, axis):
    """Whether the contour's variance is the largest on an axis (Fig. 5).

    Args:
        largest: `areas.contour_largest`.
        axis: "x" or "y".

    Returns:
        dict of ours (by how much the contour's exceeds the largest other, %), its interval,
        verdict, data and reason. The verdict is that of the crop's px; where faces that are
        brought to one scale otherwise, without the contour, say the opposite, "inconclusive".
    """
    same = claimed(largest[largest["axis"] == axis])
    by = same.set_index("coordinates").to_dict("index")
    row = by["crop"]
    others = {by[name]["verdict"] for name in ("eyes", "aligned")}
    agree = not {REPRODUCED, CONTRADICTED} <= {row["verdict"], *others}
    found = "; ".join(
        f"{name} {one['contour']:.1f} against {one['next']:.1f} {one['unit']} ({one['next_area']})"
        for name, one in by.items()
    )
    return {
        "ours": row["more_percent"],
        **{"ours_low": row["low"], "ours_high": row["high"]},
        "verdict": row["verdict"] if agree else INCONCLUSIVE,
        "data": f"true landmarks, {row['data']}, {row['faces']:,} faces, % over the next: {found}",
        "reason": "",
    }


def row_of(gains, comparison, subset, decoder="argmax"):
    """One row of `stills.gains` as a dict; of any decoder where that is None."""
    found = gains[(gains["comparison"] == comparison) & (gains["subset"] == subset)]
    if decoder is not None:
        found = found[found["decoder"] == decoder]
    return found.iloc[0].to_dict()
