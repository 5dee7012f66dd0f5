import dataclasses
import re
import time
from pathlib import Path

import pytest
from test_memory import SMALL, config as small_config
from test_runs import RAW, with_changes, write_params
from w300_folder import write_w300

from study import __main__ as cli, config, material, memory, paths, plan, prepare, training, work
from study.config import TrackerConfig, TrainingConfig
from study.models import MODELS

VIDEO = {
    **RAW,
    "video": {"name": "300VW", "root": "data/300VW", "source": "data/300VW"},
    "talking": {"name": "TF", "root": "data/TF", "source": "data/TF"},
    "models": {"tracker1d": {"variants": 3, "frames": 4, "batch": 2, "epochs": 2, "hidden": 8}},
    "tracker": "tracker",
    "runs": {
        **RAW["runs"],
        "seen": {"model": "detector1d", "group": "video", "length": 32, "frame_step": 10},
        "tracker": {"model": "tracker1d", "detector": "seen"},
    },
}
LABS = ("lab", "lab1d", "lab_landmarks")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A root where no data is."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


def planned(raw=RAW, **changes):
    return plan.Plan(with_changes(raw, **changes))


# --- faces ------------------------------------------------------------------------------------


def test_where_no_data_is_the_official_counts_are_taken(root):
    found = plan.of_stills(with_changes())
    assert (found.train, found.held, found.test) == (2518, 630, 689)  # a fifth of 3,148 held out
    assert found.all == 3148 + 689
    assert found.source == "300W: the official counts"


def test_frames_that_are_known_to_be_broken_are_left_out(root):
    video, talking = planned(VIDEO).videos
    assert video.test == 62_135 + 32_805 + 26_338
    assert video.train + video.held == 95_192 and video.held == round(0.2 * 95_192)
    assert (talking.train, talking.held, talking.test) == (0, 0, 5000)


def test_stand_ins_and_stills_in_motion_count_as_the_profile_makes_them(root):
    raw = {
        **VIDEO,
        "data": {
            **RAW["data"],
            "standin": {"seed": 1, "faces": {"afw": 30, "helen/trainset": 20, "ibug": 7}},
        },
        "video": {
            **VIDEO["video"],
            "motion": {"seed": 1, "frames": 6, "clips": {"train": 10, "S1": 2, "S3": 1}},
        },
        "talking": {**VIDEO["talking"], "standin": {"seed": 1, "frames": 9}},
    }
    found = planned(raw)
    assert (found.stills.train, found.stills.held, found.stills.test) == (40, 10, 7)
    assert [(v.train, v.held, v.test) for v in found.videos] == [(48, 12, 18), (0, 0, 9)]
    assert all("to be made" in faces.source for faces in (found.stills, *found.videos))


def test_where_crops_are_here_their_faces_count(root):
    write_w300(root / "data" / "300W")
    write_params(root, RAW)
    profile = config.load("tiny")
    prepare.prepare(profile, jobs=1)
    found = plan.of_stills(profile)
    sides = material.split(profile, material.require_crops(profile))
    assert [found.train, found.held, found.test] == [side.sum() for side in sides]
    assert found.all == 13 and found.source == "300W: cached crops"
    assert plan.Plan(profile).crops() == material.require_crops(profile).faces.size


# --- networks ---------------------------------------------------------------------------------


def test_the_ledger_of_a_run_is_counted_once_for_what_needs_the_same(monkeypatch):
    plan._ledger.cache_clear()
    counted = []
    monkeypatch.setattr(memory, "ledger", lambda *args: counted.append(args) or len(counted))
    one = small_config("detector1d")
    same = dict(epochs=99, rate=0.5, sigma=0.2, decoder="local", gamma=0.7, frame_step=3)
    assert plan.ledger(one) == plan.ledger(dataclasses.replace(one, **same)) == 1
    for changed in (dict(gamma=0.0), dict(length=64), dict(batch=4), dict(average=0.5)):
        plan.ledger(dataclasses.replace(one, **changed))
    assert len(counted) == 5
    tracker = small_config("tracker1d")
    plan.ledger(tracker), plan.ledger(dataclasses.replace(tracker, lam=0.0, variants=5))
    assert len(counted) == 6
    plan._ledger.cache_clear()


def test_what_is_left_out_of_a_configuration_changes_no_ledger():
    for kind in ("detector1d", "tracker1d"):
        settings = small_config(kind)
        assert plan.ledger(settings, 5) == memory.ledger(settings, 5)


@pytest.mark.parametrize("model", [model for model in MODELS if model != "sdm"])
def test_every_detector_s_ledger_is_counted(model):
    own = {"simcc": {"loss": "kl"}, "coordinates": {"loss": "wing", "decoder": "direct"}}
    own["integral"] = {"loss": "l1", "decoder": "direct"}
    own |= dict.fromkeys(LABS, {"loss": "boundaries", "decoder": "direct"})
    length = {"coordinates": 0, "lab": 64}.get(model, 24)
    settings = TrainingConfig(model, length=length, **{**SMALL, **own.get(model, {})})
    assert plan.ledger(settings, 5) == memory.ledger(settings, 5)


def test_long_clips_of_a_2d_tracker_are_counted_from_short_ones():
    settings = dataclasses.replace(small_config("tracker2d"), frames=6)
    assert plan.ledger(settings, 5) == memory.ledger(settings, 5)


# --- the plan ---------------------------------------------------------------------------------


def test_a_row_is_what_can_be_computed_by_hand(root):
    found = planned(VIDEO, one__seeds=[0, 1])
    row = found.table.set_index("name").loc["one"]
    settings = with_changes(one__seeds=[0, 1]).run("one-s0").config
    need = memory.ledger(settings)
    assert row["parameters"] == need.parameters
    assert row["peak_gib"] == need.peak / 2**30
    assert (row["seeds"], row["samples"], row["epochs"], row["batch"]) == (2, 2518, 2, 4)
    # Two epochs of training, three validations (the last one for the record) and the test.
    passes = 3 * 630 + 689
    operations = (2 * 2518 * need.flops + passes * need.forward_flops) / 4
    assert row["hours"] == pytest.approx(2 * operations / 10e12 / 3600)
    assert row["weights_gb"] == 2 * (need.weights + need.buffers) / 1e9
    decoders = len(training.decoders_of(settings))
    assert row["predictions_gb"] == 2 * 689 * (decoders * 68 * 4 + 16) / 1e9


def test_a_candidate_is_not_tested_and_keeps_no_predictions(root):
    found = planned(VIDEO)
    rows = found.table.set_index("name")
    assert rows.loc["candidate", "predictions_gb"] == rows.loc["seen", "predictions_gb"] == 0
    runs = {run.name: found.seen(run) for run in found.profile.runs}
    assert runs["candidate"].tested == runs["seen"].tested == 0
    assert runs["one"].tested == 689


def test_detectors_inside_trackers_see_frames_and_trackers_clips(root):
    found = planned(VIDEO)
    runs = {run.name: found.seen(run) for run in found.profile.runs}
    video = found.videos[0]
    assert runs["seen"].samples == 2518 + video.train // 10
    assert runs["tracker"].samples == video.train and runs["tracker"].held == video.held
    assert runs["tracker"].tested == 6 * (video.test + 5000)


def test_a_run_in_folds_sees_all_that_is_trained_on_elsewhere_but_its_fold(root):
    raw = {**VIDEO, "runs": {**VIDEO["runs"]}}
    raw["runs"]["crossed"] = {**RAW["runs"]["one"], "group": "folds", "folds": 4}
    raw["runs"]["followed"] = {**VIDEO["runs"]["tracker"], "group": "tracker_folds", "folds": 3}
    for share in (0.0, 0.5):
        found = planned(raw, video={**VIDEO["video"], "apart": share})
        stills, frames = found.seen(found.profile.run("crossed-f1-s0")), found.videos[0].train
        assert stills == plan.Seen(3 * 3148 // 4, 3148 // 4, 0)
        clips = found.seen(found.profile.run("followed-f0-s0"))
        frames = round(share * frames) or frames
        assert clips == plan.Seen(frames - round(frames / 3), round(frames / 3), 0)
    rows = found.table.set_index("name")
    assert rows.loc[["crossed", "followed"], "seeds"].tolist() == [4, 3]
    assert rows.loc[["crossed", "followed"], "predictions_gb"].tolist() == [0, 0]


def test_clips_that_are_kept_apart_are_for_trackers_alone(root):
    found = planned(VIDEO, video={**VIDEO["video"], "apart": 0.25})
    runs = {run.name: found.seen(run) for run in found.profile.runs}
    apart = round(0.25 * found.videos[0].train)
    assert runs["tracker"].samples == apart
    assert runs["seen"].samples == 2518 + (found.videos[0].train - apart) // 10


def test_cached_heatmaps_of_a_tracker_pass_over_the_disk(root):
    found = planned(VIDEO)
    run = found.profile.run("tracker-s0")
    need, video = memory.ledger(run.config), found.videos[0]
    checkpoint = need.weights + need.buffers + need.adam
    maps = (3 * video.train + video.held) * 2 * 68 * 32 * 2
    assert found.passing(run) == checkpoint + maps
    assert found.totals()["passing_gb"] == pytest.approx((checkpoint + maps) / 1e9)


def test_predictions_are_named_as_they_are_measured(root):
    inside = TrainingConfig("detector1d", 32, 32, depth=2, columns=2)
    tracker = TrackerConfig("tracker1d", inside)
    written = set(re.findall(r'"(residual\w*|detected|averaged)"', Path(work.__file__).read_text()))
    assert set(plan._residuals(tracker)) == written | {"residual_local"}
    assert "averaged" not in plan._residuals(dataclasses.replace(tracker, lam=0.0))
    local = dataclasses.replace(tracker, detector=dataclasses.replace(inside, decoder="local"))
    assert "residual_local" not in plan._residuals(local)


def test_totals_add_up_over_the_runs(root):
    found = planned(VIDEO, one__seeds=[0, 1, 2])
    rows, totals = found.table, found.totals()
    assert totals["trainings"] == 7 == len(found.profile.runs)
    assert totals["peak_gib"] == rows["peak_gib"].max()
    assert totals["hours"] == pytest.approx(rows["hours"].sum())
    side = 32 * 2 * 1.25 / 1.25
    faces = 3148 + 689 + 95_192 + 121_278 + 5000
    assert totals["crops_gb"] == pytest.approx(3 * side**2 * faces / 1e9)


def test_twice_the_rate_is_half_the_hours(root):
    slow, fast = (plan.Plan(with_changes(), rate).totals()["hours"] for rate in (5, 10))
    assert slow == pytest.approx(2 * fast)


# --- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["tiny"], ["PROFILE=tiny"], ["--profile", "tiny"], ["tiny", "--profile", "tiny"]]
)
def test_a_profile_is_named_in_each_of_the_usual_ways(root, capsys, arguments):
    write_params(root, RAW)
    assert cli.main(["plan", *arguments, "--tflops", "3"]) == 0
    out = capsys.readouterr().out
    assert "trainings      3" in out and "3 TFLOP/s" in out
    assert "300W: the official counts" in out
    assert not (root / "build").exists() and not (root / "reports").exists()


def test_an_unknown_profile_is_one_line(capsys):
    for arguments in (["huge"], ["PROFILE=huge"], ["--profile", "huge"]):
        assert cli.main(["plan", *arguments]) == 1
        error = capsys.readouterr().err
        known = "demo, cpu, paper, tiny, own, own_tiny"
        assert error == f"error: no profile 'huge'; there are {known}\n"


def test_two_profiles_or_a_rate_of_nothing_are_one_line(capsys):
    assert cli.main(["plan", "paper", "--profile", "cpu"]) == 1
    assert capsys.readouterr().err == "error: two profiles: paper and cpu\n"
    assert cli.main(["plan", "paper", "--tflops", "0"]) == 1
    assert capsys.readouterr().err == "error: tflops is 0; it must be positive\n"


def test_the_paper_profile_is_planned_in_less_than_a_minute(capsys):
    plan._ledger.cache_clear()
    start = time.process_time()
    assert cli.main(["plan", "PROFILE=paper"]) == 0
    assert time.process_time() - start < 60
    out = capsys.readouterr().out
    profile = config.load("paper")
    for run in profile.runs:
        assert f"{run.name} " in out or run.config.model in config.FITTED
    uncounted = [run for run in profile.runs if run.config.model in config.FITTED]
    assert f"trainings      {len(profile.runs) - len(uncounted)}" in out
    assert "not counted    sdm, video_sdm, sdm_tracker, sta: fitted" in out
