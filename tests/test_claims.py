import math

import numpy as np
import pandas as pd
import pytest
import synthetic

from study import claims, paper, results, tables
from study.tables import attention, folds, quantized, rivals, stills, temporal, video_rivals


@pytest.mark.parametrize(
    "published, ours, low, high, expected",
    [
        (16.85, 20, 15, 25, "reproduced"),
        (16.85, 5, 1, 9, "reproduced"),  # reaches beyond a quarter, excludes 0
        (16.85, 2, 1, 3, "contradicted"),  # certain, but wholly below a quarter: 4.2
        (16.85, 0.5, -1, 2, "contradicted"),
        (16.85, -5, -8, -2, "contradicted"),
        (16.85, 3, -2, 8, "inconclusive"),
        (16.85, 4, 0, 8, "inconclusive"),  # 0 itself is not excluded
        (-4.0, -3, -5, -1, "reproduced"),  # a published increase
        (-4.0, 3, 1, 5, "contradicted"),
        (-4.0, -0.2, -0.5, 0.1, "contradicted"),
        (16.85, math.nan, math.nan, math.nan, "not run"),
        (16.85, None, None, None, "not run"),
    ],
)
def test_a_verdict_follows_from_effect_and_interval(published, ours, low, high, expected):
    assert claims.verdict(published, ours, low, high) == expected


@pytest.mark.parametrize("ours, low, high", [(20, 15, 25), (-5, -8, -2), (2, 1, 3)])
def test_a_verdict_on_stand_ins_is_inconclusive(ours, low, high):
    assert claims.verdict(16.85, ours, low, high, standin=True) == "inconclusive"


def load(**options):
    profile = synthetic.profile()
    synthetic.write_all(profile, **options)
    return results.load(profile)


def test_every_claim_has_a_verdict_and_a_number_or_a_reason(root):
    table = claims.table(quantized.worked_example(), {"resolution_gain": stills.gains(load())})
    assert set(table["verdict"]) <= {"reproduced", "contradicted", "inconclusive", "not run"}
    assert (table["ours"].isna() == (table["reason"] != "")).all()
    assert ((table["verdict"] == "not run") == table["ours"].isna()).all()
    known = table.set_index("id")
    assert known.loc["resolution-300w-com", "verdict"] == "reproduced"
    assert known.loc["resolution-300w-cha", "reason"] == "images not available"
    assert known.loc["quantization-example-half", "verdict"] == "reproduced"
    assert known.loc["lambda-tf", "reason"] == claims.NOT_YET


def test_a_wrong_worked_example_is_contradicted(root):
    example = quantized.worked_example()
    example["error_px"] += 0.01
    table = claims.table(example, {"resolution_gain": stills.gains(load())}).set_index("id")
    assert table.loc["quantization-example-three", "verdict"] == "contradicted"


# --- videos ------------------------------------------------------------------------------------


def watched(kind=True, **options):
    profile = synthetic.profile(seeds=(0,), video=kind)
    for run in profile.runs:
        synthetic.write(profile, run, **options)
    return results.load(profile)


def on_video(found):
    made = {"resolution_gain": stills.gains(found), "temporal_gain": temporal.gains(found)}
    return claims.table(quantized.worked_example(), made)


def test_claims_on_video_are_judged_on_videos_of_a_camera_alone(root):
    camera = on_video(watched("camera")).set_index("id")
    assert camera.loc["lambda-300vw-s2", "verdict"] == "reproduced"
    assert camera.loc["resolution-300vw-s1", "verdict"] == "reproduced"
    staged = on_video(watched(True)).set_index("id")
    assert staged.loc["lambda-300vw-s2", "verdict"] == "inconclusive"
    assert staged.loc["lambda-300vw-s2", "ours"] > 0
    assert staged.loc["lambda-300vw-s2", "data"].startswith("300W stills in motion, trained on")
    assert staged.loc["lambda-tf", "reason"] == "videos not available"


def test_one_video_alone_decides_nothing(root):
    row = on_video(watched("camera")).set_index("id").loc["lambda-tf"]
    assert row["ours"] > 0 and np.isnan(row["ours_low"]) and row["verdict"] == "inconclusive"


def test_a_profile_without_trackers_says_so_of_every_claim_on_video(root):
    table = on_video(load())
    ids = [id for id, (name, *_) in claims.MEASURED.items() if name == "temporal_gain"]
    rows = table[table["id"].isin(ids)]
    assert len(rows) == len(ids) == 8
    assert set(rows["reason"]) == {"no tracker of this comparison in the profile"}
    assert set(rows["verdict"]) == {"not run"}


# --- all of them -------------------------------------------------------------------------------


def ledger(fan, deconvolved, one):
    """A ledger of the paper's size with these GiB: 2D twice at L = F, and 1D at L = 768."""
    systems = {
        "2D, hourglasses at L x L": {64: 0.1 * fan, 256: fan},
        "2D, deconvolved from F/4": {64: 1.0, 256: deconvolved, 768: 99.0},
        "1D": {768: one, 64: 0.5},  # in no order
    }
    rows = [
        dict(system=system, length=length, length_over_input=length / 256, peak_gib=peak)
        for system, peaks in systems.items()
        for length, peak in peaks.items()
    ]
    table = pd.DataFrame(rows).assign(size=256, batch=10, card_gib=32, precision="float32")
    return table.assign(fits=table["peak_gib"] <= table["card_gib"])


def made_of(found, **more):
    scores = folds.scores(found)
    return {
        "resolution_gain": stills.gains(found),
        "coattention_gain": attention.gains(found),
        "temporal_gain": temporal.gains(found),
        "rivals_gain": rivals.gains(found),
        "video_rivals_gain": video_rivals.gains(found),
        "cross_validation": folds.choices(found, scores),
        **more,
    }


def check(table):
    """Every claim has a verdict, and a number or a reason."""
    assert list(table["id"]) == list(paper.claims()["id"])
    assert set(table["verdict"]) <= {"reproduced", "contradicted", "inconclusive", "not run"}
    assert (table["ours"].isna() == (table["reason"] != "")).all()
    assert ((table["verdict"] == "not run") == table["ours"].isna()).all()
    assert (table["data"][table["ours"].notna()].str.len() > 0).all()


def test_with_every_table_every_claim_has_a_verdict_and_a_number_or_a_reason(root):
    options = dict(rivals=True, gammas=(0.0,), folds=True, video="camera", video_rivals=True)
    profile = synthetic.profile(seeds=(0,), **options)
    synthetic.write_all(profile, challenging=6)
    made = made_of(results.load(profile), memory=ledger(40, 5, 3))
    table = claims.table(quantized.worked_example(), made)
    check(table)
    measured = set(table["id"][table["ours"].notna()])
    others = {*claims.COMPUTED, *claims.CHOSEN, claims.MEMORY, claims.AREAS}
    away = {id for id, (_, _, subset) in claims.MEASURED.items() if subset == "AFLW"}
    assert away and measured == {*claims.MEASURED, *others} - away
    reasons = table.set_index("id")["reason"]
    assert reasons["ours-below-fhr-aflw"] == claims.NO_AFLW
    assert reasons["optimal-gamma-aflw"] == claims.NO_FOLDS
    assert reasons["optimal-gamma-300vw"] == claims.NO_FOLDS
    assert reasons["state-of-the-art-300w"] == claims.NOT_ALL
    assert reasons["contour-variance-x"] == claims.NO_VARIANCES  # they need the true landmarks
    assert reasons["ours-lab-below-lab-aflw"] == claims.NO_LAB_ON_AFLW


@pytest.mark.parametrize("recorded", [False, True])
def test_without_its_runs_a_claim_says_why_it_has_no_number(root, recorded):
    profile = synthetic.profile(seeds=(0,))
    if recorded:
        synthetic.write_all(profile)
    table = claims.table(quantized.worked_example(), made_of(results.load(profile), memory=None))
    check(table)
    known = table.set_index("id")
    assert known.loc["memory-2d", "reason"] == claims.NO_MEMORY
    assert known.loc["optimal-gamma-300w", "reason"] == "not run in cpu"
    why = "" if recorded else "not trained yet (no record)"
    assert known.loc["ours-below-fhr-com", "reason"] == why
    assert known.loc["ours-lab-below-lab-com", "reason"] == "not run in cpu"
    assert known.loc["contour-gan", "reason"] == known.loc["gan-tf", "reason"] == "not run in cpu"
    check(claims.table(quantized.worked_example(), {}))


def test_claims_that_are_known_here_are_claims_of_the_paper():
    ids = set(paper.claims()["id"])
    known = {*claims.MEASURED, *claims.COMPUTED, *claims.CHOSEN, claims.MEMORY}
    assert known | {claims.AREAS, *claims.VARIANCES} <= ids
    named = {"coattention_gain", "temporal_gain", "video_rivals_gain"}  # tables
    assert set(claims.REASONS) - named <= ids - known


def test_fhr_is_read_by_its_own_decoder_and_ours_by_argmax(root):
    profile = synthetic.profile()
    synthetic.write_all(profile)
    gains = rivals.gains(results.load(profile))
    row = claims.table(quantized.worked_example(), {"rivals_gain": gains}).set_index("id")
    gain = claims.row_of(gains, rivals.FHR, "300W com", "fractional, argmax")
    ours = row.loc["ours-below-fhr-com"]
    assert ours["ours"] == gain["decrease_percent"] and ours["verdict"] == gain["verdict"]
    assert (ours["ours_low"], ours["ours_high"]) == (gain["low"], gain["high"])
    for part in ("com", "cha"):
        printed = claims.row_of(gains, rivals.FHR, f"300W {part}", "fractional, argmax")
        value = row.loc[f"ours-below-fhr-{part}", "paper_value"]
        assert printed["paper_percent"] == pytest.approx(float(value), abs=0.005)


# --- weights that cross-validation chose -------------------------------------------------------


def test_the_chosen_weight_stands_between_those_of_its_folds():
    columns = ["weight", "chosen", "lowest", "highest", "verdict", "data", "reason"]
    rows = [
        ("gamma", 0.4, 0.2, 0.7, "inconclusive", "300W, F=64", ""),
        ("lam", np.nan, np.nan, np.nan, "not run", "", "not run in cpu"),
    ]
    made = {"cross_validation": pd.DataFrame(rows, columns=columns)}
    table = claims.table(quantized.worked_example(), made).set_index("id")
    gamma = table.loc["optimal-gamma-300w"]
    assert (gamma["ours"], gamma["ours_low"], gamma["ours_high"]) == (0.4, 0.2, 0.7)
    assert (gamma["verdict"], gamma["data"], gamma["reason"]) == ("inconclusive", "300W, F=64", "")
    lam = table.loc["optimal-lambda"]
    assert (lam["verdict"], lam["reason"]) == ("not run", "not run in cpu")
    assert np.isnan(lam["ours"]) and np.isnan(lam["ours_low"])


def test_the_chosen_gamma_of_real_folds_is_claimed(root):
    profile = synthetic.profile(folds=True)
    synthetic.write_all(profile)
    table = claims.table(quantized.worked_example(), made_of(results.load(profile))).set_index("id")
    gamma = table.loc["optimal-gamma-300w"]
    assert (gamma["ours"], gamma["paper_value"], gamma["verdict"]) == (0.4, "0.4", "reproduced")


# --- memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fan, deconvolved, one, expected",
    [
        (40.0, 33.0, 3.0, "reproduced"),  # no 2D detector fits the card of 32 GiB
        (40.0, 5.0, 3.0, "inconclusive"),  # one does
        (5.0, 40.0, 3.0, "inconclusive"),
        (20.0, 5.0, 3.0, "contradicted"),  # both do
        (40.0, 33.0, 34.0, "contradicted"),  # 1D at L = 768 does not
        (40.0, 5.0, 34.0, "contradicted"),
    ],
)
def test_memory_is_judged_by_what_fits_the_card(root, fan, deconvolved, one, expected):
    found = claims.memory(ledger(fan, deconvolved, one))
    assert found["verdict"] == expected and found["reason"] == ""
    assert found["ours"] == max(fan, deconvolved)  # at L = F: 99 GiB at L = 768 are no matter
    saved = tables.save(ledger(fan, deconvolved, one), "memory", "cpu")
    assert claims.memory(saved) == found


def test_what_memory_was_counted_says_so():
    data = claims.memory(ledger(40, 5.04, 3))["data"]
    assert data == (
        "counted, F=256, batch 10: 2D, hourglasses at L x L 40.0 GiB; "
        "2D, deconvolved from F/4 5.0 GiB; 1D at L=768 3.0 GiB"
    )
    made = {"memory": ledger(40, 5.04, 3)}
    row = claims.table(quantized.worked_example(), made).set_index("id").loc["memory-2d"]
    assert (row["ours"], row["verdict"], row["data"]) == (40.0, "inconclusive", data)
