"""The numbers of a profile that `dvc metrics` compares: metrics.json."""

import pandas as pd

from study import answers, claims
from study.tables import temporal


def numbers(found, made):
    """The numbers that `dvc metrics` compares: percent, counts and seconds; None where missing."""
    rows = made["resolution_decoders"]
    flagship = rows[rows["name"] == found.profile.flagship]
    gain = claims.row_of(made["resolution_gain"], "1D, L/F 0.25 to 3", "300W com")
    return {
        "runs_recorded": len(found.records),
        "runs_listed": len(found.profile.runs),
        "looks_at_test_set": len(found.looks),
        "training_seconds": round(found.seconds, 1),
        "flagship_nrmse_percent": _by_subset(flagship),
        "best_2d_nrmse_percent": _by_subset(rows[rows["model"] == "detector2d"]),
        "gain_percent_common": _number(gain["decrease_percent"]),
        "gain_percent_common_low": _number(gain["low"]),
        "gain_percent_common_high": _number(gain["high"]),
        "coattention_gain_percent": _attentive(made["coattention_gain"]),
        "tracker_nrmse_percent": _trackers(found, made["table2_temporal_refinement"]),
        "temporal_gain_percent": _refined(made["temporal_gain"]),
        "gain_over_gan_percent": _over_gan(made["video_rivals_gain"]),
    }


def _trackers(found, table2):
    """Per subset of videos: NRMSE of the tracker that is shown, and of one trained with λ=0."""
    rows = table2[(table2["reading"] == temporal.TRAINED) & table2["ours_percent"].notna()]
    run, kinds = temporal.shown(found.profile), {}
    if run is not None:
        kinds = {"shown": run.config.lam, "without_past": temporal.PLAIN}
    by_lam = rows.set_index(["subset", "lam"])["ours_percent"].to_dict()
    return {
        subset: {kind: _number(by_lam.get((subset, lam))) for kind, lam in kinds.items()}
        for subset in dict.fromkeys(rows["subset"])
    }


def _attentive(gains):
    """Per subset of stills: the gain from γ=0 to the flagship's γ, by argmax."""
    rows = gains[(gains["decoder"] == "argmax") & gains["decrease_percent"].notna()]
    return _bounds(rows.drop_duplicates("subset"))


def _refined(gains):
    """Per subset of videos: the gain from λ=0 to the λ that is shown, each trained."""
    measured = (gains["landmarks"] == "all") & gains["decrease_percent"].notna()
    return _bounds(gains[measured & answers.is_trained(gains)])


def _over_gan(gains):
    """Per subset of videos: the gain from the GAN to the tracker that is shown."""
    rows = gains[gains["comparison"].eq(claims.AGAINST_GAN) & gains["landmarks"].eq("all")]
    return _bounds(rows[rows["decrease_percent"].notna()])


def _bounds(gains):
    keys = {"gain": "decrease_percent", "low": "low", "high": "high"}
    return {
        row["subset"]: {key: _number(row[column]) for key, column in keys.items()}
        for row in gains.to_dict("records")
    }


def _by_subset(rows):
    """Per subset: NRMSE by argmax at its lowest, and by what is best on validation."""
    found = {}
    for subset, there in rows.dropna(subset=["percent"]).groupby("subset", sort=False):
        plain = there[there["decoder"] == "argmax"]["percent"].min()
        best = there.loc[there["validation_percent"].idxmin(), "percent"]
        found[subset] = {"argmax": _number(plain), "best_on_validation": _number(best)}
    return found


def _number(value):
    return None if pd.isna(value) else round(float(value), 4)
