import numpy as np
import pandas as pd
import pytest
import synthetic
import torch

from study import metrics, paper, paths, results, tables
from study.tables import quantized, stills, trainings


def load(profile=None, **options):
    profile = profile or synthetic.profile()
    synthetic.write_all(profile, **options)
    return results.load(profile)


def row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_table_1_keeps_every_row_and_column_of_the_paper(root):
    table = stills.table1(load())
    published = paper.table1()
    theirs = table[published.columns].iloc[: len(published)]
    pd.testing.assert_frame_equal(theirs, published, check_dtype=False)


def test_table_1_goes_on_with_our_systems_at_other_l_over_f(root):
    profile = synthetic.profile(lengths=(16, 64, 192, 768))
    for run in profile.runs:
        synthetic.write(profile, run)
    table = stills.table1(results.load(profile))
    beyond = table[table["length_over_input"] == 12]
    assert list(beyond["subset"]) == ["300W com", "300W cha", "300W full"]
    assert beyond["nrmse_percent"].isna().all()
    assert beyond["ours_length"].iloc[0] == 768 and beyond["ours_percent"].iloc[0] > 0


def test_table_1_joins_ours_on_l_over_f(root):
    found = load()
    table = stills.table1(found)
    ours = row(table, method="detector-1d", length=768, subset="300W com")
    errors = found.by_seed("detector1d_L192", "argmax", "common")
    assert ours["ours_percent"] == pytest.approx(100 * errors.mean())
    assert (ours["size"], ours["ours_length"], ours["seeds"], ours["faces"]) == (64, 192, 2, 20)
    assert ours["ours_low"] < ours["ours_percent"] < ours["ours_high"]
    assert ours["data"] == "300W, trained on 1,811 of 3,148 images, F=64"


def test_every_row_of_table_1_has_either_a_number_of_ours_or_a_reason(root):
    table = stills.table1(load())
    assert (table["ours_percent"].isna() == (table["reason"] != "")).all()
    assert table["ours_percent"].notna().sum() == 4  # three 1D, one 2D, common faces


def test_reasons_say_what_is_missing(root):
    profile = synthetic.profile()
    synthetic.write(profile, profile.run("detector1d_L192-s0"))
    table = stills.table1(results.load(profile))
    one = {"method": "detector-1d", "subset": "300W com"}
    assert row(table, **one, length=512)["reason"] == "not run in cpu"
    assert row(table, **one, length=64)["reason"] == "not trained yet (no record)"
    dark = row(table, method="detector-1d", subset="300W cha", length=768)
    assert dark["reason"] == "images not available"
    other = row(table, method="tracker-1d", subset="300VW S1", length=64)
    assert other["reason"] == "trackers are in another table"


def test_challenging_and_full_rows_are_filled_where_the_images_are_there(root):
    table = stills.table1(load(challenging=6))
    full = row(table, method="detector-1d", length=768, subset="300W full")
    hard = row(table, method="detector-1d", length=768, subset="300W cha")
    assert (full["faces"], hard["faces"]) == (26, 6)
    assert hard["ours_percent"] > full["ours_percent"]


def test_decoders_have_one_row_a_system_decoder_and_subset(root):
    found = load(challenging=6)
    table = stills.decoders(found)
    assert not table.duplicated(["name", "decoder", "subset"]).any()
    assert len(table) == 4 * 6 * 3
    one = row(table, name="detector2d_L32", decoder="taylor", subset="full")
    errors = found.by_seed("detector2d_L32", "taylor", "full")
    assert one["percent"] == pytest.approx(100 * errors.mean())
    assert np.isnan(one["gamma"]) and one["length_over_input"] == 0.5
    assert one["rms_percent"] >= one["percent"]
    assert one["validation_percent"] == pytest.approx(
        100 * found.validation("detector2d_L32")["taylor"]
    )


def test_rivals_are_in_no_table_of_resolution(root):
    with_rivals = load(synthetic.profile(rivals=True))
    without = load(synthetic.profile())
    for make in (stills.table1, stills.decoders, stills.gains, stills.cumulative):
        pd.testing.assert_frame_equal(make(with_rivals), make(without))
    assert quantized.lengths(with_rivals.profile) == quantized.lengths(without.profile)


def test_candidates_of_rivals_are_chosen_where_their_settings_are_taken_over(root):
    table = trainings.tuning(load(synthetic.profile(rivals=True)))
    assert row(table, name="search_simcc")["chosen"] == "yes"  # but for its epochs
    points = row(table, name="search_coordinates")
    assert points["chosen"] == "no" and pd.isna(points["length"])
    assert points["percent"] == pytest.approx(points["best"])


def test_gains_are_paired_over_faces(root):
    found = load()
    gain = row(
        stills.gains(found), comparison="1D, L/F 0.25 to 3", subset="300W com", decoder="argmax"
    )
    before = found.by_seed("detector1d_L16", "argmax", "common")
    after = found.by_seed("detector1d_L192", "argmax", "common")
    assert gain["decrease_percent"] == pytest.approx(100 * (1 - after.mean() / before.mean()))
    low, high = metrics.bootstrap_decrease(before, after)[1:]
    assert (gain["low"], gain["high"]) == (pytest.approx(100 * low), pytest.approx(100 * high))
    assert gain["paper_percent"] == pytest.approx(16.857, abs=0.001)
    assert gain["verdict"] == "reproduced"


def test_the_best_decoder_is_chosen_on_validation_faces_and_not_on_test_faces(root):
    profile = synthetic.profile(seeds=(0,))
    scores = {"argmax": 0.07, "quarter": 0.01, "local": 0.05, "integral": 0.03}
    for run in profile.runs:  # the written residuals are best by integral
        synthetic.write(profile, run, validation=scores)
    found = results.load(profile)
    gain = row(
        stills.gains(found),
        **dict(comparison="2D at L/F 0.5 to 1D at L/F 3", subset="300W com"),
        decoder=stills.BEST,
    )
    assert gain["before"] == "detector2d_L32, quarter"
    assert gain["after"] == "detector1d_L192, quarter"
    assert gain["verdict"] == "" and np.isnan(gain["paper_percent"])


def test_a_gain_without_its_runs_has_a_reason_and_no_verdict_beyond_not_run(root):
    table = stills.gains(load())
    missing = row(table, comparison="1D, L 64 to 768", subset="300W com", decoder="argmax")
    assert (missing["reason"], missing["verdict"]) == ("not run in cpu", "not run")
    dark = row(table, comparison="1D, L/F 0.25 to 3", subset="300W cha", decoder="argmax")
    assert (dark["reason"], dark["verdict"]) == ("images not available", "not run")


def test_stand_ins_never_get_beyond_inconclusive(root):
    found = load(synthetic.profile(standin=True), standin=True)
    verdicts = set(stills.gains(found)["verdict"]) - {"", "not run"}
    assert verdicts == {"inconclusive"}


def test_candidates_are_ranked_by_validation_and_say_what_varies(root):
    profile = synthetic.profile()
    synthetic.write(profile, profile.run("search_a-s0"), error=0.06)
    synthetic.write(profile, profile.run("search_b-s0"), error=0.05)
    table = trainings.tuning(results.load(profile))
    assert list(table["name"]) == ["search_b", "search_a"]
    assert list(table["percent"]) == [pytest.approx(5), pytest.approx(6)]
    assert table["varied"].iloc[0] == "sigma=0.05, epochs=2"
    # search_a has the settings of detector1d_L192; search_b another sigma.
    assert list(table["chosen"]) == ["no", "yes"]


def test_a_candidate_of_fewer_epochs_is_chosen_if_all_else_is_taken_over(root):
    raw = {
        "short": {"group": "search", "model": "detector1d", "length": 64, "epochs": 2},
        "long": {"model": "detector1d", "length": 64, "epochs": 9},
    }
    profile = synthetic.profile(runs=raw, flagship="long")
    table = trainings.tuning(results.load(profile))
    assert list(table["chosen"]) == ["yes"] and table["reason"].iloc[0] == "no record"


def test_rounding_of_a_hand_made_face_costs_what_eq_5_says():
    points = torch.full((1, 68, 2), 10.0, dtype=torch.float64)
    points[0, 45, 0] = 30.0  # eye corners 20 px apart
    table = quantized.quantization(points, np.array(["common"]), 64, [16])
    # Bins of 4 px: 10 falls to 8 (2 px off), 30 to 28; both axes.
    floor = row(table, rule="floor")
    assert floor["nrmse_percent"] == pytest.approx(100 * 2 * np.sqrt(2) / 20)
    # Centres at 1.5, 5.5, 9.5, ... 29.5: half a px off on both axes.
    centre = row(table, rule="centre")
    assert centre["nrmse_percent"] == pytest.approx(100 * 0.5 * np.sqrt(2) / 20)


def test_rounding_to_the_nearest_centre_costs_about_half_of_rounding_down():
    points = torch.rand(40, 68, 2, dtype=torch.float64) * 60
    subset = np.repeat(["common", "train"], [15, 25])
    table = quantized.quantization(points, subset, 64, [24, 48])
    assert list(table["faces"].unique()) == [15, 25]
    wide = table.pivot(index=["subset", "length"], columns="rule", values="nrmse_percent")
    assert (wide["centre"] / wide["floor"]).between(0.45, 0.55).all()
    by_length = table.pivot(index=["subset", "rule"], columns="length", values="nrmse_percent")
    assert (by_length[24] / by_length[48]).between(1.9, 2.1).all()


def test_rounding_costs_the_same_at_every_size_of_the_crop():
    points = torch.rand(9, 68, 2, dtype=torch.float64) * 64
    small = quantized.quantization(points, np.array(["common"] * 9), 64, [20])
    large = quantized.quantization(points * 4, np.array(["common"] * 9), 256, [20])
    floors = [table[table["rule"] == "floor"]["nrmse_percent"].iloc[0] for table in (small, large)]
    assert floors[0] == pytest.approx(floors[1])


def test_the_lengths_of_the_study_are_ours_and_the_papers():
    found = quantized.lengths(synthetic.profile(lengths=(16, 192)))
    assert found == [16, 32, 64, 128, 192, 256, 384, 512, 640, 768]


def test_a_saved_table_is_returned_as_it_is_read(root):
    table = stills.decoders(load())
    saved = tables.save(table, "resolution_decoders", "cpu")
    pd.testing.assert_frame_equal(saved, tables.read("resolution_decoders", "cpu"))
    file = paths.reports("cpu") / "tables" / "resolution_decoders.csv"
    first = file.read_bytes()
    tables.save(saved, "resolution_decoders", "cpu")
    assert file.read_bytes() == first
    assert tables.read("nothing", "cpu") is None


def test_counts_stay_whole_numbers_where_some_are_missing(root):
    saved = tables.save(stills.table1(load()), "table1_resolution", "cpu")
    text = (paths.reports("cpu") / "tables" / "table1_resolution.csv").read_text()
    assert ",64,192," in text and "192.0" not in text
    assert saved["faces"].dropna().iloc[0] == 20


def test_trainings_list_every_run_with_a_record_or_a_reason(root):
    profile = synthetic.profile()
    synthetic.write(profile, profile.run("detector1d_L16-s0"))
    synthetic.write(profile, profile.run("search_a-s0"))
    table = trainings.listed(results.load(profile))
    assert list(table["run"]) == [run.id for run in profile.runs]
    assert (table["minutes"].isna() == (table["reason"] != "")).all()
    assert row(table, run="detector1d_L16-s0")["test"] == 20
    assert row(table, run="search_a-s0")["test"] == 0  # candidates see no test face


def test_cumulative_errors_grow_to_the_share_below_the_limit(root):
    found = load()
    table = stills.cumulative(found, limit=0.06, steps=7)
    lines = table[table["name"] == "detector1d_L16"]
    assert list(lines["threshold_percent"]) == pytest.approx([0, 1, 2, 3, 4, 5, 6])
    assert lines["share"].is_monotonic_increasing
    errors = found.by_seed("detector1d_L16", "argmax", "common")
    assert lines["share"].iloc[-1] == pytest.approx((errors <= 0.06).mean())


def test_affinities_become_cells_whose_rows_sum_to_one():
    w_xy = torch.rand(3, 2, 4, 5).softmax(-1)
    w_yx = torch.rand(3, 2, 5, 4).softmax(-1)
    table = trainings.affinity(w_xy, w_yx, face=2)
    assert len(table) == 4 * 20
    sums = table.groupby(["matrix", "shown", "row"])["weight"].sum()
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
    cell = row(table, matrix="yx", shown="one face", row=3, column=1)
    assert cell["weight"] == pytest.approx(w_yx[2, :, 3, 1].mean().item())


def test_the_worked_example_rounds_to_the_printed_errors():
    table = quantized.worked_example()
    assert list(table["error_px"].round(2)) == [1.11, 0.18] == list(table["paper_px"])


def test_histories_and_details_of_the_flagship(root):
    found = load()
    history = trainings.histories(found, "detector1d_L192")
    assert list(history["run"].unique()) == ["detector1d_L192-s0", "detector1d_L192-s1"]
    assert history["epoch"].max() == 4
    details = trainings.detector(found, found.profile.run("detector1d_L192-s0"))
    assert row(details, what="parameters")["value"] == 487_236
    assert row(details, what="target sigma")["value"] == pytest.approx(0.035 * 192)
