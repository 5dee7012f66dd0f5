"""Verdicts as the page shows them: a word with a sign, their counts, and the claims in short."""

import re

import markupsafe
import pandas as pd

from study import claims

# Verdict -> sign, so that none is told by its colour alone.
SIGN = {claims.REPRODUCED: "✓", claims.CONTRADICTED: "✗"}
SIGN |= {claims.INCONCLUSIVE: "~", claims.NOT_RUN: "–"}
BADGE = markupsafe.Markup('<span class="verdict {}"><b aria-hidden="true">{}</b> {}</span>')
UNIT = {"value": "", "ordering": "", "px": " px", "GiB": " GiB"}  # others are percent


def badge(verdict):
    """A verdict as HTML: its sign and its word; nothing where there is none."""
    if not isinstance(verdict, str) or verdict not in SIGN:
        return "" if pd.isna(verdict) else verdict
    return BADGE.format(verdict.replace(" ", "-"), SIGN[verdict], verdict)


def strong(text):
    """Text for HTML in which **words** stand out, verdicts among them as badges."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"\*\*(.+?)\*\*", _strong, escaped))


def _strong(match):
    word = match[1]
    return str(badge(word)) if word in SIGN else f"<strong>{word}</strong>"


def counts(table):
    """How many claims have each verdict: (verdict, count) pairs, each verdict there.

    Args:
        table: `claims.table`.
    """
    return [(verdict, int((table["verdict"] == verdict).sum())) for verdict in SIGN]


def judged(table):
    """The claims that have a verdict of ours, those that are worded alike together.

    Args:
        table: `claims.table`.

    Returns:
        a list of (claim, rows), each row a dict of subset, paper, ours (text), bounds (text), data
        and verdict.
    """
    rows = table[~table["verdict"].isin([claims.NOT_RUN])]
    return [
        (prettier(claim), [_row(row) for row in there.to_dict("records")])
        for claim, there in rows.groupby("claim", sort=False)
    ]


def _row(row):
    unit = UNIT.get(row["unit"], " %")
    paper = f"{row['paper_value']}{unit}"
    ours = f"{row['ours']:.2f}{unit or ''}"
    if row["unit"] == "ordering":  # ours is by how much the first exceeds the next
        ours = f"{row['ours']:+.0f} %"
    bounds = ""
    if not pd.isna(row["ours_low"]):
        bounds = f"[{row['ours_low']:.2f}, {row['ours_high']:.2f}]"
    shown = {"paper": paper, "ours": ours.replace("-", "−"), "bounds": bounds.replace("-", "−")}
    where = "" if row["subset"] == "-" else row["subset"]
    return {**shown, "subset": where, "data": row["data"], "verdict": badge(row["verdict"])}


def not_run(table):
    """The claims without a verdict of ours by their reason: (reason, claims) pairs.

    Args:
        table: `claims.table`.
    """
    rows = table[table["verdict"] == claims.NOT_RUN]
    return [
        (reason, [f"{prettier(row['claim'])}: {row['subset']}" for row in there.to_dict("records")])
        for reason, there in rows.groupby("reason", sort=False)
    ]


def prettier(claim):
    """A claim with the letters that the page uses: γ, λ, →."""
    for plain, letter in (("->", " → "), ("gamma", "γ"), ("lambda", "λ")):
        claim = claim.replace(plain, letter)
    return claim
