"""Figures from tidy tables and tensors, their one style, and the one place that writes them.

Functions take `ax=None`, or `axes=None`, an array (rows, columns), and return it. They read no
file.
"""

import contextlib
import io
import itertools
import textwrap

import matplotlib
import numpy as np
import seaborn
from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle
from PIL import Image

from study import heatmaps, paper, paths

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


def _axes(ax, width=WIDTH, height=3.4):
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


# --- Section 3 ---------------------------------------------------------------------------------


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
        cost: `tables.quantization`.
        subset: whose faces; None takes the common test faces, or those that there are.
    """
    ax = _axes(ax)
    subset = subset or _main_subset(cost)
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


def _main_subset(table):
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
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(_plain))
    ax.xaxis.set_minor_locator(ticker.NullLocator())


def _plain(value, _):
    return f"{value:g}"


# --- Table 1 -----------------------------------------------------------------------------------


def resolution(decoders, cost=None, subset="common", axes=None):
    """NRMSE over L/F and over L, ours with 95 % intervals and the paper's.

    Args:
        decoders: `tables.decoders`.
        cost: `tables.quantization`, drawn below as what rounding alone costs; None draws none.
        subset: of the test faces.
    """
    axes = grid(1, 2, WIDTH * 1.25, 4.2, sharey=True) if axes is None else axes
    rows = decoders[(decoders["subset"] == subset) & decoders["percent"].notna()]
    named = {"common": "300W com", "challenging": "300W cha", "full": "300W full"}[subset]
    for ax, column in zip(axes[0], ("length_over_input", "length"), strict=True):
        for model in METHOD:
            _measured(ax, rows[rows["model"] == model], column, model)
            _published(ax, column, model, named)
        if cost is not None and not rows.empty:
            _rounding(ax, cost, rows, column, subset)
        name_powers(ax, sorted({*rows[column], *paper.table1()[column]}))
        ax.set_ylim(bottom=0)
    axes[0, 0].set(xlabel="L/F, bins a pixel of the input", ylabel="NRMSE (%)")
    axes[0, 1].set(xlabel="L, bins across the face crop")
    _resolution_titles(axes, rows, subset)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return axes


def _measured(ax, rows, column, model):
    """Argmax, and the sub-pixel decoder that is best on validation at most of the lengths."""
    plain = rows[rows["decoder"] == "argmax"].sort_values(column)
    if plain.empty:
        return
    _line(ax, plain, column, "-o", COLOR[model], f"{LABEL[model]}, argmax")
    best = rows.sort_values("validation_percent").groupby("name", sort=False).first()
    best = best[best["decoder"] != "argmax"].sort_values(column)
    if not best.empty:
        used = ", ".join(sorted(set(best["decoder"])))
        label = f"{LABEL[model]}, best on validation ({used})"
        _line(ax, best, column, "--s", COLOR[model], label, filled=False)


def _line(ax, rows, column, style, color, label, filled=True):
    middle, low, high = (floats(rows[name]) for name in ("percent", "low", "high"))
    face = color if filled else "white"
    options = dict(fmt=style, color=color, markerfacecolor=face, capsize=2.5, label=label)
    ax.errorbar(
        *(floats(rows[column]), middle),
        yerr=[middle - low, high - middle],
        elinewidth=1,
        **options,
    )


def floats(column):
    """Counts that may be missing, as matplotlib takes them."""
    return column.to_numpy(dtype=float)


def _published(ax, column, model, named):
    table = paper.table1()
    rows = table[(table["method"] == METHOD[model]) & (table["subset"] == named)].dropna(
        subset=["nrmse_percent"]
    )
    options = dict(color=COLOR[model], alpha=0.38, marker="D", markersize=4, linewidth=1.3)
    label = f"the paper's {LABEL[model]}, F={paper.SIZE}"
    ax.plot(rows[column], rows["nrmse_percent"], ":", label=label, **options)


def _rounding(ax, cost, rows, column, subset):
    """What rounding to the nearest bin costs at the lengths that were measured."""
    there = subset if subset in set(cost["subset"]) else _main_subset(cost)
    floor = cost[(cost["subset"] == there) & (cost["rule"] == "centre")]
    floor = floor[floor["length"].isin(rows["length"])].sort_values("length")
    places = floats(floor[column])
    ax.fill_between(places, 0, floor["nrmse_percent"], color=GREY, alpha=0.25, linewidth=0)
    label = "rounding alone, nearest bin"
    ax.plot(places, floor["nrmse_percent"], color=GREY, linewidth=1, label=label)


def _resolution_titles(axes, rows, subset):
    if rows.empty:
        axes[0, 0].set_title(f"{subset}: nothing recorded yet")
        return
    row = rows.iloc[0]
    seeds = " to ".join(str(n) for n in sorted({rows["seeds"].min(), rows["seeds"].max()}))
    axes[0, 0].set_title(f"{row['subset']}: {row['faces']} faces, seeds a point: {seeds}")
    axes[0, 1].set_title(row["data"], fontsize=8.5)


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


def cumulative_errors(table, subset="common", ax=None):
    """Cumulative error distributions by argmax.

    Args:
        table: `tables.cumulative`.
        subset: of the test faces.
    """
    ax = _axes(ax)
    rows = table[table["subset"] == subset]
    for model, style in (("detector1d", "-"), ("detector2d", "--")):
        lines = rows[rows["model"] == model]
        names = list(dict.fromkeys(lines.sort_values("length_over_input", kind="stable")["name"]))
        for place, name in enumerate(names):
            line = lines[lines["name"] == name]
            shade = 0.3 + 0.7 * (place + 1) / len(names)
            label = f"{LABEL[model]}, L/F={line['length_over_input'].iloc[0]:g}"
            options = dict(color=COLOR[model], alpha=shade, linestyle=style, label=label)
            ax.plot(line["threshold_percent"], 100 * line["share"], **options)
    ax.set(xlabel="NRMSE (%)", ylabel="faces at or below it (%)", ylim=(0, 101))
    ax.set_xlim(left=0)
    ax.set_title(f"{subset} test faces, argmax; darker is higher L/F")
    if not rows.empty:
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    measured_on(ax, rows)
    return ax


# --- one detector ------------------------------------------------------------------------------


def detector_history(history, axes=None):
    """Loss and validation NRMSE of each epoch, one line a seed.

    Args:
        history: `tables.histories`.
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
        ax.yaxis.set_major_formatter(ticker.FuncFormatter(_plain))
    axes[0, 1].legend()
    return axes


def affinity(table, axes=None):
    """Affinity matrices of co-attention: the mean over faces and channels, and one face's.

    Args:
        table: `tables.affinity`.
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


def shrink(png, width):
    """A PNG as a JPEG no wider than `width` px, for the page: bytes."""
    with contextlib.closing(Image.open(io.BytesIO(png))) as picture:
        picture = picture.convert("RGB")
        if picture.width > width:
            height = round(picture.height * width / picture.width)
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=85)
    return out.getvalue()


# --- Section 5.3 -------------------------------------------------------------------------------


def coattention(curve, published, axes=None):
    """The paper's Fig. 3: what co-attention is worth, over its weight and on every data set.

    Args:
        curve: `attention.curve`.
        published: `attention.published`.
    """
    if axes is None:
        axes = grid(1, 2, WIDTH * 1.15, 3.5, gridspec_kw={"width_ratios": [1.35, 1]})
    over, by_set = axes[0]
    names = list(published["subset"])
    colors = dict(zip(names, SERIES, strict=True))
    measured = curve[curve["percent"].notna()]
    for subset, rows in measured.groupby("subset", sort=False):
        _over_gamma(over, rows, subset, colors[subset])
    over.axhline(0, color=BLACK, linewidth=0.8)
    over.set(xlabel="weight of co-attention γ", ylabel="decrease of NRMSE from γ=0 (%)")
    over.set_title("ours, each γ trained")
    if not measured.empty:
        over.legend(loc="best")
    places = np.arange(len(names))
    by_set.plot(published["decrease_percent"], places, "D", color=GREY, label="the paper, γ=0.4")
    _at_gamma(by_set, measured, names, 0.4)
    by_set.axvline(0, color=BLACK, linewidth=0.8)
    by_set.set_yticks(places, names)
    by_set.set_ylim(len(names) - 0.4, -0.6)
    by_set.set(xlabel="decrease of NRMSE from γ=0 (%)", title="γ from 0 to 0.4")
    by_set.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=2)
    measured_on(axes, measured)
    return axes


def _over_gamma(ax, rows, subset, color):
    """One subset's decreases over γ, 0 at γ=0, with their intervals."""
    rows = rows.sort_values("gamma")
    names = ("gamma", "decrease_percent", "low", "high")
    x, y, low, high = (rows[name].astype(float).to_numpy() for name in names)
    y, low, high = (np.where(x == 0, 0, part) for part in (y, low, high))
    ends = np.maximum([y - low, high - y], 0)
    ax.errorbar(x, y, yerr=ends, fmt="o-", color=color, capsize=2, elinewidth=0.8, label=subset)


def _at_gamma(ax, rows, names, gamma):
    """Our decreases at one γ, beside the names of their subsets."""
    rows = rows[(rows["gamma"] - gamma).abs() < 1e-9].dropna(subset=["decrease_percent"])
    if rows.empty:
        return
    values = (rows[name].astype(float).to_numpy() for name in ("decrease_percent", "low", "high"))
    middle, low, high = values
    at = [names.index(subset) + 0.18 for subset in rows["subset"]]
    ends = np.maximum([middle - low, high - middle], 0)
    options = dict(fmt="o", color=BLUE, capsize=2, elinewidth=1, label="ours")
    ax.errorbar(middle, at, xerr=ends, **options)


# --- memory ------------------------------------------------------------------------------------


def memory(table, ax=None):
    """What a training step needs over L, and the card that it has to fit.

    Args:
        table: `memory.table`.
    """
    ax = _axes(ax, height=4.2)
    looks = zip(table["system"].unique(), "sDo", (VERMILION, ORANGE, BLUE), strict=False)
    for system, marker, color in looks:
        rows, options = table[table["system"] == system], dict(color=color, marker=marker)
        places = floats(rows["length"])
        ax.plot(places, rows["peak_gib"], label=system, **options)
        ax.plot(places, rows["activations_gib"], ":", markerfacecolor="white", **options)
    for style, label in (("-", "peak of the step"), (":", "saved activations alone")):
        ax.plot([], [], style, color=BLACK, label=label)
    card, one = table["card_gib"].iloc[0], table.iloc[0]
    ax.axhline(card, color=BLACK, linestyle="--", linewidth=1.2)
    ax.annotate(
        f"the card: {card:g} GiB",
        (1, card),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
    )
    name_powers(ax, sorted(table["length"].unique()))
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(_plain))
    ax.set(xlabel="L, bins across the face crop", ylabel="GiB of a training step")
    ax.set_title(f"F={one['size']} px, batch {one['batch']}, {one['precision']}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return ax
