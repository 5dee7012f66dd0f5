"""Figures of facial areas (the paper's Fig. 4 and 5) and of rivals in videos; they read no file."""

import numpy as np
from matplotlib.patches import Ellipse

from study import claims
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
    figure_of,
    floats,
    grid,
    measured_on,
)
from study.tables import areas, temporal, video_rivals

AREA = dict(zip(video_rivals.AREAS, (BLUE, VERMILION, GREEN, ORANGE, PURPLE), strict=True))
AXIS = {"x": (BLUE, "o", -0.13), "y": (VERMILION, "s", 0.13)}
SYSTEM = {
    **{video_rivals.SDM: (GREY, "v"), video_rivals.FHR: (ORANGE, "D")},
    **{video_rivals.STA: (VERMILION, "D"), video_rivals.COORDINATES: (SKY, "^")},
    **{video_rivals.BARE: (GREEN, "^"), video_rivals.GAN: (PURPLE, "^")},
    **{video_rivals.RED: (BLACK, "s"), video_rivals.ALONE: (SKY, "o")},
    video_rivals.OURS: (BLUE, "o"),
}
FRAME_BY_FRAME = (video_rivals.FHR, video_rivals.COORDINATES, video_rivals.ALONE)
FROM = (video_rivals.GAN, video_rivals.STA, video_rivals.RED, video_rivals.ALONE)
SHORT = {areas.CROP: "the crop", areas.EYES: "by the eyes", areas.ALIGNED: "aligned"}
SHORT[areas.IMAGE] = "the image"
UNIT = {areas.CROP: "px² of 256 px", areas.EYES: "(% of the eyes' distance)²"}
UNIT |= {areas.ALIGNED: "px² of 256 px", areas.IMAGE: "px² of the image"}


def _ends(middle, low, high):
    """Lengths of error bars down and up."""
    return np.maximum(np.nan_to_num([middle - low, high - middle]), 0)


def _title(axes, text):
    figure_of(axes).suptitle(text, x=0.01, horizontalalignment="left", fontsize=8.5)


def _marked(ax, names):
    """Facial areas as the ticks along x."""
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.grid(visible=False, axis="x")


# --- Fig. 4 ------------------------------------------------------------------------------------


def fig4_facial_areas(table, gained, axes=None):
    """The paper's Fig. 4: NRMSE of every system on each facial area, and who gains where.

    Args:
        table: `video_rivals.areas`.
        gained: `video_rivals.gains`.
    """
    axes = grid(1, 2, WIDTH * 1.4, 4.4) if axes is None else axes
    rows = table[table["subset"].eq(temporal.ALL) & table["percent"].notna()]
    systems = [name for name in SYSTEM if name in set(rows["system"])]
    for place, name in zip(_apart(systems), systems, strict=True):
        there = rows[rows["system"] == name].set_index("area").reindex(AREA)
        _system(axes[0, 0], there, place, name)
    _marked(axes[0, 0], list(AREA))
    axes[0, 0].set(ylabel="NRMSE (%), mean over frames", ylim=(0, None))
    axes[0, 0].set_title("S1, S2 and S3 together")
    _decreases(axes[0, 1], gained[gained["subset"] == temporal.ALL])
    shown = {}
    for ax in axes[0]:  # a system has one mark in both panels
        handles, labels = ax.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    where = dict(loc="outside lower center", ncols=3)
    figure_of(axes).legend(shown.values(), shown.keys(), **where)
    measured_on(axes, rows)
    return axes


def _apart(names, width=0.72):
    """Where things stand side by side within 1: their places, 0 in the middle."""
    return (np.arange(len(names)) - (len(names) - 1) / 2) * width / max(len(names), 1)


def _system(ax, rows, place, name):
    middle, low, high = (floats(rows[key]) for key in ("percent", "low", "high"))
    color, marker = SYSTEM[name]
    face = "white" if name in FRAME_BY_FRAME else color
    options = dict(fmt=marker, color=color, markerfacecolor=face, capsize=2, elinewidth=1)
    ends = _ends(middle, low, high)
    ax.errorbar(np.arange(len(rows)) + place, middle, yerr=ends, label=name, **options)


def _decreases(ax, gained):
    """Decreases of NRMSE to ours on each area, and the one that the paper prints."""
    names = [f"{name} to {video_rivals.OURS}" for name in FROM]
    rows = gained[gained["comparison"].isin(names)]
    printed = rows[rows["landmarks"].eq("contour") & rows["paper_percent"].notna()]
    measured = rows[rows["decrease_percent"].notna()]
    names = [name for name in names if name in set(measured["comparison"])]
    for place, name in zip(_apart(names, 0.6), names, strict=True):
        there = measured[measured["comparison"] == name].set_index("landmarks").reindex(AREA)
        middle, low, high = (floats(there[key]) for key in ("decrease_percent", "low", "high"))
        color, marker = SYSTEM[name.removesuffix(f" to {video_rivals.OURS}")]
        options = dict(fmt=marker, color=color, capsize=2, elinewidth=1)
        ends = _ends(middle, low, high)
        ax.errorbar(np.arange(len(AREA)) + place, middle, yerr=ends, **options)
    where = list(AREA).index("contour")
    label = "the paper's, from GAN to its own"
    ax.plot([where + 0.36], printed["paper_percent"].iloc[:1], "d", color=GREY, label=label)
    ax.axhline(0, color=BLACK, linewidth=0.8)
    _marked(ax, list(AREA))
    ax.set(ylabel="decrease of NRMSE (%)", title="from each system to ours")


# --- Fig. 5 ------------------------------------------------------------------------------------


def _of_data(rows):
    first = rows.iloc[0]
    which = "" if first["subset"] == areas.WHOLE else f", {first['subset']}"
    kind = "" if first["real"] == "yes" else " (no photographs)"
    return f"true landmarks of {first['faces']:,} faces: {first['data']}{which}{kind}"


def fig5_variances(table, axes=None):
    """The paper's Fig. 5: variance of x and y averaged within each area, a panel a reading.

    Args:
        table: `areas.variances`.
    """
    axes = grid(1, len(SHORT), WIDTH * 1.4, 3.6) if axes is None else axes
    rows = claims.claimed(table)
    names = list(dict.fromkeys(rows["area"]))
    for ax, (reading, title) in zip(axes[0], SHORT.items(), strict=True):
        for axis, (color, marker, shift) in AXIS.items():
            there = rows[rows["coordinates"].eq(reading) & rows["axis"].eq(axis)]
            there = there.set_index("area").reindex(names)
            middle, low, high = (floats(there[key]) for key in ("variance", "low", "high"))
            options = dict(fmt=marker, color=color, capsize=2, elinewidth=1, label=f"of {axis}")
            ends = _ends(middle, low, high)
            ax.errorbar(np.arange(len(names)) + shift, middle, yerr=ends, **options)
        _marked(ax, names)
        ax.tick_params(axis="x", rotation=60)
        ax.set(title=title, ylabel=f"variance, {UNIT[reading]}", ylim=(0, None))
    axes[0, 0].legend(loc="upper right")
    _title(axes, _of_data(rows))
    return axes


def mean_face(table, axes=None):
    """The mean face in each reading but the image's, an ellipse a landmark: one standard deviation.

    It is a mean of all faces and nobody's.

    Args:
        table: `areas.landmarks`; nothing is drawn where it is empty.
    """
    shown = [reading for reading in SHORT if reading != areas.IMAGE]
    axes = grid(1, len(shown), WIDTH * 1.3, 3.9) if axes is None else axes
    if table.empty:
        return axes
    rows = claims.claimed(table)
    for ax, reading in zip(axes[0], shown, strict=True):
        there = rows[rows["coordinates"] == reading].dropna(subset=["x", "y"])
        for area, part in there.groupby("area", sort=False):
            for row in part.to_dict("records"):
                spread = Ellipse((row["x"], row["y"]), 2 * row["sd_x"], 2 * row["sd_y"])
                spread.set(facecolor=AREA[area], edgecolor="none", alpha=0.28)
                ax.add_patch(spread)
            ax.plot(part["x"], part["y"], ".", color=AREA[area], markersize=4, label=area)
        unit = "% of the eyes' distance" if reading == areas.EYES else "px of 256 px"
        ax.set(title=SHORT[reading], aspect="equal", xlabel=f"x, {unit}", anchor="N")
        ax.set(ylabel="y, downwards" if ax is axes[0, 0] else "")
        ax.invert_yaxis()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure = figure_of(axes)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), markerscale=2)
    _title(axes, f"{_of_data(rows)}; ellipses: one standard deviation on each axis")
    return axes


# --- stabilisers -------------------------------------------------------------------------------


def stabilisation(table, axes=None):
    """NRMSE, jitter and delay of every system beside each other, a colour a subset of videos.

    Args:
        table: `video_rivals.motion`.
    """
    axes = grid(1, 3, WIDTH * 1.35, 4.2, sharey=True) if axes is None else axes
    rows = table[table["percent"].notna()]
    names = [name for name in SYSTEM if name in set(rows["system"])][::-1]
    subsets = list(dict.fromkeys(rows["subset"]))
    for color, place, subset in zip(SERIES, _apart(subsets, 0.5), subsets, strict=False):
        there = rows[rows["subset"] == subset].set_index("system").reindex(names)
        percent, low, high = (floats(there[key]) for key in ("percent", "low", "high"))
        options = dict(fmt="o", color=color, capsize=2, elinewidth=1, label=subset)
        at = np.arange(len(names)) + place
        axes[0, 0].errorbar(percent, at, xerr=_ends(percent, low, high), **options)
        axes[0, 1].plot(floats(there["jitter_percent"]), at, "o", color=color)
        true = floats(there["jitter_true_percent"])
        axes[0, 1].axvline(np.nanmean(true), color=color, linestyle=":", linewidth=1.2)
        axes[0, 2].plot(floats(there["delay_frames"]), at, "o", color=color)
    axes[0, 2].axvline(0, color=BLACK, linewidth=0.8)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set(xlabel="NRMSE (%), mean over frames", title="accuracy")
    axes[0, 1].set(xlabel="jitter (% of the eyes' distance)", title="dotted: the truth's jitter")
    axes[0, 2].set(xlabel="delay (frames)", title="0 is on time, 1 the frame before")
    for ax in axes[0, :2]:
        ax.set_xlim(left=0)
    if subsets:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure_of(axes).legend(handles, labels, loc="outside lower center", ncols=len(labels))
    measured_on(axes, rows)
    return axes
