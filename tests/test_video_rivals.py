import math

import numpy as np
import pandas as pd
import pytest
import synthetic

from study import claims, figures, paper, paths, results, tables
from study.answers import areas as area_answers
from study.figures import areas as area_figures
from study.page import area_views
from study.tables import quantized, temporal, video_rivals

S1, ALL = "300VW S1", temporal.ALL


def profile(kind=True, **options):
    return synthetic.profile(**{"video": kind, "seeds": (0, 1), "video_rivals": True} | options)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Records of all trackers on stills in motion, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        synthetic.write_all(profile())
        yield results.load(profile())


@pytest.fixture(scope="module")
def gains(found):
    return video_rivals.gains(found)


@pytest.fixture(scope="module")
def by_area(found):
    return video_rivals.areas(found)


def row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def scores(found, id, area="all", key="residual"):
    """NRMSE of the frames of a record on S1, on one area, anew from its residuals."""
    arrays = results.predictions(results.folder(found.profile, id))
    here = arrays["subset"] == "S1"
    index = slice(None) if area == "all" else list(temporal.AREAS[area])
    distance = np.linalg.norm(arrays[key][here][:, index].astype(float), axis=-1).mean(axis=1)
    return distance / arrays["normalizer"][here]


# --- which run is which ------------------------------------------------------------------------


def test_a_gan_is_one_with_a_discriminator_and_the_best_on_validation(root):
    made = profile()
    for run in made.runs:
        better = {"gan_weight01": 0.01, "gan_alone": 0.001}.get(run.name, 0.05)
        record = synthetic.write(made, run)
        synthetic.write(made, run, validation=dict.fromkeys(record["validation"], better))
    systems = video_rivals.systems(results.load(made))
    assert systems["GAN"][0].name == "gan_weight01"
    assert systems[video_rivals.BARE][0].name == "gan_alone"
    assert systems[video_rivals.COORDINATES] == (systems["GAN"][0], "detector")
    assert systems["Ours"][0].name == made.tracker
    assert systems["FHR"][0] == systems["FHR+STA"][0] == made.run("sta-s0")
    assert (systems["FHR"][1], systems["FHR+STA"][1]) == ("detector", "tracker")
    assert systems["SDM"] == (made.run("sdm_tracker-s0"), "tracker")


def test_before_any_is_recorded_the_first_listed_stands_for_it(root):
    systems = video_rivals.systems(results.load(profile()))
    assert systems["GAN"][0].name == "gan" and systems[video_rivals.BARE][0].name == "gan_alone"


def test_trackers_of_others_are_none_of_our_tables(found):
    """GANs have a λ and detectors, too, and are no row of Tables 1 and 2 and no candidate."""
    assert temporal.find(found.profile, "tracker1d").name == found.profile.tracker
    assert temporal.find(found.profile, "tracker2d", over_input=0.5).name == "tracker2d_L32"
    assert temporal.chosen(found) is None
    names = {side.name for run, *_ in temporal.systems(found).values() for side in [run] if side}
    pairs = [side for *pair, _ in temporal.comparisons(found).values() for side, _ in pair]
    others = ("gan", "sdm_tracker", "sta")
    assert not [run for run in pairs if run and run.config.model in others]
    assert not names & {*others, "gan_alone"}
    assert len(temporal.table2(found)) == 12


def test_a_reading_that_was_not_measured_has_a_reason(found):
    run = found.profile.run("gan-s0")
    assert temporal.why_empty(found, run, "S1", "tracker, below the bin") == "not measured of a gan"
    assert temporal.why_empty(found, run, "all") == ""
    assert temporal.why_empty(found, run, "TF") == "videos not available"
    moving = temporal.moving(found, {"GAN below": (run, "tracker, below the bin")})
    assert set(moving["reason"]) == {"not measured of a gan", "videos not available"}


# --- Tables 4 and 5 ----------------------------------------------------------------------------


def test_table_4_has_the_papers_rows_first_and_a_number_or_a_reason_in_each(found):
    table = video_rivals.table4(found)
    published = paper.table4()
    first = table.iloc[: len(published)]
    pd.testing.assert_frame_equal(first[list(published)], published)
    assert (table["ours_percent"].isna() == (table["reason"] != "")).all()
    measured = set(table["method"][table["ours_percent"].notna()])
    assert measured == {"SDM", "FHR", "FHR+STA", "GAN", "Ours", *video_rivals.BEYOND}
    reasons = table.drop_duplicates("method").set_index("method")["reason"]
    others = set(video_rivals.NOT_REBUILT) & set(reasons.index)
    assert len(others) == 6 and all(reasons[name].startswith("not rebuilt: ") for name in others)


def test_every_method_of_tables_4_and_5_is_rebuilt_or_says_why_not(root):
    listed = set(video_rivals.systems(results.load(synthetic.profile())))
    methods = {*paper.table4()["method"], *paper.table5()["method"]}
    assert methods - listed == set(video_rivals.NOT_REBUILT)
    assert listed - methods == set(video_rivals.BEYOND)


def test_a_number_is_the_mean_over_frames_of_the_seeds(found):
    table = video_rivals.table4(found)
    ours = row(table, method="GAN", subset=S1)
    each = [scores(found, f"gan-s{seed}").mean() for seed in (0, 1)]
    assert ours["ours_percent"] == pytest.approx(100 * np.mean(each))
    assert (ours["seeds"], ours["videos"], ours["faces"]) == (2, 3, sum(synthetic.VIDEOS["S1"]))
    assert pd.isna(ours["ours_length"]) and ours["size"] == 64
    assert ours["ours_low"] < ours["ours_percent"] < ours["ours_high"]
    assert ours["note"] == "coordinates, wing loss, discriminator x 1"
    alone = row(table, method=video_rivals.COORDINATES, subset=S1)
    each = [scores(found, f"gan-s{seed}", key="detected").mean() for seed in (0, 1)]
    assert alone["ours_percent"] == pytest.approx(100 * np.mean(each))
    fhr = row(table, method="FHR", subset=S1)
    each = [scores(found, f"sta-s{seed}", key="detected").mean() for seed in (0, 1)]
    assert fhr["ours_percent"] == pytest.approx(100 * np.mean(each))
    assert fhr["note"] == "2D, L/F=0.5, fractional, frame by frame"
    shown = row(table, method="Ours", subset=S1)
    assert shown["ours_length"] == 192 and shown["note"] == "1D, L/F=3, argmax, λ=0.3"


def test_table_5_is_of_one_video(root):
    made = profile("camera")
    synthetic.write_all(made)
    table = video_rivals.table5(results.load(made))
    ours = row(table, method="Ours")
    assert ours["nrmse_percent"] == 1.97 and ours["ours_percent"] > 0
    assert math.isnan(ours["ours_low"]) and ours["videos"] == 1
    assert ours["data"].startswith("TF, trained on")


def test_stills_in_motion_stand_in_table_5_with_the_seven_landmarks_of_talking_face(found):
    table = video_rivals.table5(found)
    fhr = row(table, method="FHR")
    errors = []
    for seed in (0, 1):
        arrays = results.predictions(results.folder(found.profile, f"sta-s{seed}"))
        here = arrays["subset"] == "S1"
        seven = arrays["detected"][here][:, [36, 39, 42, 45, 30, 48, 54]].astype(float)
        distance = np.linalg.norm(seven, axis=-1).mean(axis=1)
        errors.append((distance / arrays["normalizer"][here]).mean())
    assert fhr["ours_percent"] == pytest.approx(100 * np.mean(errors))
    assert fhr["ours_low"] < fhr["ours_percent"] < fhr["ours_high"] and fhr["videos"] > 1
    assert fhr["data"].startswith("300W stills in motion")
    assert fhr["data"].endswith("no Talking Face: Talking Face's seven on S1")
    assert row(table, method="TSTN")["reason"] == video_rivals.WITHOUT_CODE


def test_without_videos_every_row_says_so(root):
    bare = results.load(synthetic.profile())
    for made in (video_rivals.table4, video_rivals.table5):
        table = made(bare)
        assert set(table["reason"]) <= {"not run in cpu", *video_rivals.NOT_REBUILT.values()}
        assert table["ours_percent"].isna().all()
    assert set(video_rivals.areas(bare)["reason"]) == {"not run in cpu"}
    assert set(video_rivals.motion(bare)["reason"]) == {"not run in cpu"}


# --- facial areas ------------------------------------------------------------------------------


def test_areas_are_scored_on_their_own_landmarks(found, by_area):
    table = by_area
    for area in temporal.AREAS:
        one = row(table, system="GAN", subset=S1, area=area)
        each = [scores(found, f"gan-s{seed}", area).mean() for seed in (0, 1)]
        assert one["percent"] == pytest.approx(100 * np.mean(each))
    whole = row(table, system="GAN", subset=S1, area="all")
    parts = table[(table["system"] == "GAN") & (table["subset"] == S1) & (table["area"] != "all")]
    counts = [len(temporal.AREAS[area]) for area in parts["area"]]
    assert whole["percent"] == pytest.approx(np.average(parts["percent"], weights=counts))


def test_all_of_300vw_is_its_three_scenarios_by_their_frames(by_area):
    table = by_area
    for system in ("GAN", "Ours", video_rivals.ALONE):
        rows = table[(table["system"] == system) & (table["area"] == "contour")].set_index("subset")
        parts = [name for name in temporal.SUBSETS if name != "TF"]
        weights = rows.loc[parts, "faces"].astype(float)
        wanted = np.average(rows.loc[parts, "percent"], weights=weights)
        assert rows.loc[ALL, "percent"] == pytest.approx(wanted)
        assert rows.loc[ALL, "videos"] == 9 and rows.loc[ALL, "faces"] == weights.sum()


def test_on_talking_face_an_area_without_a_landmark_has_a_reason(root):
    made = profile("camera")
    synthetic.write_all(made)
    everything = results.load(made)
    for seed in (0, 1):  # of the seven landmarks no one is of the contour
        where = results.folder(made, f"{made.tracker}-s{seed}") / "predictions.npz"
        arrays = dict(np.load(where))
        for key in ("residual", "detected"):
            arrays[key][arrays["subset"] == "TF", :17] = np.nan
        np.savez_compressed(where, **arrays)
    table = video_rivals.areas(everything)
    bare = row(table, system="Ours", subset="TF", area="contour")
    assert bare["reason"] == "no landmark of the contour in these videos"
    run = everything.profile.run(f"{made.tracker}-s0")
    gone = temporal.compare(everything, [(run, "detector"), (run, "tracker")], "TF", "contour")
    assert gone["reason"] == "no contour landmark in these videos"


# --- gains and claims --------------------------------------------------------------------------


def test_gains_are_paired_over_videos_against_the_papers(found, gains):
    table = gains
    one = row(table, comparison="GAN to Ours", subset=S1, landmarks="all")
    before = np.mean([scores(found, f"gan-s{seed}").mean() for seed in (0, 1)])
    after = np.mean([scores(found, f"tracker1d_L192-s{seed}").mean() for seed in (0, 1)])
    assert one["decrease_percent"] == pytest.approx(100 * (1 - after / before))
    assert one["paper_percent"] == pytest.approx(12.57, abs=0.005)
    assert one["decoder"] == "direct, argmax" and one["verdict"] == "inconclusive"  # staged
    contour = row(table, comparison="GAN to Ours", subset=ALL, landmarks="contour")
    assert contour["paper_percent"] == 13.67
    eyes = row(table, comparison="GAN to Ours", subset=ALL, landmarks="eyes")
    assert math.isnan(eyes["paper_percent"]) and eyes["verdict"] == ""
    fhr = row(table, comparison="FHR to FHR+STA", subset=S1, landmarks="all")
    assert fhr["verdict"] == "inconclusive" and fhr["low"] > 0
    assert fhr["paper_percent"] == pytest.approx(100 * (1 - 4.21 / 4.82))
    # The coordinates are the GAN's own detectors, one of each seed.
    alone = row(table, comparison=f"{video_rivals.COORDINATES} to GAN", subset=S1, landmarks="all")
    assert alone["seeds"] == 2 and alone["low"] > 0


def claimed(made):
    return claims.table(quantized.worked_example(), {"video_rivals_gain": made}).set_index("id")


def test_claims_against_gan_are_judged_on_videos_of_a_camera_alone(root):
    for kind, verdict in (("camera", "reproduced"), (True, "inconclusive")):
        made = profile(kind, seeds=(0,))
        synthetic.write_all(made)
        gains = tables.save(video_rivals.gains(results.load(made)), "video_rivals_gain", "cpu")
        table = claimed(gains)
        for n in (1, 2, 3):
            printed = row(gains, comparison="GAN to Ours", subset=f"300VW S{n}", landmarks="all")
            assert table.loc[f"gan-300vw-s{n}", "ours"] == printed["decrease_percent"]
            value = float(table.loc[f"gan-300vw-s{n}", "paper_value"])
            assert printed["paper_percent"] == pytest.approx(value, abs=0.005)
            assert table.loc[f"gan-300vw-s{n}", "verdict"] == verdict
    assert table.loc["gan-tf", "reason"] == "videos not available"


def of_areas(verdict="reproduced", **changes):
    """Gains from GAN to ours by area, as (decrease, low, high), the contour's the largest."""
    values = {"eyes": (5, 3, 7), "contour": (14, 10, 18), "nose": (6, 4, 8)}
    values |= {"eyebrows": (7, 5, 9), "mouth": (8, 6, 10)} | changes
    names = ["decrease_percent", "low", "high"]
    rows = [dict(landmarks=area, **dict(zip(names, v, strict=True))) for area, v in values.items()]
    table = pd.DataFrame([*rows, dict(landmarks="all", decrease_percent=20, low=1, high=2)])
    table = table.assign(comparison="GAN to Ours", subset=ALL, data="300VW", reason="", verdict="")
    return table.assign(verdict=np.where(table["landmarks"] == "contour", verdict, ""))


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, "reproduced"),
        ({"eyes": (1, -1, 3)}, "inconclusive"),  # not beyond doubt in every area
        ({"mouth": (15, 12, 18)}, "inconclusive"),  # another area gains more
        ({"nose": (-3, -5, -1)}, "contradicted"),  # one loses
        ({"verdict": "inconclusive"}, "inconclusive"),
        ({"verdict": "contradicted"}, "contradicted"),
        ({"verdict": "not run"}, "not run"),
    ],
)
def test_the_claim_on_areas_asks_for_all_of_them(changes, expected):
    made = claims.areas_below_gan(of_areas(**changes))
    assert made["verdict"] == expected
    assert (made["ours"], made["ours_low"], made["ours_high"]) == (14, 10, 18)


# --- answers, views and figures ----------------------------------------------------------------


def test_answers_state_the_papers_comparison_or_why_there_is_none(made, root):
    gains = made["video_rivals_gain"]
    text = area_answers.in_videos(gains)
    one = row(gains, comparison="GAN to Ours", subset=S1, landmarks="all")
    assert f"{abs(one['decrease_percent']):.1f} %" in text and "(the paper: 12.57 %)" in text
    assert "not answered yet" not in text and "nan" not in text
    areas = area_answers.facial_areas(gains)
    assert "contour, " in areas and "**inconclusive**" in areas and "nan" not in areas
    bare = video_rivals.gains(results.load(synthetic.profile()))
    for made in (area_answers.in_videos, area_answers.facial_areas):
        assert made(bare) == "The paper's comparison with GAN is not answered yet: not run in cpu."


@pytest.fixture
def made(found, gains, by_area, tmp_path, monkeypatch):
    """The tables as they are read back."""
    listed = {
        "table4_300vw": video_rivals.table4(found),
        "table5_talking_face": video_rivals.table5(found),
        "facial_areas": by_area,
        "video_rivals_gain": gains,
        "video_rivals_motion": video_rivals.motion(found),
    }
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    saved = {name: tables.save(table, name, "cpu") for name, table in listed.items()}
    return saved | {"variances": None, "variances_contour": None}


def test_the_views_show_numbers_intervals_and_reasons(made):
    shown = area_views.shown_tables(made)
    table = made["table4_300vw"].dropna(subset=["ours_percent"])
    for one in table.to_dict("records"):
        text = f"{one['ours_percent']:.2f} <small>[{one['ours_low']:.2f}, {one['ours_high']:.2f}]"
        assert text in shown["table4"]
    assert "not rebuilt: " in shown["table4"] and "no Talking Face" in shown["table5"]
    assert "TF, ours" in shown["table5"] and "1.97" in shown["table5"]
    assert shown["variances"] == shown["contour"] == ""
    assert not any("nan" in html or "&lt;NA&gt;" in html for html in shown.values())
    listed = area_views.missing(made)
    assert ("Table 4: TSTN, GHCU", video_rivals.WITHOUT_CODE) in listed
    assert not any("Ours" in what for what, _ in listed)


def points_of(ax, label):
    (one,) = [c for c in ax.containers if c.get_label() == label]
    return one.lines[0].get_ydata()


def test_fig_4_draws_every_system_on_every_area(made):
    axes = area_figures.fig4_facial_areas(made["facial_areas"], made["video_rivals_gain"])
    rows = made["facial_areas"]
    rows = rows[rows["system"].eq("GAN") & rows["subset"].eq(ALL)].set_index("area")
    wanted = rows.loc[list(temporal.AREAS), "percent"]
    np.testing.assert_allclose(points_of(axes[0, 0], "GAN"), wanted)
    assert [tick.get_text() for tick in axes[0, 0].get_xticklabels()] == list(temporal.AREAS)
    (printed,) = [line for line in axes[0, 1].get_lines() if "paper" in str(line.get_label())]
    assert list(printed.get_ydata()) == [13.67]
    (legend,) = figures.figure_of(axes).legends
    assert {"GAN", "Ours"} <= {text.get_text() for text in legend.get_texts()}


def test_the_stabilisers_figure_has_a_row_a_system(made):
    axes = area_figures.stabilisation(made["video_rivals_motion"])
    names = [tick.get_text() for tick in axes[0, 0].get_yticklabels()]
    assert set(names) == set(video_rivals.MOVING)


def test_every_system_has_a_mark_of_its_own(root):
    listed = set(video_rivals.systems(results.load(synthetic.profile())))
    assert set(area_figures.SYSTEM) == listed == set(video_rivals.MOVING)
    assert len(set(area_figures.SYSTEM.values())) == len(listed)
