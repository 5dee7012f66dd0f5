"""Figures that sliders change: one face or one rule at one setting, from tensors and numbers."""

import numpy as np
import torch
from matplotlib.patches import Rectangle

from study import figures, heatmaps
from study.models import tracker
from study.tables import quantized

TRUE, FOUND = figures.GREEN, figures.VERMILION
AROUND = 0.15  # half a window's side, in sides of the crop
RULE = {"floor": "rounded down (Eq. 3, 4)", "centre": "to the nearest bin's centre"}


# --- rounding ----------------------------------------------------------------------------------


def rounding(image, point, size, length, rule="floor", axes=None):
    """A landmark, the bins around it, and what rounding to one of them leaves of it.

    Args:
        image: (3, F, F) floats in [0, 1].
        point: (2,) px of the crop.
        size, length: F in px and L in bins.
        rule: "floor" or "centre", as in `quantized.rounded`.

    Returns:
        axes (1, 2): the whole face, and the window around the landmark.
    """
    axes = figures.grid(1, 2, figures.WIDTH, 3.9) if axes is None else axes
    whole, window = axes[0]
    low = np.clip(np.asarray(point) - AROUND * size, -0.5, size * (1 - 2 * AROUND) - 0.5)
    side = 2 * AROUND * size
    for ax in (whole, window):
        _face(ax, image)
        ax.plot(*point, "o", color=TRUE, markersize=5, label="landmark", zorder=6)
    whole.add_patch(Rectangle(low, side, side, fill=False, edgecolor=TRUE))
    whole.set_title(f"a face of {size} px")
    _bins(window, point, size, length, rule)
    window.set(xlim=(low[0], low[0] + side), ylim=(low[1] + side, low[1]))
    handles, labels = window.get_legend_handles_labels()
    figures.figure_of(axes).legend(handles, labels, loc="outside lower center", ncols=3)
    return axes


def _bins(ax, point, size, length, rule):
    """The grid of bins, the bin that a point falls into, and the line to what is left of it."""
    step = size / length  # px
    found = quantized.rounded(torch.as_tensor(point), size, length, rule)
    first = 0 if rule == "floor" else -0.5  # px where bin 0 begins, as the rule has it
    start = found if rule == "floor" else found - step / 2
    for line in first + step * np.arange(length + 1):
        ax.axvline(line, color="white", linewidth=0.5, alpha=0.7)
        ax.axhline(line, color="white", linewidth=0.5, alpha=0.7)
    ax.add_patch(Rectangle(start, step, step, color=figures.ORANGE, alpha=0.4))
    error = (torch.as_tensor(point) - found).norm().item()
    ax.plot(*zip(point, found, strict=True), color=FOUND, label="quantization error")
    ax.plot(*found, "s", color=FOUND, markersize=5, label="what rounding leaves", zorder=6)
    ax.set_title(f"L={length}, a bin of {step:.2f} px: {error:.2f} px off\n{RULE[rule]}")


def target(point, size, length, sigma, axes=None):
    """The target heatmaps of one landmark, bin by bin (Eq. 12), and what argmax reads (Eq. 7).

    Args:
        point: (2,) px of the crop.
        size, length: F in px and L in bins.
        sigma: standard deviation, in bins.

    Returns:
        axes (2, 1): along x and along y.
    """
    axes = figures.grid(2, 1, figures.WIDTH, 3.9, sharex=True) if axes is None else axes
    point = torch.as_tensor(point, dtype=torch.float64)
    pair = heatmaps.marginal_targets(point[None], size, length, sigma)
    found = heatmaps.decode_marginals(*pair, size)[0]
    edges = heatmaps.to_pixels(np.arange(length + 1) - 0.5, size, length)  # px
    for axis, (ax, h) in enumerate(zip(axes[:, 0], pair, strict=True)):
        ax.stairs(h[0].numpy(), edges, fill=True, color=figures.SKY, edgecolor=figures.BLUE)
        ax.axvline(point[axis], color=TRUE, label="landmark")
        ax.axvline(found[axis], color=FOUND, linestyle="--", label="argmax")
        ax.set(ylabel=f"$h^{'xy'[axis]}$", xlim=(-0.5, size - 0.5), ylim=(0, 1.05))
    error = (found - point).norm().item()
    axes[0, 0].set_title(
        f"L={length}, σ={sigma:g} bins or {sigma * size / length:.2f} px: argmax errs by "
        f"{error:.2f} px"
    )
    axes[0, 0].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    axes[1, 0].set_xlabel("px of the crop")
    return axes


# --- a face between its heatmaps ---------------------------------------------------------------


def framed(faces=1):
    """Axes (2, 2 * faces) of a new figure: over each face one along x, beside it one along y."""
    ratios = dict(width_ratios=[3.2, 1] * faces, height_ratios=[1, 3.2])
    return figures.grid(2, 2 * faces, 4.5 * faces, 4.6, gridspec_kw=ratios)


def marginals(image, pair, point, found, fainter=None, axes=None):
    """A face between the two heatmaps of one of its landmarks, and what is read from them.

    Args:
        image: (3, F, F) floats in [0, 1].
        pair: h_x and h_y, each (L,).
        point: (2,) the true place, px of the crop.
        found: (2,) what was read, px of the crop.
        fainter: the pair of γ = 0, drawn behind; None draws none.

    Returns:
        axes (2, 2): h_x over the face, and h_y beside it.
    """
    axes = framed() if axes is None else axes
    size, length = image.shape[-1], len(pair[0])
    places = heatmaps.to_pixels(np.arange(length), size, length)  # px
    _frame(axes, image)
    for shown, look in ((fainter, dict(color=figures.GREY, alpha=0.7)), (pair, {})):
        if shown is not None:
            axes[0, 0].plot(places, shown[0], **{"color": figures.BLUE, **look})
            axes[1, 1].plot(shown[1], places, **{"color": figures.BLUE, **look})
    for place, color, style in ((point, TRUE, "-"), (found, FOUND, "--")):
        axes[0, 0].axvline(place[0], color=color, linestyle=style, linewidth=1)
        axes[1, 1].axhline(place[1], color=color, linestyle=style, linewidth=1)
    axes[1, 0].plot(*point, "o", color=TRUE, markersize=5, label="landmark")
    axes[1, 0].plot(*found, "x", color=FOUND, markersize=6, label="what is read")
    error = (torch.as_tensor(found) - torch.as_tensor(point)).norm().item()
    beside = "" if fainter is None else "; grey: γ=0"
    axes[0, 0].set_title(f"$h^x$ and $h^y$, L={length}: {error:.2f} px off{beside}")
    shown = axes[1, 0].get_legend_handles_labels()
    axes[0, 1].legend(*shown, loc="center", fontsize="small", handlelength=1, borderpad=0)
    return axes


def attended(image, point, w_xy, w_yx, axes=None):
    """What the two positions of one landmark take up of the other axis: rows of the affinities.

    Args:
        image: (3, F, F) floats in [0, 1].
        point: (2,) the landmark, px of the crop.
        w_xy: (positions, positions), rows along y (Eq. 9); w_yx the same, rows along x.

    Returns:
        axes (2, 2): over the face the row of W^xy at the landmark's y, whose weights lie along x;
        beside it the row of W^yx at its x.
    """
    axes = framed() if axes is None else axes
    size, positions = image.shape[-1], w_xy.shape[-1]
    _frame(axes, image)
    column, row = (int(n) for n in at_position(point, size, positions))
    places = heatmaps.to_pixels(np.arange(positions), size, positions)  # px
    step = size / positions
    look = dict(color=figures.PURPLE, edgecolor="white", linewidth=0.3)
    axes[0, 0].bar(places, positions * np.asarray(w_xy[row]), step, **look)
    axes[1, 1].barh(places, positions * np.asarray(w_yx[column]), step, **look)
    axes[0, 0].axhline(1, color=figures.BLACK, linewidth=0.8, linestyle=":")
    axes[1, 1].axvline(1, color=figures.BLACK, linewidth=0.8, linestyle=":")
    axes[1, 0].axvspan(*_span(column, step), color=figures.PURPLE, alpha=0.3)
    axes[1, 0].axhspan(*_span(row, step), color=figures.PURPLE, alpha=0.3)
    axes[1, 0].plot(*point, "o", color=TRUE, markersize=5)
    axes[0, 0].set_title("$W^{xy}$ of its row, $W^{yx}$ of its column; 1 = even")
    return axes


def at_position(point, size, positions):
    """The position along x and along y that a landmark lies in: (2,) px -> (2,) integers."""
    place = heatmaps.to_bins(torch.as_tensor(point), size, positions)
    return place.round().long().clamp(0, positions - 1)


def _span(number, step):
    return step * number - 0.5, step * (number + 1) - 0.5


def _frame(axes, image):
    """The face, and axes that end where it does."""
    size = image.shape[-1]
    _face(axes[1, 0], image)
    axes[0, 0].set(xlim=(-0.5, size - 0.5), xticklabels=[])
    axes[1, 1].set(ylim=(size - 0.5, -0.5), yticklabels=[])
    axes[0, 1].set_axis_off()


def _face(ax, image):
    """An image (3, F, F) of floats, px by px."""
    size = image.shape[-1]
    ax.imshow(np.clip(np.moveaxis(np.asarray(image), 0, -1), 0, 1), aspect="auto")
    ax.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), xticks=[], yticks=[])
    ax.set_box_aspect(1)
    ax.grid(False)


# --- the past ----------------------------------------------------------------------------------


def past(lam, speed=2.0, frames=12, length=64, sigma=3.0, axes=None):
    """How long a frame is felt (Eq. 13), and what the sum makes of a heatmap that moves.

    Args:
        lam: λ.
        speed: of the landmark, in bins a frame.
        frames: T, how many are shown and summed.
        length: L. sigma: standard deviation of the moving heatmap, in bins.

    Returns:
        axes (1, 2): the share of one frame in each V that follows; the last U and the last V.
    """
    axes = figures.grid(1, 2, figures.WIDTH, 3.1) if axes is None else axes
    felt, moving = axes[0]
    weights = tracker.accumulate(torch.eye(frames, dtype=torch.float64)[:1], lam)[0]
    felt.stem(np.arange(frames), weights, basefmt=" ")
    felt.set(xlabel="frames later", ylabel="what one frame is still worth", ylim=(0, 1.05))
    felt.set_title(f"λ={lam:g}: in sum {weights.sum():.2f} frames of {frames}")
    u = moved(speed, frames, length, sigma)
    v = tracker.accumulate(u[None], lam)[0, -1]
    moving.plot(u[-1] / u[-1].max(), color=figures.GREY, label="$U_t$, this frame")
    moving.plot(v / v.max(), color=figures.BLUE, label="$V_t$, with the past")
    behind = u[-1].argmax().item() - v.argmax().item()
    moving.set(xlabel="bins; the landmark moves to the right", yticks=[], ylim=(0, 1.25))
    moving.set_title(f"{speed:g} bins a frame: the peak lags by {behind} bins")
    moving.legend(loc="upper left", ncols=2)
    return axes


def moved(speed, frames, length, sigma):
    """U_t of a landmark that moves to the right and ends at 3/4 of the axis: (T, L), peak 1."""
    bins = 0.75 * (length - 1) - speed * torch.arange(frames - 1, -1, -1, dtype=torch.float64)
    points = torch.stack([bins, bins], dim=-1)[:, None]  # (T, 1, 2), with a bin a px
    return heatmaps.marginal_targets(points, length, length, sigma)[0][:, 0]
