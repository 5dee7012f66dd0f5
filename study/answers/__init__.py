"""The answers of the notebooks and of the page, as sentences.

No number is typed here: a sentence is computed from tables.
"""

import math

from study import claims, paper


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
        cost: `quantized.quantization`.
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
        gains: `stills.gains`.
        decoders: `stills.decoders`.
        subset: as Table 1 names it.
    """
    row = claims.row_of(gains, "1D, L/F 0.25 to 3", subset)
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
    row = claims.row_of(gains, "1D, L 64 to 768", subset)
    if row["reason"]:
        return ""
    return (
        f"At the paper's own L, 64 to 768, whose bins are as large a part of the face as there, "
        f"it gets {_lower(row)} ({_interval(row)})."
    )


def _rival(gains, subset):
    """1D at L/F 3 against 2D at 0.5, by argmax and by each one's best decoder."""
    rows = [
        claims.row_of(gains, "2D at L/F 0.5 to 1D at L/F 3", subset, decoder)
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


# --- rivals, and what the gain is made of ------------------------------------------------------


# How a comparison of Table 3 that the paper prints begins in words.
PRINTED = {
    "FHR to Ours": "The paper's comparison with FHR, 2D heatmaps read by three points against 1D "
    "read by argmax: ours is",
    "LAB to Ours+LAB": "With boundaries in 1D heatmaps in place of 2D maps, LAB's error is",
    "Ours to Ours+LAB": "Against our own detector, that of Ours+LAB is",
}


def rivals(side_by_side, gains, subset="300W com"):
    """The answer of 08: who is best on the same backbone, and does 1D still win below the bin?

    Args:
        side_by_side: `rivals.side_by_side`.
        gains: `rivals.gains`.
        subset: as Table 1 names it.
    """
    gains = gains[gains["subset"] == subset]
    rows = gains[gains["decrease_percent"].notna()]
    if rows.empty:
        return f"Not answered yet: {gains['reason'].iloc[0]}."
    parts = []
    for row in rows[rows["paper_percent"].notna()].to_dict("records"):
        parts.append(
            f"{PRINTED[row['comparison']]} {_lower(row)} ({_span(row)}; the paper: "
            f"{row['paper_percent']:.2f} %): **{row['verdict']}**."
        )
    best = rows[rows["paper_percent"].isna()]
    if not best.empty:
        found = "; ".join(
            f"{_lower(row)} than {_system(side_by_side, row['before'])} ({_span(row)})"
            for row in best.to_dict("records")
        )
        parts.append(f"Each read by what is best on validation faces, 1D at L/F=3 is {found}.")
    return " ".join([*parts, _measured_on(rows)])


def _measured_on(rows):
    """What several comparisons on one subset were measured on: faces, seeds, data."""
    first, counts = rows.iloc[0], sorted({int(rows["seeds"].min()), int(rows["seeds"].max())})
    seeds = f"{' to '.join(map(str, counts))} seeds"
    if counts == [1]:
        seeds = "1 seed, so no interval holds what seeds differ in"
    return f"Measured on {first['faces']} faces with {seeds}: {first['data']}."


def _system(side_by_side, before):
    """What readers call the system of "name, decoder", with its score."""
    name, decoder = before.split(", ")
    row = side_by_side[side_by_side["name"] == name].iloc[0]
    return f"{row['system']} by {decoder}"


def parts(split, order, subset="300W com"):
    """The answer of 09: what the gain from L/F = 0.25 to 3 is made of.

    Args:
        split: `ablation.split`.
        order: `ablation.order`.
        subset: as Table 1 names it.
    """
    split = split[split["subset"] == subset]
    rows = split[split["points"].notna()].set_index("part")
    if rows.empty:
        return f"Not answered yet: {split['reason'].iloc[0]}."
    made = "; ".join(
        f"{name}, {row['points']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"
        for name, row in rows.iterrows()
    )
    texts = [f"In points of NRMSE on {subset}, positive where it helps: {made}."]
    texts += _below_the_bin(rows)
    for shown, there in order.groupby("shown", sort=False):
        if there["apart_percent"].notna().all() and len(there) == 2:
            near = there.loc[there["apart_percent"].idxmin(), "by"]
            apart = there.set_index("by")["apart_percent"]
            texts.append(
                f"Between crops of two sizes, read by {shown.replace('best', 'the best')}, errors "
                f"relative to the lowest of each size differ by {apart['L/F']:.1f} % at equal L/F "
                f"and by {apart['L']:.1f} % at equal L: {near} orders them better."
            )
    return " ".join([*texts, _measured_on(rows)])


def _below_the_bin(rows):
    """What is left of the gain where both ends are read below the bin."""
    names = [name for name in BELOW if name in rows.index]
    if names != list(BELOW):
        return []
    start, end = rows.loc[BELOW[0]], rows.loc[BELOW[-1]]
    left = start["before_percent"] - end["after_percent"]
    whole = rows.iloc[-1]["points"]
    return [
        f"Read below the bin at both ends, NRMSE goes from {start['before_percent']:.2f} to "
        f"{end['after_percent']:.2f} %, {left:+.2f} of the {whole:+.2f} points that argmax sees."
    ]


BELOW = ("a head as large", "longer heatmaps", "narrower targets")  # parts with rounding aside


def cost(side_by_side, subset="common"):
    """What the best 1D and the best 2D detector cost: operations, memory of a step, speed.

    Args:
        side_by_side: `rivals.side_by_side`.
        subset: of the test faces.
    """
    rows = side_by_side[(side_by_side["subset"] == subset) & side_by_side["percent"].notna()]
    texts = []
    for model in ("detector1d", "detector2d"):
        there = rows[rows["model"] == model]
        if there.empty:
            return ""
        row = there.loc[there["validation_percent"].idxmin()]
        texts.append(
            f"{row['system']} by {row['decoder']}: {row['percent']:.2f} %, "
            f"{row['parameters'] / 1e6:.2f} M parameters, {row['megaflops']:.0f} MFLOP a face, "
            f"{row['step_mib']:.0f} MiB a training step, "
            f"{row['samples_per_second']:.0f} faces/s in training, as recorded"
        )
    return f"The best of each kind on validation faces, and what it costs. {'; '.join(texts)}."


def memory(verdict, ledger):
    """The answer of 10: why Table 1 has no 2D detector at L = F, and whether that holds.

    Args:
        verdict: `claims.memory` of the ledger.
        ledger: `memory.table`.
    """
    card = ledger["card_gib"].iloc[0]
    fits = ledger.groupby("system", sort=False).apply(_longest, include_groups=False)
    reach = "; ".join(f"{name}, {text}" for name, text in fits.items())
    return (
        f"At L = F, a training step takes: {verdict['data'].split(': ', 1)[1]}; the card has "
        f"{card:g} GiB. **{verdict['verdict'].capitalize()}**: {_who_fits(ledger)}. The longest "
        f"that fits, of those counted: {reach}."
    )


def _who_fits(ledger):
    """Which 2D detectors fit at L = F, and whether the longest 1D one does."""
    two = ledger[(ledger["length_over_input"] == 1) & ledger["system"].str.startswith("2D")]
    fits, names = two["fits"].astype(bool), two["system"].str.removeprefix("2D, ")
    text = "every 2D detector fits" if fits.all() else "no 2D detector fits"
    if fits.nunique() > 1:
        text = (
            f"of the 2D detectors, {' and '.join(names[~fits])} does not fit and "
            f"{' and '.join(names[fits])} does, so 2D heatmaps as such are not too large"
        )
    one = ledger[ledger["system"] == "1D"].sort_values("length").iloc[-1]
    return f"{text}; 1D at L={one['length']} {'fits' if one['fits'] else 'does not fit'}"


def _longest(rows):
    there = rows[rows["fits"].astype(bool)]
    return f"L={there['length'].max()}" if len(there) else "none"


def cross_validation(choices):
    """What cross-validation chose, with its spread, against the paper's weights.

    Args:
        choices: `folds.choices`.
    """
    texts = []
    for row in choices.to_dict("records"):
        symbol = {"gamma": "γ", "lam": "λ"}[row["weight"]]
        if row["reason"]:
            texts.append(f"{symbol} was not cross-validated: {row['reason']}.")
            continue
        text = (
            f"Cross-validation over {row['folds']} fold{'s'[: row['folds'] > 1]} chooses {symbol}="
            f"{row['chosen']:g} (the folds one by one: {row['lowest']:g} to {row['highest']:g}), "
            f"the paper {row['paper']:g}"
        )
        if not math.isnan(row["worse_percent"]) and row["chosen"] != row["paper"]:
            span = "one fold, no interval" if math.isnan(row["low"]) else _interval(row)
            text += f", whose NRMSE is {row['worse_percent']:.2f} % higher ({span})"
        texts.append(f"{text}: **{row['verdict']}** ({row['data']}).")
    return " ".join(texts)


def controls(table, conditions, poses=None, subset="300W com"):
    """What other ways to join the axes give, and where co-attention helps.

    Args:
        table: `attention.controls`.
        conditions: `attention.conditions`.
        poses: `attention.poses`, or None.
        subset: as Table 1 names it.
    """
    texts = []
    for rows, key, lead in (
        (table, "reading", "Against γ=0, ways to join the axes give"),
        (conditions, "condition", "In other detectors, γ from 0 gives"),
        (poses, "third", "By how far the head turns aside, γ from 0 gives"),
    ):
        if rows is None:
            continue
        there = rows[(rows["subset"] == subset) & rows["decrease_percent"].notna()]
        if not there.empty:
            found = "; ".join(
                f"{row[key]}, {_lower(row)} ({_span(row)})" for row in there.to_dict("records")
            )
            texts.append(f"{lead}, on {subset}: {found}. {_measured_on(there)}")
    return " ".join(texts)
