"""Tidy tables of the systems of others on the same backbone: side by side, and Table 3.

Every system is trained on the same faces for as many epochs; its settings are those of its best
candidate on validation faces. Fractions become percent here.
"""

import functools

import pandas as pd

from study import claims, memory, metrics, paper, results, tables
from study.config import AFLW, FITTED
from study.tables import stills

# What the systems that are no row of Table 1 are called for readers, by model and loss.
NAMES = {
    ("simcc", "kl"): "SimCC, KL on 1D classes",
    ("coordinates", "wing"): "coordinates, wing loss",
    ("coordinates", "l2"): "coordinates, L2 loss",
    ("integral", "l1"): "2D, integral regression",
    ("lab", "boundaries"): "LAB, 2D boundaries",
    ("lab1d", "boundaries"): "Ours+LAB, 1D boundaries",
    ("lab_landmarks", "boundaries"): "LAB through 1D landmarks",
    ("sdm", "ridge"): "SDM, cascade on HOG",
}
KINDS = {"detector1d": "1D", "detector2d": "2D"}
MIB = 2**20

# Table 3's name of a system that is rebuilt here -> its model, and the decoder that makes it.
REBUILT = {
    "FHR": ("detector2d", "fractional"),
    "HG": ("detector2d", "quarter"),
    "Ours": ("detector1d", "argmax"),
    "LAB": ("lab", "direct"),
    "Ours+LAB": ("lab1d", "direct"),
}
# The systems that Table 3 has no row of: name -> model and decoder.
BEYOND = {
    "2D, argmax": ("detector2d", "argmax"),
    "DARK (2D, Taylor)": ("detector2d", "taylor"),
    "2D, local soft-argmax": ("detector2d", "local"),
    "integral regression": ("integral", "direct"),
    "SimCC": ("simcc", "argmax"),
    "SimCC, local soft-argmax": ("simcc", "local"),
    "coordinate regression": ("coordinates", "direct"),
    "LAB through 1D landmarks": ("lab_landmarks", "direct"),
    "SDM": ("sdm", "direct"),
    "Ours, Taylor": ("detector1d", "taylor"),
    "Ours, local soft-argmax": ("detector1d", "local"),
}
NOT_REBUILT = "not rebuilt in this study: the published number alone"
NO_AFLW = claims.NO_AFLW


def named(settings):
    """What a detector of a configuration is called for readers, such as "1D, L/F=3"."""
    if settings.model in KINDS:
        return f"{KINDS[settings.model]}, L/F={stills.ratio(settings):g}"
    return NAMES[settings.model, settings.loss]


# --- side by side ------------------------------------------------------------------------------


def side_by_side(found):
    """The detectors of the group "resolution" and their rivals side by side, with what they cost.

    Each by its own decoder, and by the one that is best on validation faces where that is another.

    Args:
        found: `results.Results`.

    Returns:
        system (for readers), name, model, size (F), length (L), parameters, megaflops (of a
        face's forward pass), step_mib (peak memory of a training step at the profile's batch, by
        the ledger), samples_per_second (trained, as recorded), decoder, chosen ("own" or "best on
        validation"), validation_percent (mean over seeds), subset, percent with 95 % interval
        low, high, seeds, faces, data, reason.
    """
    subsets = [subset for subset in results.PARTS if found.faces(subset)] or ["common"]
    rows = []
    for run in (*stills.lines(found.profile), *stills.lines(found.profile, "rival")):
        rows += [_system(found, run, *by, subset) for by in _ways(found, run) for subset in subsets]
    columns = ["system", "name", "model", "size", "length", "parameters", "megaflops", "step_mib"]
    columns += ["samples_per_second", "decoder", "chosen", "validation_percent", "subset"]
    columns += ["percent", "low", "high", "seeds", "faces", "data", "reason"]
    return tables.tidy(rows, columns)


def _ways(found, run):
    """The decoders that a system is shown by: (name, why) pairs."""
    own = run.config.decoder
    best = stills.best_decoder(found, run) if found.recorded(run.name) else own
    return [(own, "own"), *([(best, stills.BEST)] if best != own else [])]


def _system(found, run, decoder, chosen, subset):
    settings = run.config
    row = {"system": named(settings), "name": run.name, "model": settings.model}
    row |= {"size": settings.size, "length": stills.bins(settings)}
    row |= {"decoder": decoder, "chosen": chosen, "subset": subset}
    row["reason"] = stills.why_empty(found, run, subset)
    if row["reason"]:
        return row
    errors, first = found.by_seed(run.name, decoder, subset), found.first(run.name)
    mean, low, high = tables.percent(metrics.bootstrap_mean(errors))
    row |= {"percent": mean, "low": low, "high": high, **_cost(settings)}
    row |= {key: first[key] for key in ("parameters", "samples_per_second")}
    row |= {"validation_percent": 100 * found.validation(run.name)[decoder]}
    row |= {"seeds": errors.shape[0], "faces": errors.shape[1]}
    return row | {"data": results.describe(first)}


@functools.cache
def _cost(settings):
    """Counted, so the same on every machine: operations of a face, and memory of a step."""
    if settings.model in FITTED:
        return {}
    counted = memory.ledger(settings)
    megaflops = counted.forward_flops / settings.batch / 1e6
    return {"megaflops": megaflops, "step_mib": counted.peak / MIB}


# --- Table 3 -----------------------------------------------------------------------------------


def system(found, model, decoder, subset=""):
    """The run that stands for a model, None where the profile has none.

    The flagship for the 1D detector; else the one that this decoder does best with on validation
    faces, or the first listed while none is recorded. On the subset "AFLW" it is one of those
    that are trained there, a 1D detector of the flagship's γ.
    """
    profile = found.profile
    if model == "detector1d" and subset != AFLW:
        return profile.run(f"{profile.flagship}-s0")
    runs = _of_model(profile, model, subset)
    scores = {run: found.validation(run.name)[decoder] for run in runs if found.recorded(run.name)}
    return min(scores, key=scores.get) if scores else next(iter(runs), None)


def _of_model(profile, model, subset):
    """The runs of a model that are measured on a subset, one a name."""
    groups = ("aflw",) if subset == AFLW else ("resolution", "rival")
    runs = [run for group in groups for run in stills.lines(profile, group)]
    runs = [run for run in runs if run.config.model == model]
    own = profile.run(f"{profile.flagship}-s0").config.gamma
    return [run for run in runs if model != "detector1d" or run.config.gamma == own]


def table3(found):
    """Table 3 with our numbers beside the paper's, then the systems that it has no row of.

    Those have a row on AFLW where the profile has a run of theirs on it.

    Args:
        found: `results.Results`.

    Returns:
        the paper's columns, then size (F), ours_length (L), ours_percent with 95 % interval
        ours_low, ours_high, seeds, faces, note (what ours is), data, reason.
    """
    published = paper.table3()
    ours = {"method": list(BEYOND), "subset": list(tables.SUBSETS)}
    beyond = pd.MultiIndex.from_product(ours.values(), names=ours).to_frame(index=False)
    rows = [*published.to_dict("records"), *beyond.to_dict("records")]
    rows += [
        {"method": name, "subset": AFLW}
        for name, (model, _) in BEYOND.items()
        if _of_model(found.profile, model, AFLW)
    ]
    columns = [*published.columns, *stills.OURS, "note", "data", "reason"]
    return tables.tidy([row | _of_table3(found, row) for row in rows], columns)


def _of_table3(found, row):
    made = (REBUILT | BEYOND).get(row["method"])
    if made is None:
        return {"reason": NOT_REBUILT}
    subset = tables.SUBSETS.get(row["subset"], row["subset"])
    if subset == AFLW and found.profile.aflw is None:
        return {"reason": NO_AFLW}
    run = system(found, *made, subset)
    reason = stills.why_empty(found, run, subset)
    if reason:
        return {"reason": reason}
    score = stills.mean_of(found, run, made[1], subset)
    length = {"size": run.config.size, "ours_length": stills.bins(run.config)}
    note = {"note": f"{named(run.config)}, {made[1]}", "reason": ""}
    data = {"data": results.describe(found.first(run.name))}
    return length | {"ours_percent": score.pop("percent")} | score | note | data


# --- gains -------------------------------------------------------------------------------------

# From which system to which, by which decoder each: names of Table 3, and BEST of a model.
FHR = "FHR to Ours"
LAB = "LAB to Ours+LAB"
PRINTED = {FHR: ("FHR", "Ours"), LAB: ("LAB", "Ours+LAB"), "Ours to Ours+LAB": ("Ours", "Ours+LAB")}
AGAINST = {
    "2D to 1D": "detector2d",
    "integral regression to 1D": "integral",
    "SimCC to 1D": "simcc",
    "coordinates to 1D": "coordinates",
    "SDM to 1D": "sdm",
    "LAB through 1D landmarks to 1D": "lab_landmarks",
}


def gains(found):
    """Relative decreases of NRMSE from each rival to the 1D detector, paired over faces.

    Pairs of Table 3, for which the paper prints numbers; then every rival against the paper's
    detector with the decoder of each that is best on validation faces. On AFLW there are rows
    where the profile has it, of systems that are trained there.

    Returns:
        the columns of `stills.gains`.
    """
    rows = []
    for subset in (*tables.SUBSETS, *([AFLW] if found.profile.aflw else [])):
        for name, pair in PRINTED.items():
            if subset == AFLW and name != FHR:
                continue
            systems = [system(found, *REBUILT[one], subset) for one in pair]
            decoders = tuple(REBUILT[one][1] for one in pair)
            rows.append(_gain(found, name, systems, subset, decoders, _printed(pair, subset)))
        for name, model in AGAINST.items():
            if subset == AFLW and not _of_model(found.profile, model, AFLW):
                continue
            systems = [_best(found, kind, subset) for kind in (model, "detector1d")]
            rows.append(_gain(found, name, systems, subset, stills.BEST))
    return tables.tidy(rows, stills.GAIN)


def _gain(found, name, systems, subset, decoder, printed=None):
    shown = decoder if isinstance(decoder, str) else ", ".join(decoder)
    row = {"comparison": name, "subset": subset, "decoder": shown}
    return row | stills.compare(found, systems, subset, decoder, printed)


def _best(found, model, subset):
    """The run of a model that does best on validation faces with any decoder."""
    if model == "detector1d" and subset != AFLW:
        return system(found, model, None)
    runs = _of_model(found.profile, model, subset)
    scores = {
        run: min(found.validation(run.name).values()) for run in runs if found.recorded(run.name)
    }
    return min(scores, key=scores.get) if scores else next(iter(runs), None)


def _printed(pair, subset):
    """The paper's decrease from one system to another by its Table 3."""
    table = paper.table3().set_index(["method", "subset"])["nrmse_percent"]
    return 100 * (1 - table[pair[1], subset] / table[pair[0], subset])
