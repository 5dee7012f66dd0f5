"""Figures of where the detector errs: on the mean of all faces, which is nobody's; no file read."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, Ellipse

from study.figures import BLACK, GREY, WIDTH, figure_of, floats, grid, measured_on
from study.figures.areas import AREA
from study.tables import failures

# The strokes of a 68-point face, each a run of landmarks; eyes and lips are closed.
STROKES = [range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)]
STROKES += [[*range(36, 42), 36], [*range(42, 48), 42], [*range(48, 60), 48], [*range(60, 68), 60]]
NO_FACE = "no mean face here: the true landmarks have not been measured"
EMPTY = "nothing recorded yet"


def _strokes(ax, shape):
    """A mean face (N, 2) as thin lines; nothing where it has not 68 landmarks."""
    if len(shape) == 68:
        for stroke in STROKES:
            ax.plot(*shape[list(stroke)].T, color="#B9B9B9", linewidth=0.9, zorder=1)
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _frame(ax, shape, margin):
    low, high = shape.min(axis=0) - margin, shape.max(axis=0) + margin
    ax.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))


def _lacks(axes, shape):
    """Whether there is no face to draw on, and then says so."""
    lacking = len(shape) == 0 or np.isnan(shape).any()
    if lacking:
        for ax in axes.flat:
            ax.set_axis_off()
        axes.flat[0].set_title(NO_FACE if len(shape) else EMPTY)
    return lacking


def prediction_errors(places, by_area, axes=None):
    """Errors of each landmark on the mean face, and of each area with its interval.

    Args:
        places: `failures.landmarks`.
        by_area: `failures.by_area`.
    """
    if axes is None:
        axes = grid(1, 2, WIDTH * 1.2, 4.3, gridspec_kw={"width_ratios": [1.15, 1]})
    shape = places[["x", "y"]].to_numpy(dtype=float)
    if _lacks(axes, shape):
        return axes
    _strokes(axes[0, 0], shape)
    for row in places.to_dict("records"):
        middle = (row["x"] + row["bias_x"], row["y"] + row["bias_y"])
        color = AREA.get(row["area"], GREY)
        spread = Ellipse(middle, 2 * row["sd_x"], 2 * row["sd_y"], zorder=2)
        spread.set(facecolor=color, edgecolor="none", alpha=0.35)
        axes[0, 0].add_patch(spread)
        axes[0, 0].plot(*middle, ".", color=color, markersize=3, zorder=3)
    _frame(axes[0, 0], shape, 14)
    axes[0, 0].set_title("ellipses: one standard deviation")
    _of_areas(axes[0, 1], by_area)
    measured_on(axes, by_area)
    return axes


def _of_areas(ax, by_area):
    """NRMSE by area, the worst first: of all test faces, and of the worst tenth."""
    rows = by_area[by_area["area"] != failures.FACE].sort_values("percent", ascending=False)
    at = np.arange(len(rows))
    middle, low, high = (floats(rows[name]) for name in ("percent", "low", "high"))
    colors = [AREA.get(area, GREY) for area in rows["area"]]
    for place, x, left, right, color in zip(at, middle, low, high, colors, strict=True):
        ends = np.maximum([[x - left], [right - x]], 0)
        ax.errorbar(x, place, xerr=ends, fmt="o", color=color, capsize=2.5)
        ax.plot(rows["worst_tenth_percent"].iloc[place], place, "D", color=color, mfc="white")
    ax.plot([], [], "o", color=BLACK, label="all test faces")
    ax.plot([], [], "D", color=BLACK, markerfacecolor="white", label="the worst tenth")
    ax.set_yticks(at, rows["area"])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.set(xlabel="NRMSE (%) of the area's landmarks")
    ax.legend(loc="lower right")


def failures_on_the_mean(missed, shape, columns=4, axes=None):
    """The worst faces as circles on the mean face, as wide as each landmark is missed by.

    Args:
        missed: `failures.worst`.
        shape: (N, 2) `failures.mean_face`; NaN where there is none.
    """
    groups = list(missed.groupby("place", sort=True))
    rows = max(-(-len(groups) // columns), 1)
    axes = grid(rows, columns, WIDTH * 1.3, 2.3 * rows + 0.5) if axes is None else axes
    if _lacks(axes, shape if groups else shape[:0]):
        return axes
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    for ax, (_, face) in zip(axes.flat, groups, strict=False):
        _circles(ax, face, shape)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure_of(axes).legend(handles, labels, loc="outside lower center", ncols=len(labels))
    measured_on(axes, missed.drop_duplicates("place"))
    return axes


def _circles(ax, face, shape):
    """One face: a circle around the mean place of each landmark, its radius what it errs by."""
    _strokes(ax, shape)
    for area, rows in face.groupby("area", sort=False):
        color = AREA.get(area, GREY)
        for place, error in zip(rows["landmark"].astype(int), floats(rows["percent"]), strict=True):
            fill = (*to_rgb(color), 0.3 * min(1, 20 / max(error, 1)))  # large ones hide nothing
            circle = Circle(shape[place], error, facecolor=fill, edgecolor=(*to_rgb(color), 0.5))
            ax.add_patch(circle).set(linewidth=0.6, zorder=2)
        ax.plot([], [], "o", color=color, alpha=0.6, label=area)
    _frame(ax, shape, 40)
    row = face.iloc[0]
    ax.set_title(f"{row['id'].split('/')[-1]}: {row['nrmse_percent']:.1f} %", fontsize=8.5)
