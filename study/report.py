"""All tables, figures and the page of a profile, made from its records alone."""

import functools
import json

from study import claims, figures, key_numbers, paths, results, tables
from study.config import ConfigError
from study.figures import (
    ablation as ablation_figures,
    areas as area_figures,
    coattention as coattention_figures,
    detector as detector_figures,
    failures as failure_figures,
    memory as memory_figures,
    rounding as rounding_figures,
    shipped as shipped_figures,
    stills as still_figures,
    videos as video_figures,
)
from study.page import document as page
from study.tables import (
    ablation,
    annotations,
    attention,
    failures,
    folds,
    quantized,
    rivals,
    stills,
    temporal,
    trainings,
    video_rivals,
)

# Tables that need data or weights, read back where they are.
KEPT = ("data", "videos", "quantization", "detector", "affinity", "tracker", "memory")
KEPT += ("coattention_poses", "variances", "variances_landmarks", "variances_contour")
KEPT += annotations.NAMES
SHIPPED = ("shipped", "shipped_areas", "shipped_turns", "reliability", "shipped_choices")
KEPT += SHIPPED


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
    text = json.dumps(key_numbers.numbers(found, made), indent=1) + "\n"
    _write(folder / "metrics.json", text)
    _write(folder / "index.html", page.html(found, made))
    return folder / "index.html"


def make_tables(found):
    """All tables, saved and read back: name -> table; None where data or records are missing."""
    name = found.profile.name
    kept = {key: tables.read(key, name) for key in KEPT}
    made = _of_stills(found) | _of_videos(found) | _of_folds(found)
    made |= _of_failures(found, kept["variances_landmarks"])
    made["claims"] = claims.table(quantized.worked_example(), kept | made)
    made["trainings"] = trainings.listed(found)
    shown = {"detector": (found.profile.flagship, trainings.detector)}
    shown["tracker"] = (found.profile.tracker, temporal.tracker)
    for key, (one, summary) in shown.items():
        recorded = found.recorded(one)
        if recorded:
            made[key] = summary(found, found.profile.run(recorded[0]))
            made[f"{key}_history"] = trainings.histories(found, one)
    saved = {key: tables.save(table, key, name) for key, table in made.items()}
    return kept | {"detector_history": None, "tracker_history": None} | saved


def _of_stills(found):
    """Tables of detectors."""
    lengths = ablation.lengths(found)
    return {
        "table1_resolution": stills.table1(found, temporal.table1_row),
        "resolution_decoders": stills.decoders(found),
        "resolution_gain": stills.gains(found),
        "tuning": trainings.tuning(found),
        "cumulative_errors": stills.cumulative(found),
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


def _of_failures(found, shape):
    """Tables of where the detector errs; the mean face is read back."""
    return {
        "prediction_errors": failures.landmarks(found, shape),
        "failure_areas": failures.by_area(found),
        "failures": failures.worst(found),
    }


def make_figures(found, made):
    """All figures that the tables give, saved."""
    name, cost = found.profile.name, made["quantization"]
    figures.save(rounding_figures.fig1_quantization(), "fig1_quantization", name)
    figures.save(still_figures.resolution(made["resolution_decoders"], cost), "resolution", name)
    curves = still_figures.cumulative_errors(made["cumulative_errors"])
    figures.save(curves, "cumulative_errors", name)
    attentive = coattention_figures.coattention(made["coattention"], attention.published())
    figures.save(attentive, "fig3_coattention", name)
    for key, drawn in (drawn_of_ablations(made) | drawn_of_failures(found, made)).items():
        figures.save(drawn, key, name)
    if made["memory"] is not None:
        figures.save(memory_figures.memory(made["memory"]), "memory", name)
    if cost is not None:
        figures.save(rounding_figures.quantization_floor(cost), "quantization_floor", name)
    for history in ("detector_history", "tracker_history"):
        if made[history] is not None:
            figures.save(detector_figures.detector_history(made[history]), history, name)
    if made["affinity"] is not None:
        figures.save(detector_figures.affinity(made["affinity"]), "affinity", name)
    drawn = drawn_of_videos(made) | drawn_of_areas(made) | drawn_of_shipped(made)
    for key, draw in drawn.items():
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


def drawn_of_failures(found, made):
    """Figures of errors on the mean face: name -> what is drawn."""
    shape, label = made["variances_landmarks"], found.profile.data.label
    mean = failures.mean_face(shape, label, results.scheme(found.profile).count)
    places, by_area = made["prediction_errors"], made["failure_areas"]
    return {
        "prediction_errors": failure_figures.prediction_errors(places, by_area),
        "failures": failure_figures.failures_on_the_mean(made["failures"], mean),
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


def drawn_of_shipped(made):
    """Figures of the shipped detector that can be drawn: name -> what draws it."""
    found, by_area, by_turn = {}, made["shipped_areas"], made["shipped_turns"]
    if made["reliability"] is not None and len(made["reliability"]):
        found["reliability"] = functools.partial(shipped_figures.reliability, made["reliability"])
    if by_area is not None and by_turn is not None and len(by_area):
        subset = by_area["subset"].iloc[0]
        found["shipped_errors"] = functools.partial(
            shipped_figures.errors, by_area, by_turn, subset
        )
    return found


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
