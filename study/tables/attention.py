"""Tidy tables of co-attention: NRMSE over its weight γ, each γ trained (Section 5.3, Fig. 3).

Fractions become percent here. A row that has no number of ours says why in `reason`.
"""

import dataclasses

import numpy as np
import pandas as pd
import torch

from study import claims, config, metrics, paper, results, tables
from study.tables import ablation, stills, trainings

GROUP = "coattention"
NONE = 0.0  # γ of no co-attention
# A claim of the paper -> its subset, and where its tables print the NRMSE with co-attention.
REPORTED = {
    "gamma-300w-com": ("300W com", "table3"),
    "gamma-300w-cha": ("300W cha", "table3"),
    "gamma-300w-full": ("300W full", "table3"),
    "gamma-aflw": ("AFLW", "table3"),
    "gamma-300vw-s1": ("300VW S1", "table4"),
    "gamma-300vw-s2": ("300VW S2", "table4"),
    "gamma-300vw-s3": ("300VW S3", "table4"),
    "gamma-tf": ("TF", "table5"),
}


# --- the profile's detectors over γ ------------------------------------------------------------


def lines(profile):
    """The profile's detectors over γ: γ -> `config.Run` (the first seed), γ rising.

    Those of the group, and the flagship, which has the γ of all other detectors.
    """
    runs = [profile.run(f"{profile.flagship}-s0"), *profile.group(GROUP)]
    found = {}
    for run in sorted(runs, key=lambda run: run.seed):
        found.setdefault(run.config.gamma, run)
    return dict(sorted(found.items()))


def on_aflw(profile):
    """The profile's 1D detectors on AFLW over γ, as `lines`; of the flagship's γ the first."""
    found = {}
    for run in stills.lines(profile, "aflw"):
        if run.config.model == "detector1d":
            found.setdefault(run.config.gamma, run)
    return found


def trained(profile):
    """All runs over γ, every seed of each, those on AFLW included."""
    both = (*lines(profile).values(), *on_aflw(profile).values())
    names = {run.name for run in both}
    return [run for run in profile.runs if run.name in names]


def own(profile):
    """γ of the profile's flagship, and so of every detector that is not about γ."""
    return profile.run(f"{profile.flagship}-s0").config.gamma


def chosen(found):
    """The γ with the lowest validation NRMSE by the first seeds, which every γ has alike.

    None where that is 0 or the flagship's.
    """
    scores = {
        gamma: found.first(run.name)["validation"][run.config.decoder]
        for gamma, run in lines(found.profile).items()
        if run.id in found.records
    }
    best = min(scores, key=scores.get, default=NONE)
    return None if best in (NONE, own(found.profile)) else best


# --- the paper's numbers -----------------------------------------------------------------------


def published():
    """What the paper reports of co-attention.

    It gives decreases from γ=0 to 0.4 (Section 5.3) and draws the values themselves (Fig. 3); its
    tables print those with co-attention. What they imply for γ=0 is derived here.

    Returns:
        id (of the claim), subset, decrease_percent, nrmse_percent (with co-attention),
        without_percent (γ=0, derived).
    """
    claimed = paper.claims().set_index("id")["paper_value"]
    rows = []
    for id, (subset, name) in REPORTED.items():
        table = getattr(paper, name)()
        row = table[(table["method"] == "Ours") & (table["subset"] == subset)]
        value, decrease = float(row["nrmse_percent"].iloc[0]), float(claimed[id])
        without = value / (1 - decrease / 100)
        rows.append([id, subset, decrease, value, without])
    columns = ["id", "subset", "decrease_percent", "nrmse_percent", "without_percent"]
    return pd.DataFrame(rows, columns=columns)


# --- our curve ---------------------------------------------------------------------------------


def curve(found):
    """NRMSE over γ on every test subset, by argmax, and its decrease from γ=0.

    Returns:
        subset, gamma, name, size, length, validation_percent (mean over seeds), percent with
        95 % interval ours_low, ours_high, decrease_percent from γ=0 with low, high (paired over
        faces), seeds, faces, data, reason.
    """
    systems = lines(found.profile)
    rows = [_point(found, systems, gamma, subset) for subset in tables.SUBSETS for gamma in systems]
    columns = ["subset", "gamma", "name", "size", "length", "validation_percent", "percent"]
    columns += ["ours_low", "ours_high", "decrease_percent", "low", "high"]
    return tables.tidy(rows, [*columns, "seeds", "faces", "data", "reason"])


def _point(found, systems, gamma, named):
    run, subset = systems[gamma], tables.SUBSETS[named]
    row = {"subset": named, "gamma": gamma, "name": run.name}
    row |= {"size": run.config.size, "length": run.config.length}
    row["reason"] = stills.why_empty(found, run, subset)
    if row["reason"]:
        return row
    row |= stills.mean_of(found, run, "argmax", subset)
    row["validation_percent"] = 100 * found.validation(run.name)["argmax"]
    if gamma != NONE:
        gain = stills.compare(found, (systems.get(NONE), run), named, "argmax")
        row |= {key: gain.get(key, np.nan) for key in ("decrease_percent", "low", "high")}
    return row | {"data": results.describe(found.first(run.name))}


# --- gains -------------------------------------------------------------------------------------


def comparisons(found):
    """From γ=0 to which γ: name -> the two γ."""
    best, gamma = chosen(found), own(found.profile)
    pairs = {f"γ 0 to {gamma:g}": (NONE, gamma)}
    if best is not None:
        pairs[f"γ 0 to {best:g} (best on validation)"] = (NONE, best)
    return pairs


def gains(found):
    """Relative decreases of NRMSE by co-attention, paired over faces, against the paper's.

    Returns:
        the columns of `stills.gains`; subsets that the study has no images for say so.
    """
    printed = published().set_index("subset")["decrease_percent"]
    rows = []
    for name, pair in comparisons(found).items():
        for decoder in ("argmax", stills.BEST):
            for subset in printed.index:
                own_claim = decoder == "argmax" and "best" not in name
                at = {"comparison": name, "subset": subset, "decoder": decoder}
                value = float(printed[subset]) if own_claim else None
                rows.append(at | _gain(found, pair, subset, decoder, value))
    return tables.tidy(rows, stills.GAIN)


def _gain(found, pair, subset, decoder, printed):
    """The gain between two γ; the runs are None for what the profile does not have."""
    if subset in tables.SUBSETS or (subset == config.AFLW and found.profile.aflw):
        systems = (on_aflw if subset == config.AFLW else lines)(found.profile)
        runs = [systems.get(gamma) for gamma in pair]
        return stills.compare(found, runs, subset, decoder, printed)
    away = claims.NO_AFLW if subset == "AFLW" else claims.NO_GAMMA_ON_VIDEO
    row = {"verdict": "", "reason": away}
    if printed is not None:
        row |= {"paper_percent": printed, "verdict": claims.NOT_RUN}
    return row


# --- poses -------------------------------------------------------------------------------------

THIRDS = ("least turned third", "middle third", "most turned third")
POSE = ("third", "turn_low", "turn_high", "subset", *stills.GAIN[3:])


def poses(found, crops):
    """What co-attention is worth by how far heads turn aside, from γ=0 to the flagship's.

    Needs the annotations, so it is made where the data is.

    Args:
        found: `results.Results`.
        crops: `datasets.crops.Crops` of the profile.

    Returns:
        third (of the test faces, by `metrics.turn` of either side), turn_low, turn_high (its
        range), subset, then the columns of `stills.gains` from "before" on; by argmax.
    """
    turns = pd.Series(
        metrics.turn(torch.from_numpy(crops.points.copy())).abs().numpy(), index=crops.table["id"]
    )
    systems = lines(found.profile)
    pair = systems.get(NONE), systems[own(found.profile)]
    rows = []
    for named, subset in tables.SUBSETS.items():
        reasons = [stills.why_empty(found, run, subset) for run in pair]
        if reason := next(filter(None, reasons), ""):
            rows.append({"third": THIRDS[-1], "subset": named, "reason": reason})
            continue
        rows += _by_third(found, pair, named, turns)
    return tables.tidy(rows, POSE)


def _by_third(found, pair, named, turns):
    subset = tables.SUBSETS[named]
    ids = results.face_ids(results.folder(found.profile, found.recorded(pair[0].name)[0]), subset)
    turn = turns.loc[list(ids)].to_numpy()
    errors = [found.by_seed(run.name, "argmax", subset) for run in pair]
    order = np.argsort(turn, kind="stable")
    for third, faces in zip(THIRDS, np.array_split(order, len(THIRDS)), strict=True):
        before, after = (error[:, faces] for error in errors)
        gain, low, high = tables.percent(metrics.bootstrap_decrease(before, after))
        row = {"third": third, "subset": named, "decrease_percent": gain, "low": low, "high": high}
        row |= {"turn_low": turn[faces].min(), "turn_high": turn[faces].max(), "reason": ""}
        row |= {"before": pair[0].name, "after": pair[1].name, "verdict": ""}
        row |= {"before_percent": 100 * before.mean(), "after_percent": 100 * after.mean()}
        row |= {"seeds": min(len(before), len(after)), "faces": len(faces)}
        yield row | {"data": results.describe(found.first(pair[1].name))}


# --- controls and conditions -------------------------------------------------------------------

READINGS = {  # fusion of a detector -> what it is called for readers
    "positions": "positions ask (ours)",
    "rows": "compressed rows ask (the other reading)",
    "pooled": "no attention: the mean of the other axis",
}
CONTROL = ("fusion", "reading", "subset", "parameters", *stills.GAIN[3:])
CONDITION = ("condition", "subset", "epochs", *stills.GAIN[3:])


def controls(found):
    """What other ways to join the axes are worth at the flagship's γ, against none (γ=0).

    Returns:
        fusion, reading, subset, parameters, then the columns of `stills.gains` from "before" on;
        decoded by argmax.
    """
    profile, rows = found.profile, []
    bare = lines(profile).get(NONE)
    for fusion, reading in READINGS.items():
        run = ablation.variant(profile, fusion=fusion)
        for subset in tables.SUBSETS:
            row = {"fusion": fusion, "reading": reading, "subset": subset}
            first = found.first(run.name) if run is not None else None
            row["parameters"] = first["parameters"] if first else np.nan
            rows.append(row | stills.compare(found, (bare, run), subset, "argmax"))
    return tables.tidy(rows, CONTROL)


def conditions(found):
    """What γ is worth where the rest of the detector is another: pairs that differ in γ alone.

    Returns:
        condition (how the pair differs from the flagship but for epochs), subset, epochs, then
        the columns of `stills.gains` from "before" on; decoded by argmax. Empty where the profile
        has no pair.
    """
    rows = []
    for condition, pair in pairs(found.profile).items():
        for subset in tables.SUBSETS:
            row = {"condition": condition, "subset": subset, "epochs": pair[0].config.epochs}
            rows.append(row | stills.compare(found, pair, subset, "argmax"))
    return tables.tidy(rows, CONDITION)


def pairs(profile):
    """Detectors of the group "ablation" that differ in γ alone: condition -> (γ=0, γ above)."""
    listed, found = stills.lines(profile, "ablation"), {}
    for bare in listed:
        for run in listed:
            alike = dataclasses.replace(run.config, gamma=NONE) == bare.config
            if bare.config.gamma == NONE and run is not bare and alike:
                found[_condition(profile, bare.config)] = (bare, run)
    return found


def _condition(profile, settings):
    """In what a configuration differs from the flagship's, γ and epochs aside."""
    reference = ablation.base(profile)
    mine, theirs = trainings.flat(settings), trainings.flat(reference)
    free = ("gamma", "epochs")
    changed = [key for key in mine if mine[key] != theirs[key] and key not in free]
    shown = (mine[key] if isinstance(mine[key], str) else f"{mine[key]:g}" for key in changed)
    return ", ".join(map("=".join, zip(changed, shown, strict=True))) or "as usual"
