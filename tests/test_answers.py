import numpy as np
import pandas as pd
import pytest
import synthetic

from study import answers, claims, memory, paths, results, tables
from study.tables import ablation, attention, folds, rivals, stills, temporal

NOT_YET = "Not answered yet: not trained yet (no record)."


def load(**options):
    profile = synthetic.profile()
    synthetic.write_all(profile, **options)
    return results.load(profile)


def watched(kind=True, **options):
    profile = synthetic.profile(seeds=(0,), video=kind)
    for run in profile.runs:
        synthetic.write(profile, run, **options)
    return results.load(profile)


def test_errors_add_in_squares():
    assert answers.quadrature(5, 3, 0) == pytest.approx(4)
    assert answers.quadrature(4, 0, 3) == pytest.approx(5)
    assert answers.quadrature(3.19, 0.7, 0.7) == pytest.approx(3.19)
    assert answers.quadrature(3, 4, 1) == pytest.approx(1)  # rounding explains all and more


def cost(values):
    """A table of rounding with these percentages by (rule, L)."""
    rows = [
        dict(subset="common", rule=r, length=n, nrmse_percent=v, faces=9, data="300W")
        for (r, n), v in values.items()
    ]
    return pd.DataFrame(rows)


COST = {("floor", 64): 2.4, ("floor", 256): 0.6, ("floor", 768): 0.2}
COST |= {("centre", 64): 1.2, ("centre", 256): 0.3, ("centre", 768): 0.1}


def test_the_share_of_rounding_is_the_papers_gain_explained_in_squares():
    gain, explained = answers.rounding_shares(cost(COST), "common")
    assert gain == pytest.approx(3.19 - 2.91)
    assert explained["floor"] == pytest.approx(3.19 - np.sqrt(3.19**2 - 0.36 + 0.04))
    assert explained["centre"] < explained["floor"]


def test_the_answer_on_rounding_states_its_numbers():
    text = answers.rounding(cost(COST))
    assert "9 faces" in text and "2.40 % NRMSE at L=64" in text and "0.28 points" in text
    assert "0.01 (to the nearest bin) to 0.05 (down)" in text


def test_the_answer_on_resolution_states_effect_interval_verdict_and_faces(root):
    found = load()
    gains, decoded = stills.gains(found), stills.decoders(found)
    text = answers.resolution(gains, decoded)
    row = claims.row_of(gains, "1D, L/F 0.25 to 3", "300W com")
    assert f"{row['decrease_percent']:.1f} % lower" in text
    assert "**reproduced**" in text and "20 faces with 2 seeds" in text
    assert "300W, trained on 1,811 of 3,148 images, F=64" in text
    assert "nan" not in text


def test_the_answer_on_resolution_calls_a_worse_result_higher(root):
    profile = synthetic.profile(seeds=(0,))
    for run in profile.runs:
        synthetic.write(profile, run, error=0.09 if run.config.length == 192 else 0.06)
    found = results.load(profile)
    text = answers.resolution(stills.gains(found), stills.decoders(found))
    assert "% higher" in text and "**contradicted**" in text and "1 seed:" in text


def test_without_records_the_answer_says_so(root):
    found = results.load(synthetic.profile())
    text = answers.resolution(stills.gains(found), stills.decoders(found))
    assert text == "Not answered yet: not trained yet (no record)."


def test_the_answer_on_data_counts_the_faces():
    rows = [("train", "train", 3148, 100, 10), ("test", "common", 554, 50, 0)]
    rows += [("test", "challenging", 135, 0, 0)]
    table = pd.DataFrame(rows, columns=["split", "subset", "official", "found", "held_out"])
    videos = [("train", 9, 216, 2, "stills in motion"), ("S3", 4, 1096, 0, "stills in motion")]
    videos = pd.DataFrame(videos, columns=["subset", "videos", "frames", "held_out", "data"])
    text = answers.data(table.assign(data="300W"), videos)
    assert "90 faces are trained on and 10 are held out" in text
    assert "50 of 554 common and 0 of 135 challenging" in text
    assert "9 train (216 frames, 2 held out), 4 S3 (1,096 frames, 0 held out): stills" in text
    assert answers.data(table.assign(data="300W"), videos[:0]).endswith("No videos.")


def test_the_answer_on_the_detector_names_stand_ins(root):
    profile = synthetic.profile(standin=True)
    synthetic.write_all(profile, standin=True)
    found = results.load(profile)
    run = profile.run("detector1d_L192-s0")
    text = answers.detector(found, run)
    assert "stand-ins, not photographs" in text and "487,236 parameters" in text
    percent = 100 * found.errors(run.id, "argmax", "common").mean()
    assert f"{percent:.2f} % by argmax on 20 common test faces" in text


def test_the_answer_on_the_past_states_effects_verdicts_jitter_and_delay(root):
    found = watched(True)
    gains, motion = temporal.gains(found), temporal.motion(found)
    text = answers.temporal(gains, motion)
    rows = gains[gains["landmarks"] == "all"]
    row = claims.row_of(rows, "λ 0 to 0.3, each trained", "300VW S3")
    assert f"{row['decrease_percent']:.1f} % lower on 300VW S3 ({row['low']:.2f} to" in text
    assert text.count("**inconclusive**") == 3 and "the paper: 6.79 %" in text
    assert "On occluded landmarks of 300VW S3: λ 0 to 0.3, each trained, " in text
    assert "of 300VW S1: " not in text  # nothing is occluded there
    late = motion[motion["system"] == "1D detector"]
    jitter, frames = late["jitter_percent"].mean(), late["delay_frames"].mean()
    word = "early" if round(frames, 2) < 0 else "late"
    assert f"1D detector, {jitter:.2f} % and {abs(frames):.2f} frames {word}" in text
    assert text.endswith("Measured on 300W stills in motion, trained on 216 clips, F=64.")
    assert "nan" not in text


def test_the_answer_on_the_past_states_no_interval_of_a_single_video(root):
    found = watched("camera")
    text = answers.temporal(temporal.gains(found), temporal.motion(found))
    assert "on TF (one video, no interval; the paper: 2.48 %): **inconclusive**" in text


def test_without_a_tracker_the_answer_on_the_past_says_so(root):
    for profile, why in (
        (synthetic.profile(), "no tracker"),
        (synthetic.profile(video=True), "not trained yet (no record)"),
    ):
        found = results.load(profile)
        text = answers.temporal(temporal.gains(found), temporal.motion(found))
        assert text == f"Not answered yet: {why}."
        saved = tables.save(temporal.gains(found), "temporal_gain", profile.name)
        assert answers.temporal(saved, temporal.motion(found)) == text


def test_the_answer_on_a_tracker_names_the_detector_inside(root):
    found = watched(True)
    text = answers.tracker(found, found.profile.run("tracker1d_L192-s0"))
    percent = 100 * found.records["tracker1d_L192-s0"]["validation"]["argmax"]
    assert f"{percent:.2f} % NRMSE by argmax on 576 held-out frames" in text
    assert "video1d_L192-s0, the detector inside, was trained on 300W stills in motion" in text


# --- rivals, and what the gain is made of ------------------------------------------------------


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Records of rivals, ablations and cross-validations, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        profile = synthetic.profile(rivals=True, ablation=True, folds=True, gammas=(0.0,))
        synthetic.write_all(profile)
        yield results.load(profile)


@pytest.fixture(scope="module")
def side(everything):
    return rivals.side_by_side(everything)


def measured_with(seeds):
    return f"Measured on 20 faces with {seeds}: 300W, trained on 1,811 of 3,148 images, F=64."


def test_the_answer_on_rivals_states_fhr_with_its_verdict_and_every_rival(everything, side):
    gains = rivals.gains(everything)
    text = answers.rivals(side, gains)
    rows = gains[gains["subset"] == "300W com"].set_index("comparison")
    fhr = rows.loc[rivals.FHR]
    assert (
        f"ours is {fhr['decrease_percent']:.1f} % lower ({fhr['low']:.2f} to {fhr['high']:.2f} %; "
        "the paper: 4.28 %): **reproduced**."
    ) in text
    names = {
        "2D to 1D": "2D, L/F=0.5 by integral",
        "integral regression to 1D": "2D, integral regression by direct",
        "coordinates to 1D": "coordinates, wing loss by direct",
        "SimCC to 1D": "SimCC, KL on 1D classes by integral",
    }
    for comparison, name in names.items():
        row = rows.loc[comparison]
        lower = f"{abs(row['decrease_percent']):.1f} % lower than {name}"
        assert f"{lower} ({row['low']:.2f} to {row['high']:.2f} %)" in text
    assert text.endswith(measured_with("2 seeds")) and "nan" not in text


def test_the_answer_on_rivals_calls_a_worse_result_higher(root):
    profile = synthetic.profile(seeds=(0,))
    for run in profile.runs:
        synthetic.write(profile, run, error=0.09 if run.config.length == 192 else 0.06)
    found = results.load(profile)
    text = answers.rivals(rivals.side_by_side(found), rivals.gains(found))
    assert text.count("% higher") == 2 and "lower" not in text
    assert "**contradicted**" in text and "with 1 seed, so no interval" in text
    assert "SimCC" not in text and "nan" not in text  # not in the profile


def test_the_answer_on_rivals_without_records_says_so(root):
    found = results.load(synthetic.profile(rivals=True))
    assert answers.rivals(rivals.side_by_side(found), rivals.gains(found)) == NOT_YET


def test_an_answer_on_faces_that_are_not_there_says_so(everything, side):
    gains, split = rivals.gains(everything), ablation.split(everything)
    absent = f"Not answered yet: {stills.ABSENT}."
    assert answers.rivals(side, gains, "300W cha") == absent
    assert answers.parts(split, split[:0].assign(shown=""), "300W cha") == absent


def test_the_answer_on_the_gain_states_its_parts_and_what_is_left_below_the_bin(everything):
    split = ablation.split(everything)
    order = ablation.order(ablation.lengths(everything))
    text = answers.parts(split, order)
    rows = split[split["subset"] == "300W com"].set_index("part")
    for part, row in rows.iterrows():
        assert f"{part}, {row['points']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})" in text
    start = rows.loc["a head as large", "before_percent"]
    end = rows.loc["narrower targets", "after_percent"]
    whole = rows.loc[ablation.IN_ALL_CENTRED, "points"]
    assert (
        f"NRMSE goes from {start:.2f} to {end:.2f} %, {start - end:+.2f} of the {whole:+.2f} points"
    ) in text
    assert text.endswith(measured_with("2 seeds")) and "nan" not in text


def test_the_answer_on_the_gain_says_what_orders_two_sizes(everything):
    split = ablation.split(everything)
    rows = [("L/F", "argmax", 3, 12.34), ("L", "argmax", 2, 1.26)]
    rows += [("L/F", stills.BEST, 3, 0.5), ("L", stills.BEST, 2, 4.0)]
    order = pd.DataFrame(rows, columns=["by", "shown", "places", "apart_percent"])
    text = answers.parts(split, order)
    assert "read by argmax, errors relative to the lowest of each size differ by 12.3 % at" in text
    assert "equal L/F and by 1.3 % at equal L: L orders them better." in text
    assert "read by the best on validation, errors" in text
    assert "0.5 % at equal L/F and by 4.0 % at equal L: L/F orders them better." in text
    alone = order.assign(apart_percent=[12.34, np.nan, 0.5, np.nan])  # no L in common
    text = answers.parts(split, alone)
    assert "orders them" not in text and "nan" not in text


def test_the_answer_on_a_part_of_the_parts_states_those(root):
    profile = synthetic.profile(ablation=True)
    for run in profile.runs:
        if run.group == "resolution" or (run.name, run.seed) == ("head_L16", 0):
            synthetic.write(profile, run)
    found = results.load(profile)
    text = answers.parts(ablation.split(found), ablation.order(ablation.lengths(found)))
    assert "decoding below the bin, +" in text and "a head as large, +" in text
    assert "and rounded down" not in text and "Read below the bin at both ends" not in text
    assert text.endswith(measured_with("1 to 2 seeds")) and "nan" not in text


def test_the_answer_on_the_gain_without_records_says_so(root):
    found = results.load(synthetic.profile(ablation=True))
    split, order = ablation.split(found), ablation.order(ablation.lengths(found))
    assert answers.parts(split, order) == NOT_YET


def test_the_cost_is_that_of_the_best_of_each_kind_on_validation_faces():
    columns = ["system", "model", "decoder", "validation_percent", "percent", "subset"]
    rows = [
        ("1D, L/F=1", "detector1d", "argmax", 4.0, 3.0, "common"),  # better on test faces
        ("1D, L/F=3", "detector1d", "local", 3.9, 3.5, "common"),
        ("2D, L/F=0.5", "detector2d", "taylor", 4.2, 4.4, "common"),
        ("SimCC", "simcc", "argmax", 1.0, 1.0, "common"),
        ("2D, L/F=1", "detector2d", "taylor", 1.0, 9.9, "challenging"),
    ]
    table = pd.DataFrame(rows, columns=columns).assign(
        parameters=1_234_567, megaflops=55.6, step_mib=41.4, samples_per_second=120.7
    )
    text = answers.cost(table)
    shared = "1.23 M parameters, 56 MFLOP a face, 41 MiB a training step, 121 faces/s in training"
    assert f"1D, L/F=3 by local: 3.50 %, {shared}" in text
    assert f"; 2D, L/F=0.5 by taylor: 4.40 %, {shared}" in text and "L/F=1 " not in text
    assert answers.cost(table[table["model"] != "detector2d"]) == ""


def test_the_cost_of_what_was_measured_is_stated_and_of_nothing_is_not(side, root):
    text = answers.cost(side)
    assert text.count("MiB a training step") == 2 and "nan" not in text
    assert answers.cost(rivals.side_by_side(results.load(synthetic.profile()))) == ""


# --- memory ------------------------------------------------------------------------------------


def ledger(*fits):
    """A ledger in which 2D as large as the heatmaps, 2D deconvolved and 1D fit, or not."""
    rows = [
        dict(system=system, length=length, length_over_input=length / 256, fits=there)
        for system, there in zip(memory.SYSTEMS, fits, strict=True)
        for length in (64, 256, 768)
        if system == "1D" or length < 768
    ]
    table = pd.DataFrame(rows).assign(card_gib=32, size=256, batch=10)
    table.loc[(table["length"] == 64), "fits"] = True
    return table.assign(peak_gib=np.where(table["fits"], 5.0, 40.0))


@pytest.mark.parametrize(
    "fits, said",
    [
        (
            (False, True, True),
            "**Inconclusive**: of the 2D detectors, hourglasses at L x L does not fit and "
            "deconvolved from F/4 does, so 2D heatmaps as such are not too large; 1D at L=768 fits",
        ),
        ((False, False, True), "**Reproduced**: no 2D detector fits; 1D at L=768 fits."),
        ((True, True, True), "**Contradicted**: every 2D detector fits; 1D at L=768 fits."),
        ((False, False, False), "**Contradicted**: no 2D detector fits; 1D at L=768 does not fit."),
    ],
)
def test_the_answer_on_memory_says_what_fits_and_what_follows(fits, said):
    table = ledger(*fits)
    text = answers.memory(claims.memory(table), table)
    assert said in text and "the card has 32 GiB" in text
    assert "2D, hourglasses at L x L 40.0 GiB" in text or fits[0]
    longest = {True: 768, False: 64}[fits[2]]
    assert text.endswith(f"1D, L={longest}.") and "nan" not in text


# --- cross-validation --------------------------------------------------------------------------


def chosen_among(errors):
    """Choices of a profile whose folds of γ have these errors: γ -> percent of each fold."""
    profile = synthetic.profile(folds=True)
    for run in profile.group("folds"):
        percent = errors[run.config.gamma][run.fold]
        if percent is not None:
            synthetic.write(profile, run, error=percent / 100)
    found = results.load(profile)
    return folds.choices(found, folds.scores(found))


def test_the_answer_on_cross_validation_states_the_choice_its_spread_and_the_papers(root):
    errors = {0.0: (5, 5, 5), 0.4: (4.4, 4.5, 4.6), 0.7: (4.0, 4.0, 4.0)}
    choices = chosen_among(errors)
    row = choices.iloc[0]
    text = answers.cross_validation(choices)
    assert text == (
        "Cross-validation over 3 folds chooses γ=0.7 (the folds one by one: 0.7 to 0.7), the paper "
        f"0.4, whose NRMSE is 12.50 % higher ({row['low']:.2f} to {row['high']:.2f} %): "
        "**contradicted** (300W, F=64). λ was not cross-validated: not run in cpu."
    )
    saved = tables.save(choices, "cross_validation", "cpu")
    assert answers.cross_validation(saved) == text


def test_the_papers_own_choice_is_not_compared_with_itself(root):
    errors = {0.0: (5, 5, 5), 0.4: (4.0, 4.0, 4.6), 0.7: (4.5, 4.5, 4.5)}
    text = answers.cross_validation(chosen_among(errors))
    assert "chooses γ=0.4 (the folds one by one: 0.4 to 0.7), the paper 0.4: **inconc" in text


def test_one_fold_alone_has_no_interval_to_state(root):
    errors = {0.0: (5, None, 5), 0.4: (4.4, 4.5, None), 0.7: (4.0, 4.0, 4.0)}
    text = answers.cross_validation(chosen_among(errors))
    assert "over 1 fold chooses γ=0.7" in text and "nan" not in text
    assert "10.00 % higher (one fold, no interval): **inconclusive**" in text


def test_the_answer_on_cross_validation_without_records_says_so(root):
    found = results.load(synthetic.profile(folds=True, video=True))
    text = answers.cross_validation(folds.choices(found, folds.scores(found)))
    why = "was not cross-validated: not trained yet (no record)."
    assert text == f"γ {why} λ {why}"


# --- co-attention ------------------------------------------------------------------------------


def test_the_answer_on_controls_states_readings_conditions_and_poses(everything):
    readings, conditions = attention.controls(everything), attention.conditions(everything)
    rows = [("least turned third", "300W com", 1.04, -2.0, 4.0)]
    poses = pd.DataFrame(rows, columns=["third", "subset", "decrease_percent", "low", "high"])
    poses = poses.assign(faces=7, seeds=3, data="300W, F=64")
    text = answers.controls(readings, conditions, poses)
    for table, key in ((readings, "reading"), (conditions, "condition")):
        for row in table[table["subset"] == "300W com"].to_dict("records"):
            word = "lower" if row["decrease_percent"] >= 0 else "higher"
            effect = f"{abs(row['decrease_percent']):.1f} % {word}"
            assert f"{row[key]}, {effect} ({row['low']:.2f} to {row['high']:.2f} %)" in text
    assert "By how far the head turns aside, γ from 0 gives, on 300W com: least turned" in text
    ending = "third, 1.0 % lower (-2.00 to 4.00 %). Measured on 7 faces with 3 seeds: 300W, F=64."
    assert text.endswith(ending) and "nan" not in text
    assert text.count("Measured on 20 faces with 2 seeds: 300W, trained on") == 2
    without = answers.controls(readings, conditions)
    assert text.startswith(without) and "turns aside" not in without


def test_where_nothing_was_measured_of_controls_there_is_no_answer(root):
    found = results.load(synthetic.profile(ablation=True))
    assert answers.controls(attention.controls(found), attention.conditions(found)) == ""
