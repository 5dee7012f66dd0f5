"""The paper's claims against our measurements: verdicts, and answers as sentences.

No number is typed here: a sentence is computed from tables.
"""

import math

import pandas as pd

from study import paper

REPRODUCED, CONTRADICTED = "reproduced", "contradicted"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run"
NOT_YET = "not part of this study yet"
NO_GAMMA = "no detector of this γ in the profile"
NO_TRACKER = "no tracker of this comparison in the profile"


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

# claim id -> (comparison of `tables.gains`, subset)
MEASURED = {
    "resolution-300w-com": ("1D, L/F 0.25 to 3", "300W com"),
    "resolution-300w-cha": ("1D, L/F 0.25 to 3", "300W cha"),
    "resolution-300w-full": ("1D, L/F 0.25 to 3", "300W full"),
    "1d-below-2d-com": ("2D at L/F 0.5 to 1D at L/F 3", "300W com"),
    "1d-below-2d-cha": ("2D at L/F 0.5 to 1D at L/F 3", "300W cha"),
}
# claim id -> (comparison of `temporal.gains`, subset)
ON_VIDEO = {
    **{f"resolution-300vw-s{n}": ("1D, L/F 0.25 to 3", f"300VW S{n}") for n in (1, 2, 3)},
    **{f"lambda-300vw-s{n}": ("λ 0 to 0.3, each trained", f"300VW S{n}") for n in (1, 2, 3)},
    "lambda-tf": ("λ 0 to 0.3, each trained", "TF"),
    "1d-below-2d-s1": ("2D at L/F 0.5 to 1D at L/F 3", "300VW S1"),
}
# claim id -> (comparison of `attention.gains`, subset)
BY_ATTENTION = {
    f"gamma-300w-{part}": ("γ 0 to 0.4", f"300W {part}") for part in ("com", "cha", "full")
}
COMPUTED = {"quantization-example-half": 0.5, "quantization-example-three": 3.0}  # id -> L/F


def table(gains, example, on_video=None, attention=None):
    """Every claim of the paper with our measurement and a verdict.

    Args:
        gains: `tables.gains`.
        example: `tables.worked_example`.
        on_video: `temporal.gains`, or None.
        attention: `attention.gains`, or None.

    Returns:
        id, claim, subset, paper_value, unit, ours, ours_low, ours_high, verdict, data, reason.
    """
    rows = [
        {**row, **_measured(row["id"], gains, example, on_video, attention)}
        for row in paper.claims().to_dict("records")
    ]
    columns = ["id", "claim", "subset", "paper_value", "unit", "ours", "ours_low", "ours_high"]
    return pd.DataFrame(rows, columns=[*columns, "verdict", "data", "reason"])


def _measured(id, gains, example, on_video, attention):
    if id in COMPUTED:
        row = example.set_index("length_over_input").loc[COMPUTED[id]]
        same = round(row["error_px"], 2) == row["paper_px"]
        text = REPRODUCED if same else CONTRADICTED
        return {"ours": row["error_px"], "verdict": text, "data": "computed", "reason": ""}
    if id in MEASURED:
        row = row_of(gains, *MEASURED[id])
    elif id in BY_ATTENTION and attention is not None:
        if BY_ATTENTION[id][0] not in set(attention["comparison"]):
            return {"verdict": NOT_RUN, "data": "", "reason": NO_GAMMA}
        row = row_of(attention, *BY_ATTENTION[id])
    elif id in ON_VIDEO and on_video is not None:
        if ON_VIDEO[id][0] not in set(on_video["comparison"]):
            return {"verdict": NOT_RUN, "data": "", "reason": NO_TRACKER}
        row = row_of(on_video[on_video["landmarks"] == "all"], *ON_VIDEO[id])
    else:
        return {"verdict": NOT_RUN, "data": "", "reason": NOT_YET}
    return {
        "ours": row["decrease_percent"],
        "ours_low": row["low"],
        "ours_high": row["high"],
        "verdict": row["verdict"],
        "data": row["data"],
        "reason": row["reason"],
    }


def row_of(gains, comparison, subset, decoder="argmax"):
    """One row of `tables.gains` as a dict."""
    found = gains[
        (gains["comparison"] == comparison)
        & (gains["subset"] == subset)
        & (gains["decoder"] == decoder)
    ]
    return found.iloc[0].to_dict()


# --- answers -----------------------------------------------------------------------------------


def _interval(row, unit=" %"):
    return f"{row['low']:.2f} to {row['high']:.2f}{unit}"


def quadrature(before, floor_before, floor_after):
    """What an error becomes when the rounding in it shrinks and the rest stays, added in squares.

    Args:
        before: the error, rounding included.
        floor_before, floor_after: rounding alone, before and after; all in one unit. Where it
            alone exceeds the error before, nothing else is left.
    """
    rest = max(before**2 - floor_before**2, 0)
    return math.sqrt(rest + floor_after**2)


def rounding_shares(cost, subset, lengths=(256, 768)):
    """How much of the paper's gain between two L rounding explains, in points of NRMSE percent.

    Args:
        cost: `tables.quantization`.
        subset: a subset of it, whose faces stand for the paper's 300W com.
        lengths: two L of the paper's Table 1.

    Returns:
        the published gain, and a dict from rounding rule to the points that it explains.
    """
    first, last = (paper.nrmse("detector-1d", length, "300W com") for length in lengths)
    chosen = cost[cost["subset"] == subset].set_index(["rule", "length"])["nrmse_percent"]
    explained = {
        rule: first - quadrature(first, *(chosen.loc[rule, length] for length in lengths))
        for rule in cost["rule"].unique()
    }
    return first - last, explained


def rounding(cost):
    """The answer of 01: what rounding costs, and what it explains of the published gain."""
    subset = next(name for name in ("common", "train") if name in set(cost["subset"]))
    faces = cost[cost["subset"] == subset]
    floor = faces[faces["rule"] == "floor"].set_index("length")["nrmse_percent"]
    gain, explained = rounding_shares(cost, subset)
    total, explained_all = rounding_shares(cost, subset, (64, 768))
    return (
        f"On {faces['faces'].iloc[0]:,} faces ({subset}; {faces['data'].iloc[0]}), rounding down "
        f"costs {floor[64]:.2f} % NRMSE at L=64, {floor[256]:.2f} % at L=256 and "
        f"{floor[768]:.2f} % at L=768, whatever F is. Added in quadrature, it explains "
        f"{explained['centre']:.2f} (to the nearest bin) to {explained['floor']:.2f} (down) of "
        f"the {gain:.2f} points that the paper gains from L=256 to L=768, and "
        f"{explained_all['centre']:.2f} to {explained_all['floor']:.2f} of the {total:.2f} points "
        f"from L=64 to L=768{_too_much(explained_all['floor'], total)}. Whatever is left has "
        "another cause."
    )


def _too_much(explained, gain):
    """Where rounding explains more than there is to explain, what this means."""
    if explained <= gain:
        return ""
    return ": rounding down would cost more than the paper gains, so it did not pay for it in full"


def data(counts, videos):
    """The answer of 02: what the faces and the videos at hand are."""
    train, test = (counts[counts["split"] == split] for split in ("train", "test"))
    parts = [
        f"{rows['found'].sum():,} of {rows['official'].sum():,} {subset}"
        for subset, rows in test.groupby("subset", sort=False)
    ]
    held = counts["held_out"].sum()
    return (
        f"{train['found'].sum() - held:,} faces are trained on and {held:,} are held out for "
        f"validation, of {train['official'].sum():,} official training faces; the test faces are "
        f"{' and '.join(parts)} ({counts['data'].iloc[0]}). {_videos(videos)}"
    )


def _videos(table):
    """Videos by subset, with what they are."""
    parts = [
        f"{row['videos']} {row['subset']} ({row['frames']:,} frames, {row['held_out']} held out)"
        for row in table.to_dict("records")
    ]
    labels = ", ".join(dict.fromkeys(table["data"]))
    return f"Videos: {', '.join(parts)}: {labels}." if parts else "No videos."


def detector(found, run):
    """The answer of 03: how well one training does, by validation and by test."""
    record = found.records[run.id]
    own = record["config"]["decoder"]
    best = min(record["validation"], key=record["validation"].get)
    held = record["data"]["validation"]
    text = (
        f"{run.id} ({record['parameters']:,} parameters, L/F={run.config.length}/"
        f"{run.config.size}) reaches {100 * record['validation'][own]:.2f} % NRMSE by {own} and "
        f"{100 * record['validation'][best]:.2f} % by {best}, its best decoder, on "
        f"{held} held-out training faces"
    )
    if run.group == "resolution" and found.faces("common"):
        errors = found.errors(run.id, own, "common")
        text += f", and {100 * errors.mean():.2f} % by {own} on {len(errors)} common test faces"
    return f"{text} ({_standing(record)})."


def _standing(record):
    return "stand-ins, not photographs" if record["data"]["standin"] else record["data"]["label"]


def resolution(gains, decoders, subset="300W com"):
    """The answer of 04 and of the page: does more resolution help, and against a fair rival?

    Args:
        gains: `tables.gains`.
        decoders: `tables.decoders`.
        subset: as Table 1 names it.
    """
    row = row_of(gains, "1D, L/F 0.25 to 3", subset)
    if row["reason"]:
        return f"Not answered yet: {row['reason']}."
    text = (
        f"From L/F=0.25 to 3 the 1D detector's NRMSE goes from {row['before_percent']:.2f} to "
        f"{row['after_percent']:.2f} % by argmax, {_lower(row)} (decrease, 95 % interval "
        f"{_interval(row)}; the paper: {row['paper_percent']:.2f} %): "
        f"**{row['verdict']}**."
    )
    parts = [text, _same_bins(gains, subset), _rival(gains, subset), _sub_pixel(decoders)]
    faces = f"Measured on {row['faces']} faces with {row['seeds']} seed{'s'[: row['seeds'] > 1]}"
    return " ".join([*filter(None, parts), f"{faces}: {row['data']}."])


def _same_bins(gains, subset):
    """At the paper's L, so at its bins per face and not its L/F."""
    row = row_of(gains, "1D, L 64 to 768", subset)
    if row["reason"]:
        return ""
    return (
        f"At the paper's own L, 64 to 768, whose bins are as large a part of the face as there, "
        f"it gets {_lower(row)} ({_interval(row)})."
    )


def _rival(gains, subset):
    """1D at L/F 3 against 2D at 0.5, by argmax and by each one's best decoder."""
    rows = [
        row_of(gains, "2D at L/F 0.5 to 1D at L/F 3", subset, decoder)
        for decoder in ("argmax", "best on validation")
    ]
    if rows[0]["reason"]:
        return ""
    plain, best = rows
    return (
        f"Against 2D heatmaps at L/F=0.5 it is {_lower(plain)} by argmax ({_interval(plain)}; the "
        f"paper: {plain['paper_percent']:.2f} %): **{plain['verdict']}**; with each one's best "
        f"decoder by validation ({best['before']}; {best['after']}) it is {_lower(best)} "
        f"({_interval(best)})."
    )


def _lower(row):
    word = "lower" if row["decrease_percent"] >= 0 else "higher"
    return f"{abs(row['decrease_percent']):.1f} % {word}"


def _sub_pixel(decoders, subset="common"):
    """What decoding below the bin is worth to the coarsest 1D heatmaps."""
    rows = decoders[(decoders["model"] == "detector1d") & (decoders["subset"] == subset)]
    rows = rows.dropna(subset=["percent", "validation_percent"])
    rows = rows[rows["length_over_input"] == rows["length_over_input"].min()]
    if rows.empty:
        return ""
    plain = rows[rows["decoder"] == "argmax"].iloc[0]
    best = rows.loc[rows["validation_percent"].idxmin()]
    return (
        f"At L/F={plain['length_over_input']:g} the same heatmaps, decoded by {best['decoder']} "
        f"(the best on validation), give {best['percent']:.2f} % instead of "
        f"{plain['percent']:.2f} %."
    )


def coattention(gains, curve):
    """The answer of 07: does co-attention help, at which weight, and how much does γ matter?

    Args:
        gains: `attention.gains`.
        curve: `attention.curve`.
    """
    rows = gains[(gains["decoder"] == "argmax") & gains["decrease_percent"].notna()]
    if rows.empty:
        return f"Not answered yet: {gains['reason'].iloc[0]}."
    parts = []
    for name, there in rows.groupby("comparison", sort=False):
        found = "; ".join(_refined(row) for row in there.to_dict("records"))
        parts.append(f"With {name}, each trained, NRMSE is {found}.")
    parts.append(_spread(curve))
    row = rows.iloc[0].to_dict()
    seeds = f"{row['seeds']} seed{'s' if row['seeds'] > 1 else ''}"
    return " ".join([*filter(None, parts), f"Measured with {seeds}: {row['data']}."])


def _spread(curve):
    """How far the scores of all γ lie apart, on the first subset that was measured."""
    rows = curve[curve["percent"].notna()]
    rows = rows[rows["subset"] == rows["subset"].iloc[0]]
    if len(rows) < 2:
        return ""
    best = rows.loc[rows["percent"].idxmin()]
    worst = rows.loc[rows["percent"].idxmax()]
    return (
        f"Over {len(rows)} γ from {rows['gamma'].min():g} to {rows['gamma'].max():g}, NRMSE on "
        f"{best['subset']} lies between {best['percent']:.2f} (γ={best['gamma']:g}) and "
        f"{worst['percent']:.2f} % (γ={worst['gamma']:g})."
    )


def temporal(gains, motion):
    """The answer of 06: does temporal refinement help, where, and at what cost in motion?

    Args:
        gains: `temporal.gains`.
        motion: `temporal.motion`.
    """
    trained = is_trained(gains)
    rows = gains[trained & gains["decrease_percent"].notna()]
    if rows.empty:
        reasons = gains["reason"][trained]
        return f"Not answered yet: {reasons.iloc[0] if len(reasons) else 'no tracker'}."
    everywhere = rows[rows["landmarks"] == "all"]
    parts = [f"Temporal refinement, {rows['comparison'].iloc[0]}: NRMSE is"]
    parts.append("; ".join(_refined(row) for row in everywhere.to_dict("records")) + ".")
    parts.append(_chosen(gains))
    parts += [_where_occluded(gains, subset) for subset in dict.fromkeys(gains["subset"])]
    parts.append(_moved(motion))
    return " ".join([*filter(None, parts), f"Measured on {rows['data'].iloc[0]}."])


def is_trained(gains):
    """Which rows of `temporal.gains` compare λ=0 and the shown λ, each trained: (R,) bool."""
    return gains["comparison"].astype(str).str.endswith("each trained")


def _chosen(gains):
    """What the λ gives that does best on held-out videos, where it is another than the shown."""
    names = gains["comparison"].astype(str)
    rows = gains[names.str.startswith("λ") & names.str.endswith("(best on validation)")]
    rows = rows[(rows["landmarks"] == "all") & rows["decrease_percent"].notna()]
    if rows.empty:
        return ""
    found = "; ".join(
        f"{_lower(row)} on {row['subset']} ({_span(row)})" for row in rows.to_dict("records")
    )
    return f"With {rows['comparison'].iloc[0]} it is {found}."


def _refined(row):
    """One subset's change by temporal refinement, with the paper's and the verdict."""
    text = f"{_lower(row)} on {row['subset']} ({_span(row)}"
    if not math.isnan(row["paper_percent"]):
        text += f"; the paper: {row['paper_percent']:.2f} %): **{row['verdict']}**"
        return text
    return f"{text})"


def _span(row):
    """A decrease's interval, which one video alone does not give."""
    return "one video, no interval" if math.isnan(row["low"]) else _interval(row)


def _where_occluded(gains, subset):
    """What the past and refinement give on the occluded landmarks of a subset, if it has any."""
    there = gains[(gains["subset"] == subset) & (gains["landmarks"] == "occluded")]
    there = there[there["comparison"].str.startswith(("detector to", "λ"))]
    rows = there.dropna(subset=["decrease_percent"]).to_dict("records")
    if not rows:
        return ""
    found = "; ".join(f"{row['comparison']}, {_lower(row)} ({_span(row)})" for row in rows)
    return f"On occluded landmarks of {subset}: {found}."


def _moved(motion):
    """Jitter and delay of the detector and the tracker, over all subsets that were measured."""
    rows = motion.dropna(subset=["jitter_percent"])
    names = [name for name in dict.fromkeys(rows["system"]) if name.startswith("1D")]
    texts = []
    for name in names:
        here = rows[rows["system"] == name]
        text = f"{name}, {here['jitter_percent'].mean():.2f} %"
        if here["delay_frames"].notna().any():
            text += f" and {_late(here['delay_frames'].mean())}"
        texts.append(text)
    if not texts:
        return ""
    true = rows["jitter_true_percent"].mean()
    return (
        f"Jitter (the truth has {true:.2f} %) and delay, mean over the subsets: {'; '.join(texts)}."
    )


def _late(frames):
    return f"{abs(frames):.2f} frames {'early' if round(frames, 2) < 0 else 'late'}"


def tracker(found, run):
    """The answer of 05: how well one tracker does, beside its detector, on what is held out."""
    record, inside = found.records[run.id], found.records.get(f"{run.detector}-s{run.seed}")
    own = run.config.decoder
    text = (
        f"{run.id} reaches {100 * record['validation'][own]:.2f} % NRMSE by {own} on "
        f"{record['data']['validation']:,} held-out frames"
    )
    if inside:
        text += f"; {inside['run']}, the detector inside, was trained on {inside['data']['label']}"
    return f"{text} ({record['data']['label']})."
