"""Figures from tidy tables and tensors, their one style, and the one place that writes them.

Functions take `ax=None`, or `axes=None`, an array (rows, columns), and return it. They read no
file.
"""

import io
import textwrap

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from study import paths

# Okabe and Ito's palette: the colour-blind can tell it apart.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, BLACK, GREY = "#56B4E9", "#CC79A7", "#000000", "#8A8A8A"
YELLOW = "#F0E442"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY)
COLOR = {
    **{"detector1d": BLUE, "detector2d": VERMILION},
    **{"simcc": GREEN, "coordinates": PURPLE, "integral": ORANGE},
    **{"lab": SKY, "lab1d": BLACK, "lab_landmarks": GREY, "sdm": YELLOW},
}
LABEL = {
    **{"detector1d": "1D", "detector2d": "2D"},
    **{"simcc": "SimCC", "coordinates": "coordinates", "integral": "integral"},
    **{"lab": "LAB", "lab1d": "Ours+LAB", "lab_landmarks": "LAB, 1D landmarks", "sdm": "SDM"},
}
METHOD = {"detector1d": "detector-1d", "detector2d": "detector-2d"}
WIDTH = 7.2  # inches; the page shows figures at about 1.3 times this
DPI = 150

STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "study",  # the same figure gives the same bytes
    "svg.fonttype": "path",
}
matplotlib.rcParams.update(STYLE)


def axes_of(ax, width=WIDTH, height=3.4):
    """The Axes that were given, or those of a new figure."""
    return ax if ax is not None else grid(1, 1, width, height)[0, 0]


def grid(rows, columns, width, height, **options):
    """Axes (rows, columns) of a new figure; pyplot knows nothing of it and keeps nothing."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure.subplots(rows, columns, squeeze=False, **options)


def figure_of(drawn):
    """The figure of an Axes, an array of Axes or a figure."""
    if isinstance(drawn, np.ndarray):
        drawn = drawn.flat[0]
    return getattr(drawn, "figure", None) or drawn


def folder(profile, faces=False):
    """Where a profile's figures are; those that show faces stay out of reports."""
    root = paths.build(profile) if faces else paths.reports(profile)
    return root / "figures"


def save(drawn, name, profile, faces=False):
    """Writes a figure, the same bytes for the same figure: no date, no version.

    Args:
        drawn: a figure, an Axes or an array of Axes.
        name: of the files.
        profile: name of the profile.
        faces: whether it shows faces or their landmarks: then it is a .png in
            build/<profile>/figures, which is not kept in git; else .png and .svg in
            reports/<profile>/figures.

    Returns:
        the figure as a PNG that a notebook displays.
    """
    where, data = folder(profile, faces), png(drawn)
    where.mkdir(parents=True, exist_ok=True)
    (where / f"{name}.png").write_bytes(data)
    if not faces:
        with matplotlib.rc_context(STYLE):
            figure_of(drawn).savefig(where / f"{name}.svg", format="svg", metadata={"Date": None})
    return Picture(data)


def png(drawn, dpi=DPI):
    """A figure, an Axes or an array of Axes as the bytes of a PNG, the same for the same figure."""
    out = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure_of(drawn).savefig(out, format="png", dpi=dpi, metadata={"Software": None})
    return out.getvalue()


def show(drawn):
    """A figure that a notebook displays and no file keeps."""
    return Picture(png(drawn))


class Picture:
    """A PNG that a notebook displays as a cell's value."""

    def __init__(self, data):
        self.data = data

    def _repr_png_(self):
        return self.data


def main_subset(table):
    """The subset that a figure shows: common test faces, or those that there are."""
    there = set(table["subset"])
    return next(name for name in ("common", "challenging", "train") if name in there)


# Ticks of a logarithmic axis, those first that are drawn before others that would overlap them.
TICKS = (0.25, 0.5, 1, 3, 2, 12, 6, 1.5, 16, 32, 64, 768, 192, 128, 384, 256, 96, 8, 512)


def name_powers(ax, values):
    """A logarithmic x axis that names those of the values that do not overlap."""
    ax.set_xscale("log", base=2)
    shown = []
    for tick in TICKS:
        if tick in values and all(max(tick / o, o / tick) >= 1.34 for o in shown):
            shown.append(tick)
    ax.xaxis.set_major_locator(ticker.FixedLocator(shown))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(plain))
    ax.xaxis.set_minor_locator(ticker.NullLocator())


def plain(value, _):
    """A tick's number in as few digits as it has; matplotlib gives the place as well."""
    return f"{value:g}"


def floats(column):
    """Counts that may be missing, as matplotlib takes them."""
    return column.to_numpy(dtype=float)


def measured_on(axes, rows):
    """What all that a figure shows was measured on, above it: data, faces or videos, seeds.

    Args:
        axes: of the figure, one or an array.
        rows: of a table with the columns data, seeds and videos or faces, those that are measured;
            none is nothing recorded.
    """
    parts = []
    kinds = {"videos": "videos"} if "videos" in rows else {"faces": "test faces"}
    for name, form in (kinds | {"seeds": "seeds: "}).items():
        counts = rows[name].dropna() if name in rows else ()
        if len(counts):
            span = " to ".join(f"{n:,}" for n in sorted({counts.min(), counts.max()}))
            parts.append(f"{form}{span}" if name == "seeds" else f"{span} {form}")
    known = [*dict.fromkeys(rows["data"]), ", ".join(parts)]
    text = "; ".join(filter(None, known)) if len(rows) else "nothing recorded yet"
    look = dict(fontsize=8.5, color="#5B5B5B", x=0.01, ha="left")
    figure_of(axes).suptitle("\n".join(textwrap.wrap(text, 105)), **look)


def contact_sheet(images, points, predicted=None, titles=None, columns=6, axes=None):
    """Faces with their landmarks.

    Args:
        images: (B, 3, S, S), uint8 or floats in [0, 1].
        points: (B, N, 2) px of the image.
        predicted: the same, drawn beside them; None draws none.
        titles: B short texts, or None.
    """
    rows = -(-len(images) // columns)
    height = (1.52 + 0.17 * (titles is not None)) * rows + 0.3 * (predicted is not None)
    axes = grid(rows, columns, 1.55 * columns, height) if axes is None else axes
    axes[0, 0].figure.get_layout_engine().set(h_pad=0.02, w_pad=0.02, hspace=0, wspace=0)
    for number, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if number >= len(images):
            continue
        picture = np.moveaxis(np.asarray(images[number], dtype=float), 0, -1)
        scale = 255 if np.asarray(images).dtype == np.uint8 else 1
        side = picture.shape[0]
        ax.imshow(np.clip(picture / scale, 0, 1), interpolation="bicubic")
        ax.plot(*np.asarray(points[number]).T, ".", color="#00FF9C", markersize=2.2, label="truth")
        if predicted is not None:
            found = np.asarray(predicted[number]).T
            ax.plot(*found, ".", color="#FF4FD8", markersize=2.2, label="predicted")
        ax.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
        if titles is not None:
            ax.set_title(titles[number], fontsize=7, pad=2)
    if predicted is not None:
        handles, labels = axes.flat[0].get_legend_handles_labels()
        axes.flat[0].figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return axes
