"""Data of one's own through the pipeline: what is trained, divided by, recorded and shown."""

import csv
import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from own_folder import FIVE, POINTS, put, settle

from study import (
    config,
    material,
    own_data,
    pack,
    paths,
    plan,
    predict,
    prepare,
    report,
    results,
    runs,
    tables,
    weights,
    work,
)
from study.config import ConfigError
from study.datasets import augment
from study.models import MODELS

RAW = {
    "profile": "own",
    "data": {"name": "OWN", "root": "data/own", "source": "data/own"},
    "crops": {"size": 32, "scale": 1.5},
    "validation": {"share": 0.25},
    "training": {"channels": 8, "depth": 2, "width": 8, "hidden": 8, "epochs": 1, "batch": 4},
    "flagship": "one",
    "runs": {"one": {"model": "detector1d", "length": 32}},
}
HIDDEN = np.where(np.arange(5)[:, None] == 0, np.nan, POINTS)  # the left eye
ROWS = [(f"{n}.png", "train", POINTS + [n, n / 2]) for n in range(6)]
ROWS += [("8.png", "test", POINTS + 3), ("9.png", "test", HIDDEN)]


def parsed(**changed):
    return config.parse({**RAW, **changed}, "params.yaml")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A root with a folder of one's own, whose run has been trained."""
    root = tmp_path_factory.mktemp("root")
    put(root / "data/own", ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", root)
        prepare.prepare(parsed(), jobs=1)
        runs.ensure(parsed(), report=lambda line: None)
    return root


@pytest.fixture
def root(trained, tmp_path, monkeypatch):
    """A copy of the trained root that a test may change."""
    shutil.copytree(trained, tmp_path / "root")
    monkeypatch.setattr(paths, "ROOT", tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def shown(root):
    """A profile, its run, index and crops, and the errors of the run."""
    profile = parsed()
    index, crops = prepare.prepare(profile, jobs=1)
    run = profile.run("one-s0")
    errors = own_data.errors(profile, run, crops)
    return SimpleNamespace(profile=profile, run=run, index=index, crops=crops, errors=errors)


# --- what is packed ---------------------------------------------------------------------------


def test_a_scheme_of_one_s_own_is_packed_without_calibration_and_place(root):
    profile = parsed()
    run = profile.run("one-s0")
    meta = pack.pack(profile, run, root / "my.safetensors")
    model, read = weights.load(root / "my.safetensors")
    assert read == meta
    assert (meta.scheme, meta.landmarks, meta.scale, meta.box) == ("five", 5, 1.5, "points")
    assert meta.calibration is None and meta.placement is None
    state = work.load_model(profile, run).state_dict()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())


def test_packed_points_of_one_s_own_are_marked_drawn_and_written(root):
    pack.pack(parsed(), parsed().run("one-s0"), root / "my.safetensors")
    photo = root / "data/own/8.png"
    options = {"weights": root / "my.safetensors", "boxes": [20, 20, 45, 45]}
    summary = predict.run([photo], root / "out", **options, progress=False)
    assert (summary.faces, summary.troubles) == (1, [])
    with open(root / "out/landmarks.csv", newline="") as file:
        [row] = csv.DictReader(file)
    [face] = predict.Marker(root / "my.safetensors")(photo, boxes=[20, 20, 45, 45])
    written = [[float(row[f"{axis}{n}"]) for axis in "xy"] for n in range(5)]
    assert "x5" not in row and face.points == pytest.approx(np.array(written), abs=0.01)
    assert (root / "out/8.overlay.jpg").is_file()


def test_packed_points_of_one_s_own_need_a_box(root):
    pack.pack(parsed(), parsed().run("one-s0"), root / "my.safetensors")
    with pytest.raises(predict.PredictError, match="5 landmarks 'five' do not say where.*boxes"):
        predict.run([root / "data/own/8.png"], root / "out", weights=root / "my.safetensors")


def test_crops_of_annotated_boxes_are_packed_as_such(root):
    annotate(root / "data/own")
    prepare.prepare(parsed(), jobs=1)
    runs.ensure(parsed(), report=lambda line: None)
    meta = pack.pack(parsed(), parsed().run("one-s0"), root / "my.safetensors")
    assert meta.box == "annotated" and predict.Marker(root / "my.safetensors").passes == 1


def annotate(folder):
    """Gives each face of a folder a box that is wider than its points' tight one."""
    settle(folder, box="annotated")
    head, *rows = (folder / "points.csv").read_text().splitlines()
    head += ",box_x1,box_y1,box_x2,box_y2"
    (folder / "points.csv").write_text("\n".join([head, *(f"{row},8,5,60,57" for row in rows)]))


# --- what is recorded -------------------------------------------------------------------------


def test_errors_are_divided_by_the_named_points_and_by_the_face_where_one_is_hidden(shown):
    arrays = results.predictions(material.folder(shown.profile, shown.run))
    apart = np.linalg.norm(POINTS[0] - POINTS[1])
    size = np.sqrt(np.prod(np.ptp(POINTS[1:], axis=0)))
    assert arrays["normalizer"] == pytest.approx([apart, size])
    assert arrays["residual"].shape == (2, 5, 2)
    assert arrays["visible"].tolist() == [[True] * 5, [False] + [True] * 4]
    assert np.isnan(arrays["residual"][1, 0]).all() and np.isnan(arrays["interpupil"]).all()


def test_a_scheme_that_divides_by_the_box_divides_by_the_face_size(root):
    settle(root / "data/own", normalizer="box")
    index, crops = prepare.prepare(parsed(), jobs=1)
    scheme = material.scheme_of(parsed().data, crops)
    sizes = material.normalizers(scheme, crops, np.arange(len(index)))
    assert sizes.tolist() == index["face_size"].tolist()


def test_validation_in_the_cache_divides_by_what_the_record_divides_by(shown):
    rows = np.arange(len(shown.index))
    scheme = material.scheme_of(shown.profile.data, shown.crops)
    faces = material.faces_of(shown.profile, shown.crops, rows)
    image = material.normalizers(scheme, shown.crops, rows)
    assert (faces.sizes.numpy() * shown.crops.affine[:, 0]) == pytest.approx(image)
    assert faces.order == FIVE.mirror and faces.hides


def test_a_record_names_the_folder_and_no_official_number(shown):
    record = runs.read_record(shown.profile, shown.run)
    assert record["data"]["label"] == "own data in data/own"
    assert record["data"]["official_train"] is None
    assert record["data"]["test"] == {"test": 2}
    train, held = record["data"]["train"], record["data"]["validation"]
    assert train + held == 6 and held == 2
    assert results.describe(record) == "own data in data/own, trained on 4 faces, F=32"


def test_another_scheme_of_the_same_points_is_trained_anew(root):
    assert runs.missing(parsed()) == []
    settle(root / "data/own", mirror=[["left eye", "right eye"]])
    prepare.prepare(parsed(), jobs=1)
    assert [reason for _, reason in runs.missing(parsed())] == ["other data"]


def test_points_in_another_order_of_the_scheme_are_trained_anew(root):
    settle(root / "data/own", points=list(FIVE.names[::-1]))
    _, crops = prepare.prepare(parsed(), jobs=1)
    assert crops.meta["scheme"]["points"] == list(FIVE.names[::-1])
    assert [reason for _, reason in runs.missing(parsed())] == ["other data"]


def test_weights_are_read_without_the_folder_once_crops_are_cut(root):
    shutil.rmtree(root / "data")
    model = work.load_model(parsed(), parsed().run("one-s0"))
    assert model(torch.zeros(2, 3, 32, 32))[0].shape == (2, 5, 32)


def test_a_mirrored_training_face_exchanges_the_pairs(shown):
    still = dict.fromkeys(
        ("rotation", "scale", "shift", "brightness", "contrast", "color", "gray", "occlusion"), 0.0
    )
    settings = dataclasses.replace(shown.run.config.augmentation, mirror=1.0, **still)
    faces = material.faces_of(shown.profile, shown.crops, [0])
    args = dict(size=32, share=faces.share, order=faces.order, settings=settings)
    generator = torch.Generator().manual_seed(0)
    _, moved = augment.augment(faces.pictures, faces.points, **args, generator=generator)
    _, plain = augment.plain(faces.pictures, faces.points, size=32, share=faces.share)
    torch.testing.assert_close(moved[0, 0, 0], 31 - plain[0, 1, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[0, 2, 0], 31 - plain[0, 2, 0], atol=1e-4, rtol=0)


# --- what is shown ----------------------------------------------------------------------------


def test_sides_are_counted_with_their_hidden_points(shown):
    table = own_data.counts(shown.profile, shown.index, shown.crops)
    assert table["side"].tolist() == ["train", "held out", "test"]
    assert table["faces"].tolist() == [4, 2, 2]
    assert table["hidden"].tolist() == [0, 0, 1]


def test_the_mean_shape_of_shifted_faces_is_that_shape_and_errs_by_nothing(shown):
    shape = own_data.mean_shape(shown.profile, shown.crops)
    assert shape == pytest.approx(shown.crops.points[0])
    errors = shown.errors[own_data.SHAPE]
    assert errors[0] == pytest.approx(np.zeros(5), abs=1e-9)
    assert np.isnan(errors[1, 0]) and (errors[1, 1:] > 0.01).all()  # another box, by its points


def test_the_error_of_the_run_is_its_recorded_one(shown):
    mean = np.nanmean(shown.errors["detector1d"][0])
    recorded = results.load(shown.profile).errors("one-s0", "argmax", "test")
    assert recorded[0] == pytest.approx(mean, rel=1e-3)


def test_scores_are_those_of_all_points_and_of_each(shown):
    errors = {"a": np.array([[0.1, 0.3, 0.2, 0.2, np.nan], [0.5, 0.1, 0.1, 0.1, np.nan]])}
    table = own_data.scores(shown.profile, shown.crops, errors)
    assert table["point"].tolist() == ["all", *FIVE.names[:4]]
    assert table["nrmse_percent"].tolist() == pytest.approx([20, 30, 20, 15, 15])
    assert (table["low"] <= table["nrmse_percent"]).all() and set(table["faces"]) == {2}
    wide = own_data.side_by_side(table)
    assert list(wide.index) == table["point"].tolist() and list(wide.columns) == ["a"]


@pytest.mark.parametrize(
    "ours, faces, verdict",
    [
        (0.05, 12, "It has learnt the points"),
        (0.2, 12, "No sign that it has learnt the points"),
        (0.05, 3, "3 test faces are too few to say"),
    ],
)
def test_the_answer_says_whether_the_mean_shape_is_beaten(shown, ours, faces, verdict):
    errors = {"detector1d": np.full((faces, 5), ours), own_data.SHAPE: np.full((faces, 5), 0.1)}
    text = own_data.answer(shown.profile, shown.run, errors)
    assert text.startswith(verdict)
    assert f"a change of {100 * (ours / 0.1 - 1):+.1f} %" in text
    assert "own data in data/own" in text


def test_faces_are_shown_with_their_true_and_predicted_points(shown):
    images, points, predicted = own_data.marked(shown.profile, shown.run, shown.crops)
    assert images.shape == (2, 3, 32, 32) and points.shape == predicted.shape == (2, 5, 2)
    material.weights_file(shown.profile, shown.run).unlink()
    assert own_data.marked(shown.profile, shown.run, shown.crops) is None


def test_a_record_of_other_faces_is_not_shown_beside_these(shown):
    table = shown.crops.table.assign(id=shown.crops.table["id"] + "x")
    with pytest.raises(material.RunError, match="other faces"):
        own_data.errors(shown.profile, shown.run, dataclasses.replace(shown.crops, table=table))


def test_tables_are_read_as_they_are_saved(shown):
    table = own_data.scores(shown.profile, shown.crops, shown.errors)
    again = tables.save(table, "own_scores", "own")
    assert again["point"].tolist() == table["point"].tolist()
    assert again["nrmse_percent"].to_numpy() == pytest.approx(table["nrmse_percent"], rel=1e-5)


def test_a_plan_counts_the_folder_before_it_is_cropped_and_the_crops_after(root):
    cropped = plan.Plan(parsed())
    shutil.rmtree(paths.crops("own", "OWN"))
    counted = plan.Plan(parsed())
    assert (cropped.stills.all, counted.stills.all) == (8, 8)
    assert counted.stills.source == "OWN: data/own" and counted.table["samples"].tolist() == [4]
    assert cropped.landmarks(parsed().runs[0]) == counted.landmarks(parsed().runs[0]) == 5


# --- what cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", [model for model in MODELS if model not in config.ON_AFLW])
def test_a_model_of_68_landmarks_is_refused(model):
    own = {"length": 32} if model.startswith("lab") and model != "lab" else {}
    with pytest.raises(ConfigError, match=f"runs.two: a {model} has 68 landmarks"):
        parsed(runs={**RAW["runs"], "two": {"model": model, **own}})


def test_videos_beside_data_of_one_s_own_are_refused():
    video = {"name": "300VW", "root": "v", "source": "v"}
    with pytest.raises(ConfigError, match="OWN has other landmarks than videos"):
        parsed(video=video)


def test_a_folder_that_the_pipeline_would_not_watch_is_refused():
    with pytest.raises(ConfigError, match="source is 'a'; of OWN it must be root, 'b'"):
        parsed(data={"name": "OWN", "root": "b", "source": "a"})


def test_stand_ins_are_never_drawn_over_one_s_own_faces(root):
    data = {**RAW["data"], "standin": {"seed": 1, "faces": {"train": 2, "test": 1}}}
    before = sorted((root / "data/own").iterdir())
    with pytest.raises(ConfigError, match="remove the key `standin`"):
        prepare.prepare(parsed(data=data), jobs=1)
    assert sorted((root / "data/own").iterdir()) == before


def test_a_profile_of_one_s_own_has_no_page_of_the_paper_s_tables(root):
    with pytest.raises(ConfigError, match="notebook 14"):
        report.make(parsed())


def test_a_profile_on_300w_is_sent_to_profile_own():
    with pytest.raises(ConfigError, match="profile tiny is on 300W; take profile own"):
        own_data.require(config.load("tiny"))


@pytest.mark.parametrize("name", ["own", "own_tiny"])
def test_the_project_s_own_profiles_are_on_stand_ins_and_say_so(name):
    profile = config.load(name)
    assert profile.data.label == "stand-ins as own data"
    raw = yaml.safe_load(paths.params_file(name).read_text())
    assert raw["data"]["root"] == f"build/{name}/data/OWN"
