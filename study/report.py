"""The page of a profile: one self-contained file of all tables and figures, made from records."""

import base64
import functools
import json
import re
from pathlib import Path

import jinja2
import markupsafe
import pandas as pd

from study import (
    ablation,
    ablation_figures,
    ablation_views,
    annotations,
    answers,
    area_answers,
    area_figures,
    area_views,
    attention,
    claims,
    figures,
    folds,
    paper,
    paths,
    results,
    rivals,
    runs,
    tables,
    temporal,
    video_figures,
    video_rivals,
    views,
)
from study.config import ConfigError

TEMPLATE = "report.html.j2"
# Tables that need data or weights, read back where they are.
KEPT = ("data", "videos", "quantization", "detector", "affinity", "tracker", "memory")
KEPT += ("coattention_poses", "variances", "variances_landmarks", "variances_contour")
KEPT += annotations.NAMES

# What each figure shows, for those who cannot see it.
ALT = {
    "fig1_quantization": "A drawn eye three times: with a landmark, with the landmark rounded to "
    "one of 8 coarse bins, and rounded to one of 96 fine bins, where it hardly moves.",
    "quantization_floor": "NRMSE that rounding alone causes, falling as one over L; the paper's "
    "detector lies above it and falls far less.",
    "resolution": "NRMSE of 1D and 2D heatmaps over L/F on the left and over L on the right, with "
    "95 % intervals, the paper's values in a lighter colour, and the cost of rounding below.",
    "cumulative_errors": "Share of the test faces at or below each NRMSE, one line a system.",
    "detector_history": "Training loss and validation NRMSE over the epochs.",
    "affinity": "Affinity matrices of co-attention along x and y: the mean of many faces, and one.",
    "contact_sheet": "Faces with their 68 landmarks.",
    "augmented": "The same faces rotated, scaled, shifted, mirrored, recoloured and occluded.",
    "marginal_heatmaps": "Predicted 1D heatmaps of some landmarks of one face.",
    "predictions": "Test faces with true and predicted landmarks.",
    "tracker_history": "Training loss and validation NRMSE of the tracker over the epochs.",
    "lambda_curve": "By how much NRMSE of the tracker falls from λ=0 over the weight of the past, "
    "λ, from 0 to 1, on each subset of videos, with 95 % intervals, and the paper's at 0.3.",
    "temporal_motion": "NRMSE against jitter of detectors and trackers on each subset of videos; "
    "a dotted line marks the jitter of the true landmarks.",
    "temporal_gain": "By how much NRMSE falls from one system to the next, with 95 % intervals, "
    "on all landmarks, on those that something occludes, and on the others.",
    "fig3_coattention": "Decrease of NRMSE from γ=0 over the weight of co-attention γ, with 95 % "
    "intervals; and the paper's decreases at 0.4 on eight test sets, with ours where measured.",
    "attention_controls": "Decrease of NRMSE from γ=0 by ways to join the axes, co-attention and "
    "others, and by co-attention in detectors of other sizes, with 95 % intervals.",
    "cross_validation": "NRMSE on each held-out fold over γ and over λ, relative to the fold's "
    "mean, and the mean over the folds.",
    "rivals": "NRMSE of every system on the same backbone with 95 % intervals, by its own decoder "
    "and by the best on validation faces, best first.",
    "gain_split": "The gain from L/F=0.25 to 3 as a staircase of its parts in points of NRMSE, "
    "each with its 95 % interval, and the whole.",
    "gain_lengths": "NRMSE over L of 1D and 2D detectors and of 1D detectors changed in one thing "
    "at a time, by argmax on the left and by the best decoder on validation on the right.",
    "gain_order": "NRMSE relative to its lowest over L/F on the left and over L on the right, for "
    "crops of two sizes.",
    "memory": "GiB of a training step over L of three detectors: 2D with hourglasses as large as "
    "the heatmaps rises above the card's line, 2D deconvolved and 1D stay below.",
    "fig4_facial_areas": "NRMSE of every system on each facial area with 95 % intervals on the "
    "left, and on the right by how much it falls from each of them to ours.",
    "fig5_variances": "Variance of x and of y averaged over the landmarks of each facial area, "
    "with 95 % intervals, in four systems of coordinates.",
    "mean_face": "The mean of all faces three times, an ellipse of one standard deviation around "
    "each landmark: narrow along the contour in the crop, wide there in the other two.",
    "stabilisation": "NRMSE, jitter and delay of every system in videos beside each other; dotted "
    "lines mark the jitter of the true landmarks.",
    "video_sheet": "Every third frame of a test video of each subset, with its landmarks.",
    "refinement": "1D heatmaps of one landmark before and after temporal refinement, in frames "
    "where refinement gains most.",
}
WITH_FACES = ("contact_sheet", "augmented", "marginal_heatmaps", "predictions")
WITH_FACES += ("video_sheet", "refinement")


def make(profile):
    """Makes all tables and figures that the records allow, metrics.json and the page.

    Needs neither data nor weights: what only they can give is read back from reports/<profile>
    where it is. The same records give the same bytes.

    Args:
        profile: a `config.Profile`.

    Returns:
        path of reports/<profile>/index.html.

    Raises:
        ConfigError: a profile of one's own data.
    """
    if profile.data.own:
        raise ConfigError(
            f"profile {profile.name} has no table of the paper to re-make: its page is notebook "
            f"14, by `make repro PROFILE={profile.name}`"
        )
    found = results.load(profile)
    made = make_tables(found)
    make_figures(found, made)
    folder = paths.reports(profile.name)
    text = json.dumps(key_numbers(found, made), indent=1) + "\n"
    _write(folder / "metrics.json", text)
    _write(folder / "index.html", page(found, made))
    return folder / "index.html"


def make_tables(found):
    """All tables, saved and read back: name -> table; None where data or records are missing."""
    name = found.profile.name
    kept = {key: tables.read(key, name) for key in KEPT}
    made = _of_stills(found) | _of_videos(found) | _of_folds(found)
    made["claims"] = claims.table(tables.worked_example(), kept | made)
    made["trainings"] = tables.trainings(found)
    shown = {"detector": (found.profile.flagship, tables.detector)}
    shown["tracker"] = (found.profile.tracker, temporal.tracker)
    for key, (one, summary) in shown.items():
        recorded = found.recorded(one)
        if recorded:
            made[key] = summary(found, found.profile.run(recorded[0]))
            made[f"{key}_history"] = tables.histories(found, one)
    saved = {key: tables.save(table, key, name) for key, table in made.items()}
    return kept | {"detector_history": None, "tracker_history": None} | saved


def _of_stills(found):
    """Tables of detectors."""
    lengths = ablation.lengths(found)
    return {
        "table1_resolution": tables.table1(found, temporal.table1_row),
        "resolution_decoders": tables.decoders(found),
        "resolution_gain": tables.gains(found),
        "tuning": tables.tuning(found),
        "cumulative_errors": tables.cumulative(found),
        "coattention": attention.curve(found),
        "coattention_gain": attention.gains(found),
        "coattention_controls": attention.controls(found),
        "coattention_conditions": attention.conditions(found),
        "rivals": rivals.side_by_side(found),
        "rivals_gain": rivals.gains(found),
        "table3_image_datasets": rivals.table3(found),
        "gain_split": ablation.split(found),
        "gain_lengths": lengths,
        "gain_order": ablation.order(lengths),
    }


def _of_videos(found):
    """Tables of trackers."""
    return {
        "table2_temporal_refinement": temporal.table2(found),
        "temporal_motion": temporal.motion(found),
        "temporal_gain": temporal.gains(found),
        "table4_300vw": video_rivals.table4(found),
        "table5_talking_face": video_rivals.table5(found),
        "facial_areas": video_rivals.areas(found),
        "video_rivals_gain": video_rivals.gains(found),
        "video_rivals_motion": video_rivals.motion(found),
    }


def _of_folds(found):
    """Tables of cross-validations."""
    scores = folds.scores(found)
    chosen = folds.choices(found, scores)
    return {"cross_validation_scores": scores, "cross_validation": chosen}


def make_figures(found, made):
    """All figures that the tables give, saved."""
    name, cost = found.profile.name, made["quantization"]
    figures.save(figures.fig1_quantization(), "fig1_quantization", name)
    figures.save(figures.resolution(made["resolution_decoders"], cost), "resolution", name)
    curves = figures.cumulative_errors(made["cumulative_errors"])
    figures.save(curves, "cumulative_errors", name)
    attentive = figures.coattention(made["coattention"], attention.published())
    figures.save(attentive, "fig3_coattention", name)
    for key, drawn in drawn_of_ablations(made).items():
        figures.save(drawn, key, name)
    if made["memory"] is not None:
        figures.save(figures.memory(made["memory"]), "memory", name)
    if cost is not None:
        figures.save(figures.quantization_floor(cost), "quantization_floor", name)
    for history in ("detector_history", "tracker_history"):
        if made[history] is not None:
            figures.save(figures.detector_history(made[history]), history, name)
    if made["affinity"] is not None:
        figures.save(figures.affinity(made["affinity"]), "affinity", name)
    for key, draw in (drawn_of_videos(made) | drawn_of_areas(made)).items():
        figures.save(draw(), key, name)


def drawn_of_ablations(made):
    """Figures of rivals, ablations and cross-validations: name -> what is drawn."""
    names = ("coattention_controls", "coattention_conditions", "coattention_poses")
    controls = [made[name] for name in names]
    return {
        "attention_controls": ablation_figures.attention(*controls),
        "cross_validation": ablation_figures.cross_validation(made["cross_validation_scores"]),
        "rivals": ablation_figures.rivals(made["rivals"]),
        "gain_split": ablation_figures.split(made["gain_split"]),
        "gain_lengths": ablation_figures.lengths(made["gain_lengths"]),
        "gain_order": ablation_figures.order(made["gain_lengths"]),
    }


def drawn_of_videos(made):
    """Figures of which something was measured on videos: name -> what draws it."""
    table2, moving = made["table2_temporal_refinement"], made["temporal_motion"]
    gained = made["temporal_gain"]
    listed = {
        "lambda_curve": (video_figures.lambda_curve, table2, "decrease_percent"),
        "temporal_motion": (video_figures.motion, moving, "percent"),
        "temporal_gain": (video_figures.refinement_gains, gained, "decrease_percent"),
    }
    return {
        key: functools.partial(draw, table)
        for key, (draw, table, column) in listed.items()
        if table[column].notna().any()
    }


def drawn_of_areas(made):
    """Figures of facial areas and rivals in videos that can be drawn: name -> what draws it."""
    found, shown = {}, made["facial_areas"]
    if shown["percent"].notna().any():
        gained, moving = made["video_rivals_gain"], made["video_rivals_motion"]
        found["fig4_facial_areas"] = functools.partial(
            area_figures.fig4_facial_areas, shown, gained
        )
        found["stabilisation"] = functools.partial(area_figures.stabilisation, moving)
    spread, places = made["variances"], made["variances_landmarks"]
    if spread is not None:
        found["fig5_variances"] = functools.partial(area_figures.fig5_variances, spread)
    if places is not None:
        found["mean_face"] = functools.partial(area_figures.mean_face, places)
    return found


def key_numbers(found, made):
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


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- the page ----------------------------------------------------------------------------------


def page(found, made):
    """The page as HTML, with every figure inside it."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(strong=strong, minutes=minutes)
    profile, newest, tracker = found.profile, found.newest, temporal.shown(found.profile)
    tracked = tracker is not None and bool(found.recorded(tracker.name))
    text = environment.get_template(TEMPLATE).render(
        profile=profile,
        record=newest,
        standin=profile.data.standin is not None,
        staged=staged(profile),
        has_video=profile.video is not None,
        found=found,
        measured_on=results.describe(newest) if newest else "",
        answer=answers.resolution(made["resolution_gain"], made["resolution_decoders"]),
        rounding="" if made["quantization"] is None else answers.rounding(made["quantization"]),
        tracked_on=temporal.describe(found, tracker) if tracked else "",
        one_tracker=answers.tracker(found, _first(found, tracker)) if tracked else "",
        on_video=answers.temporal(made["temporal_gain"], made["temporal_motion"]),
        on_attention=answers.coattention(made["coattention_gain"], made["coattention"]),
        attention_measured=made["coattention"]["percent"].notna().any(),
        on_controls=answers.controls(
            *(made[f"coattention_{name}"] for name in ("controls", "conditions", "poses"))
        ),
        on_folds=answers.cross_validation(made["cross_validation"]),
        folds_measured=made["cross_validation"]["chosen"].notna().any(),
        folds_of_clips=made["cross_validation"].set_index("weight")["chosen"].notna()["lam"],
        on_rivals=answers.rivals(made["rivals"], made["rivals_gain"]),
        on_parts=answers.parts(made["gain_split"], made["gain_order"]),
        on_cost=answers.cost(made["rivals"]),
        on_memory=_on_memory(made["memory"]),
        lam=tracker.config.lam if tracker is not None else None,
        on_video_rivals=area_answers.in_videos(made["video_rivals_gain"]),
        on_areas=area_answers.facial_areas(made["video_rivals_gain"]),
        on_variances=_on_variances(made["variances_contour"]),
        drawn=drawn_of_videos(made) | drawn_of_areas(made),
        tables=views.shown_tables(found, made)
        | ablation_views.shown_tables(made)
        | area_views.shown_tables(made),
        figure=lambda name: figure(profile.name, name),
        shows_faces=profile.data.standin is not None,
        missing=missing(found, made),
        looks=views.looks(found),
        versions=versions(found),
        paper_size=paper.SIZE,
        paper_gain=paper.decrease(("detector-1d", 64), ("detector-1d", 768), "300W com"),
        paper_temporal=temporal.published_gains(),
    )
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"


def _on_memory(ledger):
    return "" if ledger is None else answers.memory(claims.memory(ledger), ledger)


def _on_variances(largest):
    return "" if largest is None else area_answers.variances(largest)


def _first(found, run):
    """The first recorded seed of a run."""
    return found.profile.run(found.recorded(run.name)[0])


def staged(profile):
    """What stands in for videos of a camera: "rendered", "motion", or "" where nothing does."""
    if profile.video is None or profile.video.real:
        return ""
    return "motion" if profile.video.motion else "rendered"


def strong(text):
    """Text for HTML in which **words** stand out."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped))


def minutes(seconds):
    """A duration in words of a useful size."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def figure(profile, name):
    """An <img> with the whole picture inside it; empty where the figure has not been made."""
    faces = name in WITH_FACES
    file = figures.folder(profile, faces) / f"{name}.{'png' if faces else 'svg'}"
    if not file.exists():
        return markupsafe.Markup("")
    data, kind = file.read_bytes(), "svg+xml"
    if faces:
        data, kind = figures.shrink(data, 1100), "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    html = '<figure id="figure-{}"><img src="{}" alt="{}"></figure>'
    return markupsafe.Markup(html).format(name, markupsafe.Markup(source), ALT[name])


def missing(found, made):
    """What is not there and why: a list of (what, why)."""
    lines = _missing_of_table1(made["table1_resolution"])
    lines += _missing_of_table2(made["table2_temporal_refinement"])
    lines += area_views.missing(made)
    lines += [(f"training {id}", reason) for id, reason in found.reasons.items()]
    if made["quantization"] is None:
        lines.append(("the cost of rounding", "no data on this machine, and no table of it here"))
    if made["variances"] is None:
        lines.append(("the variances of landmarks", "no data on this machine, and no table here"))
    if made["videos"] is None and found.profile.video:
        lines.append(("the counts of videos", "no data on this machine, and no table of it here"))
    lines += [
        (f"the record {name}", "not listed in the profile, so nothing reads it")
        for name in runs.unlisted(found.profile)
    ]
    return lines


def _missing_of_table1(table):
    empty = table[table["reason"] != ""]
    kind = empty["method"].str.split("-").str[0]
    return [
        (f"Table 1, {', '.join(dict.fromkeys(rows['method']))}: {_places(rows)}", reason)
        for (_, reason), rows in empty.groupby([kind, "reason"], sort=False)
    ]


def _missing_of_table2(table):
    """The gaps of the λ curve; those of one tracker are not listed subset by subset."""
    rows = table[(table["reason"] != "") & (table["reading"] == temporal.TRAINED)]
    lines = []
    for (reason, lams), subsets in _alike(rows):
        listed = ", ".join(f"{lam:g}" for lam in lams)
        lines.append((f"Table 2: {', '.join(subsets)} at λ {listed}", reason))
    return lines


def _alike(rows):
    """Subsets that lack the same λ for the same reason: ((reason, λ), subsets) pairs."""
    found = {}
    for (subset, reason), there in rows.groupby(["subset", "reason"], sort=False):
        found.setdefault((reason, tuple(sorted(there["lam"]))), []).append(subset)
    return found.items()


def _places(rows):
    """Subsets and L/F of some rows of Table 1, in few words."""
    shares = sorted(set(rows["length_over_input"]))
    listed = ", ".join(f"{share:g}" for share in shares)
    return f"{', '.join(dict.fromkeys(rows['subset']))} at L/F {listed}"


def versions(found):
    """What made the records: name -> all distinct values."""
    records = found.records.values()
    collected = {
        "commit": {record["commit"] or "outside git" for record in records},
        "source (sha256)": {record["source"] for record in records},
        "data (sha256)": {record["data"]["fingerprint"][:16] for record in records},
        "device": {f"{record['device']}, {record['threads']} threads" for record in records},
    }
    for record in records:
        model = record["config"]["model"]
        collected.setdefault(f"recipe of {model}", set()).add(str(record["recipe"]))
        for name, version in record["versions"].items():
            collected.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(values)) for name, values in collected.items()}
