"""Tidy tables of the trackers, from the predictions on every frame of the test videos.

Frames of one video are much alike, so every interval is over videos and, as a second level, over
seeds; a score on one video has none. Fractions become percent here. A row that has no number of
ours says why in `reason`.
"""

import functools

import numpy as np
import pandas as pd

from study import claims, metrics, paper, results, tables
from study.datasets import talking_face, w300vw
from study.landmarks import SCHEMES
from study.tables import stills

SUBSETS = {"300VW S1": "S1", "300VW S2": "S2", "300VW S3": "S3", "TF": "TF"}
ALL = "300VW all"  # the three scenarios of 300VW together, as the paper's claims name them
NAMED = {**SUBSETS, ALL: "all"}
SCENARIOS = ("S1", "S2", "S3")
AREAS = SCHEMES["ibug68"].areas  # predictions on every video are of these 68 landmarks
NO_VIDEOS = "videos not available"
SEVEN = "Talking Face's seven"  # landmarks that its markup has in common with the 68
METHODS = {"tracker-1d": "tracker1d", "tracker-2d": "tracker2d"}  # Table 1's name -> model
SUMMED = "detector, heatmaps summed over the past"
# What was predicted -> its residuals, jitter and delay in predictions.npz.
READINGS = {
    "tracker": ("residual", "jitter", "delay_along"),
    "tracker, below the bin": ("residual_local", None, None),
    "tracker, box by the frame before": ("residual_previous", None, None),
    "tracker, tested with λ=0": ("residual_without", None, None),
    "detector": ("detected", "jitter_detected", "delay_detected"),
    SUMMED: ("averaged", "jitter_averaged", "delay_averaged"),
}
PLACES = ("all", "occluded", "visible")  # landmarks that a score is over
PLAIN = 0.0  # λ of no temporal refinement
CHOSEN = "(best on validation)"
TOLERANCE = 1e-9  # λ are compared as floats


# --- the profile's trackers --------------------------------------------------------------------


def lines(profile):
    """The profile's trackers: one `config.Run` (the first seed) a name, in its order."""
    first = {}
    for run in profile.group("tracker"):
        first.setdefault(run.name, run)
    return list(first.values())


def find(profile, model, *, over_input=None, lam=None, length=None):
    """The tracker of a model at one L/F, L or λ; None where there is none.

    Without λ it is that of the tracker that the profile shows.
    """
    if lam is None and model == "tracker1d" and profile.tracker:
        lam = profile.run(f"{profile.tracker}-s0").config.lam
    for run in lines(profile):
        settings = run.config
        same = settings.model == model and length in (None, settings.length)
        if over_input is not None:
            same = same and abs(stills.ratio(settings) - over_input) < TOLERANCE
        if same and (model == "tracker2d" or abs(settings.lam - lam) < TOLERANCE):
            return run
    return None


def shown(profile):
    """The tracker that the profile shows, or None."""
    return profile.run(f"{profile.tracker}-s0") if profile.tracker else None


def chosen(found):
    """The 1D tracker of the shown L whose λ does best on held-out videos, by the first seeds.

    None where that is the shown tracker itself or one without a past, or less than two are
    recorded.
    """
    base = shown(found.profile)
    scores = {
        run: found.first(run.name)["validation"][run.config.decoder]
        for run in lines(found.profile)
        if run.config.model == "tracker1d"
        and base.config.length == run.config.length
        and run.id in found.records
    }
    best = min(scores, key=scores.get) if len(scores) > 1 else base
    return None if best is None or best.config.lam in (PLAIN, base.config.lam) else best


def parts_of(subset):
    """The subsets of which one is made: "all" is the three scenarios of 300VW."""
    return SCENARIOS if subset == "all" else (subset,)


def why_empty(found, run, subset, reading="tracker"):
    """Why there is no number of ours for a tracker on a subset; "" where there is one."""
    if run is None:
        return f"not run in {found.profile.name}"
    if not found.recorded(run.name):
        return f"not trained yet ({found.reasons[run.id]})"
    tested = found.first(run.name)["data"]["test_videos"]
    if not all(tested.get(part) for part in parts_of(subset)):
        return NO_VIDEOS
    arrays = results.predictions(results.folder(found.profile, found.recorded(run.name)[0]))
    return "" if READINGS[reading][0] in arrays else f"not measured of a {run.config.model}"


def describe(found, run, subset="S1"):
    """What a tracker's numbers on a subset were measured on, in words that stand beside them."""
    data, profile = found.first(run.name)["data"], found.profile
    label = profile.talking.label if _is_talking(profile, subset) else data["label"]
    kind = " (rendered)" if profile.video.standin else ""
    clips = "clips" if profile.video.motion else "videos"
    return f"{label}{kind}, trained on {data['train_videos']} {clips}, F={run.config.size}"


def _is_talking(profile, subset):
    return subset == "TF" and profile.talking is not None


def _is_staged(found, run, subset):
    """Whether a tracker was trained or measured on anything but videos of a camera."""
    staged = found.first(run.name)["data"]["standin"]
    return staged or (_is_talking(found.profile, subset) and not found.profile.talking.real)


# --- scores of videos --------------------------------------------------------------------------


def frames(found, id, reading="tracker", place="all", broken=False):
    """Every test frame of one record with its score.

    Args:
        found: `results.Results`.
        id: of a recorded tracker.
        reading: a key of READINGS.
        place: "all" landmarks, those that something "occluded", the "visible" others, those of a
            facial area, such as "contour", or SEVEN.
        broken: whether to keep frames that the published list of 300VW calls broken.

    Returns:
        subset, video, frame, nrmse (fraction), landmarks (how many it is the mean over), jitter
        (fraction), jitter_true, delay_along, delay_way; sorted by video and frame. NaN where a
        frame has no such landmark, or the record no such array.
    """
    keep = broken or not found.profile.video.real
    return _frames(results.folder(found.profile, id), reading, place, keep)


def _frames(folder, reading, place, keep):
    """`frames` of the record in a folder; `keep` keeps the broken ones."""
    arrays = results.predictions(folder)
    key, jitter, delay = READINGS[reading]
    scored = ~np.isnan(arrays["detected"][..., 0]) & _places(arrays["occluded"], place)
    count = scored.sum(axis=1)
    distance = np.linalg.norm(arrays[key].astype(np.float64), axis=-1)
    total = np.where(scored, distance, 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        nrmse = total / count / arrays["normalizer"]
    table = pd.DataFrame(
        {
            **{name: arrays[name] for name in ("subset", "video", "frame")},
            **{"nrmse": nrmse, "landmarks": count},
            "jitter": arrays[jitter] if jitter else np.nan,
            "jitter_true": arrays["jitter_true"],
            "delay_along": arrays[delay] if delay else np.nan,
            "delay_way": arrays["delay_way"],
        }
    )
    if not keep:
        table = table[~is_broken(table)]
    return table.sort_values(["subset", "video", "frame"], ignore_index=True)


def is_broken(table):
    """Which of R frames, by video and number, the published list of 300VW calls broken: (R,)."""
    frames = zip(table["video"], table["frame"], strict=True)
    return np.array([frame in w300vw.BROKEN.get(video, ()) for video, frame in frames], dtype=bool)


def _places(occluded, place):
    if place == "all":
        return np.ones_like(occluded)
    if place in AREAS or place == SEVEN:
        found = np.zeros_like(occluded)
        found[:, list(talking_face.IN_IBUG68 if place == SEVEN else AREAS[place])] = True
        return found
    return occluded if place == "occluded" else ~occluded


def _by_video(found, id, reading="tracker", place="all", broken=False):
    """The mean nrmse of each video (subset, video) and the landmarks that it is over."""
    folder, keep = results.folder(found.profile, id), broken or not found.profile.video.real
    stamp = (folder / "predictions.npz").stat().st_mtime_ns
    return _summed(folder, stamp, reading, place, keep)


@functools.lru_cache(maxsize=2048)  # a row a video: small, and asked for again and again
def _summed(folder, stamp, reading, place, keep):
    table = _frames(folder, reading, place, keep)
    table = table[table["landmarks"] > 0]
    table = table.assign(total=table["nrmse"] * table["landmarks"])
    sums = table.groupby(["subset", "video"])[["total", "landmarks"]].sum()
    return sums.assign(nrmse=sums["total"] / sums["landmarks"])


def videos(found, name, subset, seeds=None, **reading):
    """Mean NRMSE of each video of a subset by every recorded seed of a tracker.

    Args:
        subset: S1, S2, S3, TF, or "all" for the three scenarios of 300VW together.
        seeds: which of them; None is all.
        reading: as in `frames`.

    Returns:
        errors (S, V) fractions, weights (V,): the landmarks that each mean is over, which is
        proportional to the frames where all landmarks count. Videos without any are left out.

    Raises:
        ValueError: nothing is recorded, or two seeds hold different frames.
    """
    ids = [
        id for id in found.recorded(name) if seeds is None or found.records[id]["seed"] in seeds
    ]
    if not ids:
        raise ValueError(f"no run of {name} is recorded")
    rows, weights = [], []
    for id in ids:
        table = _by_video(found, id, **reading)
        table = table[table.index.isin(parts_of(subset), level="subset")]
        rows.append(table["nrmse"].to_numpy())
        weights.append(table["landmarks"])
    if any(not weights[0].equals(other) for other in weights[1:]):
        raise ValueError(f"the seeds of {name} were measured on different frames")
    return np.stack(rows), weights[0].to_numpy(dtype=float)


def score(found, name, subset, **reading):
    """Frame mean with its interval, and the mean of the videos' means, in percent: a dict.

    Args:
        found, name, subset, reading: as in `videos`.
    """
    errors, weights = videos(found, name, subset, **reading)
    mean, low, high = _over_videos(metrics.bootstrap_mean(errors, weights=weights), weights)
    by_video, *ends = _over_videos(metrics.bootstrap_mean(errors), weights)
    return {
        **{"ours_percent": mean, "ours_low": low, "ours_high": high},
        **{"ours_video_percent": by_video, "ours_video_low": ends[0], "ours_video_high": ends[1]},
        **{"seeds": errors.shape[0], "videos": errors.shape[1]},
    }


def _over_videos(bounds, weights):
    """Percent of a mean and its interval, which one video alone cannot have: NaN there."""
    mean, low, high = tables.percent(bounds)
    return (mean, low, high) if len(weights) > 1 else (mean, np.nan, np.nan)


def frame_count(found, name, subset):
    """How many test frames of a subset a tracker was measured on."""
    table = frames(found, found.recorded(name)[0])
    return int(table["subset"].isin(parts_of(subset)).sum())


# --- Table 1, its tracker half -----------------------------------------------------------------


def table1_row(found, row):
    """Our entries for a row of Table 1 of a tracker, by argmax and the mean over frames."""
    subset = SUBSETS[row["subset"]]
    run = find(found.profile, METHODS[row["method"]], over_input=row["length_over_input"])
    entries = {"reason": why_empty(found, run, subset)}
    if entries["reason"]:
        return entries
    measured = score(found, run.name, subset)
    own = {key: measured[key] for key in ("ours_percent", "ours_low", "ours_high", "seeds")}
    return own | {
        "size": run.config.size,
        "ours_length": run.config.length,
        "faces": frame_count(found, run.name, subset),
        "data": describe(found, run, subset),
        "reason": "",
    }


# --- Table 2 -----------------------------------------------------------------------------------

TRAINED, TESTED = "trained and tested with λ", "trained with the shown λ, tested with λ=0"


def table2(found):
    """Table 2 with our numbers beside the paper's, then the rest of the λ curve.

    The paper does not say whether λ=0 is trained or only tested so: both readings are here.

    Returns:
        subset, lam, nrmse_percent (the paper's), reading, size, ours_length, ours_percent with
        95 % interval over videos ours_low, ours_high (mean over frames), ours_video_percent with
        ours_video_low, ours_video_high (mean over videos), decrease_percent from the tracker
        trained with λ=0 with decrease_low, decrease_high (paired over videos and seeds), seeds,
        videos, faces (frames), data, reason.
    """
    published = paper.table2()
    rows = [{**row, "reading": TRAINED} for row in published.to_dict("records")]
    both = [dict(row, reading=TESTED) for row in rows if abs(row["lam"]) < TOLERANCE]
    known = set(published["lam"])
    own = {run.config.lam for run in lines(found.profile) if run.config.model == "tracker1d"}
    more = [
        {"subset": subset, "lam": lam, "reading": TRAINED}
        for lam in sorted(own - known)
        for subset in SUBSETS
    ]
    rows = [{**row, **_table2(found, row)} for row in (*rows, *both, *more)]
    columns = ["subset", "lam", "nrmse_percent", "reading", "size", "ours_length"]
    columns += ["ours_percent", "ours_low", "ours_high"]
    columns += ["ours_video_percent", "ours_video_low", "ours_video_high"]
    columns += ["decrease_percent", "decrease_low", "decrease_high"]
    return tables.tidy(rows, [*columns, "seeds", "videos", "faces", "data", "reason"])


def _table2(found, row):
    subset, base = SUBSETS[row["subset"]], shown(found.profile)
    tested = row["reading"] == TESTED
    run = base and (
        base
        if tested
        else find(found.profile, "tracker1d", lam=row["lam"], length=base.config.length)
    )
    reason = why_empty(found, run, subset)
    if reason:
        return {"reason": reason}
    reading = "tracker, tested with λ=0" if tested else "tracker"
    plain = find(found.profile, "tracker1d", lam=PLAIN, length=base.config.length)
    return {
        **score(found, run.name, subset, reading=reading),
        **_from_plain(found, (plain, "tracker"), (run, reading), subset),
        "size": run.config.size,
        "ours_length": run.config.length,
        "faces": frame_count(found, run.name, subset),
        "data": describe(found, run, subset),
        "reason": "",
    }


def _from_plain(found, plain, other, subset):
    """The decrease of NRMSE from the tracker trained with λ=0, in percent; nothing without it."""
    if plain[0] is None or not found.recorded(plain[0].name):
        return {}
    before, after, weights, paired = _both(found, (plain, other), subset)
    bounds = metrics.bootstrap_decrease(before, after, weights=weights, paired=paired)
    values = _over_videos(bounds, weights)
    return dict(zip(("decrease_percent", "decrease_low", "decrease_high"), values, strict=True))


# --- what each system does to accuracy and to motion -------------------------------------------


def _with_chosen(best, name, sides):
    """An entry about the λ that is best on validation; nothing where there is no such λ."""
    return {name.format(best.config.lam, CHOSEN): sides} if best else {}


def systems(found):
    """What `motion` compares: name -> (run or None, reading)."""
    profile = found.profile
    base = shown(profile)
    if base is None:
        return {}
    lam, length, best = base.config.lam, base.config.length, chosen(found)
    plain = find(profile, "tracker1d", lam=PLAIN, length=length)
    rival = find(profile, "tracker2d", over_input=0.5)
    return {
        "1D detector": (base, "detector"),
        f"1D detector, heatmaps summed, λ={lam:g}": (base, SUMMED),
        "1D tracker, trained with λ=0": (plain, "tracker"),
        f"1D tracker, λ={lam:g} tested with λ=0": (base, "tracker, tested with λ=0"),
        f"1D tracker, λ={lam:g}": (base, "tracker"),
        f"1D tracker, λ={lam:g}, below the bin": (base, "tracker, below the bin"),
        f"1D tracker, λ={lam:g}, box by the frame before": (
            base,
            "tracker, box by the frame before",
        ),
        **_with_chosen(best, "1D tracker, λ={:g} {}", (best, "tracker")),
        **_with_chosen(best, "1D detector, heatmaps summed, λ={:g} {}", (best, SUMMED)),
        "2D detector at L/F 0.5": (rival, "detector"),
        "2D tracker at L/F 0.5": (rival, "tracker"),
        "2D tracker at L/F 0.5, below the bin": (rival, "tracker, below the bin"),
    }


def motion(found):
    """Accuracy, jitter and delay of every system on every subset of videos.

    Returns:
        system, subset, lam, length, percent (mean over frames) with 95 % interval low, high,
        video_percent (mean over videos), occluded_percent and visible_percent (landmarks that
        something occludes, and the others), jitter_percent (acceleration over the distance of the
        outer eye corners), jitter_true_percent (the truth's own), delay_frames (0 is on time, 1
        shows the frame before), seeds, videos, data, reason.
    """
    return moving(found, systems(found))


def moving(found, listed):
    """The table of `motion` for other systems.

    Args:
        listed: name -> (run or None, reading).
    """
    rows = [
        _moving(found, system, run, reading, subset)
        for system, (run, reading) in listed.items()
        for subset in SUBSETS.values()
    ]
    columns = ["system", "subset", "lam", "length", "percent", "low", "high", "video_percent"]
    columns += ["occluded_percent", "visible_percent", "jitter_percent", "jitter_true_percent"]
    return tables.tidy(rows, [*columns, "delay_frames", "seeds", "videos", "data", "reason"])


def _moving(found, system, run, reading, subset):
    reason = why_empty(found, run, subset, reading)
    row = {"system": system, "subset": subset, "reason": reason}
    if row["reason"]:
        return row
    measured = score(found, run.name, subset, reading=reading)
    row |= {key: measured[f"ours_{key}"] for key in ("percent", "low", "high", "video_percent")}
    row |= {key: measured[key] for key in ("seeds", "videos")}
    row["length"] = stills.bins(run.config)
    row["data"] = describe(found, run, subset)
    if run.config.model == "tracker1d" and reading != "detector":
        row["lam"] = PLAIN if reading.endswith("λ=0") else run.config.lam
    for place in PLACES[1:]:
        errors, weights = videos(found, run.name, subset, reading=reading, place=place)
        if len(weights):
            row[f"{place}_percent"] = 100 * np.average(errors, axis=1, weights=weights).mean()
    parts = [frames(found, id, reading=reading) for id in found.recorded(run.name)]
    table = pd.concat(parts)
    table = table[table["subset"] == subset]
    row |= {"jitter_percent": 100 * table["jitter"].mean()}
    row |= {"jitter_true_percent": 100 * table["jitter_true"].mean()}
    if table["delay_along"].notna().all() and table["delay_way"].sum() > 0:
        row["delay_frames"] = table["delay_along"].sum() / table["delay_way"].sum()
    return row


# --- gains -------------------------------------------------------------------------------------


def comparisons(found):
    """Pairs of systems: name -> ((run, reading), (run, reading), the paper's two or None).

    The paper's are rows of its Table 1 as (method, L), or values of λ in its Table 2.
    """
    profile = found.profile
    base = shown(profile)
    if base is None:
        return {}
    lam, length, best = base.config.lam, base.config.length, chosen(found)
    ours, alone = (base, "tracker"), (base, "detector")
    plain = (find(profile, "tracker1d", lam=PLAIN, length=length), "tracker")
    low, high = (find(profile, "tracker1d", over_input=share) for share in (0.25, 3.0))
    rival = (find(profile, "tracker2d", over_input=0.5), "tracker")
    ends = (("tracker-1d", 64), ("tracker-1d", 768))
    return {
        f"λ 0 to {lam:g}, each trained": (plain, ours, (PLAIN, lam)),
        f"λ 0 to {lam:g}, tested with 0": ((base, "tracker, tested with λ=0"), ours, None),
        **_with_chosen(best, "λ 0 to {:g} {}", (plain, (best, "tracker"), None)),
        "detector to tracker": (alone, ours, None),
        "detector to tracker trained with λ=0": (alone, plain, None),
        f"detector to its summed heatmaps, λ={lam:g}": (alone, (base, SUMMED), None),
        **_with_chosen(
            best, "detector to its summed heatmaps, λ={:g} {}", (alone, (best, SUMMED), None)
        ),
        "1D, L/F 0.25 to 3": ((low, "tracker"), (high, "tracker"), ends),
        "2D at L/F 0.5 to 1D at L/F 3": (
            rival,
            (high, "tracker"),
            (("tracker-2d", 128), ("tracker-1d", 768)),
        ),
    }


def gains(found):
    """Relative decreases of NRMSE between two systems, paired over videos, against the paper's.

    Systems around the same detectors are paired over seeds as well.

    Returns:
        comparison, subset, landmarks (all, occluded or visible), decoder, before_percent,
        after_percent, decrease_percent with 95 % interval low, high, paper_percent, verdict,
        seeds, videos, data, reason.
    """
    rows = [
        _gain(found, name, sides, subset, place)
        for name, sides in comparisons(found).items()
        for subset in SUBSETS
        for place in PLACES
    ]
    columns = ["comparison", "subset", "landmarks", "decoder", "before_percent", "after_percent"]
    columns += ["decrease_percent", "low", "high", "paper_percent", "verdict"]
    return tables.tidy(rows, [*columns, "seeds", "videos", "data", "reason"])


def _gain(found, name, sides, named, place):
    *pair, published = sides
    printed = _published(published, named) if place == "all" else np.nan
    row = {"comparison": name, "subset": named, "landmarks": place, "decoder": "argmax"}
    return row | compare(found, pair, named, place, printed)


def compare(found, pair, named, place="all", printed=np.nan):
    """The relative decrease of NRMSE from one system to another, paired over videos.

    Args:
        found: `results.Results`.
        pair: twice (run or None, reading).
        named: a key of NAMED.
        place: as in `frames`.
        printed: the paper's decrease in percent, for which there is a verdict; or NaN.

    Returns:
        dict of columns of `gains`, without comparison, subset, landmarks and decoder.
    """
    subset, row = NAMED[named], {"verdict": ""}
    if not np.isnan(printed):
        row |= {"paper_percent": printed, "verdict": claims.NOT_RUN}
    reasons = [why_empty(found, run, subset, reading) for run, reading in pair]
    row["reason"] = next(filter(None, reasons), "")
    if row["reason"]:
        return row
    try:
        before, after, weights, paired = _both(found, pair, subset, place)
    except ValueError as error:
        return row | {"reason": str(error)}
    if not len(weights):
        return row | {"reason": f"no {place} landmark in these videos"}
    bounds = metrics.bootstrap_decrease(before, after, weights=weights, paired=paired)
    decrease, low, high = _over_videos(bounds, weights)
    row |= {
        "before_percent": 100 * np.average(before, axis=1, weights=weights).mean(),
        "after_percent": 100 * np.average(after, axis=1, weights=weights).mean(),
        **{"decrease_percent": decrease, "low": low, "high": high},
        **{"seeds": min(len(before), len(after)), "videos": before.shape[1]},
        "data": describe(found, pair[1][0], subset),
    }
    if row["verdict"]:
        staged = any(_is_staged(found, run, subset) for run, _ in pair)
        row["verdict"] = claims.verdict(printed, decrease, low, high, staged)
    return row


def _both(found, pair, subset, place="all"):
    """What two systems err by on the same videos, for a bootstrap.

    Returns:
        errors of the first and of the second (S, V), weights (V,), whether rows are paired.

    Raises:
        ValueError: they were measured on different frames.
    """
    shared = shared_seeds(found, *(run for run, _ in pair))
    (before, weights), (after, others) = (
        videos(found, run.name, subset, shared or None, reading=reading, place=place)
        for run, reading in pair
    )
    if not np.array_equal(weights, others):
        raise ValueError("measured on different frames")
    return before, after, weights, bool(shared)


def shared_seeds(found, run, other):
    """Seeds that two trackers around the same detectors are both recorded with.

    Trackers of one seed hold one detector, so most of what seeds differ in is in both. Empty for
    trackers around other detectors, whose seeds have nothing in common.
    """
    if run.detector != other.detector:
        return set()
    ids = (found.recorded(one.name) for one in (run, other))
    first, second = ({found.records[id]["seed"] for id in some} for some in ids)
    return first & second


def _published(pair, named):
    """The paper's decrease in percent between two rows of Table 1 or Table 2; NaN for none."""
    if pair is None:
        return np.nan
    if isinstance(pair[0], float):
        table = paper.table2()
        table = table[table["subset"] == named].set_index("lam")["nrmse_percent"]
        if not set(pair) <= set(table.index):
            return np.nan
        return 100 * (1 - table[pair[1]] / table[pair[0]])
    try:
        return paper.decrease(*pair, named)
    except KeyError:  # Table 1 has no Talking Face
        return np.nan


def published_gains():
    """The paper's λ, and its lowest and highest decrease on 300VW from λ=0 to it, % (Table 2)."""
    lam = max(paper.table2()["lam"])
    named = [name for name in SUBSETS if name.startswith("300VW")]
    values = [_published((PLAIN, lam), name) for name in named]
    return lam, min(values), max(values)


# --- one tracker -------------------------------------------------------------------------------


def tracker(found, run):
    """What the training of one tracker was and gave: what, value, unit."""
    record, settings = found.records[run.id], run.config
    trained = record["data"]
    rows = [
        ("parameters, the detector's included", record["parameters"], ""),
        ("heatmap length L", settings.length, "bins"),
        ("temporal refinement lambda", getattr(settings, "lam", np.nan), ""),
        ("frames of a training clip T", settings.frames, ""),
        ("training videos", trained["train_videos"], ""),
        ("training frames", trained["train"], ""),
        ("held-out frames", trained["validation"], ""),
        ("epochs", settings.epochs, ""),
        ("training time", record["seconds"], "s"),
        ("speed", record["samples_per_second"], "frames/s"),
    ]
    rows += [
        (f"held-out NRMSE, {decoder}", 100 * score, "%")
        for decoder, score in record["validation"].items()
    ]
    return pd.DataFrame(rows, columns=["what", "value", "unit"])


def worst_occlusions(found, id, count):
    """The test frames where the tracker gains most over its detector on occluded landmarks.

    Returns:
        table of subset, video, frame, detector, tracker (fractions), best first; from different
        videos. Without occluded landmarks, over all of them.
    """
    place = "occluded" if _any_occluded(found, id) else "all"
    before, after = (frames(found, id, reading, place) for reading in ("detector", "tracker"))
    table = before[["subset", "video", "frame"]].assign(
        detector=before["nrmse"], tracker=after["nrmse"]
    )
    table = table.dropna().assign(gain=lambda rows: rows["detector"] - rows["tracker"])
    table = table.sort_values("gain", ascending=False, kind="stable")
    return table.drop_duplicates("video").head(count).reset_index(drop=True)


def _any_occluded(found, id):
    return bool(results.predictions(results.folder(found.profile, id))["occluded"].any())
