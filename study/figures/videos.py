"""Figures of the trackers, in the style of `study.figures`; they read no file."""

import textwrap

import numpy as np

from study import heatmaps, paper
from study.figures import (
    BLUE,
    COLOR,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    WIDTH,
    floats,
    grid,
    measured_on,
)
from study.tables import temporal

PLACES = {"all": BLUE, "occluded": VERMILION, "visible": GREEN}
READING = {temporal.TRAINED: ("-o", BLUE, 0), temporal.TESTED: ("s", VERMILION, -0.035)}
SYSTEM = {"before": ORANGE, "after": BLUE}
KINDS = {"1D": COLOR["detector1d"], "summed": GREEN, "2D": COLOR["detector2d"]}
MARKS = "oD^svPX*"  # of the systems of one kind, the detector first


def lambda_curve(table, axes=None):
    """Decrease of NRMSE from λ=0 over λ on each subset of videos, the paper's beside it (Table 2).

    Args:
        table: `temporal.table2`; subsets on which nothing was measured are left out, unless
            nothing was measured at all.
    """
    measured = table[table["decrease_percent"].notna()]
    subsets = list(dict.fromkeys((table if measured.empty else measured)["subset"]))
    axes = grid(1, len(subsets), WIDTH * 1.35, 3.6) if axes is None else axes
    for ax, subset in zip(axes[0], subsets, strict=True):
        here = measured[measured["subset"] == subset].sort_values("lam")
        for reading, rows in here.groupby("reading", sort=True):
            style, color, shift = READING[reading]
            _interval(ax, rows.assign(lam=rows["lam"] + shift), style, color, reading)
        published = table[table["subset"] == subset].dropna(subset=["nrmse_percent"])
        published = published.drop_duplicates("lam").sort_values("lam")
        decreases = 100 * (1 - published["nrmse_percent"] / published["nrmse_percent"].iloc[0])
        options = dict(color=GREY, marker="D", markersize=4, linestyle=":")
        ax.plot(published["lam"], decreases, label=f"the paper's, F={paper.SIZE}", **options)
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set(title=subset, xlabel="λ", xlim=(-0.08, 1.06))
    axes[0, 0].set_ylabel("decrease of NRMSE from λ=0 (%)")
    _legend(axes, measured, ncols=3)
    return axes


def _legend(axes, measured, ncols):
    """One legend below all panels, of whatever any of them shows, and what it was measured on."""
    found = {}
    for ax in axes[0]:
        handles, labels = ax.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure, where = axes[0, 0].figure, dict(loc="outside lower center", ncols=ncols)
    figure.legend(found.values(), found.keys(), **where)
    measured_on(axes, measured)


def _interval(ax, rows, style, color, label):
    names = ("decrease_percent", "decrease_low", "decrease_high")
    middle, low, high = (floats(rows[name]) for name in names)
    ax.errorbar(
        *(floats(rows["lam"]), middle),
        yerr=[np.maximum(middle - low, 0), np.maximum(high - middle, 0)],
        **dict(fmt=style, color=color, capsize=2, elinewidth=1, label=label),
    )


def motion(table, axes=None):
    """Accuracy against jitter of every system, one panel a subset of videos.

    Args:
        table: `temporal.motion`.
    """
    rows = table[table["percent"].notna() & table["jitter_percent"].notna()]
    subsets = list(dict.fromkeys(rows["subset"])) or ["S1"]
    axes = grid(1, len(subsets), WIDTH * 1.35, 3.9) if axes is None else axes
    for ax, subset in zip(axes[0], subsets, strict=True):
        here = rows[rows["subset"] == subset]
        kind = here["system"].map(_kind)
        for name, color in KINDS.items():
            _systems(ax, here[kind == name], color)
        if not here.empty:
            true = here["jitter_true_percent"].iloc[0]
            ax.axvline(true, color=GREY, linestyle=":", linewidth=1.2, label="the truth's jitter")
            ax.set_xlim(left=0)
        ax.set(title=subset, xlabel="jitter (% of the eyes' distance)")
    axes[0, 0].set_ylabel("NRMSE (%), mean over frames")
    _legend(axes, rows, ncols=3)
    return axes


def _kind(system):
    """A key of KINDS."""
    return "summed" if "summed" in system else system[:2]


def _systems(ax, rows, color):
    """The systems of one kind; detectors are hollow."""
    x, y, low, high = (floats(rows[c]) for c in ("jitter_percent", "percent", "low", "high"))
    for n, (system, marker) in enumerate(zip(rows["system"], MARKS, strict=False)):
        face = color if "tracker" in system or "summed" in system else "white"
        ends = np.maximum([[y[n] - low[n]], [high[n] - y[n]]], 0)
        options = dict(fmt=marker, color=color, markerfacecolor=face, capsize=2, elinewidth=0.8)
        ax.errorbar(x[n], y[n], yerr=ends, label=system, **options)


def refinement_gains(table, axes=None):
    """Decrease of NRMSE from one system to another, on all, occluded and visible landmarks.

    Args:
        table: `temporal.gains`.
    """
    names = [n for n in dict.fromkeys(table["comparison"]) if n.startswith(("λ", "detector"))]
    rows = table[table["comparison"].isin(names) & table["decrease_percent"].notna()]
    subsets = list(dict.fromkeys(rows["subset"])) or ["300VW S1"]
    shared = dict(sharex=True, sharey=True)
    axes = grid(1, len(subsets), WIDTH * 1.35, 3.7, **shared) if axes is None else axes
    for ax, subset in zip(axes[0], subsets, strict=True):
        here = rows[rows["subset"] == subset]
        hidden = (here["landmarks"] == "occluded").any()  # else all are visible
        for shift, place in zip((-0.22, 0, 0.22), PLACES, strict=True):
            if place == "all" or hidden:
                there = here[here["landmarks"] == place].set_index("comparison").reindex(names)
                _decreases(ax, there, shift if hidden else 0, place)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(title=subset, xlabel="decrease of NRMSE (%)")
    axes[0, 0].set_yticks(range(len(names)), [textwrap.fill(name, 40) for name in names])
    axes[0, 0].set_ylim(len(names) - 0.4, -0.6)
    _legend(axes, rows, ncols=3)
    return axes


def _decreases(ax, rows, shift, place):
    """Decreases with their intervals, a row a comparison; `place` says of which landmarks."""
    middle, low, high = (floats(rows[c]) for c in ("decrease_percent", "low", "high"))
    options = dict(fmt="o", color=PLACES[place], capsize=2, elinewidth=1, markersize=4)
    ends = np.maximum([middle - low, high - middle], 0)
    ax.errorbar(
        *(middle, np.arange(len(rows)) + shift),
        xerr=ends,
        label=f"{place} landmarks",
        **options,
    )


def refinement(made, frames, names, axes=None):
    """Heatmaps of one landmark on both axes, before and after temporal refinement, a row a frame.

    Args:
        made: `results.Refinements` of K frames.
        frames: table with columns subset, video and frame, K rows.
        names: of the landmarks.
    """
    where = frames[["subset", "video", "frame"]].itertuples(index=False)
    titles = [
        f"{subset}, video {video}, frame {frame}: {names[n]}"
        for (subset, video, frame), n in zip(where, made.landmarks, strict=True)
    ]
    axes = grid(len(titles), 2, WIDTH, 1.2 + 1.25 * len(titles)) if axes is None else axes
    before, after, points = made.before, made.after, made.points
    length = before[0].shape[-1]
    places = heatmaps.to_pixels(np.arange(length), made.size, length)
    for axis, name in enumerate("xy"):
        for row, title in enumerate(titles):
            ax = axes[row, axis]
            for h, key in ((before, "before"), (after, "after")):
                ax.plot(places, h[axis][row].numpy(), color=SYSTEM[key], label=key)
            ax.axvline(points[row, axis], color=GREY, linestyle=":", label="true place")
            ax.set_title(title if axis == 0 else "", fontsize=8.5)
        axes[-1, axis].set_xlabel(f"{name}, px of the crop")
    axes[0, 1].legend(loc="upper right", fontsize=7.5)
    return axes
