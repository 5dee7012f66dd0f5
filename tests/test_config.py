import copy
import dataclasses

import pytest
import yaml

from study import config, paths
from study.config import ConfigError, TrainingConfig
from study.datasets.augment import Augmentation

RAW = {
    "profile": "tiny",
    "data": {"name": "300W", "root": "data/300W", "source": "data/300W"},
    "crops": {"size": 32},
    "training": {"channels": 8, "depth": 2, "epochs": 2, "augmentation": {"rotation": 10.0}},
    "models": {"detector1d": {"gamma": 0.2}},
    "flagship": "one",
    "runs": {
        "one": {"model": "detector1d", "length": 32, "seeds": [0, 1]},
        "two": {"model": "detector2d", "length": 16},
        "try": {"group": "search", "model": "detector1d", "length": 32, "gamma": 0.7},
    },
}


def changed(path, value):
    """RAW with one value set, e.g. "runs.one.length"."""
    raw = copy.deepcopy(RAW)
    section = raw
    *parents, last = path.split(".")
    for key in parents:
        section = section.setdefault(key, {})
    section[last] = value
    return raw


def message(raw):
    with pytest.raises(ConfigError) as error:
        config.parse(raw, "params.yaml")
    text = str(error.value)
    assert text.startswith("params.yaml") and "\n" not in text
    return text


# --- what comes out ---------------------------------------------------------------------------


def test_the_more_special_section_wins():
    profile = config.parse(changed("runs.one.epochs", 5), "params.yaml")
    one, candidate = profile.run("one-s0").config, profile.run("try-s0").config
    assert (one.gamma, one.epochs, one.channels, one.size) == (0.2, 5, 8, 32)
    assert (candidate.gamma, candidate.epochs) == (0.7, 2)
    assert profile.run("two-s0").config.gamma == TrainingConfig("detector2d", 64, 16).gamma


def test_augmentation_is_merged_key_by_key():
    raw = changed("runs.one.augmentation", {"scale": 0.1})
    augmentation = config.parse(raw, "params.yaml").run("one-s0").config.augmentation
    assert augmentation == dataclasses.replace(Augmentation(), rotation=10.0, scale=0.1)


def test_candidates_come_first_and_first_seeds_before_second_ones():
    profile = config.parse(RAW, "params.yaml")
    assert [run.id for run in profile.runs] == ["try-s0", "one-s0", "two-s0", "one-s1"]
    assert [run.id for run in profile.group("search")] == ["try-s0"]
    assert profile.run("one-s1").seed == 1


def test_whole_numbers_serve_as_fractions():
    rate = config.parse(changed("training.rate", 1), "params.yaml").run("one-s0").config.rate
    assert rate == 1.0 and isinstance(rate, float)


def test_sigma_of_the_targets_is_a_share_of_the_length_and_one_bin_at_least():
    assert TrainingConfig("detector1d", 64, 192).target_sigma == pytest.approx(6.72)
    assert TrainingConfig("detector1d", 64, 16).target_sigma == 1.0
    assert TrainingConfig("detector1d", 64, 192, sigma=0.05).target_sigma == pytest.approx(9.6)


def rival(model, **values):
    """The configuration of a run of one more model in RAW."""
    raw = changed("runs.rival", {"model": model, **values})
    return config.parse(raw, "params.yaml").run("rival-s0")


def test_simcc_has_three_classes_a_px_unless_its_run_says_otherwise():
    run = rival("simcc")
    assert (run.group, run.config.length, run.config.loss) == ("rival", 3 * 32, "kl")
    assert run.config.target_sigma == pytest.approx(0.035 * 96)
    assert rival("simcc", length=50).config.length == 50
    assert rival("simcc", size=64).config.length == 3 * 64


def test_coordinates_have_no_bins_and_no_decoder():
    run = rival("coordinates")
    assert (run.group, run.config.length, run.config.decoder) == ("rival", 0, "direct")
    assert run.config.loss == "wing"
    assert rival("coordinates", loss="l2").config.loss == "l2"


def test_integral_regression_has_bins_and_no_decoder():
    run = rival("integral", length=16)
    assert (run.group, run.config.length, run.config.decoder) == ("rival", 16, "direct")
    assert run.config.loss == "l1"


SHARED = {"decoder": "local", "sigma": 0.1, "rule": "floor", "head_length": 64, "fusion": "rows"}


@pytest.mark.parametrize("model", ["simcc", "coordinates", "integral", "detector2d"])
@pytest.mark.parametrize("key", SHARED)
def test_what_all_trainings_share_does_not_bind_a_model_that_cannot_use_it(key, model):
    raw = changed("training." + key, SHARED[key])
    bins = {"length": 16} if model in ("detector2d", "integral") else {}
    raw["runs"]["other"] = {"model": model, **bins}
    profile = config.parse(raw, "params.yaml")
    assert getattr(profile.run("one-s0").config, key) == SHARED[key]
    other, uses = profile.run("other-s0").config, model in config.USED_BY[key]
    usual = "direct" if key == "decoder" else getattr(TrainingConfig("detector1d", 64, 64), key)
    assert getattr(other, key) == (SHARED[key] if uses else usual)


@pytest.mark.parametrize("model", ["simcc", "coordinates", "integral"])
def test_a_rival_can_be_a_candidate_and_survives_its_record(model):
    bins = {"length": 16} if model == "integral" else {}
    run = rival(model, group="search", rate=1e-3, **bins)
    assert run.group == "search"
    values = yaml.safe_load(yaml.safe_dump(dataclasses.asdict(run.config)))
    assert config.training_config(values) == run.config


@pytest.mark.parametrize(
    "values, where",
    [
        ({"model": "detector2d", "length": 16, "gamma": 0.4}, "no such key of detector2d: gamma"),
        ({"model": "simcc", "gamma": 0.4}, "runs.rival: no such key of simcc: gamma. With ga"),
        ({"model": "coordinates", "length": 64}, "no such key of coordinates: length. With length"),
        ({"model": "coordinates", "sigma": 0.1, "decoder": "local"}, "coordinates: sigma, decod"),
        ({"model": "coordinates", "loss": "kl"}, "loss 'kl': there are wing, l2"),
        ({"model": "simcc", "loss": "squares"}, "loss 'squares': there are kl"),
        ({"model": "detector1d", "length": 32, "loss": "wing"}, "loss 'wing': there are squares"),
        ({"model": "simcc", "decoder": "direct"}, "decoder 'direct': there are argmax, quarter"),
        ({"model": "simcc", "length": 0}, "length is 0; it must be positive"),
        ({"model": "simcc", "group": "resolution"}, "group 'resolution' does not fit a simcc"),
        ({"model": "integral", "length": 16, "group": "video"}, "'video' does not fit a integral"),
        ({"model": "detector1d", "length": 32, "group": "rival"}, "'rival' does not fit a det"),
        ({"model": "integral"}, "runs.rival: missing: length"),
        ({"model": "integral", "length": 16, "gamma": 0.4}, "no such key of integral: gamma. With"),
        ({"model": "integral", "length": 16, "sigma": 0.1}, "no such key of integral: sigma. With"),
        ({"model": "integral", "length": 16, "decoder": "local"}, "no such key of integral: deco"),
        ({"model": "integral", "length": 16, "rule": "floor"}, "no such key of integral: rule. Wi"),
        ({"model": "integral", "length": 16, "loss": "l2"}, "loss 'l2': there are l1"),
        ({"model": "integral", "length": 12}, "length 12 is no multiple of F/4 = 8"),
        ({"model": "integral", "length": 0}, "length is 0; it must be positive"),
        ({"model": "integral", "length": 16, "group": "ablation"}, "'ablation' does not fit a int"),
        ({"model": "simcc", "rule": "floor"}, "no such key of simcc: rule. With rule: detector1"),
        ({"model": "coordinates", "rule": "centre"}, "no such key of coordinates: rule"),
        ({"model": "detector2d", "length": 16, "fusion": "rows"}, "key of detector2d: fusion. Wit"),
        ({"model": "detector2d", "length": 16, "head_length": 32}, "detector2d: head_length. With"),
        ({"model": "simcc", "columns": 3}, "cannot halve 8 positions to 3 columns"),
        ({"model": "simcc", "size": "64"}, "runs.rival.size: '64' is str, not int"),
    ],
)
def test_what_a_model_cannot_use_fails_by_name(values, where):
    assert where in message(changed("runs.rival", values))


def test_what_a_model_s_own_section_cannot_use_fails_too():
    raw = changed("models.coordinates", {"sigma": 0.02})
    raw["runs"]["rival"] = {"model": "coordinates"}
    assert "runs.rival: no such key of coordinates: sigma" in message(raw)


def test_a_1d_detector_can_be_fused_headed_and_rounded_in_other_ways():
    raw = changed("runs.other", {"model": "detector1d", "length": 16, "fusion": "pooled"})
    raw["runs"]["other"] |= {"head_length": 96, "rule": "floor", "group": "ablation"}
    run = config.parse(raw, "params.yaml").run("other-s0")
    assert (run.config.fusion, run.config.head_length, run.config.rule) == ("pooled", 96, "floor")
    values = yaml.safe_load(yaml.safe_dump(dataclasses.asdict(run.config)))
    assert config.training_config(values) == run.config
    for key in ("fusion", "head_length", "rule"):  # as in records from before there were any
        del values[key]
    plain = {"fusion": "positions", "head_length": 0, "rule": "centre", "length": 16}
    assert config.training_config(values) == dataclasses.replace(run.config, **plain)


def test_a_long_head_reaches_lengths_that_a_deconvolution_does_not():
    # F/4 = 8: 96 bins are 12 of them each, and 12 bins the means of 8.
    raw = changed("runs.other", {"model": "detector1d", "length": 12, "head_length": 96})
    assert config.parse(raw, "params.yaml").run("other-s0").config.length == 12


@pytest.mark.parametrize(
    "values, where",
    [
        ({"fusion": "symmetric"}, "fusion 'symmetric': there are positions, rows, pooled"),
        ({"rule": "round"}, "rule 'round': there are centre, floor"),
        ({"head_length": 80}, "head_length 80 is no multiple of length 32"),
        ({"head_length": 16}, "head_length 16 is no multiple of length 32"),
        ({"length": 20, "head_length": 100}, "length 100 is no multiple of F/4 = 8"),
        ({"head_length": "64"}, "head_length: '64' is str, not int"),
        ({"rule": 3}, "rule: 3 is int, not str"),
    ],
)
def test_ways_that_there_are_not_fail_by_name(values, where):
    assert where in message(changed("runs.one", {**RAW["runs"]["one"], **values}))


# --- groups and folds -------------------------------------------------------------------------


def test_a_group_is_tested_or_not():
    assert set(config.TESTED) < set(config.GROUPS)
    assert "ablation" in config.TESTED
    assert not {"search", "video", *config.IN_FOLDS} & set(config.TESTED)
    assert len(set(config.GROUPS)) == len(config.GROUPS)


@pytest.mark.parametrize("model, length", [("detector1d", 32), ("detector2d", 16)])
def test_detectors_can_be_ablations(model, length):
    raw = changed("runs.other", {"model": model, "length": length, "group": "ablation"})
    profile = config.parse(raw, "params.yaml")
    assert [run.id for run in profile.group("ablation")] == ["other-s0"]
    assert (profile.run("other-s0").fold, profile.run("other-s0").folds) == (0, 0)


CROSSED = {"group": "folds", "model": "detector1d", "length": 32, "folds": 3}


def test_a_run_in_folds_is_one_for_each_fold_and_seed():
    profile = config.parse(changed("runs.crossed", {**CROSSED, "seeds": [0, 2]}), "params.yaml")
    found = profile.group("folds")
    ids = [f"crossed-f{fold}-s{seed}" for seed in (0, 2) for fold in range(3)]
    assert [run.id for run in found] == ids
    assert [(run.fold, run.folds, run.seed) for run in found[:4]] == [
        *((0, 3, 0), (1, 3, 0), (2, 3, 0)),
        (0, 3, 2),
    ]
    assert len({run.config for run in found}) == 1
    assert profile.run("crossed-f1-s2").fold == 1
    assert profile.run("one-s0").id == "one-s0"


def with_trackers(**runs):
    """RAW with a video data set, a detector for trackers, a tracker, and these runs."""
    raw = changed("video", {"name": "300VW", "root": "data/300VW", "source": "data/300VW"})
    raw["tracker"] = "tracked"
    raw["runs"] |= {"tracked": {"model": "tracker1d", "detector": "one"}, **runs}
    return raw


TRACKED = {"group": "tracker_folds", "model": "tracker1d", "detector": "one", "folds": 2}


def test_a_tracker_in_folds_holds_the_detector_of_its_seed_in_every_fold():
    profile = config.parse(with_trackers(crossed={**TRACKED, "seeds": [0, 1]}), "params.yaml")
    found = profile.group("tracker_folds")
    assert [run.id for run in found] == [f"crossed-f{f}-s{s}" for s in (0, 1) for f in (0, 1)]
    assert [profile.inside(run).id for run in found] == ["one-s0", "one-s0", "one-s1", "one-s1"]


def test_a_tracker_holds_no_detector_of_a_fold():
    raw = with_trackers(crossed=CROSSED)
    raw["runs"]["tracked"]["detector"] = "crossed"
    assert "runs.tracked.detector: no detector 'crossed'; there are one, two, try" in message(raw)


def test_a_tracker_rounds_as_its_detector():
    raw = with_trackers()
    raw["runs"]["one"]["rule"] = "floor"
    profile = config.parse(raw, "params.yaml")
    assert profile.run("tracked-s0").config.rule == "floor"
    assert config.parse(with_trackers(), "params.yaml").run("tracked-s0").config.rule == "centre"


ONLY = "`folds` belongs to folds and tracker_folds, and to no other"


@pytest.mark.parametrize(
    "values, where",
    [
        ({"group": "folds", "folds": None}, "folds: None is no whole number of 2 or more"),
        ({"group": "folds", "folds": 1}, "runs.crossed.folds: 1 is no whole number of 2 or more"),
        ({"group": "folds", "folds": 0}, "folds: 0 is no whole number of 2 or more"),
        ({"group": "folds", "folds": -3}, "folds: -3 is no whole number of 2 or more"),
        ({"group": "folds", "folds": "x"}, "folds: 'x' is no whole number of 2 or more"),
        ({"group": "folds", "folds": 2.0}, "folds: 2.0 is no whole number of 2 or more"),
        ({"group": "folds", "folds": True}, "folds: True is no whole number of 2 or more"),
        ({"group": "folds"}, ONLY),
        ({"group": "tracker_folds"}, "group 'tracker_folds' does not fit a detector1d"),
        ({"group": "resolution", "folds": 3}, ONLY),
        ({"group": "ablation", "folds": 3}, ONLY),
        ({"group": "search", "folds": 0}, ONLY),
        ({"folds": 3}, ONLY),
        ({"model": "simcc", "group": "folds", "folds": 3}, "group 'folds' does not fit a simcc"),
    ],
)
def test_folds_that_cannot_be_fail_by_name(values, where):
    run = {"model": "detector1d", "length": 32, **values}
    assert where in message(changed("runs.crossed", run))


@pytest.mark.parametrize(
    "values, where",
    [
        ({"group": "tracker_folds"}, ONLY),
        ({"group": "tracker", "folds": 2}, ONLY),
        ({"folds": 2}, ONLY),
        ({"group": "tracker_folds", "folds": 1}, "folds: 1 is no whole number"),
        ({"group": "folds", "folds": 2}, "group 'folds' does not fit a tracker1d"),
        ({"group": "ablation"}, "group 'ablation' does not fit a tracker1d"),
    ],
)
def test_folds_of_trackers_that_cannot_be_fail_by_name(values, where):
    run = {"model": "tracker1d", "detector": "one", **values}
    assert where in message(with_trackers(crossed=run))


def test_trackers_in_folds_need_videos():
    raw = with_trackers(crossed=TRACKED)
    del raw["video"], raw["runs"]["tracked"]
    assert "runs.crossed needs videos; there is no key `video`" in message(raw)


def test_the_label_says_whether_faces_are_rendered():
    assert config.parse(RAW, "params.yaml").data.label == "300W"
    raw = changed("data.standin", {"seed": 0, "faces": {"afw": 3}})
    assert config.parse(raw, "params.yaml").data.label == "stand-ins in 300W's layout"


def test_a_configuration_survives_its_record():
    written = config.parse(RAW, "params.yaml").run("one-s0").config
    values = yaml.safe_load(yaml.safe_dump(dataclasses.asdict(written)))
    assert config.training_config(values) == written


def test_a_record_without_a_newer_key_takes_its_default():
    values = dataclasses.asdict(TrainingConfig("detector1d", 64, 64))
    del values["warmup"]
    assert config.training_config(values) == TrainingConfig("detector1d", 64, 64)


# --- wrong keys and types, at every level ------------------------------------------------------


@pytest.mark.parametrize(
    "path, where",
    [
        ("learning", "params.yaml: no such key: learning"),
        ("data.folder", "params.yaml: data: no such key: folder"),
        ("data.standin", "data.standin: no such key: count"),
        ("crops.sise", "params.yaml: crops: no such key: sise"),
        ("validation.shares", "params.yaml: validation: no such key: shares"),
        ("machine.cores", "params.yaml: machine: no such key: cores"),
        ("training.epoch", "no such key: epoch"),
        ("models.detector1d.gama", "runs.one: no such key: gama"),
        ("models.detector3d", "models: no such key: detector3d"),
        ("runs.one.lenght", "params.yaml: runs.one: no such key: lenght"),
        ("runs.one.augmentation.blur", "runs.one.augmentation: no such key: blur"),
        ("training.augmentation.blur", "augmentation: no such key: blur"),
    ],
)
def test_an_unknown_key_fails_by_name_and_says_which_there_are(path, where):
    text = message(changed(path, {"count": 1} if path == "data.standin" else 1))
    assert where in text
    assert "There are: " in text


@pytest.mark.parametrize(
    "path, value, where",
    [
        ("training.rate", "1e-4", "runs.one.rate: '1e-4' is str, not float"),
        ("training.epochs", 2.5, "epochs: 2.5 is float, not int"),
        ("training.epochs", True, "epochs: True is bool, not int"),
        ("training.channels", "8", "channels: '8' is str, not int"),
        ("training.sigma", "wide", "sigma: 'wide' is str, not float"),
        ("runs.one.model", 3, "runs.one.model: 3 is int, not str"),
        ("runs.one.length", None, "runs.one.length: None is NoneType, not int"),
        ("runs.one.seeds", 3, "runs.one.seeds: 3 is no list of whole numbers"),
        ("runs.one.seeds", [], "runs.one.seeds: [] is no list"),
        ("runs.one.seeds", [0, "1"], "runs.one.seeds"),
        ("runs.one.seeds", [0, 0], "names a seed twice"),
        ("runs.one.augmentation", 3, "runs.one.augmentation: 3 is int, not Augmentation"),
        ("training.augmentation", None, "augmentation: None is NoneType, not Augmentation"),
        ("runs.one", 3, "runs.one: expected a mapping, found 3"),
        ("runs", [1], "runs is no mapping"),
        ("training", "fast", "training is no mapping"),
        ("models.detector1d", "fast", "detector1d is no mapping"),
        ("data", None, "data: expected a mapping, found None"),
        ("crops", 64, "crops: expected a mapping, found 64"),
        ("data.standin", 5, "data.standin: 5 is int"),
        ("machine.jobs", "all", "machine.jobs: 'all' is str, not int"),
    ],
)
def test_a_wrong_type_fails_with_its_place_and_value(path, value, where):
    assert where in message(changed(path, value))


@pytest.mark.parametrize(
    "path, value, where",
    [
        ("runs.one.group", "final", "runs.one: group 'final': there are resolution, coattention"),
        ("runs.one.model", "detector3d", "model 'detector3d': there are detector1d, detector2d"),
        ("runs.one.decoder", "soft", "decoder 'soft': there are argmax, quarter"),
        ("training.schedule", "cosine", "schedule 'cosine': there are one-cycle, steps, constant"),
        ("training.precision", "float16", "precision 'float16': there are float32, bfloat16"),
        ("training.epochs", 0, "epochs is 0; it must be positive"),
        ("training.rate", -1e-3, "rate is -0.001; it must be positive"),
        ("training.sigma", 0.0, "sigma is 0.0; it must be positive"),
        ("training.sigma", 3.0, "sigma is 3.0; it must be in [0, 1)"),
        ("training.columns", 0, "columns is 0; it must be positive"),
        ("training.batch", 1, "batch is 1"),
        ("training.average", 1.0, "average is 1.0; it must be in [0, 1)"),
        ("training.warmup", 1.5, "warmup is 1.5; it must be in [0, 1)"),
        ("runs.one.length", 30, "length 30 is no multiple of F/4 = 8"),
        ("training.depth", 4, "multiple of 64 px"),
        ("training.columns", 3, "cannot halve 8 positions to 3 columns"),
        ("validation.share", 1.0, "validation: share is 1.0"),
        ("crops.context", 1.0, "crops: all must be positive, and context at least scale"),
        ("data.name", "WFLW", "data: name 'WFLW': there are 300W"),
        ("flagship", "three", "flagship 'three' is no detector1d with seed 0"),
        ("runs.a/b", {"model": "detector1d", "length": 32}, "runs.a/b: a run's name is"),
    ],
)
def test_a_value_that_cannot_be_fails_with_its_place_and_the_choices(path, value, where):
    assert where in message(changed(path, value))


def test_a_run_s_name_has_no_dot():
    raw = copy.deepcopy(RAW)
    raw["runs"]["gamma0.4"] = raw["runs"]["one"]
    assert "runs.gamma0.4: a run's name is letters" in message(raw)


def test_the_flagship_needs_seed_0():
    assert "flagship 'one'" in message(changed("runs.one.seeds", [1, 2]))


@pytest.mark.parametrize("key", ["profile", "data", "crops", "runs", "flagship"])
def test_a_missing_section_is_named(key):
    raw = copy.deepcopy(RAW)
    del raw[key]
    assert f"missing: {key}" in message(raw)


def test_missing_keys_of_a_section_are_named():
    assert "data: missing: root, source" in message(changed("data", {"name": "300W"}))
    assert "runs.one: missing: length, model" in message(changed("runs.one", {"gamma": 0.1}))


@pytest.mark.parametrize("raw", [None, [], "text"])
def test_a_file_that_is_no_mapping_is_refused(raw):
    assert "expected a mapping" in message(raw)


def test_an_unknown_run_is_answered_with_those_there_are():
    profile = config.parse(RAW, "params.yaml")
    with pytest.raises(ConfigError, match="tiny has no run 'one'; it has try-s0, one-s0"):
        profile.run("one")


# --- files ------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    file = paths.params_file("tiny")
    file.parent.mkdir(parents=True)
    return file


def test_a_profile_is_loaded_by_its_name(file):
    file.write_text(yaml.safe_dump(RAW))
    assert config.load("tiny") == config.parse(RAW, "")


def test_an_unknown_profile_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match="no profile 'huge'; there are demo, cpu, paper, tiny"):
        config.load("huge")


def test_an_absent_file_is_named(file):
    with pytest.raises(ConfigError, match="profiles/tiny/params.yaml: No such file"):
        config.load("tiny")


def test_a_file_that_is_no_yaml_is_named_with_the_line(file):
    file.write_text("profile: tiny\nruns: {a: [1}\n")
    with pytest.raises(ConfigError, match="profiles/tiny/params.yaml: .*line 2"):
        config.load("tiny")


def test_a_file_under_another_profile_s_name_is_refused(file):
    file.write_text(yaml.safe_dump({**RAW, "profile": "cpu"}))
    with pytest.raises(ConfigError, match="profile is 'cpu'; it must be 'tiny'"):
        config.load("tiny")


@pytest.mark.parametrize("name", config.PROFILES)
def test_every_profile_of_the_project_loads(name):
    if not paths.params_file(name).exists():
        pytest.skip(f"{paths.params_file(name)} is not there")
    assert config.load(name).name == name
