"""Figures of one detector: its training, affinities and heatmaps; they read no file."""

import itertools

import numpy as np
import seaborn
from matplotlib import ticker

from study import heatmaps
from study.figures import SERIES, WIDTH, grid, plain


def detector_history(history, axes=None):
    """Loss and validation NRMSE of each epoch, one line a seed.

    Args:
        history: `trainings.histories`.
    """
    axes = grid(1, 2, WIDTH, 2.9) if axes is None else axes
    palette = dict(zip(history["run"].unique(), itertools.cycle(SERIES), strict=False))
    for ax, column in zip(axes[0], ("loss", "validation_percent"), strict=True):
        seaborn.lineplot(history, x="epoch", y=column, hue="run", palette=palette, ax=ax)
        ax.set_ylabel("")
        ax.get_legend().remove()
    axes[0, 0].set(xlabel="epoch", title="training loss (Eq. 11), mean over the epoch")
    axes[0, 1].set(xlabel="epoch", title="NRMSE (%) on held-out training faces")
    for ax in axes[0]:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 4, 5, 6, 7, 8)))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
        ax.yaxis.set_major_formatter(ticker.FuncFormatter(plain))
    axes[0, 1].legend()
    return axes


def affinity(table, axes=None):
    """Affinity matrices of co-attention: the mean over faces and channels, and one face's.

    Args:
        table: `trainings.affinity`.
    """
    axes = grid(2, 2, WIDTH * 0.86, 5.8) if axes is None else axes
    for ax, ((name, what), cells) in zip(
        axes.T.flat, table.groupby(["matrix", "shown"], sort=False), strict=True
    ):
        matrix = cells.pivot(index="row", columns="column", values="weight").to_numpy()
        relative = matrix * matrix.shape[1]  # 1 where a row spreads evenly
        scale = dict(vmin=0, vmax=max(2, relative.max()))
        image = ax.imshow(relative, cmap="viridis", interpolation="nearest", **scale)
        ax.set(xlabel=f"position along {name[0]}", ylabel=f"position along {name[1]}")
        ax.set_title(f"$W^{{{name}}}$, {what}")
        ax.grid(False)
        axes[0, 0].figure.colorbar(image, ax=ax, shrink=0.85, label="weight, 1 = even")
    return axes


def marginal_heatmaps(h_x, h_y, points, size, landmarks, names, axes=None):
    """Predicted heatmaps of some landmarks of one face along x and y, with the true places.

    Args:
        h_x, h_y: (N, L).
        points: (N, 2) true landmarks, px of the crop.
        size: F, px.
        landmarks: which to show.
        names: N names.
    """
    axes = grid(2, 1, WIDTH, 4.4, sharex=True) if axes is None else axes
    length = h_x.shape[-1]
    places = heatmaps.to_pixels(np.arange(length), size, length)  # px
    for ax, h, axis in zip(axes[:, 0], (h_x, h_y), (0, 1), strict=True):
        for color, n in zip(SERIES, landmarks, strict=False):
            ax.plot(places, h[n].numpy(), color=color, label=names[n])
            ax.axvline(float(points[n, axis]), color=color, linestyle=":", linewidth=1)
        ax.set(ylabel=f"$h^{'xy'[axis]}$", xlim=(-0.5, size - 0.5))
    axes[0, 0].set_title(f"L={length}; dotted: the true place")
    axes[0, 0].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    axes[1, 0].set_xlabel("px of the crop")
    return axes
