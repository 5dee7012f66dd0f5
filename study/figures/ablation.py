"""Figures of rivals, of what the gain is made of, and of cross-validations, in `figures`' style."""

import itertools
import textwrap

import numpy as np
import pandas as pd

from study.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SERIES,
    SKY,
    VERMILION,
    WIDTH,
    floats,
    grid,
    measured_on,
    name_powers,
)
from study.tables import ablation, folds, stills

COLOR = {
    ablation.OWN: BLUE,
    ablation.TWO_D: VERMILION,
    ablation.FLOORED: ORANGE,
    ablation.ONE_HEAD: GREEN,
    ablation.IN_BINS: PURPLE,
    ablation.BY_ROOT: SKY,
    ablation.SMALL: BLACK,
}
MARKER = dict(zip(ablation.SERIES, "osDv^PX", strict=True))
TOTALS = (ablation.IN_ALL, ablation.IN_ALL_CENTRED)
NOTHING = "nothing recorded yet"


def split(table, subset="300W com", ax=None):
    """The gain from L/F = 0.25 to 3 as a staircase of its parts, each with its interval.

    Args:
        table: `ablation.split`.
        subset: as Table 1 names it.
    """
    ax = grid(1, 1, WIDTH, 3.9)[0, 0] if ax is None else ax
    there = table[table["subset"] == subset]
    rows = there[there["points"].notna()]
    if rows.empty:
        ax.set_title(NOTHING)
        return ax
    names, at = [], 0.0
    for place, row in enumerate(rows.to_dict("records")):
        total = row["part"] in TOTALS
        start = 0.0 if total else at
        color = GREY if total else (BLUE if row["points"] >= 0 else VERMILION)
        ax.barh(place, row["points"], left=start, height=0.62, color=color, alpha=0.75)
        ends = [[row["points"] - row["low"]], [row["high"] - row["points"]]]
        middle = start + row["points"]
        ax.errorbar(middle, place, xerr=ends, color=BLACK, capsize=2.5, elinewidth=1, fmt="none")
        text = f"{row['points']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        ax.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", size=8)
        at = at if total else at + row["points"]
        names.append(row["part"])
    ax.axvline(0, color=BLACK, linewidth=0.8)
    ax.set_yticks(np.arange(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    first = rows.iloc[0]
    seeds = " to ".join(str(n) for n in sorted({rows["seeds"].min(), rows["seeds"].max()}))
    ax.set_xlabel("points of NRMSE (%) gained; each part with its 95 % interval")
    away = len(there) - len(rows)  # without them the steps do not reach the whole
    note = f"; {away} part{'s'[: away > 1]} not measured" if away else ""
    ax.set_title(f"{subset}, {first['faces']} faces, seeds: {seeds}{note}", loc="left")
    measured_on(ax, rows)
    return ax


def lengths(table, axes=None):
    """NRMSE over L: the detectors as they are, and changed in one thing at a time.

    Args:
        table: `ablation.lengths`.
    """
    axes = grid(1, 2, WIDTH * 1.25, 4.3, sharey=True) if axes is None else axes
    measured = table[table["percent"].notna()]
    shown = (("argmax", "read by argmax"), (stills.BEST, "read by the best on validation"))
    for ax, (kind, title) in zip(axes[0], shown, strict=True):
        for series in ablation.SERIES:
            rows = measured[(measured["series"] == series) & (measured["shown"] == kind)]
            if series != ablation.SMALL and not rows.empty:
                _curve(ax, rows, "length", series, series)
        ax.set(xlabel="L, bins across the face crop", title=title)
        name_powers(ax, sorted(measured["length"].unique()))
    axes[0, 0].set_ylabel("NRMSE (%)")
    if measured.empty:
        axes[0, 0].set_title(NOTHING)
    measured_on(axes, measured[measured["series"] != ablation.SMALL])
    _legend(axes)
    return axes


def order(table, axes=None):
    """NRMSE of two sizes of the crop over L/F and over L: which of them orders the results.

    Args:
        table: `ablation.lengths`.
    """
    axes = grid(1, 2, WIDTH * 1.25, 3.7, sharey=True) if axes is None else axes
    measured = table[table["percent"].notna() & (table["shown"] == "argmax")]
    for ax, column in zip(axes[0], ("length_over_input", "length"), strict=True):
        for series in (ablation.OWN, ablation.SMALL):
            rows = measured[measured["series"] == series]
            if not rows.empty:
                rows = rows.assign(**{c: rows[c] / rows["percent"].min() for c in _BOUNDS})
                _curve(ax, rows, column, series, f"1D, F={rows['size'].iloc[0]}")
        name_powers(ax, sorted(measured[column].unique()))
    axes[0, 0].set(xlabel="L/F, bins a pixel of the input", ylabel="NRMSE, lowest of its F = 1")
    axes[0, 1].set(xlabel="L, bins across the face crop")
    axes[0, 0].set_title(NOTHING if measured.empty else "by argmax")
    measured_on(axes, measured[measured["series"].isin([ablation.OWN, ablation.SMALL])])
    _legend(axes)
    return axes


_BOUNDS = ("percent", "low", "high")


def _curve(ax, rows, column, series, label):
    rows = rows.sort_values(column)
    middle, low, high = (floats(rows[name]) for name in _BOUNDS)
    options = dict(color=COLOR[series], marker=MARKER[series], capsize=2, elinewidth=0.8)
    ax.errorbar(floats(rows[column]), middle, yerr=[middle - low, high - middle], **options)
    ax.plot([], [], color=COLOR[series], marker=MARKER[series], label=label)


def _legend(axes):
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if handles:
        axes[0, 0].figure.legend(handles, labels, loc="outside lower center", ncols=4)


# --- rivals ------------------------------------------------------------------------------------


def rivals(table, subset="common", ax=None):
    """NRMSE of every system, by its own decoder and by the best on validation.

    Args:
        table: `rivals.side_by_side`.
        subset: of the test faces.
    """
    rows = table[(table["subset"] == subset) & table["percent"].notna()]
    best = rows.groupby("system")["percent"].min().sort_values()
    ax = grid(1, 1, WIDTH, 0.9 + 0.3 * max(len(best), 3))[0, 0] if ax is None else ax
    places = {name: place for place, name in enumerate(best.index)}
    looks = {"own": ("o", BLUE, "own decoder"), stills.BEST: ("D", ORANGE, stills.BEST)}
    for kind, (marker, color, label) in looks.items():
        there = rows[rows["chosen"] == kind]
        middle, low, high = (floats(there[name]) for name in _BOUNDS)
        at = [places[name] + (0.14 if kind == "own" else -0.14) for name in there["system"]]
        ends = [middle - low, high - middle]
        options = dict(fmt=marker, color=color, capsize=2, elinewidth=1, label=label)
        ax.errorbar(middle, at, xerr=ends, **options)
    ax.set_yticks(range(len(best)), best.index)
    ax.set_ylim(len(best) - 0.4, -0.6)
    ax.set_xlabel("NRMSE (%), 95 % interval over faces and seeds")
    if rows.empty:
        ax.set_title(NOTHING)
        return ax
    ax.set_title(f"{subset}: {rows['faces'].iloc[0]} faces")
    measured_on(ax, rows)
    handles, labels = ax.get_legend_handles_labels()
    ax.figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return ax


# --- co-attention ------------------------------------------------------------------------------


def attention(controls, conditions, poses=None, subset="300W com", ax=None):
    """What co-attention is worth: in other readings, in other detectors, and by pose.

    Args:
        controls: `attention.controls`.
        conditions: `attention.conditions`.
        poses: `attention.poses`, or None.
        subset: as Table 1 names it.
    """
    groups = {
        "ways to join the axes": (controls, "reading", "o", BLUE),
        "other detectors": (conditions, "condition", "s", GREEN),
        "by how far the head turns": (poses, "third", "D", ORANGE),
    }
    names = []
    drawn = [key for key, (table, *_) in groups.items() if table is not None]
    rows = {key: _of_subset(groups[key][0], subset) for key in drawn}
    count = sum(map(len, rows.values()))
    ax = grid(1, 1, WIDTH, 1.1 + 0.27 * max(count, 4))[0, 0] if ax is None else ax
    for key, there in rows.items():
        _, column, marker, color = groups[key]
        middle, low, high = (floats(there[name]) for name in ("decrease_percent", "low", "high"))
        places = len(names) + np.arange(len(there))
        options = dict(fmt=marker, color=color, capsize=2, elinewidth=1)
        ax.errorbar(middle, places, xerr=[middle - low, high - middle], label=key, **options)
        names += list(there[column])
    ax.axvline(0, color=BLACK, linewidth=0.8)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)
    ax.set_xlabel("decrease of NRMSE from γ=0 (%), 95 % interval; right is better")
    ax.set_title(subset if names else NOTHING)
    if names:
        measured_on(ax, pd.concat(rows.values()))
        handles, labels = ax.get_legend_handles_labels()
        ax.figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return ax


def _of_subset(table, subset):
    return table[(table["subset"] == subset) & table["decrease_percent"].notna()]


# --- cross-validation --------------------------------------------------------------------------


def cross_validation(scores, axes=None):
    """NRMSE on each held-out fold over γ and over λ, relative to the fold's mean.

    Args:
        scores: `folds.scores`.
    """
    measured = scores[scores["percent"].notna()]
    weights = [weight for weight in folds.WEIGHTS if weight in set(measured["weight"])]
    axes = grid(1, max(len(weights), 1), WIDTH, 3.2) if axes is None else axes
    for ax, weight in zip(axes[0], weights, strict=False):
        rows = measured[measured["weight"] == weight]
        by_fold = rows.groupby(["value", "fold"])["percent"].mean().unstack().dropna()
        relative = 100 * (by_fold / by_fold.mean() - 1)
        for color, fold in zip(itertools.cycle(SERIES), relative, strict=False):
            ax.plot(relative.index, relative[fold], color=color, alpha=0.5, label=f"fold {fold}")
        ax.plot(relative.index, relative.mean(axis=1), "o-", color=BLACK, label="mean")
        ax.axhline(0, color=GREY, linewidth=0.8)
        title = f"{len(relative.columns)} folds, {rows['data'].iloc[0]}"
        ax.set(xlabel=folds.SYMBOL[weight], title="\n".join(textwrap.wrap(title, 40)))
        ax.legend()
    axes[0, 0].set_ylabel("NRMSE against the fold's mean (%)")
    if measured.empty:
        axes[0, 0].set_title(NOTHING)
    return axes
