import math

import numpy as np
import pytest
import synthetic

from study import claims, results, tables
from study.tables import folds

# NRMSE on held-out folds, percent: γ -> one a fold.
PAPERS = {0.0: (5.0, 5.2, 5.4), 0.4: (4.0, 4.2, 4.4), 0.7: (4.5, 4.7, 4.9)}  # 0.4 in every fold
MIXED = {0.0: (5.0, 4.0, 5.4), 0.4: (4.0, 4.2, 4.4), 0.7: (4.5, 4.7, 4.3)}  # but in two of them
OTHER = {0.0: (5.0, 5.0, 5.0), 0.4: (4.4, 4.5, 4.6), 0.7: (4.0, 4.0, 4.0)}  # 0.7, and beyond doubt
NEARLY = {0.0: (5.0, 5.0, 5.0), 0.4: (4.4, 3.9, 4.2), 0.7: (4.0, 4.0, 4.0)}  # 0.7, and in doubt


def validated(gammas=None, lams=None, standin=False, **options):
    """Results of cross-validations with these errors: weight -> percent of each fold, or None."""
    profile = synthetic.profile(seeds=(0,), folds=True, standin=standin, **options)
    for run in profile.runs:
        if not run.folds:
            continue
        errors, weight = {"folds": (gammas, "gamma"), "tracker_folds": (lams, "lam")}[run.group]
        percent = (errors or {}).get(getattr(run.config, weight), (None,) * 3)[run.fold]
        if percent is not None:
            # Other decoders do better, which does not count.
            synthetic.write(profile, run, error=percent / 100, standin=standin)
    return results.load(profile)


def choice(found, weight="gamma"):
    return folds.choices(found, folds.scores(found)).set_index("weight").loc[weight]


# --- scores ------------------------------------------------------------------------------------


def test_every_candidate_has_a_score_on_every_fold(root):
    table = folds.scores(validated(MIXED))
    assert list(table.columns[:5]) == ["weight", "value", "fold", "folds", "name"]
    assert set(table["weight"]) == {"gamma"} and len(table) == 3 * 3
    wide = table.pivot(index="value", columns="fold", values="percent")
    for value, percents in MIXED.items():
        assert list(wide.loc[value]) == pytest.approx(percents)
    assert set(table["folds"]) == {3} and set(table["reason"]) == {""}
    assert (table["train"].iloc[0], table["validation"].iloc[0]) == (1811, 201)
    assert set(table["data"]) == {"300W, F=64"}


def test_scores_go_by_weight_value_and_fold(root):
    table = folds.scores(validated(PAPERS, PAPERS, video=True))
    assert list(table["weight"]) == ["gamma"] * 9 + ["lam"] * 9
    assert list(table["value"]) == [
        *(0.0, 0.0, 0.0, 0.4, 0.4, 0.4, 0.7, 0.7, 0.7),
        *(0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.7, 0.7, 0.7),
    ]
    assert list(table["fold"]) == [0, 1, 2] * 6


def test_a_fold_that_is_not_trained_has_a_reason(root):
    table = folds.scores(validated({**PAPERS, 0.7: (4.5, None, 4.9)}))
    (missing,) = table[table["percent"].isna()].to_dict("records")
    assert (missing["name"], missing["fold"]) == ("folds_g07", 1)
    assert missing["reason"] == "not trained yet (no record)"
    assert (table["percent"].isna() == (table["reason"] != "")).all()


def test_a_profile_without_cross_validations_has_no_scores_and_says_so(root):
    found = results.load(synthetic.profile())
    table = folds.scores(found)
    assert table.empty
    chosen = folds.choices(found, table)
    assert list(chosen["weight"]) == ["gamma", "lam"] and list(chosen["paper"]) == [0.4, 0.3]
    assert set(chosen["reason"]) == {"not run in cpu"} and set(chosen["verdict"]) == {"not run"}
    assert chosen["chosen"].isna().all()


# --- choices -----------------------------------------------------------------------------------


def test_the_weight_with_the_lowest_mean_is_chosen_with_the_folds_own_choices_beside(root):
    row = choice(validated(MIXED))
    # Means 4.8, 4.2, 4.5; the folds choose 0.4, 0.0 and 0.7.
    assert (row["chosen"], row["lowest"], row["highest"]) == (0.4, 0.0, 0.7)
    assert row["percent"] == row["at_paper_percent"] == pytest.approx(4.2)
    assert row["worse_percent"] == row["low"] == row["high"] == 0
    assert (row["folds"], row["data"], row["reason"]) == (3, "300W, F=64", "")


def test_how_much_worse_the_papers_weight_is_has_an_interval_over_the_folds(root):
    row = choice(validated(OTHER))
    worse = [10, 12.5, 15]  # 4.4, 4.5 and 4.6 of 4.0, percent
    assert (row["chosen"], row["lowest"], row["highest"]) == (0.7, 0.7, 0.7)
    assert row["worse_percent"] == pytest.approx(np.mean(worse))
    half = 4.303 * 2.5 / math.sqrt(3)  # Student's t at two degrees of freedom, their deviation
    assert row["low"] == pytest.approx(12.5 - half) and row["high"] == pytest.approx(12.5 + half)
    assert row["at_paper_percent"] == pytest.approx(4.5)


@pytest.mark.parametrize(
    "gammas, verdict",
    [
        (PAPERS, "reproduced"),
        (MIXED, "inconclusive"),  # chosen by the mean, but not by every fold
        (OTHER, "contradicted"),
        (NEARLY, "inconclusive"),  # another is chosen, the paper's is not worse beyond doubt
        ({**PAPERS, 0.7: (4.5, None, 4.9)}, "inconclusive"),  # a fold is to come
    ],
)
def test_a_verdict_follows_from_the_folds(root, gammas, verdict):
    assert choice(validated(gammas))["verdict"] == verdict


def test_folds_that_a_candidate_lacks_do_not_count(root):
    row = choice(validated({**PAPERS, 0.7: (4.5, None, 4.9)}))
    assert row["folds"] == 2 and row["percent"] == pytest.approx((4.0 + 4.4) / 2)


def test_a_candidate_without_any_fold_leaves_the_choice_open(root):
    row = choice(validated({0.0: PAPERS[0.0], 0.4: PAPERS[0.4]}))
    assert row["reason"] == "not trained yet (no record)" and row["verdict"] == "not run"
    assert math.isnan(row["chosen"])


def test_without_any_record_every_choice_has_a_reason(root):
    found = validated(video=True)
    chosen = folds.choices(found, folds.scores(found))
    assert set(chosen["reason"]) == {"not trained yet (no record)"}
    assert chosen["chosen"].isna().all() and set(chosen["verdict"]) == {"not run"}


def test_the_papers_weight_needs_not_be_a_candidate(root):
    runs = {"detector1d_L192": {"model": "detector1d", "length": 192}}
    fold = {"group": "folds", "model": "detector1d", "length": 192, "folds": 3}
    runs |= {"g00": {**fold, "gamma": 0.0}, "g05": {**fold, "gamma": 0.5}}
    profile = synthetic.profile(runs=runs)
    for run in profile.group("folds"):
        synthetic.write(profile, run, error=0.05 - 0.01 * run.config.gamma)
    row = choice(results.load(profile))
    assert row["chosen"] == 0.5 and row["verdict"] == "inconclusive"
    assert math.isnan(row["worse_percent"]) and math.isnan(row["at_paper_percent"])


def test_several_seeds_of_a_fold_count_by_their_mean(root):
    runs = {"detector1d_L192": {"model": "detector1d", "length": 192}}
    fold = {"group": "folds", "model": "detector1d", "length": 192, "folds": 3, "seeds": [0, 1]}
    runs |= {"g00": {**fold, "gamma": 0.0}, "g04": fold}
    profile = synthetic.profile(runs=runs)
    for run in profile.group("folds"):
        low = (run.config.gamma == 0.4) == (run.seed == 0)
        synthetic.write(profile, run, error=0.03 if low else 0.05 + 0.01 * run.seed)
    row = choice(results.load(profile))
    # γ=0: 5 and 3 percent; γ=0.4: 3 and 6.
    assert row["chosen"] == 0.0 and row["percent"] == pytest.approx(4)


def test_stand_ins_decide_nothing(root):
    for gammas in (PAPERS, OTHER):
        found = validated(gammas, standin=True)
        row = choice(found)
        assert row["verdict"] == "inconclusive" and row["chosen"] in (0.4, 0.7)
        assert row["data"] == "stand-ins in 300W's layout (rendered), F=64"


LAMS = {0.0: (5.0, 5.2, 5.4), 0.3: (4.0, 4.2, 4.4), 0.7: (4.5, 4.7, 4.9)}
OTHER_LAMS = {0.0: (5.0, 5.0, 5.0), 0.3: (4.4, 4.5, 4.6), 0.7: (4.0, 4.0, 4.0)}


@pytest.mark.parametrize("lams, verdict", [(LAMS, "reproduced"), (OTHER_LAMS, "contradicted")])
def test_lambda_is_judged_on_videos_of_a_camera_alone(root, lams, verdict):
    row = choice(validated(PAPERS, lams, video="camera"), "lam")
    assert (row["paper"], row["verdict"], row["data"]) == (0.3, verdict, "300VW, F=64")


@pytest.mark.parametrize("lams", [LAMS, OTHER_LAMS])
def test_stills_in_motion_decide_nothing_about_lambda_and_are_not_called_rendered(root, lams):
    found = validated(PAPERS, lams, video=True)
    row = choice(found, "lam")
    assert row["verdict"] == "inconclusive" and row["chosen"] in (0.3, 0.7)
    assert row["data"] == "300W stills in motion, F=64"
    assert choice(found)["verdict"] == "reproduced"  # of γ, on photographs
    rendered = validated(PAPERS, lams, video=True, standin=True, name="tiny")
    assert choice(rendered, "lam")["data"] == "stand-ins in 300VW's layout (rendered), F=64"


def test_counts_stay_whole_where_one_weight_is_not_run(root):
    found = validated(PAPERS)
    table = folds.choices(found, folds.scores(found))
    saved = tables.save(table, "cross_validation", "cpu")
    for chosen in (table, saved):
        assert chosen["folds"].iloc[0] == 3 and f"{chosen['folds'].iloc[0]}" == "3"
    assert saved.set_index("weight").loc["lam", "reason"] == "not run in cpu"


def test_the_weights_are_those_of_the_papers_claims():
    assert {claim: weight for weight, (_, claim) in folds.WEIGHTS.items()} == claims.CHOSEN
    assert set(folds.SYMBOL) == set(folds.WEIGHTS)


# --- intervals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n, quantile", [(2, 12.706), (3, 4.303), (10, 2.262), (12, 2.262)])
def test_the_interval_is_students_t_over_the_folds(n, quantile):
    values = np.arange(n, dtype=float)
    low, high = folds.interval(values)
    half = quantile * values.std(ddof=1) / math.sqrt(n)
    assert low == pytest.approx(values.mean() - half)
    assert high == pytest.approx(values.mean() + half)


def test_one_fold_alone_has_no_interval():
    assert all(math.isnan(end) for end in folds.interval(np.array([3.0])))
