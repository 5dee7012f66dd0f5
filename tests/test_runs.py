import csv
import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from w300_folder import write_w300

from study import config, heatmaps, material, metrics, paths, prepare, runs, training, work

RAW = {
    "profile": "tiny",
    "data": {"name": "300W", "root": "data/300W", "source": "data/300W"},
    "crops": {"size": 32},
    "validation": {"share": 0.2},
    "training": {"channels": 8, "depth": 2, "width": 8, "hidden": 8, "epochs": 2, "batch": 4},
    "flagship": "one",
    "runs": {
        "one": {"model": "detector1d", "length": 32},
        "two": {"model": "detector2d", "length": 16, "average": 0.5},
        "candidate": {"group": "search", "model": "detector1d", "length": 32, "sigma": 0.1},
    },
}
RECORD_KEYS = {
    *("run", "name", "seed", "group", "fold", "config", "data", "recipe", "versions", "source"),
    *("commit", "device", "threads", "seconds", "samples_per_second", "peak_memory_mib"),
    *("parameters", "finished", "validation"),
}
DATA_KEYS = {
    *("name", "label", "standin", "fingerprint", "train", "validation", "official_train", "test"),
}


def write_params(root, raw):
    file = root / "profiles" / "tiny" / "params.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(raw))


def with_changes(raw=RAW, **changes):
    """The profile of RAW after changes such as one__gamma=0.7 or crops={...}."""
    raw = json.loads(json.dumps(raw))
    for key, value in changes.items():
        run, _, name = key.partition("__")
        if name:
            raw["runs"][run][name] = value
        else:
            raw[key] = value
    return config.parse(raw, "params.yaml")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A root with a small 300W folder whose three runs have been trained: (root, lines)."""
    root, lines = tmp_path_factory.mktemp("root"), []
    write_w300(root / "data" / "300W")
    write_params(root, RAW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", root)
        profile = config.load("tiny")
        prepare.prepare(profile, jobs=1)
        runs.ensure(profile, report=lines.append)
    return root, lines


@pytest.fixture
def root(trained, tmp_path, monkeypatch):
    """A copy of the trained root that a test may change."""
    shutil.copytree(trained[0], tmp_path / "root")
    monkeypatch.setattr(paths, "ROOT", tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def profile(root):
    return config.load("tiny")


def reasons(profile):
    return {run.id: reason for run, reason in runs.missing(profile)}


def silent(line):
    pass


def change_record(profile, id, **changes):
    file = material.folder(profile, profile.run(id)) / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


# --- the record -------------------------------------------------------------------------------


def test_a_record_has_every_key(profile):
    for run in profile.runs:
        record = runs.read_record(profile, run)
        assert set(record) == RECORD_KEYS
        assert set(record["data"]) == DATA_KEYS
        assert record["run"] == run.id == f"{run.name}-s{run.seed}"
        assert record["group"] == run.group and record["fold"] is None
        assert config.training_config(record["config"]) == run.config
        assert record["recipe"] == training.RECIPES[run.config.model]
        assert list(record["validation"]) == list(training.decoders_of(run.config))
        assert all(0 < error < 10 for error in record["validation"].values())
        assert record["threads"] == 1 and record["device"] == "cpu"
        assert record["versions"]["torch"] == torch.__version__


def test_a_record_says_what_it_was_trained_and_measured_on(profile):
    data = runs.read_record(profile, profile.run("one-s0"))["data"]
    assert (data["name"], data["label"], data["standin"]) == ("300W", "300W", False)
    assert data["train"] + data["validation"] == 8 and data["validation"] in (1, 2)
    assert data["official_train"] == 3148
    assert data["test"] == {"common": 2, "challenging": 3}


def test_a_record_counts_the_parameters_of_its_model(profile):
    for run in profile.runs:
        model = work.load_model(profile, run)
        count = sum(p.numel() for p in model.parameters())
        assert runs.read_record(profile, run)["parameters"] == count


def test_the_history_has_a_line_an_epoch(profile):
    where = material.folder(profile, profile.run("one-s0"))
    with open(where / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "rate", "loss", "validation_nrmse", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    scores = runs.read_record(profile, profile.run("one-s0"))["validation"]
    assert float(rows[-1]["validation_nrmse"]) == pytest.approx(scores["argmax"], rel=1e-4)


def test_predictions_hold_a_residual_of_every_decoder_for_every_test_face(profile):
    for id in ("one-s0", "two-s0"):
        arrays = np.load(material.folder(profile, profile.run(id)) / "predictions.npz")
        others = {f"residual_{name}" for name in training.decoders_of(profile.run(id).config)[1:]}
        assert set(arrays) == {"id", "subset", "normalizer", "interpupil", "residual"} | others
        assert sorted(arrays["subset"]) == ["challenging"] * 3 + ["common"] * 2
        assert arrays["normalizer"].dtype == np.float64
        for name in {"residual"} | others:
            assert arrays[name].shape == (5, 68, 2) and arrays[name].dtype == np.float16
        assert all(id.startswith(("ibug/", "helen/test", "lfpw/test")) for id in arrays["id"])


def test_residuals_are_predictions_less_the_annotated_points_in_px_of_the_image(profile):
    run = profile.run("one-s0")
    arrays = np.load(material.folder(profile, run) / "predictions.npz")
    index = prepare.datasets.load("300W", prepare.data_root(profile)).set_index("id")
    crops = material.open_crops(profile)
    rows = [list(crops.table["id"]).index(id) for id in arrays["id"]]
    model, device = work.load_model(profile, run), training.devices.choose()
    found, _ = training.predict(model, material.faces_of(profile, crops, rows), run.config, device)
    for i, id in enumerate(arrays["id"]):
        truth = index.loc[id, "points"]
        image_px = crops.to_image(found["argmax"][i : i + 1].numpy(), [rows[i]])[0]
        assert np.abs(image_px - truth - arrays["residual"][i]).max() < 0.03
        corners = np.linalg.norm(truth[36] - truth[45])
        assert arrays["normalizer"][i] == pytest.approx(corners)


def test_validation_scores_are_those_of_the_weights_on_the_held_out_faces(profile):
    run, crops = profile.run("two-s0"), material.open_crops(profile)
    held = material.faces_of(profile, crops, material.split(profile, crops)[1])
    model = work.load_model(profile, run)
    found, truth = training.predict(model, held, run.config, training.devices.choose())
    error = metrics.nrmse(found["argmax"], truth, metrics.interocular(truth)).mean().item()
    assert runs.read_record(profile, run)["validation"]["argmax"] == pytest.approx(error, rel=1e-5)


def test_candidates_never_see_the_test_set(profile):
    where = material.folder(profile, profile.run("candidate-s0"))
    assert sorted(file.name for file in where.iterdir()) == ["history.csv", "run.json"]
    assert "candidate" not in (paths.reports("tiny") / "test_looks.csv").read_text()


def test_each_look_at_the_test_set_is_a_line(profile):
    lines = (paths.reports("tiny") / "test_looks.csv").read_text().splitlines()
    assert lines[0] == "date,commit,run,subset,faces"
    looks = [line.split(",") for line in lines[1:]]
    assert [look[2:] for look in looks] == [
        [run, subset, faces]
        for run in ("one-s0", "two-s0")
        for subset, faces in (("challenging", "3"), ("common", "2"))
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", look[0]) for look in looks)


def test_a_finished_run_leaves_no_checkpoint(profile):
    assert not list(paths.build("tiny").rglob("checkpoints/*.pt*"))


def test_the_training_validation_and_test_faces_are_apart(profile):
    crops = material.open_crops(profile)
    train, held, test = material.split(profile, crops)
    assert (train.astype(int) + held + test == 1).all()
    photographs = crops.table["photograph"]
    assert not set(photographs[train]) & set(photographs[held])


def test_rivals_are_trained_recorded_and_tested_like_the_detectors(root):
    raw = json.loads(json.dumps(RAW))
    raw["runs"] |= {"classes": {"model": "simcc"}, "points": {"model": "coordinates"}}
    raw["runs"] |= {"mass": {"model": "integral", "length": 16}}
    profile = config.parse(raw, "params.yaml")
    runs.ensure(profile, report=silent)
    assert reasons(profile) == {}
    for run in profile.group("rival"):
        record, where = runs.read_record(profile, run), material.folder(profile, run)
        assert config.training_config(record["config"]) == run.config
        assert list(record["validation"]) == list(training.decoders_of(run.config))
        with np.load(where / "predictions.npz") as arrays:
            keys = {key for key in arrays.files if key.startswith("residual")}
            assert arrays["residual"].shape == (5, 68, 2)
            assert np.isfinite(arrays["residual"].astype(float)).all()
        assert len(keys) == (len(heatmaps.DECODERS) if run.name == "classes" else 1)
    looks = (paths.reports("tiny") / "test_looks.csv").read_text()
    assert all(f"{name}-s0,common,2" in looks for name in ("classes", "points", "mass"))


def test_ablations_are_trained_recorded_and_tested_like_the_detectors(root):
    raw = json.loads(json.dumps(RAW))
    other = {"group": "ablation", "model": "detector1d", "length": 16}
    raw["runs"] |= {
        "read": {**other, "fusion": "rows"},
        "meant": {**other, "head_length": 96},
        "rounded": {**other, "rule": "floor"},
    }
    profile = config.parse(raw, "params.yaml")
    runs.ensure(profile, report=silent)
    assert reasons(profile) == {}
    looks = (paths.reports("tiny") / "test_looks.csv").read_text()
    for run in profile.group("ablation"):
        assert config.training_config(runs.read_record(profile, run)["config"]) == run.config
        assert f"{run.id},common,2" in looks
        assert work.load_model(profile, run).length == 16
        with np.load(material.folder(profile, run) / "predictions.npz") as arrays:
            assert np.isfinite(arrays["residual"].astype(float)).all()


# --- cross-validations ------------------------------------------------------------------------


def in_folds(count, **changed):
    """The profile of RAW with a detector in so many folds."""
    raw = json.loads(json.dumps(RAW))
    run = {"group": "folds", "model": "detector1d", "length": 32, "folds": count, **changed}
    raw["runs"]["crossed"] = run
    return config.parse(raw, "params.yaml")


def test_folds_are_trained_and_recorded_and_tested_on_nothing(root):
    profile = in_folds(2)
    assert list(reasons(profile)) == ["crossed-f0-s0", "crossed-f1-s0"]
    runs.ensure(profile, report=silent)
    assert reasons(profile) == {}
    records = [runs.read_record(profile, run) for run in profile.group("folds")]
    assert [record["fold"] for record in records] == [[0, 2], [1, 2]]
    assert [record["run"] for record in records] == ["crossed-f0-s0", "crossed-f1-s0"]
    assert all(set(record) == RECORD_KEYS for record in records)
    assert [r["data"]["train"] + r["data"]["validation"] for r in records] == [8, 8]
    assert sum(record["data"]["validation"] for record in records) == 8
    assert records[0]["validation"] != records[1]["validation"]
    for run in profile.group("folds"):
        where = material.folder(profile, run)
        assert sorted(file.name for file in where.iterdir()) == ["history.csv", "run.json"]
        held = work.of(profile, run).task.validation
        scores = training.validate(
            work.load_model(profile, run), held, run.config, training.devices.choose()
        )
        recorded = runs.read_record(profile, run)["validation"]["argmax"]
        assert recorded == pytest.approx(scores["argmax"], rel=1e-5)
    assert "crossed" not in (paths.reports("tiny") / "test_looks.csv").read_text()


def test_records_of_other_folds_do_not_serve(root):
    runs.ensure(in_folds(2), report=silent)
    assert reasons(in_folds(3)) == {
        **dict.fromkeys(("crossed-f0-s0", "crossed-f1-s0"), "another fold"),
        "crossed-f2-s0": "no record",
    }
    change_record(in_folds(2), "crossed-f0-s0", fold=[1, 2])
    assert reasons(in_folds(2)) == {"crossed-f0-s0": "another fold"}


def test_a_record_from_before_there_were_folds_is_of_none(profile):
    file = material.folder(profile, profile.run("one-s0")) / "run.json"
    record = json.loads(file.read_text())
    del record["fold"]
    file.write_text(json.dumps(record))
    assert reasons(profile) == {}
    change_record(profile, "one-s0", fold=[0, 3])
    assert reasons(profile) == {"one-s0": "another fold"}


def test_a_checkpoint_of_other_folds_is_not_gone_on_with(root, monkeypatch):
    """It has been trained on faces that are held out now."""
    two, three = in_folds(2, epochs=3), in_folds(3, epochs=3)

    def interrupt(line):
        raise KeyboardInterrupt

    for profile, epochs in ((two, 2), (three, 3)):
        with pytest.raises(KeyboardInterrupt):
            runs.train(two, two.run("crossed-f0-s0"), interrupt)
        lines = []
        runs.train(profile, profile.run("crossed-f0-s0"), lines.append)
        assert len(lines) == epochs


# --- what has to be trained -------------------------------------------------------------------


def test_lines_say_what_is_trained_and_how_it_goes(trained):
    lines = trained[1]
    assert lines[0] == "0 of 3 runs are recorded"
    assert lines[1] == "to train: candidate-s0 (no record)"
    assert re.search(r"one-s0 +epoch +2/2 +loss .*validation .* %.*samples/s.*min left", lines[7])


def test_a_recorded_run_is_not_trained_again(profile, monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    lines = []
    runs.ensure(profile, report=lines.append)
    assert lines == ["3 of 3 runs are recorded"]


def test_another_gamma_makes_that_run_alone_missing(root):
    assert reasons(with_changes(one__gamma=0.7)) == {"one-s0": "another configuration"}


def test_another_augmentation_makes_that_run_alone_missing(root):
    changed = with_changes(two__augmentation={"gray": 0.5})
    assert reasons(changed) == {"two-s0": "another configuration"}


def test_a_new_seed_is_missing_alone(root):
    assert reasons(with_changes(one__seeds=[0, 1])) == {"one-s1": "no record"}


def test_another_recipe_makes_the_runs_of_its_model_missing(profile, monkeypatch):
    monkeypatch.setitem(training.RECIPES, "detector2d", 99)
    assert reasons(profile) == {"two-s0": "another recipe"}


def test_other_data_make_every_run_missing(profile, root):
    image = next((root / "data" / "300W" / "afw").glob("*.jpg"))
    other = next((root / "data" / "300W" / "helen" / "trainset").glob("*.jpg"))
    image.write_bytes(other.read_bytes())
    prepare.prepare(profile, jobs=1)
    assert reasons(profile) == dict.fromkeys(("candidate-s0", "one-s0", "two-s0"), "other data")


@pytest.mark.parametrize("changes", [
    {"validation": {"share": 0.2, "seed": 1}},
    {"validation": {"share": 0.5}},
    {"crops": {"size": 32, "scale": 1.5}},
])  # fmt: skip
def test_another_split_or_crop_makes_every_run_missing(root, changes):
    changed = with_changes(**changes)
    prepare.prepare(changed, jobs=1)
    assert set(reasons(changed).values()) == {"other data"}
    assert len(reasons(changed)) == 3


def test_without_data_the_record_is_believed(profile):
    shutil.rmtree(paths.crops("tiny", "300W"))
    assert reasons(profile) == {}


def test_a_candidate_that_is_promoted_is_trained_for_its_predictions(root):
    changed = with_changes(candidate__group="resolution")
    assert list(reasons(changed)) == ["candidate-s0"]
    assert "without predictions" in reasons(changed)["candidate-s0"]


def test_a_run_that_becomes_a_candidate_loses_its_old_predictions(root):
    changed = with_changes(one__group="search", one__epochs=1)
    runs.ensure(changed, report=silent)
    where = material.folder(changed, changed.run("one-s0"))
    assert sorted(file.name for file in where.iterdir()) == ["history.csv", "run.json"]


def test_a_record_with_a_key_that_is_gone_is_of_another_configuration(profile):
    old = {**runs.read_record(profile, profile.run("one-s0"))["config"], "momentum": 0.9}
    change_record(profile, "one-s0", config=old)
    assert reasons(profile) == {"one-s0": "another configuration"}


def test_a_record_that_is_no_json_is_named(profile):
    (material.folder(profile, profile.run("one-s0")) / "run.json").write_text("<<<<<<< HEAD")
    with pytest.raises(material.RunError, match="reports/tiny/runs/one-s0/run.json is no JSON"):
        runs.missing(profile)


def test_a_half_written_record_is_none(profile):
    """run.json comes last: a record without it is trained again."""
    (material.folder(profile, profile.run("one-s0")) / "run.json").unlink()
    assert reasons(profile) == {"one-s0": "no record"}


def test_selected_runs_alone_are_looked_at(root):
    changed = with_changes(one__gamma=0.7, two__sigma=0.09)
    assert [run.id for run, _ in runs.missing(changed, [changed.run("two-s0")])] == ["two-s0"]


def test_unlisted_records_are_named(root):
    raw = {**RAW, "runs": {key: RAW["runs"][key] for key in ("one", "two")}}
    assert runs.unlisted(config.parse(raw, "params.yaml")) == ["candidate-s0"]


# --- what cannot start ------------------------------------------------------------------------


def test_training_without_crops_says_what_to_do(profile):
    shutil.rmtree(paths.crops("tiny", "300W"))
    message = "build/tiny/crops/300W holds no crops.*python -m study prepare --profile tiny"
    with pytest.raises(material.RunError, match=message):
        runs.train(profile, profile.run("one-s0"), silent)


def test_crops_of_other_parameters_are_not_trained_on(root):
    changed = with_changes(crops={"size": 32, "context": 2.5})
    assert material.open_crops(changed) is None
    with pytest.raises(material.RunError, match="holds no crops of this profile"):
        runs.train(changed, changed.run("one-s0"), silent)


def test_a_run_in_the_hands_of_another_process_is_left_to_it(profile):
    run = profile.run("one-s0")
    file = material.checkpoint_file(profile, run).with_suffix(".lock")
    with open(file, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(material.RunError, match="one-s0 is being trained by another process"):
            runs.train(profile, run, silent)
    (material.folder(profile, run) / "run.json").unlink()
    runs.train(profile, run, silent)  # the other one has gone
    assert reasons(profile) == {}


def test_weights_that_are_not_here_are_named(profile):
    material.weights_file(profile, profile.run("one-s0")).unlink()
    message = r"no weights in build/tiny/weights/one-s0.pt.*--profile tiny --again one-s0"
    with pytest.raises(material.RunError, match=message):
        work.load_model(profile, profile.run("one-s0"))


def test_a_failing_training_leaves_no_record(root, monkeypatch):
    changed = with_changes(one__rate=1e30)
    with pytest.raises(training.TrainingError, match="loss is .* in epoch 1"):
        runs.train(changed, changed.run("one-s0"), silent)
    assert reasons(changed) == {"one-s0": "another configuration"}


# --- kill -9 ----------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from study import config, paths, runs
paths.ROOT = Path(sys.argv[1])  # here, so that spawned workers, which import this file, see it too
if __name__ == "__main__":
    import torch
    torch.set_num_threads(1)
    runs.ensure(config.load("tiny"), report=lambda line: print(line, flush=True))
"""


def children_of(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            arguments = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and b"spawn_main" in arguments:
            found.append(int(stat.parent.name))
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads the processes from /proc")
def test_killed_trainings_end_their_workers_and_go_on_to_the_same_weights(root, tmp_path):
    raw = json.loads(json.dumps(RAW))
    raw["training"]["epochs"] = 24
    raw["machine"] = {"jobs": 2}
    write_params(root, raw)
    (tmp_path / "ensure.py").write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, tmp_path / "ensure.py", root]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    started = (re.match(r"(\S+-s0) +epoch +3/24", line) for line in parent.stdout)
    name = next(match[1] for match in started if match)
    workers = children_of(parent.pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))

    profile = config.load("tiny")
    run = profile.run(name)
    state = torch.load(material.checkpoint_file(profile, run), weights_only=True)["state"]
    assert 3 <= state["epoch"] < 24
    lines = []
    runs.train(profile, run, lines.append)
    assert len(lines) == 24 - state["epoch"]
    crops = material.open_crops(profile)
    sides = [material.faces_of(profile, crops, mask) for mask in material.split(profile, crops)[:2]]
    model, _ = training.fit(run.config, *sides, seed=0, landmarks=68, report=silent)
    resumed = work.load_model(profile, run).state_dict()
    assert all(torch.equal(resumed[key], value) for key, value in model.state_dict().items())


def test_a_record_names_the_source_it_was_made_with(root):
    (root / "study").mkdir()
    (root / "study" / "a.py").write_text("one = 1\n")
    first = runs.source_hash()
    (root / "study" / "a.py").write_text("one = 2\n")
    assert re.fullmatch("[0-9a-f]{16}", first) and runs.source_hash() != first


def test_the_commit_is_empty_outside_git(root):
    assert runs.commit() == ""


def test_the_commit_has_a_plus_where_files_differ(root):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    (root / "file").write_text("one")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    subprocess.run([*git, "tag", "-a", "v1", "-m", "a tag"], cwd=root, check=True)
    assert re.fullmatch("[0-9a-f]{7,}", runs.commit())
    (root / "file").write_text("two")
    assert re.fullmatch(r"[0-9a-f]{7,}\+", runs.commit())


def test_a_run_is_frozen(profile):
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.run("one-s0").seed = 3
