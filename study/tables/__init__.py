"""Tidy tables from results and landmarks, and the one place that writes them.

Fractions become percent here. A row that has no number of ours says why in `reason`.
"""

import dataclasses

import numpy as np
import pandas as pd
import torch

from study import (
    claims,
    config,
    datasets,
    heatmaps,
    material,
    metrics,
    paper,
    paths,
    results,
)

METHODS = {"detector-1d": "detector1d", "detector-2d": "detector2d"}  # Table 1's name -> model
SUBSETS = {"300W com": "common", "300W cha": "challenging", "300W full": "full"}
ABSENT = "images not available"
TOLERANCE = 1e-9  # L/F are compared as floats
DECODERS = tuple(heatmaps.DECODERS)
TEXTS = ("reason", "note", "data", "verdict", "varied")  # columns that are empty, not missing
COUNTS = ("size", "length", "ours_length", "seeds", "faces", "epochs", "parameters", "train")
COUNTS += ("validation", "test", "threads", "recipe", "videos", "folds")  # of whole numbers
FREE = ("epochs",)  # what a candidate may differ in from the run that took its settings over


def save(table, name, profile):
    """Writes a table to reports/<profile>/tables/<name>.csv.

    Returns:
        the table as every later reader of the file finds it, so that a figure drawn now and one
        drawn from the file are the same.
    """
    file = paths.reports(profile) / "tables" / f"{name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False, float_format="%.6g", lineterminator="\n")
    return read(name, profile)


def read(name, profile):
    """A saved table, or None where there is none."""
    file = paths.reports(profile) / "tables" / f"{name}.csv"
    if not file.exists():
        return None
    kinds = dict.fromkeys(TEXTS, str)
    table = pd.read_csv(file, dtype=kinds, keep_default_na=False, na_values=[""])
    texts = [column for column in TEXTS if column in table]
    table = table.assign(**{column: table[column].fillna("") for column in texts})
    return table.astype({column: "Int64" for column in COUNTS if column in table})


def tidy(rows, columns):
    """A data frame with these columns; counts stay whole numbers where some are missing."""
    table = pd.DataFrame(rows, columns=list(columns))
    return table.astype({column: "Int64" for column in COUNTS if column in table})


def as_tensor(values):
    """Numbers as a float64 tensor."""
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def percent(values):
    """Fractions as percent."""
    return tuple(100 * value for value in values)


# --- which of the profile's runs fills which row -----------------------------------------------


def ratio(config):
    """L/F of a training configuration."""
    return config.length / config.size


def lines(profile, group="resolution"):
    """A group's measured systems: one `config.Run` (the first seed) a name, in its order."""
    first = {}
    for run in profile.group(group):
        first.setdefault(run.name, run)
    return list(first.values())


def bins(config):
    """L of a configuration, or None where there are no heatmaps."""
    return config.length or None


def find(profile, model, *, over_input=None, length=None):
    """The system of a model at one L/F or at one L, or None; the first listed where several are."""
    for run in lines(profile):
        same = run.config.model == model and length in (None, run.config.length)
        if same and (over_input is None or abs(ratio(run.config) - over_input) < TOLERANCE):
            return run
    return None


def why_empty(found, run, subset):
    """Why there is no number of ours for a system on a test subset; "" where there is one.

    Args:
        found: `results.Results`.
        run: a run of the system, or None where the profile has no such system.
        subset: "common", "challenging" or "full".
    """
    if run is None:
        return f"not run in {found.profile.name}"
    if not found.recorded(run.name):
        return f"not trained yet ({found.reasons[run.id]})"
    return "" if found.faces(subset) else ABSENT


# --- Table 1 -----------------------------------------------------------------------------------

OURS = ("size", "ours_length", "ours_percent", "ours_low", "ours_high", "seeds", "faces")


def table1(found, trackers=None):
    """Table 1 with our numbers beside the paper's, joined on L/F; ours by argmax, as the paper.

    Args:
        found: `results.Results`.
        trackers: `temporal.table1_row`, which fills the half of the trackers; None leaves it empty.

    Returns:
        the paper's rows, then those of our systems at other L/F; the paper's columns, then
        size (F, px), ours_length (L), ours_percent with the 95 % interval ours_low, ours_high
        over faces and seeds, seeds, faces, data, reason.
    """
    published = paper.table1()
    rows = [*published.to_dict("records"), *_beyond(found.profile, published)]
    rows = [{**row, **_ours(found, row, trackers)} for row in rows]
    columns = [*published.columns, *OURS, "data", "reason"]
    return tidy(rows, columns)


def _beyond(profile, published):
    """Rows for systems of ours at an L/F that the paper has not, such as its bins per face."""
    rows = []
    for method, model in METHODS.items():
        shares = published[published["method"] == method]["length_over_input"]
        own = [ratio(run.config) for run in lines(profile) if run.config.model == model]
        for share in sorted(set(own) - set(shares)):
            at = {"method": method, "length_over_input": share, "note": "not in the paper"}
            rows += [{**at, "subset": subset} for subset in SUBSETS]
    return rows


def _ours(found, row, trackers):
    if row["method"] not in METHODS:
        return trackers(found, row) if trackers else {"reason": "trackers are in another table"}
    model, subset = METHODS[row["method"]], SUBSETS[row["subset"]]
    run = find(found.profile, model, over_input=row["length_over_input"])
    reason = why_empty(found, run, subset)
    if reason:
        return {"reason": reason}
    score = mean_of(found, run, "argmax", subset)
    return {
        "size": run.config.size,
        "ours_length": run.config.length,
        "ours_percent": score.pop("percent"),
        **score,
        "data": results.describe(found.first(run.name)),
        "reason": "",
    }


def mean_of(found, run, decoder, subset):
    """Mean NRMSE of a recorded system: percent, ours_low and ours_high, seeds, faces."""
    errors = found.by_seed(run.name, decoder, subset)
    mean, low, high = percent(metrics.bootstrap_mean(errors))
    counts = {"seeds": errors.shape[0], "faces": errors.shape[1]}
    return {"percent": mean, "ours_low": low, "ours_high": high, **counts}


# --- every system, decoder and subset ----------------------------------------------------------


def decoders(found):
    """Every system by every decoder on every test subset there is.

    Returns:
        name, model, size (F), length (L), length_over_input, gamma, sigma_bins, decoder,
        validation_percent (mean over seeds), subset, percent with 95 % interval low, high,
        rms_percent (root of the mean square over landmarks), pupil_percent (over the distance
        of the eyes' centres), seeds, faces, data, reason.
    """
    subsets = [subset for subset in results.PARTS if found.faces(subset)] or ["common"]
    rows = []
    for run in lines(found.profile):
        for decoder in DECODERS:
            rows += [_decoded(found, run, decoder, subset) for subset in subsets]
    columns = ["name", "model", "size", "length", "length_over_input", "gamma"]
    columns += ["sigma_bins", "decoder"]
    columns += ["validation_percent", "subset", "percent", "low", "high"]
    columns += ["rms_percent", "pupil_percent"]
    columns += ["seeds", "faces", "data", "reason"]
    return tidy(rows, columns)


def _decoded(found, run, decoder, subset):
    settings = run.config
    row = {
        "name": run.name,
        "model": settings.model,
        "size": settings.size,
        "length": settings.length,
        "length_over_input": ratio(settings),
        "gamma": settings.gamma if settings.model == "detector1d" else np.nan,
        "sigma_bins": settings.target_sigma,
        "decoder": decoder,
        "subset": subset,
        "reason": why_empty(found, run, subset),
    }
    if row["reason"]:
        return row
    errors = found.by_seed(run.name, decoder, subset)
    mean, low, high = percent(metrics.bootstrap_mean(errors))
    row |= {"percent": mean, "low": low, "high": high}
    for measure in ("rms", "pupil"):
        errors_so = found.by_seed(run.name, decoder, subset, measure)
        row[f"{measure}_percent"] = 100 * errors_so.mean()
    row["validation_percent"] = 100 * found.validation(run.name)[decoder]
    row |= {"seeds": errors.shape[0], "faces": errors.shape[1]}
    return row | {"data": results.describe(found.first(run.name))}


def best_decoder(found, run):
    """The decoder with the lowest validation NRMSE of a system, chosen without the test set."""
    scores = found.validation(run.name)
    return min(scores, key=scores.get)


# --- gains -------------------------------------------------------------------------------------

# Each compares two systems (model, L/F or L); the paper's two are rows of its Table 1.
LOWEST, HIGHEST, HALF = 0.25, 3.0, 0.5
COMPARISONS = {
    "1D, L/F 0.25 to 3": (
        ("detector1d", {"over_input": LOWEST}),
        ("detector1d", {"over_input": HIGHEST}),
        (("detector-1d", 64), ("detector-1d", 768)),
    ),
    "1D, L 64 to 768": (
        ("detector1d", {"length": 64}),
        ("detector1d", {"length": 768}),
        (("detector-1d", 64), ("detector-1d", 768)),
    ),
    "2D at L/F 0.5 to 1D at L/F 3": (
        ("detector2d", {"over_input": HALF}),
        ("detector1d", {"over_input": HIGHEST}),
        (("detector-2d", 128), ("detector-1d", 768)),
    ),
}
BEST = "best on validation"
GAIN = ("comparison", "subset", "decoder", "before", "after", "before_percent", "after_percent")
GAIN += ("decrease_percent", "low", "high", "paper_percent", "verdict", "seeds", "faces", "data")
GAIN += ("reason",)


def gains(found):
    """Relative decreases of NRMSE between two systems, paired over faces, against the paper's.

    The paper decodes by argmax; a verdict is given for that alone. The rows with "best on
    validation" take each system's best decoder, chosen on the validation split.

    Returns:
        comparison, subset, decoder, before, after (names and decoders), before_percent,
        after_percent, decrease_percent with 95 % interval low, high, paper_percent, verdict,
        seeds, faces, data, reason.
    """
    rows = [
        _gain(found, comparison, decoder, subset)
        for comparison in COMPARISONS
        for decoder in (*DECODERS, BEST)
        for subset in SUBSETS
    ]
    return tidy(rows, GAIN)


def _gain(found, comparison, decoder, named):
    *sides, published = COMPARISONS[comparison]
    systems = [find(found.profile, model, **where) for model, where in sides]
    printed = paper.decrease(*published, named) if decoder == "argmax" else None
    row = {"comparison": comparison, "subset": named, "decoder": decoder}
    return row | compare(found, systems, named, decoder, printed)


def compare(found, systems, named, decoder, printed=None):
    """The relative decrease of NRMSE from one system to another, paired over faces.

    Args:
        found: `results.Results`.
        systems: two runs, or None in the place of one that the profile does not have.
        named: subset, as Table 1 names it, or "AFLW".
        decoder: of both, BEST for each one's, or a pair of these.
        printed: the paper's decrease in percent, for which there is a verdict; or None.

    Returns:
        dict of columns of `gains`, without comparison, subset and decoder.
    """
    subset, row = SUBSETS.get(named, named), {"verdict": ""}
    if printed is not None:
        row |= {"paper_percent": printed, "verdict": claims.NOT_RUN}
    reasons = [why_empty(found, run, subset) for run in systems]
    row["reason"] = next(filter(None, reasons), "")
    if row["reason"]:
        return row
    wanted = (decoder, decoder) if isinstance(decoder, str) else decoder
    used = [
        best_decoder(found, run) if by == BEST else by
        for run, by in zip(systems, wanted, strict=True)
    ]
    before, after = (
        found.by_seed(run.name, by, subset) for run, by in zip(systems, used, strict=True)
    )
    decrease, low, high = percent(metrics.bootstrap_decrease(before, after))
    first = found.first(systems[1].name)
    row |= {
        "before": f"{systems[0].name}, {used[0]}",
        "after": f"{systems[1].name}, {used[1]}",
        "before_percent": 100 * before.mean(),
        "after_percent": 100 * after.mean(),
        "decrease_percent": decrease,
        "low": low,
        "high": high,
        "seeds": min(len(before), len(after)),
        "faces": before.shape[1],
        "data": results.describe(first),
    }
    if printed is not None:
        standin = first["data"]["standin"]
        row["verdict"] = claims.verdict(printed, decrease, low, high, standin)
    return row


# --- candidates --------------------------------------------------------------------------------


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
    columns = ["name", "model", "length", "epochs", "varied", "percent", *DECODERS]
    table = tidy(rows, [*columns, "best", "chosen", "seeds", "reason"])
    return table.sort_values(["model", "length", "percent"], kind="stable", ignore_index=True)


def _candidate(found, run, others):
    settings = run.config
    row = {
        "name": run.name,
        "model": settings.model,
        "length": bins(settings),
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
    measured = (*lines(profile), *lines(profile, "rival"))
    return any(dataclasses.replace(run.config, **free) == wanted for run in measured)


# --- Section 3: rounding alone -----------------------------------------------------------------

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
    ours = {run.config.length for run in lines(profile)}
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
                mean, low, high = percent(metrics.bootstrap_mean(errors, draws=500))
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


# --- the data and the flagship -----------------------------------------------------------------


def data(folders, crops, held, label):
    """Counts of the faces at hand against the official set, a row an official folder.

    Args:
        folders: `datasets.w300.FOLDERS`, or those of another set.
        crops: the `Crops` of the faces at hand.
        held: (B,) bool, the faces held out for validation.
        label: what the faces are.

    Returns:
        folder, split, subset, official, found, held_out, photographs, data.
    """
    where = crops.table["id"].str.rsplit("/", n=1).str[0]
    rows = []
    for folder in folders:
        here = (where == folder.path).to_numpy()
        row = dict(folder=folder.path, split=folder.split, subset=folder.subset)
        row |= dict(official=folder.official, found=int(here.sum()))
        row |= dict(held_out=int((here & held).sum()))
        row |= dict(photographs=crops.table["photograph"][here].nunique(), data=label)
        rows.append(row)
    return pd.DataFrame(rows)


def aflw(profile, index, crops):
    """What there is of AFLW, a row a side of its split; a sentence in `data` where there is none.

    Args:
        index, crops: of `prepare.prepare_aflw`, or None.

    Returns:
        subset, official, found (faces), held_out, images, shared_images (with faces of the other
        side, too), visible_percent (of the landmarks), all_visible (faces), data.
    """
    columns = ["subset", "official", "found", "held_out", "images", "shared_images"]
    columns += ["visible_percent", "all_visible", "data"]
    if profile.aflw is None:
        return pd.DataFrame([{"data": "no AFLW in this profile"}], columns=columns)
    _, held, _ = material.split(profile, crops)
    sides = index.groupby("photograph")["split"].nunique()
    rows = []
    for folder in datasets.reader(profile.aflw.name).FOLDERS:
        here = (index["split"] == folder.split).to_numpy()
        seen, images = np.stack(list(index["visible"][here])), index["photograph"][here].unique()
        row = dict(subset=folder.subset, official=folder.official, found=int(here.sum()))
        row |= dict(held_out=int((here & held).sum()), images=len(images))
        row |= dict(shared_images=int((sides[images] > 1).sum()))
        row |= dict(visible_percent=100 * seen.mean(), all_visible=int(seen.all(axis=1).sum()))
        rows.append(row | dict(data=profile.aflw.label))
    return pd.DataFrame(rows, columns=columns)


def videos(profile, crops, held, apart):
    """Videos and frames at hand against the official sets, a row a subset.

    Args:
        profile: a `config.Profile`.
        crops: data set -> its `Crops`.
        held, apart: (R,) bool, the frames of the first data set that are held out for validation,
            and those that trackers are trained on and their detectors never see.

    Returns:
        dataset, subset, official_videos, official_frames, videos, frames, held_out and apart
        (videos), data.
    """
    rows = []
    for data in profile.videos:
        table = crops[data.name].table
        first = data.name == profile.video.name
        official = {part.subset: part for part in datasets.reader(data.name).FOLDERS}
        for subset, there in table.groupby("subset", sort=True):
            row = dict(dataset=data.name, subset=subset)
            row |= dict(official_videos=getattr(official[subset], "videos", 1))
            row |= dict(official_frames=official[subset].official)
            row |= dict(videos=there["video"].nunique(), frames=len(there))
            for name, mask in (("held_out", held), ("apart", apart)):
                row[name] = there["video"][mask[there.index]].nunique() if first else 0
            rows.append(row | dict(data=data.label))
    return pd.DataFrame(rows)


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


def cumulative(found, limit=0.10, steps=101):
    """Cumulative error distributions by argmax, all seeds together, over the faces of a subset.

    Args:
        limit: the largest NRMSE, a fraction.
        steps: thresholds from 0 to the limit.

    Returns:
        name, model, length_over_input, subset, threshold_percent, share (of faces), seeds, faces,
        data; empty where nothing is recorded.
    """
    parts = []
    for run in lines(found.profile):
        for subset in ("common", "challenging"):
            if why_empty(found, run, subset):
                continue
            errors = torch.from_numpy(found.by_seed(run.name, "argmax", subset))
            seeds, faces = errors.shape
            thresholds, shares = metrics.cumulative_errors(errors.ravel(), limit, steps)
            row = dict(name=run.name, model=run.config.model, length_over_input=ratio(run.config))
            row |= dict(subset=subset, threshold_percent=100 * thresholds.numpy())
            row |= dict(share=shares.numpy(), seeds=seeds, faces=faces)
            parts.append(pd.DataFrame(row | dict(data=results.describe(found.first(run.name)))))
    columns = ["name", "model", "length_over_input", "subset", "threshold_percent", "share"]
    columns += ["seeds", "faces", "data"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


# --- the runs themselves -----------------------------------------------------------------------


def trainings(found):
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
    return tidy(rows, columns)


def _training(found, run):
    row = dict(run=run.id, group=run.group, model=run.config.model, length=bins(run.config))
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
