"""Tidy tables of what rounding alone costs (Section 3): true landmarks, no network."""

import pandas as pd
import torch

from study import claims, heatmaps, metrics, paper, tables
from study.tables import stills

RULES = ("floor", "centre")


def rounded(points, size, length, rule):
    """Points after rounding to a heatmap's bins and back, px of the crop.

    Args:
        points: (..., 2) px of the crop.
        size, length: F in px, L in bins.
        rule: "floor", the paper's Eq. 3-4, or "centre", to the centre of the nearest bin.
    """
    if rule == "floor":
        return heatmaps.quantize(points, size, length)
    bins = heatmaps.to_bins(points, size, length)
    return heatmaps.to_pixels(bins.round(), size, length)


def lengths(profile):
    """L of the profile's systems, and the paper's (whose bins are as large a part of a crop)."""
    ours = {run.config.length for run in stills.lines(profile)}
    return sorted(ours | set(paper.table1()["length"]))


def quantization(points, subset, size, lengths, data="", normalizer=None):
    """NRMSE that rounding alone causes, of true landmarks at each L (Eq. 3-5).

    It depends on L alone: a bin is 1/L of the crop, whatever F is.

    Args:
        points: (B, N, 2) px of the crop.
        subset: (B,) str, whose distinct values become rows.
        size: F, px.
        lengths: the L.
        data: what the faces are, a column.
        normalizer: (B,) px of the crop; None takes the distance of the outer eye corners.

    Returns:
        subset, rule, length, length_over_input, nrmse_percent with 95 % interval over faces low,
        high, faces, data.
    """
    rows = []
    for name in dict.fromkeys(subset):
        truth = points[subset == name]
        divisor = metrics.interocular(truth) if normalizer is None else normalizer[subset == name]
        for rule in RULES:
            for length in lengths:
                found = rounded(truth, size, length, rule)
                errors = metrics.nrmse(found, truth, divisor).numpy()
                mean, low, high = tables.percent(metrics.bootstrap_mean(errors, draws=500))
                row = dict(subset=name, rule=rule, length=length, length_over_input=length / size)
                row |= dict(nrmse_percent=mean, low=low, high=high, faces=len(truth), data=data)
                rows.append(row)
    return pd.DataFrame(rows)


def worked_example():
    """The example of Section 3 by Eq. 5: length_over_input, error_px, paper_px."""
    published = paper.claims().set_index("id")["paper_value"]
    point = torch.tensor(paper.EXAMPLE, dtype=torch.float64)
    rows = [
        {
            "length_over_input": share,
            "error_px": heatmaps.quantization_error(point, paper.SIZE, share * paper.SIZE).item(),
            "paper_px": float(published[id]),
        }
        for id, share in claims.COMPUTED.items()
    ]
    return pd.DataFrame(rows)
