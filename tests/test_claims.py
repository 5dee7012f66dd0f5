import math

import numpy as np
import pandas as pd
import pytest
import synthetic

from study import claims, paths, results, tables, temporal


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


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
    table = claims.table(tables.gains(load()), tables.worked_example())
    assert set(table["verdict"]) <= {"reproduced", "contradicted", "inconclusive", "not run"}
    assert (table["ours"].isna() == (table["reason"] != "")).all()
    assert ((table["verdict"] == "not run") == table["ours"].isna()).all()
    known = table.set_index("id")
    assert known.loc["resolution-300w-com", "verdict"] == "reproduced"
    assert known.loc["resolution-300w-cha", "reason"] == "images not available"
    assert known.loc["quantization-example-half", "verdict"] == "reproduced"
    assert known.loc["lambda-tf", "reason"] == claims.NOT_YET


def test_a_wrong_worked_example_is_contradicted(root):
    example = tables.worked_example()
    example["error_px"] += 0.01
    table = claims.table(tables.gains(load()), example).set_index("id")
    assert table.loc["quantization-example-three", "verdict"] == "contradicted"


def test_errors_add_in_squares():
    assert claims.quadrature(5, 3, 0) == pytest.approx(4)
    assert claims.quadrature(4, 0, 3) == pytest.approx(5)
    assert claims.quadrature(3.19, 0.7, 0.7) == pytest.approx(3.19)
    assert claims.quadrature(3, 4, 1) == pytest.approx(1)  # rounding explains all and more


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
    gain, explained = claims.rounding_shares(cost(COST), "common")
    assert gain == pytest.approx(3.19 - 2.91)
    assert explained["floor"] == pytest.approx(3.19 - np.sqrt(3.19**2 - 0.36 + 0.04))
    assert explained["centre"] < explained["floor"]


def test_the_answer_on_rounding_states_its_numbers():
    text = claims.rounding(cost(COST))
    assert "9 faces" in text and "2.40 % NRMSE at L=64" in text and "0.28 points" in text
    assert "0.01 (to the nearest bin) to 0.05 (down)" in text


def test_the_answer_on_resolution_states_effect_interval_verdict_and_faces(root):
    found = load()
    gains, decoded = tables.gains(found), tables.decoders(found)
    text = claims.resolution(gains, decoded)
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
    text = claims.resolution(tables.gains(found), tables.decoders(found))
    assert "% higher" in text and "**contradicted**" in text and "1 seed:" in text


def test_without_records_the_answer_says_so(root):
    found = results.load(synthetic.profile())
    text = claims.resolution(tables.gains(found), tables.decoders(found))
    assert text == "Not answered yet: not trained yet (no record)."


def test_the_answer_on_data_counts_the_faces():
    rows = [("train", "train", 3148, 100, 10), ("test", "common", 554, 50, 0)]
    rows += [("test", "challenging", 135, 0, 0)]
    table = pd.DataFrame(rows, columns=["split", "subset", "official", "found", "held_out"])
    videos = [("train", 9, 216, 2, "stills in motion"), ("S3", 4, 1096, 0, "stills in motion")]
    videos = pd.DataFrame(videos, columns=["subset", "videos", "frames", "held_out", "data"])
    text = claims.data(table.assign(data="300W"), videos)
    assert "90 faces are trained on and 10 are held out" in text
    assert "50 of 554 common and 0 of 135 challenging" in text
    assert "9 train (216 frames, 2 held out), 4 S3 (1,096 frames, 0 held out): stills" in text
    assert claims.data(table.assign(data="300W"), videos[:0]).endswith("No videos.")


def test_the_answer_on_the_detector_names_stand_ins(root):
    profile = synthetic.profile(standin=True)
    synthetic.write_all(profile, standin=True)
    found = results.load(profile)
    run = profile.run("detector1d_L192-s0")
    text = claims.detector(found, run)
    assert "stand-ins, not photographs" in text and "487,236 parameters" in text
    percent = 100 * found.errors(run.id, "argmax", "common").mean()
    assert f"{percent:.2f} % by argmax on 20 common test faces" in text


# --- videos ------------------------------------------------------------------------------------


def watched(kind=True, **options):
    profile = synthetic.profile(seeds=(0,), video=kind)
    for run in profile.runs:
        synthetic.write(profile, run, **options)
    return results.load(profile)


def on_video(found):
    return claims.table(tables.gains(found), tables.worked_example(), temporal.gains(found))


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
    rows = table[table["id"].isin(claims.ON_VIDEO)]
    assert len(rows) == len(claims.ON_VIDEO) == 8
    assert set(rows["reason"]) == {"no tracker of this comparison in the profile"}
    assert set(rows["verdict"]) == {"not run"}


def test_the_answer_on_the_past_states_effects_verdicts_jitter_and_delay(root):
    found = watched(True)
    gains, motion = temporal.gains(found), temporal.motion(found)
    text = claims.temporal(gains, motion)
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
    text = claims.temporal(temporal.gains(found), temporal.motion(found))
    assert "on TF (one video, no interval; the paper: 2.48 %): **inconclusive**" in text


def test_without_a_tracker_the_answer_on_the_past_says_so(root):
    for profile, why in (
        (synthetic.profile(), "no tracker"),
        (synthetic.profile(video=True), "not trained yet (no record)"),
    ):
        found = results.load(profile)
        text = claims.temporal(temporal.gains(found), temporal.motion(found))
        assert text == f"Not answered yet: {why}."
        saved = tables.save(temporal.gains(found), "temporal_gain", profile.name)
        assert claims.temporal(saved, temporal.motion(found)) == text


def test_the_answer_on_a_tracker_names_the_detector_inside(root):
    found = watched(True)
    text = claims.tracker(found, found.profile.run("tracker1d_L192-s0"))
    percent = 100 * found.records["tracker1d_L192-s0"]["validation"]["argmax"]
    assert f"{percent:.2f} % NRMSE by argmax on 576 held-out frames" in text
    assert "video1d_L192-s0, the detector inside, was trained on 300W stills in motion" in text
