"""The paper's Fig. 3: what co-attention is worth; it reads no file."""

import numpy as np

from study.figures import BLACK, BLUE, GREY, SERIES, WIDTH, grid, measured_on


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
