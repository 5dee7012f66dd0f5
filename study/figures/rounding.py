"""Figures of what rounding costs: the paper's Fig. 1, and NRMSE over L; they read no file."""

import numpy as np
from matplotlib import ticker
from matplotlib.patches import Circle, Polygon, Rectangle

from study import heatmaps, paper
from study.figures import (
    BLACK,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    WIDTH,
    axes_of,
    floats,
    grid,
    main_subset,
    name_powers,
)


def fig1_quantization(size=32, length=8, axes=None):
    """The paper's Fig. 1: what a heatmap of low resolution leaves of a landmark (Eq. 3-5).

    An eye is drawn on a crop of `size` px; its inner corner is rounded to one of `length` bins.
    """
    axes = grid(1, 3, WIDTH, 2.75) if axes is None else axes
    point = np.array([0.803, 0.573]) * size
    for ax in axes[0]:
        _draw_eye(ax, size)
        ax.set(xlim=(0, size), ylim=(size, 0), aspect="equal", xticks=[], yticks=[])
        ax.grid(False)
    truth, coarse, fine = axes[0]
    truth.set_title(f"a landmark, F={size} px")
    truth.plot(*point, "o", color=GREEN, markersize=7, label="landmark")
    for ax, bins in ((coarse, length), (fine, 3 * size)):
        _rounded(ax, point, size, bins)
    handles, labels = coarse.get_legend_handles_labels()
    axes[0, 0].figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return axes


def _draw_eye(ax, size):
    """A schematic eye and brow in a square of `size`: nobody's."""
    across = np.linspace(0.14, 0.80, 60)
    middle, half = 0.47, 0.33
    bow = 1 - ((across - middle) / half) ** 2
    upper, lower = 0.57 - 0.20 * bow, 0.57 + 0.13 * bow
    ax.set_facecolor("#F3E3D3")
    ax.fill_between(across * size, upper * size, lower * size, color="white", zorder=1)
    iris = Circle((0.47 * size, 0.53 * size), 0.135 * size, color="#7A5A3A")
    pupil = Circle((0.47 * size, 0.53 * size), 0.06 * size, color="#2B1D12")
    lids = Polygon(
        np.column_stack([np.r_[across, across[::-1]], np.r_[upper, lower[::-1]]]) * size,
        facecolor="none",
    )
    ax.add_patch(lids)
    for patch in (iris, pupil):
        ax.add_patch(patch)
        patch.set_clip_path(lids)
        patch.set_zorder(2)
    for edge, width in ((upper, 2.4), (lower, 1.2)):
        ax.plot(across * size, edge * size, color="#5A4030", linewidth=width, zorder=3)
    brow = 0.24 - 0.09 * (1 - ((across - 0.5) / 0.42) ** 2)
    ax.plot(across * size, brow * size, color="#6B4A32", linewidth=7, alpha=0.8, zorder=1)


def _rounded(ax, point, size, bins):
    """A bin grid, the landmark, the start of its bin and the line between them."""
    import torch

    step = size / bins
    if bins <= size:
        for line in np.arange(0, size + step / 2, step):
            ax.axvline(line, color=GREY, linewidth=0.5, zorder=4)
            ax.axhline(line, color=GREY, linewidth=0.5, zorder=4)
    exact = torch.tensor(point, dtype=torch.float64)
    found = heatmaps.quantize(exact, size, bins)
    error = heatmaps.quantization_error(exact, size, bins).item()
    cell = Rectangle(found, step, step, color=ORANGE, alpha=0.45, zorder=4)
    ax.add_patch(cell)
    ax.plot(*zip(point, found, strict=True), color=VERMILION, zorder=5, label="quantization error")
    ax.plot(*point, "o", color=GREEN, markersize=7, zorder=6, label="landmark")
    ax.plot(*found, "s", color=VERMILION, markersize=5, zorder=6, label="what Eq. 4 gives back")
    ax.set_title(f"L={bins}, L/F={bins / size:g}: {error:.2f} px")


def quantization_floor(cost, subset=None, ax=None):
    """NRMSE that rounding alone causes over L, and the paper's 1D detector beside it.

    Args:
        cost: `quantized.quantization`.
        subset: whose faces; None takes the common test faces, or those that there are.
    """
    ax = axes_of(ax)
    subset = subset or main_subset(cost)
    rows = cost[cost["subset"] == subset]
    for rule, style in (("floor", "-"), ("centre", "--")):
        line = rows[rows["rule"] == rule].sort_values("length")
        label = {"floor": "rounded down (Eq. 3-4)", "centre": "to the nearest bin's centre"}[rule]
        places = floats(line["length"])
        ax.plot(places, line["nrmse_percent"], style, marker="o", color=BLACK, label=label)
        ax.fill_between(places, line["low"], line["high"], color=BLACK, alpha=0.12)
    published = paper.table1()
    published = published[published["method"].str.startswith("detector-1d")]
    published = published[published["subset"] == "300W com"]
    ax.plot(
        *(published["length"], published["nrmse_percent"]),
        **dict(marker="D", color=SKY, label="the paper's 1D detector, 300W com"),
    )
    name_powers(ax, sorted(rows["length"].unique()))
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    ax.set(xlabel="L, bins across the face crop", ylabel="NRMSE (%)")
    faces, data = rows["faces"].iloc[0], rows["data"].iloc[0]
    ax.set_title(f"{faces:,} {subset} faces, {data}")
    ax.legend()
    return ax
