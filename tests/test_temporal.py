import math

import numpy as np
import pytest
import synthetic

from study import answers, claims, heatmaps, paths, results, tables
from study.tables import stills, temporal

SHOWN = "tracker1d_L192"


def arrays(rows, **changes):
    """Arrays of predictions.npz of 2 landmarks.

    Args:
        rows: (subset, video, frame, px of the normaliser, distances of both landmarks in px).
        changes: arrays that differ; the detector errs twice as far as the tracker.
    """
    subset, video, frame, normalizer, distances = zip(*rows, strict=True)
    # 3-4-5 triangles: a distance d is the vector (0.6 d, 0.8 d).
    residual = np.array(distances, dtype=float)[..., None] * [0.6, 0.8]
    count = len(rows)
    found = {
        "id": np.array([f"{v}/vid#{f}" for v, f in zip(video, frame, strict=True)]),
        "subset": np.array(subset),
        "video": np.array(video),
        "frame": np.array(frame),
        "normalizer": np.array(normalizer, dtype=float),
        "interpupil": np.array(normalizer, dtype=float),
        "occluded": np.zeros((count, 2), dtype=bool),
        **dict.fromkeys(("residual", "residual_local", "residual_previous"), residual),
        "residual_without": 1.5 * residual,
        **dict.fromkeys(("detected", "averaged"), 2 * residual),
        **{name: np.zeros(count) for name in ("jitter", "jitter_detected", "jitter_true")},
        **{name: np.zeros(count) for name in ("jitter_averaged", "delay_averaged")},
        **{name: np.zeros(count) for name in ("delay_along", "delay_detected", "delay_way")},
    }
    return found | changes


# Video b has one frame, video a two; frames and videos are in no order.
ROWS = [
    ("S1", "b", 7, 50, (5, 5)),  # mean 5 px: 10 %
    ("S1", "a", 2, 100, (10, 0)),  # 5 %
    ("S1", "a", 1, 100, (5, 0)),  # 2.5 %
]


def put(profile, *, name=SHOWN, seed=0, **made):
    """The results of a profile of which one record holds these arrays, and no other is there."""
    run = profile.run(f"{name}-s{seed}")
    counts = {}
    for subset, video in sorted(set(zip(made["subset"], made["video"], strict=True))):
        here = (made["subset"] == subset) & (made["video"] == video)
        counts.setdefault(subset, []).append(int(here.sum()))
    synthetic.write(profile, run, videos=counts)
    np.savez_compressed(results.folder(profile, run.id) / "predictions.npz", **made)
    return results.load(profile)


@pytest.fixture
def found(root):
    return put(synthetic.profile(seeds=(0,), video=True), **arrays(ROWS))


def test_frames_are_scored_by_their_mean_distance_in_order(found):
    table = temporal.frames(found, f"{SHOWN}-s0")
    assert list(zip(table["video"], table["frame"], strict=True)) == [("a", 1), ("a", 2), ("b", 7)]
    np.testing.assert_allclose(table["nrmse"], [0.025, 0.05, 0.1])
    assert list(table["landmarks"]) == [2, 2, 2]
    twice = temporal.frames(found, f"{SHOWN}-s0", "detector")
    np.testing.assert_allclose(twice["nrmse"], [0.05, 0.1, 0.2])


def test_the_mean_over_frames_and_over_videos_differ_where_lengths_do(found):
    row = one(temporal.table2(found), subset="300VW S1", lam=0.3)
    assert row["ours_percent"] == pytest.approx(100 * (0.025 + 0.05 + 0.1) / 3)
    assert row["ours_video_percent"] == pytest.approx(100 * (0.0375 + 0.1) / 2)
    assert (row["videos"], row["faces"], row["seeds"]) == (2, 3, 1)
    # With two videos a bootstrap draws one of them twice in a quarter of its draws each.
    assert (row["ours_low"], row["ours_high"]) == pytest.approx((3.75, 10))
    assert row["nrmse_percent"] == 3.06 and row["reason"] == ""


def test_occluded_and_visible_landmarks_are_scored_apart(root):
    occluded = np.array([[False, True], [False, False], [True, False]])  # in the order of ROWS
    made = arrays(ROWS, occluded=occluded)
    found = put(synthetic.profile(seeds=(0,), video=True), **made)
    table = temporal.frames(found, f"{SHOWN}-s0", place="occluded")
    np.testing.assert_allclose(table["nrmse"], [0.05, np.nan, 0.1])
    assert list(table["landmarks"]) == [1, 0, 1]
    errors, weights = temporal.videos(found, SHOWN, "S1", place="visible")
    # a: 0 over one landmark and 10 and 0 px over two, of 100 px; b: 5 px of 50 px.
    np.testing.assert_allclose(errors, [[0.1 / 3, 0.1]])
    np.testing.assert_allclose(weights, [3, 1])
    row = one(temporal.motion(found), system="1D tracker, λ=0.3", subset="S1")
    assert row["occluded_percent"] == pytest.approx(100 * (0.05 + 0.1) / 2)
    assert row["visible_percent"] == pytest.approx(100 * (0.1 / 3 * 3 + 0.1) / 4)


def test_landmarks_that_are_not_scored_do_not_count(root):
    made = arrays([("TF", "franck", 0, 20, (4, 0)), ("TF", "franck", 1, 20, (2, 0))])
    for key in ("residual", "residual_without", "detected"):
        made[key] = made[key].astype(np.float16)
        made[key][:, 1] = np.nan
    found = put(synthetic.profile(seeds=(0,), video="camera"), **made)
    table = temporal.frames(found, f"{SHOWN}-s0")
    np.testing.assert_allclose(table["nrmse"], [0.2, 0.1], rtol=1e-3)
    assert list(table["landmarks"]) == [1, 1]
    row = one(temporal.table2(found), subset="TF", lam=0.3)
    assert row["ours_percent"] == pytest.approx(15, rel=1e-3)
    # One video is one draw: it gives a number and no interval.
    assert math.isnan(row["ours_low"]) and math.isnan(row["ours_video_high"])
    assert row["data"].startswith("TF, trained on 216 videos")


def one(table, **where):
    """The first row of a table with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    return table.iloc[0]


def test_gains_are_paired_over_videos(found):
    table = temporal.gains(found)
    row = one(table, comparison="detector to tracker", subset="300VW S1", landmarks="all")
    # Every video's error is halved, so that no draw of videos gives anything else.
    assert (row["decrease_percent"], row["low"], row["high"]) == pytest.approx((50, 50, 50))
    assert row["before_percent"] == pytest.approx(2 * row["after_percent"])
    assert math.isnan(row["paper_percent"]) and row["verdict"] == ""
    tested = one(table, comparison="λ 0 to 0.3, tested with 0", subset="300VW S1")
    assert tested["decrease_percent"] == pytest.approx(100 / 3)


def test_gains_say_why_they_are_empty(found):
    table = temporal.gains(found)
    trained = one(table, comparison="λ 0 to 0.3, each trained", subset="300VW S1")
    assert trained["reason"] == "not trained yet (no record)" and trained["verdict"] == "not run"
    assert trained["paper_percent"] == pytest.approx(100 * (1 - 3.06 / 3.31))
    hidden = one(table, comparison="detector to tracker", landmarks="occluded")
    assert hidden["reason"] == "no occluded landmark in these videos"
    absent = one(table, comparison="detector to tracker", subset="300VW S2")
    assert absent["reason"] == "videos not available"
    assert (table["decrease_percent"].isna() == (table["reason"] != "")).all()


def test_a_decrease_between_other_frames_is_refused(root):
    profile = synthetic.profile(seeds=(0,), video=True)
    put(profile, **arrays(ROWS))
    found = put(profile, name=f"{SHOWN}_lam00", **arrays(ROWS[:2]))
    row = one(temporal.gains(found), comparison="λ 0 to 0.3, each trained", subset="300VW S1")
    assert row["reason"] == "measured on different frames" and math.isnan(row["decrease_percent"])


def test_seeds_that_were_measured_on_other_frames_are_refused(root):
    profile = synthetic.profile(seeds=(0, 1), video=True)
    put(profile, **arrays(ROWS))
    found = put(profile, seed=1, **arrays(ROWS[1:]))
    with pytest.raises(ValueError, match="different frames"):
        temporal.videos(found, SHOWN, "S1")
    with pytest.raises(ValueError, match="no run of tracker2d_L32"):
        temporal.videos(found, "tracker2d_L32", "S1")


def test_seeds_are_averaged(root):
    profile = synthetic.profile(seeds=(0, 1), video=True)
    put(profile, **arrays(ROWS))
    double = arrays(ROWS) | {"residual": arrays(ROWS)["detected"]}
    row = one(temporal.table2(put(profile, seed=1, **double)), subset="300VW S1", lam=0.3)
    assert row["ours_percent"] == pytest.approx(1.5 * 100 * (0.025 + 0.05 + 0.1) / 3)
    assert row["seeds"] == 2


@pytest.mark.parametrize("kind, kept", [("camera", [(1, 0.025)]), (True, [(1, 0.025), (2, 0.05)])])
def test_frames_called_broken_are_left_out_of_real_videos(root, monkeypatch, kind, kept):
    monkeypatch.setattr(temporal.w300vw, "BROKEN", {"a": (2, 9), "c": (1,)})
    found = put(synthetic.profile(seeds=(0,), video=kind), **arrays(ROWS))
    table = temporal.frames(found, f"{SHOWN}-s0")
    table = table[table["video"] == "a"]
    assert list(zip(table["frame"], table["nrmse"].round(9), strict=True)) == kept
    assert len(temporal.frames(found, f"{SHOWN}-s0", broken=True)) == 3


def test_jitter_is_a_mean_over_frames_and_delay_a_ratio_of_sums(root):
    made = arrays(
        ROWS,
        jitter=np.array([np.nan, 0.02, 0.04]),
        jitter_detected=np.array([np.nan, 0.1, 0.3]),
        jitter_true=np.array([np.nan, 0.01, 0.01]),
        delay_along=np.array([0.0, 3.0, 0.0]),
        delay_detected=np.array([0.0, -1.0, 1.0]),
        delay_way=np.array([2.0, 4.0, 6.0]),
    )
    table = temporal.motion(put(synthetic.profile(seeds=(0,), video=True), **made))
    row = one(table, system="1D tracker, λ=0.3", subset="S1")
    assert row["jitter_percent"] == pytest.approx(3) and row["delay_frames"] == pytest.approx(0.25)
    assert row["jitter_true_percent"] == pytest.approx(1) and row["lam"] == 0.3
    alone = one(table, system="1D detector", subset="S1")
    assert alone["jitter_percent"] == pytest.approx(20) and alone["delay_frames"] == 0
    assert math.isnan(alone["lam"])
    other = one(table, system="1D tracker, λ=0.3, below the bin", subset="S1")
    assert math.isnan(other["jitter_percent"]) and math.isnan(other["delay_frames"])


def test_table_2_has_both_readings_of_no_past_and_the_whole_curve(root):
    profile = synthetic.profile(seeds=(0,), video=True, lams=(0.1, 1.0))
    synthetic.write_all(profile)
    table = temporal.table2(results.load(profile))
    here = table[table["subset"] == "300VW S2"]
    read = list(zip(here["lam"], here["reading"] == temporal.TRAINED, strict=True))
    assert read == [(0.0, True), (0.3, True), (0.0, False), (0.1, True), (1.0, True)]
    assert list(here["nrmse_percent"].fillna(0)) == [3.45, 3.17, 3.45, 0, 0]
    assert here["ours_percent"].notna().all() and here["ours_percent"].nunique() == 5
    # What is tested without the past holds the same weights as what is shown.
    other = temporal.videos(
        *(results.load(profile), SHOWN, "S2"), reading="tracker, tested with λ=0"
    )
    expected = 100 * np.average(other[0][0], weights=other[1])
    tested = one(here, reading=temporal.TESTED)
    assert tested["ours_percent"] == pytest.approx(expected)


def test_a_table_says_why_rows_are_empty(root):
    profile = synthetic.profile(seeds=(0,), video=True)
    table = temporal.table2(results.load(profile))
    assert set(table["reason"]) == {"not trained yet (no record)"}
    bare = temporal.table2(results.load(synthetic.profile()))
    assert set(bare["reason"]) == {"not run in cpu"} and len(bare) == 12
    assert temporal.motion(results.load(synthetic.profile())).empty
    assert temporal.gains(results.load(synthetic.profile())).empty


def test_a_saved_table_of_no_trackers_reads_back_as_such(root):
    for name, made in (("gains", temporal.gains), ("motion", temporal.motion)):
        table = made(results.load(synthetic.profile()))
        saved = tables.save(table, f"temporal_{name}", "cpu")
        assert saved.empty and list(saved) == list(table)


def test_table_1_is_filled_by_trackers_of_the_shown_past(root):
    profile = synthetic.profile(seeds=(0, 1), video=True)
    synthetic.write_all(profile)
    found = results.load(profile)
    table = stills.table1(found, temporal.table1_row)
    trackers = table[table["method"].str.startswith("tracker") & table["ours_percent"].notna()]
    wanted = {("tracker-1d", 16, 64), ("tracker-1d", 192, 768), ("tracker-2d", 32, 128)}
    places = zip(trackers["method"], trackers["ours_length"], trackers["length"], strict=True)
    assert set(places) == wanted and len(trackers) == 9
    row = one(trackers, method="tracker-1d", length=768, subset="300VW S1")
    same = one(temporal.table2(found), subset="300VW S1", lam=0.3)
    assert row["ours_percent"] == same["ours_percent"] and row["seeds"] == 2
    assert row["faces"] == sum(synthetic.VIDEOS["S1"])
    assert row["data"] == "300W stills in motion, trained on 216 clips, F=64"
    empty = table[table["method"].str.startswith("tracker") & table["ours_percent"].isna()]
    assert set(empty["reason"]) == {"not run in cpu"}


@pytest.mark.parametrize("kind, verdict", [("camera", "reproduced"), (True, "inconclusive")])
def test_nothing_but_videos_of_a_camera_gets_beyond_inconclusive(root, kind, verdict):
    profile = synthetic.profile(seeds=(0,), video=kind)
    synthetic.write_all(profile)
    table = temporal.gains(results.load(profile))
    row = one(table, comparison="λ 0 to 0.3, each trained", subset="300VW S1", landmarks="all")
    assert row["low"] > 0 and row["verdict"] == verdict


def test_a_record_on_staged_videos_stays_staged_whatever_the_profile_says_now(root):
    staged = synthetic.profile(seeds=(0,), video=True)
    synthetic.write_all(staged)
    table = temporal.gains(results.load(synthetic.profile(seeds=(0,), video="camera")))
    assert not {"reproduced", "contradicted"} & set(table["verdict"])


def test_the_papers_gains_are_those_of_its_table_2():
    lam, low, high = temporal.published_gains()
    assert lam == 0.3
    assert (low, high) == pytest.approx((100 * (1 - 4.12 / 4.42), 100 * (1 - 3.17 / 3.45)))


def test_frames_with_the_largest_gains_are_of_different_videos(root):
    rows = [("S3", "a", 1, 100, (1, 9)), ("S3", "a", 2, 100, (3, 0)), ("S3", "b", 1, 100, (2, 0))]
    occluded = np.array([[True, False]] * 3)
    made = arrays(rows, occluded=occluded)
    found = put(synthetic.profile(seeds=(0,), video=True), **made)
    table = temporal.worst_occlusions(found, f"{SHOWN}-s0", count=3)
    # On the occluded landmark the detector errs by 2, 6 and 4 px, the tracker by half of it.
    assert list(zip(table["video"], table["frame"], strict=True)) == [("a", 2), ("b", 1)]
    np.testing.assert_allclose(table["gain"], [0.03, 0.02])
    bare = put(synthetic.profile(seeds=(0,), video=True), **arrays(rows))
    table = temporal.worst_occlusions(bare, f"{SHOWN}-s0", count=1)
    assert list(table["frame"]) == [1]  # 9 px on a visible landmark


def test_one_trackers_table_states_what_it_was_trained_on(root):
    profile = synthetic.profile(seeds=(0,), video=True)
    run = profile.run(f"{SHOWN}-s0")
    record = synthetic.write(profile, run)
    table = temporal.tracker(results.load(profile), run).set_index("what")["value"]
    assert table["temporal refinement lambda"] == 0.3 and table["training videos"] == 216
    assert table["held-out NRMSE, argmax"] == pytest.approx(100 * record["validation"]["argmax"])


# --- λ by validation ---------------------------------------------------------------------------


def scored(scores):
    """Results of a profile whose trackers have these validation errors by the end of their name."""
    profile = synthetic.profile(video=True, lams=(0.7,))
    for run in profile.runs:
        ends = [error for end, error in scores.items() if run.name.endswith(end)]
        error = ends[0] if ends else 0.05
        synthetic.write(profile, run, validation=dict.fromkeys(heatmaps.DECODERS, error))
    return results.load(profile)


def test_the_lambda_that_does_best_on_validation_stands_beside_the_shown_one(root):
    found = scored({"lam07": 0.04})
    assert temporal.chosen(found).config.lam == 0.7
    gains, motion = temporal.gains(found), temporal.motion(found)
    rows = gains[gains["comparison"] == "λ 0 to 0.7 (best on validation)"]
    assert len(rows) == len(temporal.SUBSETS) * len(temporal.PLACES)
    there = motion[motion["system"] == "1D tracker, λ=0.7 (best on validation)"]
    assert set(there["lam"].dropna()) == {0.7}
    row = rows[(rows["subset"] == "300VW S3") & (rows["landmarks"] == "all")].iloc[0]
    text = answers.temporal(gains, motion)
    word = "lower" if row["decrease_percent"] >= 0 else "higher"
    assert "With λ 0 to 0.7 (best on validation) it is " in text
    assert f"{abs(row['decrease_percent']):.1f} % {word} on 300VW S3 ({row['low']:.2f} to" in text


@pytest.mark.parametrize("best", ["tracker1d_L192", "lam00", "L16"])
def test_without_a_better_lambda_nothing_is_added(root, best):
    """The shown λ, none, or that of another L is no other λ."""
    found = scored({best: 0.04})
    assert temporal.chosen(found) is None
    assert not temporal.gains(found)["comparison"].str.contains("best on validation").any()


# --- seeds -------------------------------------------------------------------------------------


def test_trackers_around_the_same_detectors_share_their_seeds(root):
    profile = synthetic.profile(video=True, seeds=(0, 1, 2))
    synthetic.write_all(profile)
    shown, plain, rival = (
        profile.run(f"{name}-s0") for name in (SHOWN, f"{SHOWN}_lam00", "tracker2d_L32")
    )
    found = results.load(profile)
    assert temporal.shared_seeds(found, shown, plain) == {0, 1, 2}
    assert temporal.shared_seeds(found, shown, rival) == set()
    (paths.runs(profile.name) / f"{SHOWN}_lam00-s1" / "run.json").unlink()
    found = results.load(profile)
    assert temporal.shared_seeds(found, shown, plain) == {0, 2}
    gains = temporal.gains(found)
    row = claims.row_of(gains, "λ 0 to 0.3, each trained", "300VW S1")
    assert row["seeds"] == 2
    row = claims.row_of(gains, "detector to tracker", "300VW S1")
    assert row["seeds"] == 3


def test_a_trackers_gain_over_its_detector_is_paired_over_seeds(root):
    """Seeds that differ much between each other and not at all in what they gain."""
    profile = synthetic.profile(video=True, seeds=(0, 1, 2))
    for run in profile.runs:
        synthetic.write(profile, run, error=0.03 * (1 + run.seed))
    row = claims.row_of(temporal.gains(results.load(profile)), "detector to tracker", "300VW S1")
    assert row["low"] > 0 and row["high"] - row["low"] < 15
