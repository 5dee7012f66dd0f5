"""Tidy tables of what was trained: candidates, one detector, histories, and every run."""

import dataclasses

import numpy as np
import pandas as pd

from study import config, results, tables
from study.tables import stills

FREE = ("epochs",)  # what a candidate may differ in from the run that took its settings over


def tuning(found):
    """The candidates of the group "search" with their validation NRMSE, best first in each model.

    None of them sees the test set. A candidate counts as chosen where the profile measures a
    system of the same model and length whose settings differ in the number of epochs at most.

    Returns:
        name, model, length, epochs, varied (settings in which the candidates of this model and
        length differ), percent by the candidate's own decoder, one column a decoder, best
        (lowest percent of any decoder), chosen (yes or no), seeds, reason.
    """
    candidates = {}
    for run in found.profile.group("search"):
        candidates.setdefault(run.name, run)
    rows = [_candidate(found, run, candidates.values()) for run in candidates.values()]
    columns = ["name", "model", "length", "epochs", "varied", "percent", *stills.DECODERS]
    table = tables.tidy(rows, [*columns, "best", "chosen", "seeds", "reason"])
    return table.sort_values(["model", "length", "percent"], kind="stable", ignore_index=True)


def _candidate(found, run, others):
    settings = run.config
    row = {
        "name": run.name,
        "model": settings.model,
        "length": stills.bins(settings),
        "epochs": settings.epochs,
        "varied": _varied(settings, [other.config for other in others]),
        "chosen": "yes" if _is_chosen(settings, found.profile) else "no",
        "seeds": len(found.recorded(run.name)),
        "reason": "" if found.recorded(run.name) else found.reasons[run.id],
    }
    if row["reason"]:
        return row
    scores = {name: 100 * score for name, score in found.validation(run.name).items()}
    return row | scores | {"percent": scores[settings.decoder], "best": min(scores.values())}


def _varied(settings, others):
    """The settings in which candidates of one model and length differ, e.g. "sigma=0.06"."""
    rivals = [o for o in others if (o.model, o.length) == (settings.model, settings.length)]
    others = [flat(rival) for rival in rivals]
    mine = flat(settings)
    differing = [name for name in mine if len({other[name] for other in others}) > 1]
    return ", ".join(f"{name}={mine[name]}" for name in differing)


def flat(settings):
    """All settings of a detector by name, those of the augmentation among the others."""
    values = dataclasses.asdict(settings)
    return values | values.pop("augmentation")


def _is_chosen(settings, profile):
    free = dict.fromkeys(FREE, 1)
    wanted = dataclasses.replace(settings, **free)
    measured = (*stills.lines(profile), *stills.lines(profile, "rival"))
    return any(dataclasses.replace(run.config, **free) == wanted for run in measured)


def detector(found, run):
    """What the training of one run was and gave: what, value, unit."""
    record = found.records[run.id]
    settings = config.training_config(record["config"], run.id)
    rows = [
        ("parameters", record["parameters"], ""),
        ("input F", settings.size, "px"),
        ("heatmap length L", settings.length, "bins"),
        ("co-attention gamma", settings.gamma, ""),
        ("target sigma", settings.target_sigma, "bins"),
        ("training faces", record["data"]["train"], ""),
        ("validation faces", record["data"]["validation"], ""),
        ("epochs", settings.epochs, ""),
        ("training time", record["seconds"], "s"),
        ("speed", record["samples_per_second"], "faces/s"),
    ]
    rows += [
        (f"validation NRMSE, {decoder}", 100 * score, "%")
        for decoder, score in record["validation"].items()
    ]
    return pd.DataFrame(rows, columns=["what", "value", "unit"])


def affinity(w_xy, w_yx, face=0):
    """Affinity matrices (`models.coattention`), mean over channels: of all faces, and of one.

    Args:
        w_xy, w_yx: (B, C, positions, positions).
        face: the one.

    Returns:
        matrix ("xy" or "yx"), shown ("mean of B faces" or "one face"), row (the position that
        asks), column (that answers), weight.
    """
    parts = []
    for name, weights in (("xy", w_xy), ("yx", w_yx)):
        shown = {f"mean of {len(weights)} faces": weights.mean((0, 1))}
        shown |= {"one face": weights[face].mean(0)}
        for what, matrix in shown.items():
            row, column = np.indices(matrix.shape)
            values = dict(row=row.ravel(), column=column.ravel(), weight=matrix.numpy().ravel())
            parts.append(pd.DataFrame({"matrix": name, "shown": what, **values}))
    return pd.concat(parts, ignore_index=True)


def histories(found, name):
    """The histories of all recorded seeds of a name: run, epoch, rate, loss, validation_percent."""
    parts = []
    for id in found.recorded(name):
        table = results.history(found.profile, id)
        table = table.assign(run=id, validation_percent=100 * table["validation_nrmse"])
        parts.append(table[["run", "epoch", "rate", "loss", "validation_percent"]])
    return pd.concat(parts, ignore_index=True) if parts else None


def listed(found):
    """Every listed run: what it was, what it took, and why it is missing where it is.

    Returns:
        run, group, model, length, epochs, parameters, train, validation, test (faces), minutes,
        samples_per_second, peak_memory_mib, device, threads, torch, recipe, commit, finished
        (UTC), reason.
    """
    rows = [_training(found, run) for run in found.profile.runs]
    columns = ["run", "group", "model", "length", "epochs", "parameters", "train", "validation"]
    columns += ["test", "minutes", "samples_per_second", "peak_memory_mib", "device", "threads"]
    columns += ["torch", "recipe", "commit", "finished", "reason"]
    return tables.tidy(rows, columns)


def _training(found, run):
    row = dict(run=run.id, group=run.group, model=run.config.model, length=stills.bins(run.config))
    row |= dict(epochs=run.config.epochs, reason=found.reasons.get(run.id, ""))
    record = found.records.get(run.id)
    if record is None:
        return row
    faces = record["data"]
    tested = sum(faces["test"].values()) if run.group in config.TESTED else 0
    row |= dict(train=faces["train"], validation=faces["validation"], test=tested)
    row |= dict(minutes=record["seconds"] / 60, torch=record["versions"]["torch"])
    same = ("parameters", "samples_per_second", "peak_memory_mib", "device", "threads")
    return row | {key: record[key] for key in (*same, "recipe", "commit", "finished")}
