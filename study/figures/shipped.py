"""Figures of the shipped detector; they read no file."""

import numpy as np

from study.figures import BLUE, GREEN, GREY, ORANGE, WIDTH, floats, grid, measured_on

BOX = {"annotated": (BLUE, "o"), "official": (GREEN, "s"), "found": (ORANGE, "D")}
SAYS = {
    "annotated": "annotated boxes",
    "official": "publisher's detector",
    "found": "built-in detector",
}


def reliability(table, ax=None):
    """How often landmarks of a confidence are close: on the diagonal, it means what it says.

    Args:
        table: `shipped_tables.reliability`.
    """
    ax = grid(1, 1, WIDTH * 0.8, 4.2)[0, 0] if ax is None else ax
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="as it says")
    for kind, rows in table.groupby("boxes", sort=False):
        color, marker = BOX[kind]
        share = floats(rows["share"])
        ends = np.maximum([share - floats(rows["low"]), floats(rows["high"]) - share], 0)
        look = dict(color=color, marker=marker, capsize=2, label=SAYS[kind])
        ax.errorbar(floats(rows["confidence"]), share, ends, **look)
    within = table["within"].iloc[0]
    ax.set_xlabel("confidence, mean of a tenth of the landmarks")
    ax.set_ylabel(f"share within {within:.0%} of the eyes' distance")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.legend(loc="upper left")
    ax.figure.suptitle(table["data"].iloc[0], x=0.01, ha="left", fontsize=8.5, color="#5B5B5B")
    return ax


def errors(areas, turns, subset, axes=None):
    """NRMSE of each facial area and by how far heads turn, for each kind of box.

    Args:
        areas: `shipped_tables.by_area`.
        turns: `shipped_tables.by_turn`.
        subset: of both, e.g. "300W com".
    """
    axes = grid(1, 2, WIDTH * 1.25, 3.6, sharey=True) if axes is None else axes
    for ax, table, column in zip(axes.flat, (areas, turns), ("area", "turn"), strict=True):
        here = table[table["subset"] == subset]
        names = list(dict.fromkeys(here[column]))
        _by_name(ax, here, column, names)
        ax.set_xticks(range(len(names)), _ticks(here, column, names), fontsize=8.5)
        ax.grid(visible=False, axis="x")
    axes.flat[0].set(ylabel="NRMSE (%)", title="by facial area")
    axes.flat[1].set_title("by how far the head turns")
    axes.flat[0].set_ylim(bottom=0)
    axes.flat[0].legend(loc="upper right")
    measured_on(axes, areas[areas["subset"] == subset])
    return axes


def _by_name(ax, table, column, names):
    kinds = list(dict.fromkeys(table["boxes"]))
    for place, kind in enumerate(kinds):
        rows = table[table["boxes"] == kind].set_index(column).loc[names]
        color, marker = BOX[kind]
        at = np.arange(len(names)) + 0.16 * (place - (len(kinds) - 1) / 2)
        middle = floats(rows["percent"])
        ends = np.maximum([middle - floats(rows["low"]), floats(rows["high"]) - middle], 0)
        look = dict(color=color, fmt=marker, capsize=2, label=SAYS[kind])
        ax.errorbar(at, middle, np.nan_to_num(ends), **look)


def _ticks(table, column, names):
    """Names with a break, and of turns how many faces there are."""
    if column == "area":
        return names
    faces = table.groupby(column)["faces"].max()
    return [f"{name.replace(' about', '').replace('more than', '>')}\n{faces[name]} faces"
            for name in names]
