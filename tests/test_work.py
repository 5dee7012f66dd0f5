"""Runs on videos from end to end: invented folders, tiny networks, true records."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from video_folder import write_300vw, write_talking_face
from w300_folder import write_w300

from study import (
    config,
    device as devices,
    material,
    pack,
    paths,
    prepare,
    runs,
    tracking,
    weights,
    work,
)

VIDEOS = {"001": 7, "002": 5, "004": 6, "114": 4, "203": 3, "410": 5}
SMALL = {"hidden": 8, "frames": 3, "epochs": 2, "batch": 4}
RAW = {
    "profile": "tiny",
    "data": {"name": "300W", "root": "data/300W", "source": "data/300W"},
    "video": {"name": "300VW", "root": "data/300VW", "source": "data/300VW"},
    "talking": {"name": "TF", "root": "data/TF", "source": "data/TF"},
    "crops": {"size": 32},
    "validation": {"share": 0.2},
    "training": {"channels": 8, "depth": 2, "width": 8, "hidden": 8, "epochs": 2, "batch": 4},
    "models": {"tracker1d": SMALL, "tracker2d": SMALL},
    "flagship": "still",
    "tracker": "tracked",
    "runs": {
        "still": {"model": "detector1d", "length": 16},
        "inside": {"group": "video", "model": "detector1d", "length": 32, "frame_step": 2},
        "flat": {"group": "video", "model": "detector2d", "length": 16},
        "tracked": {"model": "tracker1d", "detector": "inside"},
        "plain": {"model": "tracker1d", "detector": "inside", "lam": 0.0},
        "rival": {"model": "tracker2d", "detector": "flat"},
    },
}
TEST_FRAMES = 4 + 3 + 5 + 3  # of three videos of 300VW, and of Talking Face


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root, lines = tmp_path_factory.mktemp("root"), []
    write_w300(root / "data" / "300W")
    (root / "data" / "300VW").mkdir()
    write_300vw(root / "data" / "300VW", VIDEOS)
    sidecar = root / "data" / "300VW" / "410" / "occluded.csv"
    sidecar.write_text("frame,landmark\n2,30\n2,8\n5,8\n")
    write_talking_face(root / "data" / "TF", range(3))
    file = root / "profiles" / "tiny" / "params.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(RAW))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", root)
        profile = config.load("tiny")
        prepare.prepare(profile, jobs=1)
        prepare.prepare_videos(profile, jobs=1)
        runs.ensure(profile, report=lines.append)
    return root, lines


@pytest.fixture
def profile(trained, tmp_path, monkeypatch):
    shutil.copytree(trained[0], tmp_path / "root")
    monkeypatch.setattr(paths, "ROOT", tmp_path / "root")
    return config.load("tiny")


def predictions(profile, id):
    return np.load(material.folder(profile, profile.run(id)) / "predictions.npz")


def test_a_trackers_predictions_hold_every_frame_of_every_test_video(profile):
    arrays = predictions(profile, "tracked-s0")
    assert len(arrays["id"]) == TEST_FRAMES
    assert sorted(set(arrays["subset"])) == ["S1", "S2", "S3", "TF"]
    assert "410/vid#5" in arrays["id"] and "franck_00002#2" in arrays["id"]
    names = ("residual", "residual_local", "residual_previous", "residual_without", "detected")
    for name in (*names, "averaged"):
        assert arrays[name].shape == (TEST_FRAMES, 68, 2) and arrays[name].dtype == np.float16
    names = ("jitter", "jitter_detected", "jitter_true", "delay_along", "delay_way")
    for name in (*names, "jitter_averaged", "delay_averaged"):
        assert arrays[name].shape == (TEST_FRAMES,)
    assert "residual_without" not in predictions(profile, "plain-s0")
    assert "residual_without" not in predictions(profile, "rival-s0")
    assert "averaged" not in predictions(profile, "plain-s0")


def test_talking_face_is_scored_on_its_seven_landmarks_alone(profile):
    arrays = predictions(profile, "tracked-s0")
    there = arrays["subset"] == "TF"
    scored = ~np.isnan(arrays["residual"][..., 0])
    assert scored[~there].all()
    assert [np.flatnonzero(row).tolist() for row in scored[there]] == [
        [30, 36, 39, 42, 45, 48, 54]
    ] * 3
    assert np.isnan(arrays["interpupil"][there]).all()


def test_what_a_sidecar_says_is_occluded_is_recorded(profile):
    arrays = predictions(profile, "tracked-s0")
    places = {id: np.flatnonzero(row).tolist() for id, row in
              zip(arrays["id"], arrays["occluded"], strict=True) if row.any()}
    assert places == {"410/vid#2": [8, 30], "410/vid#5": [8]}


def test_residuals_are_predictions_less_the_annotated_points_in_px_of_the_frame(profile):
    run = profile.run("tracked-s0")
    job, arrays = work.of(profile, run), predictions(profile, "tracked-s0")
    crops = job.videos[0]
    videos = job.watched(crops, crops.table["split"] == "test")
    tracker, device = work.load_model(profile, run), devices.choose()
    found = tracking.follow(tracker, videos, run.config, device)["argmax"]
    index = prepare.datasets.load("300VW", paths.ROOT / "data/300VW").set_index("id")
    for place, row in enumerate(videos.all_rows):
        id = crops.table["id"][row]
        truth = index.loc[id, "points"]
        predicted = crops.to_image(found[place : place + 1].numpy(), [row])[0]
        at = list(arrays["id"]).index(id)
        assert np.abs(predicted - truth - arrays["residual"][at]).max() < 0.05
        assert arrays["normalizer"][at] == pytest.approx(np.linalg.norm(truth[36] - truth[45]))


def test_the_detected_residuals_are_those_of_the_detector_alone(profile):
    run = profile.run("tracked-s0")
    job = work.of(profile, run)
    crops = job.videos[0]
    videos = job.watched(crops, crops.table["split"] == "test")
    alone = tracking.Stateless(work.load_model(profile, profile.inside(run)))
    found = tracking.follow(alone, videos, run.config, devices.choose())["argmax"]
    arrays = predictions(profile, "tracked-s0")
    row = videos.all_rows[0]
    at = list(arrays["id"]).index(crops.table["id"][row])
    predicted = crops.to_image(found[:1].numpy(), [row])[0]
    truth = crops.to_image(crops.points[row : row + 1], [row])[0]
    assert np.abs(predicted - truth - arrays["detected"][at]).max() < 0.05


def test_detectors_inside_trackers_never_see_a_test_video(profile):
    where = material.folder(profile, profile.run("inside-s0"))
    assert sorted(file.name for file in where.iterdir()) == ["history.csv", "run.json"]
    looks = (paths.reports("tiny") / "test_looks.csv").read_text()
    assert "inside" not in looks and "tracked-s0,S3,5" in looks


def test_a_record_says_what_videos_it_was_trained_and_measured_on(profile):
    data = runs.read_record(profile, profile.run("tracked-s0"))["data"]
    assert (data["name"], data["standin"], data["train_videos"]) == ("300VW", False, 2)
    assert data["test"] == {"S1": 4, "S2": 3, "S3": 5, "TF": 3}
    assert data["test_videos"] == {"S1": 1, "S2": 1, "S3": 1, "TF": 1}
    assert data["train"] + data["validation"] == 7 + 5 + 6
    stills = runs.read_record(profile, profile.run("inside-s0"))["data"]
    faces, frames = 8, (4, 3, 3)  # stills, and every second frame of three videos
    assert stills["train"] + stills["validation"] == faces + sum(frames)


def test_the_cache_of_heatmaps_is_gone_after_the_training(profile):
    assert not list((paths.build("tiny") / "heatmaps").glob("*"))


def test_everything_is_recorded_and_other_videos_are_other_data_for_trackers_alone(profile):
    assert runs.missing(profile) == []
    file = paths.ROOT / "data/300VW/001/annot/000001.pts"
    file.write_text(file.read_text().replace("{", "{", 1).replace(".", ".", 1))
    lines = file.read_text().splitlines()
    x, y = lines[3].split()
    lines[3] = f"{float(x) + 0.5} {y}"
    file.write_text("\n".join(lines) + "\n")
    prepare.prepare_videos(profile, jobs=1)
    assert {run.group for run, _ in runs.missing(profile)} == {"video", "tracker"}
    assert {reason for _, reason in runs.missing(profile)} == {"other data"}


def test_a_detector_whose_weights_are_gone_is_trained_for_its_tracker_and_keeps_its_record(profile):
    inside, run = profile.run("inside-s0"), profile.run("tracked-s0")
    before = (material.folder(profile, inside) / "run.json").read_text()
    kept = torch.load(material.weights_file(profile, inside), weights_only=True)
    material.weights_file(profile, inside).unlink()
    (material.folder(profile, run) / "run.json").unlink()
    lines = []
    runs.ensure(profile, report=lines.append)
    assert any("inside-s0 (recorded; a tracker needs its weights" in line for line in lines)
    assert (material.folder(profile, inside) / "run.json").read_text() == before
    again = torch.load(material.weights_file(profile, inside), weights_only=True)
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    assert runs.missing(profile) == []


def test_a_tracker_without_its_detectors_weights_says_what_to_do(profile):
    material.weights_file(profile, profile.run("inside-s0")).unlink()
    with pytest.raises(material.RunError, match="no weights in .*--again inside-s0"):
        runs.train(profile, profile.run("tracked-s0"), lambda line: None)


def test_a_packed_tracker_is_the_one_that_was_trained(profile, tmp_path):
    run = profile.run("tracked-s0")
    meta = pack.pack(profile, run, tmp_path / "face.pt")
    model, read = weights.load(tmp_path / "face.pt")
    assert read == meta and (read.kind, read.tracker["lam"]) == ("tracker1d", 0.3)
    state = work.load_model(profile, run).state_dict()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert 0 < meta.confidence < 2 and meta.box == "points"


def test_a_2d_tracker_cannot_be_packed(profile, tmp_path):
    with pytest.raises(material.RunError, match="rival-s0 is a tracker2d; detector1d and tracker1"):
        pack.pack(profile, profile.run("rival-s0"), tmp_path / "face.pt")


# --- the parameters of runs on videos -----------------------------------------------------------


def parsed(**changes):
    raw = json.loads(json.dumps(RAW))
    for key, value in changes.items():
        run, _, name = key.partition("__")
        (raw["runs"].setdefault(run, {}) if name else raw)[name or run] = value
    return config.parse(raw, "params.yaml")


def test_a_tracker_holds_the_configuration_of_its_detector():
    profile = parsed()
    run = profile.run("tracked-s0")
    assert run.group == "tracker" and run.detector == "inside" and run.config.lam == 0.3
    assert run.config.detector == profile.inside(run).config
    assert (run.config.size, run.config.length) == (32, 32)
    assert config.training_config(json.loads(json.dumps(config.dataclasses.asdict(run.config)))) \
        == run.config


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tracked__detector": "nobody"}, "runs.tracked.detector: no detector 'nobody'; there are"),
        ({"tracked__detector": "plain"}, "no detector 'plain'"),
        ({"tracked__detector": "flat"}, "a tracker1d holds a detector1d, not a detector2d"),
        ({"tracked__lam": 1.5}, r"lam is 1.5; it must be in \[0, 1\]"),
        ({"tracked__seeds": [0, 3]}, r"\[3\] are no seeds of inside"),
        ({"tracked__group": "resolution"}, "group 'resolution' does not fit a tracker1d"),
        ({"still__group": "tracker"}, "group 'tracker' does not fit a detector1d"),
        ({"tracked__length": 8}, "no such key: length"),
        ({"inside__frame_step": -1}, "frame_step is -1"),
        ({"video": None}, "runs.inside needs videos; there is no key `video`"),
        ({"tracker": "rival"}, "tracker 'rival' is no run of a tracker1d"),
        ({"tracker": ""}, "tracker '' is no run of a tracker1d"),
    ],
)
def test_parameters_that_cannot_be_fail_by_name(changes, message):
    with pytest.raises(config.ConfigError, match=message):
        parsed(**changes)


def test_a_folder_is_rendered_or_set_in_motion_but_not_both():
    both = {"standin": {"seed": 1, "frames": 2}, "motion": {"seed": 1, "frames": 2, "clips": {}}}
    with pytest.raises(config.ConfigError, match="the one or the other"):
        parsed(video=RAW["video"] | both)


def test_stills_in_motion_are_named_as_what_they_are():
    motion = {"motion": {"seed": 1, "frames": 2, "clips": {}}}
    assert parsed(video=RAW["video"] | motion).video.label == "300W stills in motion"
    assert not parsed(video=RAW["video"] | motion).video.real
    assert parsed().video.label == "300VW" and parsed().video.real


# --- videos kept apart --------------------------------------------------------------------------


def videos_of(job, mask):
    return set(job.videos[0].table["video"][mask])


def test_a_tracker_learns_on_videos_that_its_detector_has_not_seen(profile):
    apart = parsed(video=RAW["video"] | {"apart": 0.5})
    inside, tracked = (work.of(apart, apart.run(id)) for id in ("inside-s0", "tracked-s0"))
    seen, learnt = videos_of(inside, inside.seen), videos_of(tracked, tracked.trained_on)
    held = videos_of(inside, inside.held_out)
    assert len(seen) == len(learnt) == len(held) == 1
    assert len(seen | learnt | held) == 3
    assert tracked.describe()["train_videos"] == inside.describe()["train_videos"] == 1
    assert tracked.train == VIDEOS[learnt.pop()]
    stills = work.of(profile, profile.run("still-s0"))
    assert inside.train == stills.train + -(-VIDEOS[seen.pop()] // 2)  # every second frame
    assert {reason for _, reason in runs.missing(apart)} == {"other data"}
    assert {run.group for run, _ in runs.missing(apart)} == {"video", "tracker"}


def test_without_that_both_learn_on_all_of_them(profile):
    inside, tracked = (work.of(profile, profile.run(id)) for id in ("inside-s0", "tracked-s0"))
    assert videos_of(inside, inside.seen) == videos_of(tracked, tracked.trained_on)
    assert not inside.apart.any()


def test_the_photograph_of_a_clip_that_is_kept_apart_is_so_as_a_still_too(profile, monkeypatch):
    raw = RAW["video"] | {"motion": {"seed": 1, "frames": 2, "clips": {}}, "apart": 0.5}
    staged, read = parsed(video=raw), material.require_crops
    stills = read(staged)
    train, _, _ = material.split(staged, stills)
    photographs = sorted(set(stills.table["photograph"][train]))[:3]
    names = dict(zip(("001", "002", "004"), photographs, strict=True))  # none is held out

    def require(profile, name=None):
        crops = read(profile, name)
        if name == "300VW":
            table = crops.table.copy()
            table["photograph"] = table["video"].map(names).fillna(table["photograph"])
            crops = config.dataclasses.replace(crops, table=table)
        return crops

    monkeypatch.setattr(material, "require_crops", require)
    inside = work.of(staged, staged.run("inside-s0"))
    hidden = set(inside.videos[0].table["photograph"][inside.apart])
    assert len(hidden) == 2  # of three, half
    faces = train & ~stills.table["photograph"].isin(hidden).to_numpy()
    frames = len(material.every(inside.videos[0], inside.seen, 2))
    assert inside.train == faces.sum() + frames < train.sum() + frames


# --- folds --------------------------------------------------------------------------------------


def crossed(**values):
    """RAW's profile with a run in folds, and those runs."""
    profile = parsed(**{f"crossed__{key}": value for key, value in values.items()})
    return profile, [run for run in profile.runs if run.name == "crossed"]


STILLS = dict(group="folds", model="detector1d", length=16)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_folds_of_stills_are_a_partition_of_what_is_trained_on_elsewhere(profile, count):
    folded, found = crossed(**STILLS, folds=count)
    crops = material.open_crops(folded)
    train, held, test = material.split(folded, crops)
    pairs = [material.in_folds(folded, crops.table, train | held, run) for run in found]
    assert len(pairs) == count
    for learnt, apart in pairs:
        assert (learnt.astype(int) + apart + test == 1).all()
        photographs = crops.table["photograph"]
        assert not set(photographs[learnt]) & set(photographs[apart])
        assert learnt.any() and apart.any()
    assert sum(apart.astype(int) for _, apart in pairs).tolist() == (train | held).tolist()


def test_a_detector_in_folds_learns_on_all_but_its_fold(profile):
    folded, found = crossed(**STILLS, folds=3)
    for run in found:
        job = work.of(folded, run)
        crops = job.crops
        train, held, _ = material.split(folded, crops)
        learnt, apart = material.in_folds(folded, crops.table, train | held, run)
        assert np.array_equal(job.task.training.points, crops.points[learnt])
        assert np.array_equal(job.task.validation.points, crops.points[apart])
        assert (job.train, job.held) == (learnt.sum(), apart.sum())
        described = job.describe()
        assert (described["train"], described["validation"]) == (job.train, job.held)
        assert json.loads(json.dumps(described)) == described
        assert job.data == work.of(profile, profile.run("still-s0")).data


def test_folds_follow_the_seed_of_the_validation_split_and_not_that_of_the_run(profile):
    def sides(validation, **values):
        folded, found = crossed(**STILLS, folds=2, **values)
        folded = config.dataclasses.replace(folded, validation=validation)
        crops = material.open_crops(folded)
        train = (crops.table["split"] == "train").to_numpy()
        return [material.in_folds(folded, crops.table, train, run)[1].tolist() for run in found]

    first = config.Validation(share=0.2, seed=0)
    assert sides(first, seeds=[7, 8]) == 2 * sides(first)
    assert any(sides(config.Validation(seed=seed)) != sides(first) for seed in (1, 2, 3))


TRACKED = dict(group="tracker_folds", model="tracker1d", detector="inside", folds=2)


def test_folds_of_videos_are_a_partition_of_what_trackers_learn_on(profile):
    folded, found = crossed(**TRACKED)
    jobs = [work.of(folded, run) for run in found]
    elsewhere = work.of(profile, profile.run("tracked-s0"))
    seen = videos_of(elsewhere, elsewhere.trained_on)
    learnt = [videos_of(job, job.trained_on) for job in jobs]
    apart = [set(job.videos[0].table["video"][job.task.validation.all_rows]) for job in jobs]
    assert learnt == apart[::-1] and len(learnt[0]) == len(learnt[1]) == 1
    assert learnt[0] | learnt[1] == seen
    for job, one, other in zip(jobs, learnt, apart, strict=True):
        assert job.train == VIDEOS[min(one)] and job.held == VIDEOS[min(other)]
        assert job.describe()["train_videos"] == 1
        assert job.task.heatmaps.lengths == (job.train,) and job.task.held.lengths == (job.held,)
        job.clean()


def test_trackers_in_folds_are_recorded_with_their_fold_and_see_no_test_video(profile):
    folded, found = crossed(**TRACKED)
    runs.ensure(folded, found, report=lambda line: None)
    assert runs.missing(folded, found) == []
    for fold, run in enumerate(found):
        record = runs.read_record(folded, run)
        assert (record["run"], record["fold"]) == (f"crossed-f{fold}-s0", [fold, 2])
        assert not (material.folder(folded, run) / "predictions.npz").exists()
    assert "crossed" not in (paths.reports("tiny") / "test_looks.csv").read_text()
    assert not list((paths.build("tiny") / "heatmaps").glob("*"))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_the_share_kept_apart_leaves_something_to_the_detector(share):
    with pytest.raises(config.ConfigError, match=rf"apart is {share}; it must be in \[0, 1\)"):
        parsed(video=RAW["video"] | {"apart": share})
