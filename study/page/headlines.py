"""The page's short answers, one sentence a topic. No number is typed here; `answers` say more."""

import math

import pandas as pd

from study import answers, claims
from study.figures import shipped as shipped_figures
from study.tables import ablation, failures, stills, temporal

TO_1D = " to 1D"  # ends a comparison of `rivals.gains` with the 1D detector
TO_OURS = " to Ours"  # ends one of `video_rivals.gains`
UNTIL = " to "


# --- in words ----------------------------------------------------------------------------------


def listed(words):
    """Words as a list in a sentence: "a", "a and b", "a, b and c"."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number, word):
    """A count with its word: "1 seed", "2 seeds", "1,200 faces"."""
    return f"{number:,} {word}{'s' * (number != 1)}"


def change(row, paper=True):
    """A relative change in words, its interval in the direction of the word, and the paper's.

    Args:
        row: of a table of gains: decrease_percent, low, high, paper_percent (%).
        paper: whether to say the paper's, where it has one.
    """
    value, ends = row["decrease_percent"], [row["low"], row["high"]]
    word = "lower" if value >= 0 else "higher"
    if value < 0:
        ends = [-end for end in reversed(ends)]
    notes = [] if math.isnan(ends[0]) else [f"{_rounded(ends[0])} to {_rounded(ends[1])}"]
    if paper and not math.isnan(row["paper_percent"]):
        notes.append(f"the paper: {row['paper_percent']:.1f} %{' lower' * (value < 0)}")
    text = f"{abs(value):.1f} % {word}"
    return f"{text} ({'; '.join(notes)})" if notes else text


def _rounded(value, digits=1):
    """A number with a true minus sign, and none at 0."""
    text = f"{round(float(value), digits) + 0:.{digits}f}"
    return text.replace("-", "−")


def _verdict(rows):
    """The verdict of some rows where they share one, marked; else nothing."""
    words = set(rows["verdict"])
    return f": **{words.pop()}**" if len(words) == 1 else ""


def _unanswered(table, rows=None):
    """Why a table has no number: its first reason."""
    reasons = (table if rows is None else rows)["reason"]
    reasons = [reason for reason in reasons if isinstance(reason, str) and reason]
    return f"Not answered yet: {reasons[0] if reasons else 'nothing recorded'}."


def measured(table):
    """The rows of a table that hold a measurement of ours; none of a table that is None."""
    if table is None:
        return pd.DataFrame()
    if "seeds" in table:
        return table[table["seeds"].notna()]
    return table[table["data"].fillna("") != ""] if "data" in table else table


def measured_on(*shown):
    """What some tables were measured on: data, faces or videos, seeds; "" where nothing was."""
    rows = [measured(table) for table in shown]
    rows = [table for table in rows if len(table)]
    labels = dict.fromkeys(label for table in rows if "data" in table for label in table["data"])
    parts = ["; ".join(label for label in labels if label)]
    for name, word in (("videos", "video"), ("faces", "face"), ("seeds", "seed")):
        counts = [n for table in rows if name in table for n in table[name].dropna()]
        if counts and not (name == "faces" and "videos" in rows[0]):
            low, high = int(min(counts)), int(max(counts))
            parts.append(counted(low, word) if low == high else f"{low:,} to {high:,} {word}s")
    return "; ".join(filter(None, parts))


# --- stills ------------------------------------------------------------------------------------


def resolution(gains, decoders, subset="300W com"):
    """Does more resolution help, and what is left of it below the bin?

    Args:
        gains: `stills.gains`.
        decoders: `stills.decoders`.
        subset: as Table 1 names it.
    """
    row = claims.row_of(gains, "1D, L/F 0.25 to 3", subset)
    if row["reason"]:
        return f"Not answered yet: {row['reason']}."
    text = f"Read by argmax, NRMSE at L/F=3 is {change(row)} than at 0.25: **{row['verdict']}**"
    return f"{text}{_below_the_bin(row, decoders)}."


def _below_the_bin(row, decoders, subset="common"):
    """What the shortest and the longest 1D heatmaps give by what is best on validation."""
    rows = decoders[(decoders["model"] == "detector1d") & (decoders["subset"] == subset)]
    rows = rows.dropna(subset=["percent", "validation_percent"])
    best = rows.sort_values("validation_percent").drop_duplicates("name")
    ends = best.sort_values("length_over_input")["percent"].to_list()
    by_share = best.set_index("length_over_input")["percent"]
    if len(ends) < 2 or not {0.25, 3.0} <= set(by_share.index):
        return ""
    low, high = by_share[0.25], by_share[3.0]
    left = (low - high) / (row["before_percent"] - row["after_percent"])
    text = f"; read below the bin, the shortest give {low:.2f} % and the longest {high:.2f} %"
    return f"{text}, so {100 * left:.0f} % of that gain is left" if 0 <= left <= 1 else text


def against_2d(gains, subset="300W com"):
    """Does 1D beat 2D heatmaps that are decoded as well?

    Args:
        gains: `stills.gains`.
        subset: as Table 1 names it.
    """
    name = "2D at L/F 0.5 to 1D at L/F 3"
    plain, best = (
        claims.row_of(gains, name, subset, decoder) for decoder in ("argmax", stills.BEST)
    )
    if plain["reason"] or math.isnan(plain["decrease_percent"]):
        return ""
    text = f"Against 2D heatmaps, 1D is {change(plain)} by argmax: **{plain['verdict']}**"
    if math.isnan(best["decrease_percent"]):
        return f"{text}."
    return f"{text}; with each one's best decoder it is {change(best, paper=False)}."


def parts(split, subset="300W com"):
    """What is the gain made of?

    Args:
        split: `ablation.split`.
        subset: as Table 1 names it.
    """
    split = split[split["subset"] == subset]
    rows = split[split["points"].notna()].set_index("part")
    single = rows[~rows.index.isin([ablation.IN_ALL, ablation.IN_ALL_CENTRED])]
    if single.empty:
        return _unanswered(split)
    named = [f"“{name}” gives {row['points']:.2f}" for name, row in _largest(single).iterrows()]
    whole = next((n for n in (ablation.IN_ALL, ablation.IN_ALL_CENTRED) if n in rows.index), None)
    lead = f"Of {rows.loc[whole, 'points']:.2f} points of NRMSE, " if whole else "In points, "
    return f"{lead}{listed(named)}{_left(rows)}."


def _largest(rows, count=2):
    return rows.sort_values("points", ascending=False, kind="stable").head(count)


def _left(rows):
    """What is left of the gain where both ends are read below the bin."""
    first, last = answers.BELOW[0], answers.BELOW[-1]
    if not {first, last} <= set(rows.index):
        return ""
    left = rows.loc[first, "before_percent"] - rows.loc[last, "after_percent"]
    return f"; read below the bin at both ends, {_rounded(left, 2)} of them are left"


def rounding(cost):
    """How much of the paper's gain can rounding explain?

    Args:
        cost: `quantized.quantization`, or None.
    """
    if cost is None:
        return ""
    subset = next(name for name in ("common", "train") if name in set(cost["subset"]))
    gain, explained = answers.rounding_shares(cost, subset)
    low, high = sorted(explained.values())[:: len(explained) - 1]
    return (
        f"Of the {gain:.2f} points that the paper gains from L=256 to 768, rounding explains "
        f"{low:.2f} to {high:.2f}."
    )


def rivals(gains, subset="300W com"):
    """Who is best on the same backbone?

    Args:
        gains: `rivals.gains`.
        subset: as Table 1 names it.
    """
    here = gains[(gains["subset"] == subset) & gains["comparison"].str.endswith(TO_1D)]
    rows = here[here["decrease_percent"].notna() & here["low"].notna()]
    if rows.empty:
        return _unanswered(here if len(here) else gains)
    kinds = {"better than": rows[rows["low"] > 0], "worse than": rows[rows["high"] < 0]}
    kinds["not to be told from"] = rows[(rows["low"] <= 0) & (rows["high"] >= 0)]
    found = [
        f"{words} {listed(there['comparison'].str.removesuffix(TO_1D))}"
        for words, there in kinds.items()
        if len(there)
    ]
    return f"Each read by what is best on validation faces, 1D at L/F=3 is {', '.join(found)}."


def coattention(gains, curve):
    """Does co-attention help?

    Args:
        gains: `attention.gains`.
        curve: `attention.curve`.
    """
    rows = gains[(gains["decoder"] == "argmax") & gains["paper_percent"].notna()]
    rows = rows[rows["decrease_percent"].notna()]
    if rows.empty:
        return _unanswered(gains)
    row = rows.iloc[0].to_dict()
    text = f"With γ=0.4 in place of 0, each trained, NRMSE is {change(row)}: **{row['verdict']}**"
    there = curve[curve["percent"].notna() & curve["subset"].eq(row["subset"])]
    if len(there) < 3:
        return f"{text}."
    spread = there["percent"].max() - there["percent"].min()
    low, high = there["gamma"].min(), there["gamma"].max()
    return f"{text}; all γ from {low:g} to {high:g} lie within {spread:.2f} points."


def cross_validation(choices):
    """Which weights does cross-validation choose?

    Args:
        choices: `folds.choices`.
    """
    rows = choices[choices["chosen"].notna()]
    if rows.empty:
        return f"Not answered yet: {choices['reason'].iloc[0]}."
    symbol = {"gamma": "γ", "lam": "λ"}
    found = [
        f"{symbol[row['weight']]}={row['chosen']:g} where the paper has {row['paper']:g}: "
        f"**{row['verdict']}**"
        for row in rows.to_dict("records")
    ]
    return f"Over {counted(int(rows['folds'].max()), 'fold')} it chooses {', and '.join(found)}."


def cost(ledger):
    """Do 2D heatmaps at L = F exceed the card?

    Args:
        ledger: `memory.table`, or None.
    """
    if ledger is None:
        return "Not answered yet: the ledger has not been made."
    verdict, card = claims.memory(ledger), ledger["card_gib"].iloc[0]
    same = ledger[(ledger["length_over_input"] == 1) & ledger["system"].str.startswith("2D")]
    one = ledger[ledger["system"] == "1D"].sort_values("length").iloc[-1]
    found = [
        f"{row['peak_gib']:.1f} GiB in “{row['system']}”"
        for row in same.sort_values("peak_gib", ascending=False).to_dict("records")
    ]
    return (
        f"At L=F a training step takes {listed(found)}, and 1D at L={one['length']} takes "
        f"{one['peak_gib']:.1f}, of the card's {card:g}: **{verdict['verdict']}**."
    )


# --- videos ------------------------------------------------------------------------------------


def temporal_refinement(gains):
    """Does the past help?

    Args:
        gains: `temporal.gains`.
    """
    trained = gains[answers.is_trained(gains)]
    rows = trained[trained["decrease_percent"].notna()]
    if rows.empty:
        reasons = trained["reason"]
        return f"Not answered yet: {reasons.iloc[0] if len(reasons) else 'no tracker'}."
    everywhere = rows[rows["landmarks"] == "all"]
    lead = everywhere["comparison"].iloc[0].split(",")[0]  # "λ 0 to 0.3"
    named = [
        f"{change(row)} on {row['subset'].split()[-1]}" for row in everywhere.to_dict("records")
    ]
    text = f"With {lead.replace(UNTIL, ' → ')}, each trained, NRMSE is {listed(named)}"
    hidden = rows[rows["landmarks"] == "occluded"].drop_duplicates("subset")
    found = [
        f"{change(row, paper=False)} on occluded landmarks of {row['subset'].split()[-1]}"
        for row in hidden.to_dict("records")
    ]
    end = f"; it is {listed(found)}" if found else ""
    return f"{text}{_verdict(everywhere)}{end}."


def video_rivals(gains):
    """How does our tracker compare with the rebuilt systems of others?

    Args:
        gains: `video_rivals.gains`.
    """
    rows = gains[(gains["landmarks"] == "all") & (gains["subset"] != temporal.ALL)]
    printed = rows[rows["comparison"].str.endswith(TO_OURS) & rows["paper_percent"].notna()]
    there = printed[printed["decrease_percent"].notna()]
    if there.empty:
        return _unanswered(gains, printed if len(printed) else None)
    found = []
    for name, against in there.groupby("comparison", sort=False):
        ours, papers = (_span(against[key]) for key in ("decrease_percent", "paper_percent"))
        found.append(f"{ours} % below {name.removesuffix(TO_OURS)} (the paper: {papers} %)")
    subsets = listed(dict.fromkeys(name.split()[-1] for name in there["subset"]))
    negative = ", negative where it is above" if (there["decrease_percent"] < 0).any() else ""
    return f"On {subsets} our tracker's NRMSE is {listed(found)}{negative}{_verdict(there)}."


def _span(values):
    """From the lowest to the highest of some numbers, or the one that there is."""
    low, high = (_rounded(end) for end in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def areas(gains, largest):
    """Which facial area gains most, and does the contour vary most?

    Args:
        gains: `video_rivals.gains`.
        largest: `areas.contour_largest`, or None.
    """
    texts = [_most(gains), _contour(largest)]
    return " ".join(filter(None, texts)) or _unanswered(gains)


def _most(gains):
    here = gains[gains["comparison"].eq(claims.AGAINST_GAN) & gains["subset"].eq(temporal.ALL)]
    rows = here[(here["landmarks"] != "all") & here["decrease_percent"].notna()]
    if rows.empty:
        return ""
    best = rows.loc[rows["decrease_percent"].idxmax()]
    gaining = int((rows["low"] > 0).sum())
    printed = rows.loc[rows["landmarks"] == "contour", "paper_percent"].iloc[0]
    return (
        f"From GAN to ours, {gaining} of {counted(len(rows), 'area')} gain beyond doubt, most the "
        f"{best['landmarks']} ({best['decrease_percent']:.1f} %); in the paper all do, most the "
        f"contour ({printed:.1f} %)."
    )


def _contour(largest):
    if largest is None:
        return ""
    rows = claims.claimed(largest)
    found = [
        f"of {axis} in {int((there['low'] > 0).sum())} of {len(there)}"
        for axis, there in rows.groupby("axis", sort=True)
    ]
    return f"The contour's variance {listed(found)} systems of coordinates is the largest."


# --- predictions and failures ------------------------------------------------------------------


def predictions(table):
    """How large are errors, and where?

    Args:
        table: `failures.by_area`.
    """
    if table.empty:
        return "Not answered yet: the flagship is not recorded."
    whole = table[table["area"] == failures.FACE].iloc[0]
    areas_there = table[table["area"] != failures.FACE]
    ordered = areas_there.sort_values("percent", ascending=False)
    most, least = ordered.iloc[0], ordered.iloc[-1]
    return (
        f"NRMSE is {whole['percent']:.2f} % of the eyes' distance, most in the {most['area']} "
        f"({most['percent']:.2f} %) and least in the {least['area']} ({least['percent']:.2f} %)."
    )


def failing(table):
    """Which faces fail, and in which areas?

    Args:
        table: `failures.by_area`.
    """
    if table.empty:
        return "Not answered yet: the flagship is not recorded."
    whole = table[table["area"] == failures.FACE].iloc[0]
    areas_there = table[table["area"] != failures.FACE]
    most = areas_there.loc[areas_there["worst_percent"].idxmax()]
    return (
        f"{whole['failed_percent']:.1f} % of the test faces err by more than "
        f"{100 * failures.LIMIT:.0f} %; of the worst tenth, {most['worst_percent']:.0f} % err most "
        f"in the {most['area']}."
    )


def shipped(table, subset="300W com"):
    """How well does the shipped detector mark faces, and what does a user's box cost?

    Args:
        table: `shipped_tables.scores`.
        subset: as the table names it; where it is not there, its first.
    """
    rows = table[table["subset"] == subset]
    rows = rows if len(rows) else table[table["subset"] == table["subset"].iloc[0]]
    found = [
        f"{row['percent']:.2f} % with {_boxes(row['boxes'])}"
        for row in rows[rows["percent"].notna()].to_dict("records")
    ]
    if not found:
        return "Not answered yet: every face was missed."
    missed = rows[rows["missed"] > 0]
    end = [
        f"; {_boxes(row['boxes'])} misses {row['missed']} of {row['faces']} faces"
        for row in missed.to_dict("records")
    ]
    return f"On {rows['subset'].iloc[0]} its NRMSE is {listed(found)}{''.join(end)}."


def _boxes(kind):
    """Whose boxes, in a sentence."""
    words = shipped_figures.SAYS[kind]
    return words if words.endswith("boxes") else f"the {words}"


def in_short(made):
    """The page's answer: (topic, sentence) pairs, three to five of those that are answered.

    Args:
        made: name -> table, of `report.make_tables`.
    """
    found = {
        "resolution": resolution(made["resolution_gain"], made["resolution_decoders"]),
        "parts": parts(made["gain_split"]),
        "rivals": against_2d(made["resolution_gain"]),
        "coattention": coattention(made["coattention_gain"], made["coattention"]),
        "temporal": temporal_refinement(made["temporal_gain"]),
    }
    said = {topic: text for topic, text in found.items() if text}
    open_ = [topic for topic, text in said.items() if text.startswith("Not answered yet")]
    return list(said.items()) if len(open_) < len(said) else list(said.items())[:1]
