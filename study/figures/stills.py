"""Figures of Table 1: NRMSE over resolution, and cumulative errors; they read no file."""

from study import paper
from study.figures import (
    COLOR,
    GREY,
    LABEL,
    METHOD,
    WIDTH,
    axes_of,
    floats,
    grid,
    main_subset,
    measured_on,
    name_powers,
)


def resolution(decoders, cost=None, subset="common", axes=None):
    """NRMSE over L/F and over L, ours with 95 % intervals and the paper's.

    Args:
        decoders: `stills.decoders`.
        cost: `quantized.quantization`, drawn below as what rounding alone costs; None draws none.
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
    there = subset if subset in set(cost["subset"]) else main_subset(cost)
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


def cumulative_errors(table, subset="common", ax=None):
    """Cumulative error distributions by argmax.

    Args:
        table: `stills.cumulative`.
        subset: of the test faces.
    """
    ax = axes_of(ax)
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
