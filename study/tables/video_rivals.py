"""Tidy tables of the systems of others in videos: the paper's Tables 4 and 5, and its Fig. 4.

Rebuilt systems are trained on the same clips as ours, around detectors of the same backbone; every
interval is over videos and seeds. Fractions become percent here.
"""

import numpy as np

from study import paper, tables
from study.tables import rivals, stills, temporal

# The paper's name of a rebuilt system -> model of the tracker and which reading of it.
OURS = "Ours"
GAN, FHR, STA, SDM = "GAN", "FHR", "FHR+STA", "SDM"
BARE, COORDINATES = "GAN without its discriminator", "coordinates, frame by frame"
RED, ALONE = "2D tracker, RED-Net-like", "Ours, frame by frame"
BEYOND = (RED, BARE, COORDINATES, ALONE)  # systems that Tables 4 and 5 have no row of
WITHOUT_CODE = "not rebuilt: no code of its authors was found"
NOT_REBUILT = {
    "TSCN": "not rebuilt: its code is for actions, none for landmarks was found",
    "CFSS": "not rebuilt: Matlab, a long search of shapes; SDM stands for cascades",
    "TCDCN": "not rebuilt: its training takes labels of attributes that are not at hand",
    "TSTN": WITHOUT_CODE,
    "GHCU": WITHOUT_CODE,
    "Sun et al. [26]": "not rebuilt: code without weights, and a network that removes blur",
    "CFAN": "not rebuilt: open weights are for five landmarks alone",
    "IFA": "not rebuilt: binaries for fitting alone; SDM stands for cascades",
}
AREAS = tuple(temporal.AREAS)


# --- which run is which ------------------------------------------------------------------------


def of_model(found, model, adversarial=None):
    """The first seed of the tracker of a model that is best on validation; None without one.

    Args:
        found: `results.Results`.
        model: as in its configuration.
        adversarial: whether it has a discriminator; None where that is no question.
    """
    runs = [run for run in temporal.lines(found.profile) if run.config.model == model]
    if adversarial is not None:
        runs = [run for run in runs if (_weight(run) > 0) == adversarial]
    scores = {
        run: found.validation(run.name)[run.config.decoder]
        for run in runs
        if found.recorded(run.name)
    }
    return min(scores, key=scores.get) if scores else next(iter(runs), None)


def _weight(run):
    """The weight of the adversarial loss, 0 for a tracker that has none."""
    return getattr(run.config, "adversarial", 0.0)


def systems(found):
    """The systems that are rebuilt: name in Tables 4 and 5, or in BEYOND -> (run or None, reading).

    A tracker's detector inside is a system of its own: FHR that of STA, coordinates that of GAN.
    """
    ours, gan = temporal.shown(found.profile), of_model(found, "gan", adversarial=True)
    bare, sta = of_model(found, "gan", adversarial=False), of_model(found, "sta")
    return {
        SDM: (of_model(found, "sdm_tracker"), "tracker"),
        FHR: (sta, "detector"),
        STA: (sta, "tracker"),
        COORDINATES: (gan or bare, "detector"),
        BARE: (bare, "tracker"),
        GAN: (gan, "tracker"),
        RED: (temporal.find(found.profile, "tracker2d", over_input=0.5), "tracker"),
        ALONE: (ours, "detector"),
        OURS: (ours, "tracker"),
    }


def note(run, reading):
    """What a number of ours is of, in few words, such as "1D, L/F=3, argmax, refined, λ=0.3"."""
    settings = run.config
    words = [_inside(getattr(settings, "detector", None))]
    words.append("fractional" if settings.model == "sta" else settings.decoder)
    if reading == "detector":
        words.append("frame by frame")
    elif settings.model == "tracker1d":
        words.append(f"λ={settings.lam:g}")
    elif settings.model == "sta":
        words.append("stabilised")
    elif settings.model == "gan":
        weight = _weight(run)
        words.append(f"discriminator x {weight:g}" if weight else "no discriminator")
    return ", ".join(word for word in words if word not in ("", "direct"))


def _inside(inside):
    """What the detector inside is called, where it is one of those on stills."""
    if inside is None:
        return ""
    known = inside.model in rivals.KINDS or (inside.model, inside.loss) in rivals.NAMES
    return rivals.named(inside) if known else ""


# --- Tables 4 and 5 ----------------------------------------------------------------------------


def table4(found):
    """Table 4, 300VW, with our numbers beside the paper's, then the systems that it has no row of.

    Args:
        found: `results.Results`.

    Returns:
        the paper's columns, then size (F), ours_length (L), ours_percent with 95 % interval over
        videos ours_low, ours_high (mean over frames), ours_video_percent (mean over videos),
        seeds, videos, faces (frames), note (what ours is), data, reason.
    """
    return _table(found, paper.table4())


def table5(found):
    """Table 5, Talking Face, as `table4`; one video gives no interval.

    A profile whose videos are stills in motion, and which has no Talking Face, is scored on the
    seven landmarks of Talking Face in S1, its well-lit clips; `data` says so.
    """
    return _table(found, paper.table5())


def _table(found, published):
    subsets = list(dict.fromkeys(published["subset"]))
    beyond = [{"method": name, "subset": subset} for name in BEYOND for subset in subsets]
    listed = systems(found)
    rows = [
        row | _ours(found, listed, row["method"], temporal.SUBSETS[row["subset"]])
        for row in (*published.to_dict("records"), *beyond)
    ]
    columns = [*published.columns, "size", "ours_length", "ours_percent", "ours_low", "ours_high"]
    columns += ["ours_video_percent", "seeds", "videos", "faces", "note", "data", "reason"]
    return tables.tidy(rows, columns)


def _ours(found, listed, method, subset):
    if method not in listed:
        return {"reason": NOT_REBUILT[method]}
    run, reading = listed[method]
    reason, place = temporal.why_empty(found, run, subset, reading), "all"
    staged = found.profile.video is not None and found.profile.video.motion is not None
    if reason == temporal.NO_VIDEOS and subset == "TF" and staged:
        subset, place = "S1", temporal.SEVEN
        reason = temporal.why_empty(found, run, subset, reading)
    if reason:
        return {"reason": reason}
    measured = temporal.score(found, run.name, subset, reading=reading, place=place)
    data = temporal.describe(found, run, subset)
    keys = ("ours_percent", "ours_low", "ours_high", "ours_video_percent", "seeds", "videos")
    return {key: measured[key] for key in keys} | {
        "size": run.config.size,
        "ours_length": stills.bins(run.config),
        "faces": temporal.frame_count(found, run.name, subset),
        "note": note(run, reading),
        "data": data if place == "all" else f"{data}; no Talking Face: {place} on {subset}",
        "reason": "",
    }


# --- facial areas, Fig. 4 ----------------------------------------------------------------------


def areas(found):
    """Fig. 4: NRMSE of every rebuilt system on each facial area of the test videos.

    Returns:
        system, subset ("300VW all" is the three scenarios together, the paper's Fig. 4), area
        ("all" is all landmarks), percent (mean over frames) with 95 % interval over videos and
        seeds low, high, seeds, videos, faces (frames), note, data, reason.
    """
    rows = [
        {"system": name, "subset": named, "area": area, **_on_area(found, *one, named, area)}
        for name, one in systems(found).items()
        for named in (temporal.ALL, *temporal.SUBSETS)
        for area in ("all", *AREAS)
    ]
    columns = ["system", "subset", "area", "percent", "low", "high", "seeds", "videos", "faces"]
    return tables.tidy(rows, [*columns, "note", "data", "reason"])


def _on_area(found, run, reading, named, area):
    subset = temporal.NAMED[named]
    reason = temporal.why_empty(found, run, subset, reading)
    if reason:
        return {"reason": reason}
    errors, weights = temporal.videos(found, run.name, subset, reading=reading, place=area)
    if not len(weights):
        return {"reason": f"no landmark of the {area} in these videos"}
    measured = temporal.score(found, run.name, subset, reading=reading, place=area)
    return {
        **{key: measured[f"ours_{key}"] for key in ("percent", "low", "high")},
        **{key: measured[key] for key in ("seeds", "videos")},
        "faces": temporal.frame_count(found, run.name, subset),
        "note": note(run, reading),
        "data": temporal.describe(found, run, subset),
        "reason": "",
    }


# --- gains -------------------------------------------------------------------------------------

COMPARISONS = (
    (GAN, OURS),
    (BARE, GAN),
    (COORDINATES, GAN),
    (FHR, STA),
    (STA, OURS),
    (SDM, OURS),
    (RED, OURS),
    (ALONE, OURS),
)


def gains(found):
    """Relative decreases of NRMSE from one system to another, paired over videos.

    Against the paper's where it prints one: from GAN to its own tracker (Section 5.5), and by its
    Tables 4 and 5 for others.

    Returns:
        comparison, subset, landmarks ("all", or a facial area of "300VW all" and TF), decoder (of
        the one, of the other), before_percent, after_percent, decrease_percent with 95 % interval
        low, high, paper_percent, verdict, seeds, videos, data, reason.
    """
    listed, rows = systems(found), []
    for before, after in COMPARISONS:
        pair = listed[before], listed[after]
        for named in (*temporal.SUBSETS, temporal.ALL):
            for place in ("all", *AREAS):
                row = {"comparison": f"{before} to {after}", "subset": named, "landmarks": place}
                row["decoder"] = ", ".join(run.config.decoder for run, _ in pair if run)
                printed = _printed(before, after, named, place)
                rows.append(row | temporal.compare(found, pair, named, place, printed))
    columns = ["comparison", "subset", "landmarks", "decoder", "before_percent", "after_percent"]
    columns += ["decrease_percent", "low", "high", "paper_percent", "verdict"]
    return tables.tidy(rows, [*columns, "seeds", "videos", "data", "reason"])


def _printed(before, after, named, place):
    """The paper's decrease in percent; NaN where it prints none."""
    if (before, after, named, place) == (GAN, OURS, temporal.ALL, "contour"):
        return float(paper.claims().set_index("id").loc["contour-gan", "paper_value"])
    table = paper.table5() if named == "TF" else paper.table4()
    row = table[table["subset"] == named].set_index("method")["nrmse_percent"]
    if place != "all" or not {before, after} <= set(row.index):
        return np.nan
    return 100 * (1 - row[after] / row[before])


# --- motion ------------------------------------------------------------------------------------

MOVING = (ALONE, OURS, FHR, STA, SDM, COORDINATES, BARE, GAN, RED)


def motion(found):
    """Accuracy, jitter and delay of the rebuilt systems: what a stabiliser pays in delay.

    Returns:
        the columns of `temporal.motion`.
    """
    listed = systems(found)
    return temporal.moving(found, {name: listed[name] for name in MOVING})
