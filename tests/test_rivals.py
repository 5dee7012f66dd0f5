import numpy as np
import pandas as pd
import pytest
import synthetic

from study import heatmaps, metrics, paper, paths, results
from study.tables import rivals, stills

COM = "300W com"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Records of every system, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        profile = synthetic.profile(rivals=True)
        synthetic.write_all(profile)
        yield results.load(profile)


def row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


# --- side by side ------------------------------------------------------------------------------


def test_systems_stand_side_by_side_with_their_readers_names(found):
    table = rivals.side_by_side(found)
    assert list(table["system"].unique()) == [
        *("1D, L/F=0.25", "1D, L/F=1", "1D, L/F=3", "2D, L/F=0.5"),
        *("SimCC, KL on 1D classes", "coordinates, wing loss", "2D, integral regression"),
        *("LAB, 2D boundaries", "Ours+LAB, 1D boundaries", "LAB through 1D landmarks"),
        "SDM, cascade on HOG",
    ]
    # Each by its own decoder and, but for those that give points, by the best of the others.
    assert list(table.groupby("system", sort=False).size()) == [2, 2, 2, 2, 2, *[1] * 6]
    own = row(table, name="simcc", chosen="own")
    errors = found.by_seed("simcc", "argmax", "common")
    assert (own["decoder"], own["seeds"], own["faces"]) == ("argmax", 2, 20)
    assert own["percent"] == pytest.approx(100 * errors.mean())
    assert own["low"] < own["percent"] < own["high"]
    best = row(table, name="simcc", chosen="best on validation")
    assert best["decoder"] == stills.best_decoder(found, found.profile.run("simcc-s0"))
    points = row(table, name="coordinates")
    assert (points["decoder"], points["chosen"]) == ("direct", "own")
    assert pd.isna(points["length"]) and points["parameters"] == 487_236
    assert (table["reason"] == "").all()
    # Nothing of a cascade is descended to, so there is no step to count.
    assert pd.isna(row(table, name="sdm")["step_mib"])
    assert (table[table["name"] != "sdm"]["step_mib"] > 0).all()


def test_what_a_face_costs_does_not_depend_on_the_batch_and_what_a_step_needs_does(root):
    costs = {}
    for batch in (4, 16):
        sizes = {"channels": 8, "depth": 2, "epochs": 4, "batch": batch}
        profile = synthetic.profile(seeds=(0,), lengths=(16, 192), training=sizes)
        synthetic.write_all(profile)
        table = rivals.side_by_side(results.load(profile))
        costs[batch] = table[table["chosen"] == "own"].set_index("name")[["megaflops", "step_mib"]]
    np.testing.assert_allclose(costs[4]["megaflops"], costs[16]["megaflops"])
    assert (costs[16]["step_mib"] / costs[4]["step_mib"]).between(2, 4).all()
    assert costs[4].loc["detector2d_L32", "megaflops"] > 0


def test_systems_that_are_not_trained_say_so(root):
    profile = synthetic.profile(rivals=True)
    synthetic.write(profile, profile.run("detector1d_L192-s0"))
    table = rivals.side_by_side(results.load(profile))
    assert row(table, name="simcc")["reason"] == "not trained yet (no record)"
    assert (table["percent"].isna() == (table["reason"] != "")).all()


def test_systems_are_named_by_their_loss_too():
    profile = synthetic.profile(rivals=True)
    runs = [profile.run(id) for id in ("search_coordinates-s0", "integral-s0")]
    names = [rivals.named(run.config) for run in runs]
    assert names == ["coordinates, L2 loss", "2D, integral regression"]


# --- Table 3 -----------------------------------------------------------------------------------


def test_table_3_keeps_every_row_and_column_of_the_paper(found):
    table, published = rivals.table3(found), paper.table3()
    theirs = table[published.columns].iloc[: len(published)]
    pd.testing.assert_frame_equal(theirs, published, check_dtype=False)
    beyond = table.iloc[len(published) :]
    assert list(beyond["method"].unique()) == list(rivals.BEYOND)
    assert beyond["nrmse_percent"].isna().all()


def test_every_row_of_table_3_has_either_a_number_of_ours_or_a_reason(found):
    table = rivals.table3(found)
    assert (table["ours_percent"].isna() == (table["reason"] != "")).all()
    measured = table[table["ours_percent"].notna()]
    assert set(measured["method"]) == {*rivals.REBUILT, *rivals.BEYOND}
    assert (measured["subset"] == COM).all() and measured["method"].is_unique
    assert (measured["note"] != "").all() and (measured["data"] != "").all()
    assert row(table, method="SAN", subset=COM)["reason"] == rivals.NOT_REBUILT
    assert row(table, method="Ours", subset="AFLW")["reason"] == rivals.NO_AFLW
    assert row(table, method="Ours", subset="300W cha")["reason"] == stills.ABSENT


def test_rows_of_table_3_say_what_is_missing(root):
    profile = synthetic.profile()  # without rivals
    synthetic.write(profile, profile.run("detector1d_L192-s0"))
    table = rivals.table3(results.load(profile))
    assert row(table, method="Ours", subset=COM)["reason"] == ""
    assert row(table, method="FHR", subset=COM)["reason"] == "not trained yet (no record)"
    assert row(table, method="SimCC", subset=COM)["reason"] == "not run in cpu"


def test_ours_is_the_flagship_whatever_is_better(root):
    profile = synthetic.profile(flagship="detector1d_L64")
    synthetic.write_all(profile)
    found = results.load(profile)
    ours = row(rivals.table3(found), method="Ours", subset=COM)
    errors = found.by_seed("detector1d_L64", "argmax", "common")
    assert ours["ours_percent"] == pytest.approx(100 * errors.mean())
    assert (ours["ours_length"], ours["note"]) == (64, "1D, L/F=1, argmax")
    assert (ours["size"], ours["seeds"], ours["faces"]) == (64, 2, 20)
    assert ours["ours_low"] < ours["ours_percent"] < ours["ours_high"]


def chosen_of(validation, errors):
    """Results of 2D detectors of three lengths and of rivals.

    Args:
        validation: L -> validation NRMSE of decoders, others having 0.08.
        errors: L -> NRMSE on test faces.
    """
    runs = {f"detector2d_L{n}": {"model": "detector2d", "length": n} for n in validation}
    runs |= {"detector1d_L192": {"model": "detector1d", "length": 192}}
    profile = synthetic.profile(rivals=True, seeds=(0,), runs=runs)
    for run in profile.runs:
        score = dict.fromkeys(heatmaps.DECODERS, 0.08)
        if run.config.model == "detector2d":
            score |= validation[run.config.length]
            synthetic.write(profile, run, error=errors[run.config.length], validation=score)
        else:
            synthetic.write(profile, run)
    return results.load(profile)


VALIDATION = {
    16: {"argmax": 0.07, "fractional": 0.03, "taylor": 0.06},
    32: {"argmax": 0.04, "fractional": 0.05, "taylor": 0.06},
    64: {"argmax": 0.05, "fractional": 0.06, "taylor": 0.02},
}


def test_fhr_is_the_2d_detector_that_its_decoder_does_best_with_on_validation_faces(root):
    found = chosen_of(VALIDATION, {16: 0.09, 32: 0.06, 64: 0.03})
    table = rivals.table3(found)
    lengths = {"FHR": 16, "2D, argmax": 32, "DARK (2D, Taylor)": 64}
    for method, length in lengths.items():
        assert row(table, method=method, subset=COM)["ours_length"] == length
    fhr = row(table, method="FHR", subset=COM)
    errors = found.by_seed("detector2d_L16", "fractional", "common")
    assert fhr["ours_percent"] == pytest.approx(100 * errors.mean())
    assert fhr["note"] == "2D, L/F=0.25, fractional"


# --- gains -------------------------------------------------------------------------------------


def test_what_is_compared_is_chosen_on_validation_faces_and_not_on_test_faces(root):
    shown = []
    for errors in ({16: 0.09, 32: 0.06, 64: 0.03}, {16: 0.03, 32: 0.09, 64: 0.06}):
        found = chosen_of(VALIDATION, errors)
        gains = rivals.gains(found)
        shown.append([*gains["before"], *gains["after"], *rivals.table3(found)["note"]])
    assert [str(one) for one in shown[0]] == [str(other) for other in shown[1]]
    best = row(gains, comparison="2D to 1D", subset=COM)
    assert best["before"] == "detector2d_L64, taylor"  # the lowest of all, 0.02
    fhr = row(gains, comparison=rivals.FHR, subset=COM)
    assert fhr["before"] == "detector2d_L16, fractional"
    assert fhr["after"] == "detector1d_L192, argmax"


def test_fhr_to_ours_is_judged_against_the_papers_numbers(found):
    table = rivals.gains(found)
    gain = row(table, comparison=rivals.FHR, subset=COM)
    before = found.by_seed("detector2d_L32", "fractional", "common")
    after = found.by_seed("detector1d_L192", "argmax", "common")
    expected = metrics.bootstrap_decrease(before, after)
    measured = gain[["decrease_percent", "low", "high"]].to_numpy(dtype=float)
    np.testing.assert_allclose(measured, 100 * np.array(expected))
    assert (gain["decoder"], gain["verdict"]) == ("fractional, argmax", "reproduced")
    printed = {COM: 4.28, "300W cha": 14.49, "300W full": 7.65}  # 1 - 2.91/3.04, ...
    rows = table[table["comparison"] == rivals.FHR].set_index("subset")
    assert rows["paper_percent"].round(2).to_dict() == printed
    assert rows.loc["300W cha", "verdict"] == "not run"
    assert rows.loc["300W cha", "reason"] == stills.ABSENT


def test_ours_with_lab_is_judged_against_lab_and_against_ours(found):
    table = rivals.gains(found)
    there = table[table["subset"] == COM].set_index("comparison")
    lab, ours = there.loc[rivals.LAB], there.loc["Ours to Ours+LAB"]
    assert (lab["before"], lab["after"]) == ("lab, direct", "lab1d, direct")
    assert (ours["before"], ours["after"]) == ("detector1d_L192, argmax", "lab1d, direct")
    assert lab["paper_percent"] == pytest.approx(7.72, abs=0.005)  # 1 - 2.75 / 2.98
    assert ours["paper_percent"] == pytest.approx(5.50, abs=0.005)  # 1 - 2.75 / 2.91
    after = found.by_seed("lab1d", "direct", "common")
    expected = metrics.bootstrap_decrease(found.by_seed("lab", "direct", "common"), after)
    assert lab["decrease_percent"] == pytest.approx(100 * expected[0])


def test_every_rival_is_compared_by_its_best_decoder_without_a_verdict(found):
    table = rivals.gains(found)
    rest = table[~table["comparison"].isin(rivals.PRINTED)]
    assert rest["paper_percent"].isna().all() and set(rest["verdict"]) == {""}
    assert set(rest["decoder"]) == {stills.BEST}
    there = rest[rest["subset"] == COM].set_index("comparison")
    best = {
        model: stills.best_decoder(found, found.profile.run(f"{model}-s0"))
        for model in ("detector2d_L32", "simcc", "detector1d_L192")
    }
    assert there["before"].to_dict() == {
        "2D to 1D": f"detector2d_L32, {best['detector2d_L32']}",
        "integral regression to 1D": "integral, direct",
        "SimCC to 1D": f"simcc, {best['simcc']}",
        "coordinates to 1D": "coordinates, direct",
        "SDM to 1D": "sdm, direct",
        "LAB through 1D landmarks to 1D": "lab_landmarks, direct",
    }
    assert set(there["after"]) == {f"detector1d_L192, {best['detector1d_L192']}"}
    errors = found.by_seed("coordinates", "direct", "common")
    assert there.loc["coordinates to 1D", "before_percent"] == pytest.approx(100 * errors.mean())


def test_a_gain_without_its_rival_has_a_reason(root):
    profile = synthetic.profile()
    synthetic.write(profile, profile.run("detector1d_L192-s0"))
    table = rivals.gains(results.load(profile))
    assert (table["decrease_percent"].isna() == (table["reason"] != "")).all()
    assert row(table, comparison="SimCC to 1D", subset=COM)["reason"] == "not run in cpu"
    fhr = row(table, comparison=rivals.FHR, subset=COM)
    assert (fhr["verdict"], fhr["reason"]) == ("not run", "not trained yet (no record)")


def test_rivals_on_stand_ins_decide_nothing(root):
    profile = synthetic.profile(rivals=True, standin=True)
    synthetic.write_all(profile, standin=True)
    verdicts = set(rivals.gains(results.load(profile))["verdict"])
    assert verdicts == {"", "not run", "inconclusive"}
