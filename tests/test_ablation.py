import numpy as np
import pandas as pd
import pytest
import synthetic

from study import config, metrics, paths, results, tables
from study.tables import ablation, stills, trainings

COM = "300W com"
CHANGES = 7  # steps of the way from the shortest heatmaps to the longest


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Records of every ablation on both test subsets, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        profile = synthetic.profile(ablation=True)
        synthetic.write_all(profile, challenging=6)
        yield results.load(profile)


@pytest.fixture(scope="module")
def split(found):
    return ablation.split(found)


@pytest.fixture(scope="module")
def lengths(found):
    return ablation.lengths(found)


def parts_of(table, subset):
    """The parts, and the two wholes by name, of one subset."""
    rows = table[table["subset"] == subset]
    totals = rows.iloc[CHANGES:].set_index("part")
    assert list(totals.index) == [ablation.IN_ALL, ablation.IN_ALL_CENTRED]
    return rows.iloc[:CHANGES], totals


# --- variants ----------------------------------------------------------------------------------


def test_a_variant_is_found_by_its_configuration_and_not_by_its_name():
    one = {"model": "detector1d", "length": 192}
    runs = {
        "flagship": one,
        "floor_L192": {**one, "group": "ablation", "rule": "centre", "sigma": 0.05},
        "misnamed": {**one, "group": "ablation", "rule": "floor"},
        "bare": {**one, "group": "coattention", "gamma": 0.0},
        "short": {**one, "length": 16},
    }
    profile = synthetic.profile(runs=runs, flagship="flagship")
    assert ablation.variant(profile).name == "flagship"
    assert ablation.variant(profile, rule="floor").name == "misnamed"
    assert ablation.variant(profile, sigma=0.05).name == "floor_L192"
    assert ablation.variant(profile, length=16).name == "short"
    assert ablation.variant(profile, gamma=0.0).name == "bare"


def test_there_is_no_variant_that_is_another_in_more_than_what_was_asked_for():
    one = {"model": "detector1d", "length": 192}
    runs = {
        "flagship": one,
        "both": {**one, "group": "ablation", "rule": "floor", "sigma": 0.05},
        "candidate": {**one, "group": "search", "rule": "floor"},  # sees no test face
    }
    profile = synthetic.profile(runs=runs, flagship="flagship")
    assert ablation.variant(profile, rule="floor") is None
    assert ablation.variant(profile, rule="floor", sigma=0.05).name == "both"


# --- parts -------------------------------------------------------------------------------------


def test_the_way_changes_one_thing_a_step_from_the_papers_rounding_to_the_papers_rounding():
    profile = synthetic.profile(ablation=True)
    ways = ablation.states(profile)
    systems = [ablation.variant(profile, **settings) for _, settings, _ in ways]
    assert [run.name for run in systems] == [
        *("floor_L16", "detector1d_L16", "detector1d_L16", "head_L16", "wide_L192"),
        *("detector1d_L192", "detector1d_L192", "floor_L192"),
    ]
    for (_, _, was), (part, _, now), old, new in zip(
        ways, ways[1:], systems, systems[1:], strict=False
    ):
        flat = [trainings.flat(run.config) for run in (old, new)]
        changed = {key for key in flat[0] if flat[0][key] != flat[1][key]}
        changed |= {"decoder"} if was != now else set()
        if part == "longer heatmaps":  # whose targets stay as wide in px, and whose head as large
            assert changed == {"length", "sigma", "head_length"}
            widths = [run.config.target_sigma / run.config.length for run in (old, new)]
            assert widths[0] == widths[1]
            assert old.config.head_length == new.config.length
        else:
            assert len(changed) == 1, part


@pytest.mark.parametrize("sigma, wide", [(0.035, 1 / 16), (0.1, 0.1)])
def test_longer_heatmaps_begin_with_targets_as_wide_as_the_short_ones_have(sigma, wide):
    one = {"model": "detector1d", "sigma": sigma}
    runs = {"flagship": {**one, "length": 192}, "short": {**one, "length": 16}}
    profile = synthetic.profile(runs=runs, flagship="flagship")
    settings = {part: settings for part, settings, _ in ablation.states(profile)}
    assert settings["longer heatmaps"]["sigma"] == wide
    short = profile.run("short-s0").config  # whose targets are one bin wide at least
    assert short.target_sigma / short.length == wide


@pytest.mark.parametrize("name", ["tiny", "cpu", "paper"])
def test_a_profile_that_takes_the_gain_apart_has_every_state_of_the_way(name):
    profile = config.load(name)
    for part, settings, _ in ablation.states(profile):
        assert ablation.variant(profile, **settings) is not None, part or "the first state"


@pytest.mark.parametrize("subset", tables.SUBSETS)
def test_the_parts_add_up_to_the_whole(split, subset):
    parts, totals = parts_of(split, subset)
    points = parts["points"].to_numpy()
    assert points.sum() == pytest.approx(totals.loc[ablation.IN_ALL, "points"], abs=1e-12)
    centred = totals.loc[ablation.IN_ALL_CENTRED]
    assert points[1:-1].sum() == pytest.approx(centred["points"], abs=1e-12)
    assert abs(points.sum() - points[1:-1].sum()) > 0.1  # else the two could be one


@pytest.mark.parametrize("subset", tables.SUBSETS)
def test_a_part_begins_where_the_one_before_it_ended(split, subset):
    parts, totals = parts_of(split, subset)
    assert list(parts["before"].iloc[1:]) == list(parts["after"].iloc[:-1])
    assert list(parts["before_percent"].iloc[1:]) == list(parts["after_percent"].iloc[:-1])
    whole = totals.loc[ablation.IN_ALL]
    assert whole["before"] == parts["before"].iloc[0] == "floor_L16, argmax"
    assert whole["after"] == parts["after"].iloc[-1] == "floor_L192, argmax"
    centred = totals.loc[ablation.IN_ALL_CENTRED]
    assert (centred["before"], centred["after"]) == (
        *("detector1d_L16, argmax", "detector1d_L192, argmax"),
    )


def test_a_part_is_the_difference_of_two_means_in_points_of_percent(found, split):
    parts, _ = parts_of(split, COM)
    row = parts.set_index("part").loc["narrower targets"]
    best = stills.best_decoder(found, found.profile.run("wide_L192-s0"))
    before, after = (
        found.by_seed(name, best, "common") for name in ("wide_L192", "detector1d_L192")
    )
    assert row["points"] == pytest.approx(100 * (before.mean() - after.mean()))
    assert row["before_percent"] == pytest.approx(100 * before.mean())
    assert row["points"] == pytest.approx(row["before_percent"] - row["after_percent"])
    interval = 100 * np.array(metrics.bootstrap_difference(before, after)[1:])
    np.testing.assert_allclose(row[["low", "high"]].to_numpy(dtype=float), interval)
    assert (row["seeds"], row["faces"]) == (2, 20)
    assert row["data"] == "300W, trained on 1,811 of 3,148 images, F=64"


def test_one_network_read_in_two_ways_is_paired_over_its_seeds(root):
    profile = synthetic.profile(seeds=(0, 1, 2), ablation=True)
    for run in profile.runs:  # seeds differ much, decoders alike in each
        synthetic.write(profile, run, error=0.03 * (1 + run.seed))
    found = results.load(profile)
    rows = ablation.split(found).set_index(["subset", "part"]).loc[COM]
    for part, name in (
        ("decoding below the bin", "detector1d_L16"),
        ("long heatmaps read by argmax", "detector1d_L192"),
    ):
        best = stills.best_decoder(found, found.profile.run(f"{name}-s0"))
        errors = [found.by_seed(name, decoder, "common") for decoder in ("argmax", best)]
        low, high = 100 * np.array(metrics.bootstrap_difference(*errors)[1:])
        assert rows.loc[part, "high"] - rows.loc[part, "low"] < 0.6 * (high - low)
        paired = 100 * metrics.bootstrap_difference(*errors, paired=True)[0]
        assert abs(rows.loc[part, "points"]) == pytest.approx(paired)
    # Two networks of one seed share nothing that would pair them.
    before, after = (found.by_seed(name, best, "common") for name in ("wide_L192", "head_L16"))
    assert metrics.bootstrap_difference(before, after)[1] < 0
    row = rows.loc["longer heatmaps"]
    assert row["high"] - row["low"] > 2 * (
        rows.loc["decoding below the bin", "high"] - rows.loc["decoding below the bin", "low"]
    )


def test_the_best_decoder_of_a_state_is_chosen_on_validation_faces(root):
    profile = synthetic.profile(seeds=(0,), ablation=True)
    scores = {"argmax": 0.07, "quarter": 0.01, "local": 0.05, "integral": 0.03}
    for run in profile.runs:  # the written residuals are best by integral
        synthetic.write(profile, run, validation=scores)
    row = ablation.split(results.load(profile)).set_index(["subset", "part"])
    assert row.loc[(COM, "a head as large"), "after"] == "head_L16, quarter"


def test_a_profile_without_ablations_says_why_there_are_no_parts(root):
    profile = synthetic.profile()
    synthetic.write_all(profile)
    table = ablation.split(results.load(profile))
    assert (table["points"].isna() == (table["reason"] != "")).all()
    rows = table[table["subset"] == COM].set_index("part")
    measured = rows.index[rows["points"].notna()]
    assert list(measured) == [
        *("decoding below the bin", "long heatmaps read by argmax", ablation.IN_ALL_CENTRED)
    ]
    assert set(rows["reason"]) == {"", "not run in cpu"}
    assert set(table["reason"][table["subset"] == "300W cha"]) == {"not run in cpu", stills.ABSENT}


def test_parts_that_are_not_trained_say_so(root):
    table = ablation.split(results.load(synthetic.profile(ablation=True)))
    assert set(table["reason"]) == {"not trained yet (no record)"}


# --- every length ------------------------------------------------------------------------------


def members(profile):
    """Series -> the names of its runs."""
    found = results.load(profile)
    table = ablation.lengths(found)
    return {
        series: list(dict.fromkeys(there["name"]))
        for series, there in table.groupby("series", sort=False)
    }


def test_a_series_holds_what_differs_in_its_length_and_one_thing_more(root):
    profile = synthetic.profile(lengths=(16, 64, 192), ablation=True, gammas=(0.0,), rivals=True)
    assert members(profile) == {
        ablation.OWN: ["detector1d_L16", "detector1d_L64", "detector1d_L192"],
        ablation.TWO_D: ["detector2d_L32"],
        ablation.FLOORED: ["floor_L16", "floor_L192"],
        ablation.ONE_HEAD: ["head_L16", "detector1d_L192"],  # whose head is the one size
        ablation.IN_BINS: ["bins_L16", "detector1d_L64"],  # 2.24 bins, as at L = F
        ablation.BY_ROOT: ["root_L16", "detector1d_L192"],  # 2 and about 6.9 bins
        ablation.SMALL: ["small_L8", "small_L64", "small_L96"],
    }


def test_what_differs_in_two_things_is_in_no_series(root):
    one = {"group": "ablation", "model": "detector1d", "length": 16}
    runs = {
        "flagship": {"model": "detector1d", "length": 192},
        "two": {**one, "rule": "floor", "head_length": 192},
        "small": {**one, "size": 32, "sigma": 0.05},
        "longer": {**one, "epochs": 9},
        "fused": {**one, "fusion": "rows"},
        "sigma": {**one, "sigma": 0.5},  # neither 2.24 bins nor 2
        "bins": {**one, "sigma": 0.14, "rule": "floor"},
    }
    profile = synthetic.profile(runs=runs, flagship="flagship")
    found = members(profile)
    named = {name for names in found.values() for name in names}
    assert named == {"flagship"}


def test_every_length_is_read_by_argmax_and_by_the_best_on_validation(found, lengths):
    assert not lengths.duplicated(["series", "name", "shown"]).any()
    assert (lengths["reason"] == "").all() and set(lengths["shown"]) == {"argmax", stills.BEST}
    rows = lengths[(lengths["series"] == ablation.SMALL) & (lengths["name"] == "small_L96")]
    for row in rows.to_dict("records"):
        errors = found.by_seed("small_L96", row["decoder"], "common")
        assert row["percent"] == pytest.approx(100 * errors.mean())
        assert row["low"] < row["percent"] < row["high"]
    best = stills.best_decoder(found, found.profile.run("small_L96-s0"))
    assert list(rows["decoder"]) == ["argmax", best] and best != "argmax"
    row = rows.iloc[0]
    assert (row["size"], row["length"], row["length_over_input"]) == (32, 96, 3)
    assert row["sigma_bins"] == pytest.approx(0.035 * 96)
    assert row["sigma_px"] == pytest.approx(0.035 * 32)
    assert (row["seeds"], row["faces"], row["parameters"]) == (2, 20, 487_236)


def test_lengths_of_another_subset_are_those_of_its_faces(found, lengths):
    table = ablation.lengths(found, "challenging")
    assert set(table["faces"]) == {6} and set(lengths["faces"]) == {20}
    assert (table["percent"] > lengths["percent"]).all()


def test_lengths_without_a_record_have_a_reason(root):
    table = ablation.lengths(results.load(synthetic.profile(ablation=True)))
    assert set(table["reason"]) == {"not trained yet (no record)"} and table["percent"].isna().all()
    assert ablation.order(table).empty


# --- L/F or bins a face ------------------------------------------------------------------------


def two_sizes(error, shown="argmax"):
    """A table of lengths of crops of 64 and 32 px whose errors are a function of (L, L/F)."""
    rows = [
        dict(series=series, size=size, length=length, length_over_input=length / size)
        | dict(percent=error(length, length / size), shown=shown)
        for series, size in ((ablation.OWN, 64), (ablation.SMALL, 32))
        for length in (16, 32, 64, 128)
    ]
    return pd.DataFrame(rows)


def apart(table):
    return table.set_index("by")["apart_percent"].to_dict()


def test_errors_that_follow_the_bins_a_face_lie_on_each_other_over_l():
    table = two_sizes(lambda length, share: 3 + 64 / length)
    found = ablation.order(table).set_index("by")
    assert found.loc["L", "places"] == 4 and found.loc["L/F", "places"] == 3
    assert found.loc["L", "apart_percent"] == pytest.approx(0)
    # Relative to 3.5, at L = 128: 7, 5, 4, 3.5 at L/F 0.25 to 2, and 7, 5, 4, 3.5 at 0.5 to 4.
    ratios = [7 / 5, 5 / 4, 4 / 3.5]
    expected = 100 * (np.prod(ratios) ** (1 / 3) - 1)
    assert found.loc["L/F", "apart_percent"] == pytest.approx(expected)


def test_errors_that_follow_l_over_f_lie_on_each_other_over_l_over_f():
    table = two_sizes(lambda length, share: 3 + max(0, 1.5 - share))
    found = ablation.order(table)
    assert apart(found)["L/F"] == pytest.approx(0) and apart(found)["L"] > 5


def test_a_size_that_is_worse_everywhere_by_one_factor_is_ordered_as_well():
    table = two_sizes(lambda length, share: 3 + 64 / length)
    table.loc[table["series"] == ablation.SMALL, "percent"] *= 1.7
    assert apart(ablation.order(table))["L"] == pytest.approx(0)


def test_the_order_is_told_for_each_way_to_read():
    one = two_sizes(lambda length, share: 3 + 64 / length)
    other = two_sizes(lambda length, share: 3 + max(0, 1.5 - share), stills.BEST)
    found = ablation.order(pd.concat([one, other], ignore_index=True))
    assert list(found["shown"]) == ["argmax", "argmax", stills.BEST, stills.BEST]
    lowest = found.loc[found.groupby("shown", sort=False)["apart_percent"].idxmin(), "by"]
    assert list(lowest) == ["L", "L/F"]


def test_sizes_that_share_no_length_are_not_compared_there():
    table = two_sizes(lambda length, share: 3 + 64 / length)
    kept = (table["series"] == ablation.OWN) == table["length"].isin([16, 64])
    found = ablation.order(table[kept]).set_index("by")
    assert found.loc["L", "places"] == 0 and np.isnan(found.loc["L", "apart_percent"])
    assert found.loc["L/F", "places"] == 1


def test_one_size_alone_orders_nothing(lengths):
    assert ablation.order(lengths[lengths["series"] != ablation.SMALL]).empty
    both = ablation.order(lengths)
    assert list(both["by"]) == ["L/F", "L", "L/F", "L"] and list(both["places"]) == [2, 1, 2, 1]
