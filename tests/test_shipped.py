import json

import numpy as np
import pytest
import torch
from test_runs import RAW, write_params
from w300_folder import write_w300

from study import calibration, config, device as devices, material, paths, prepare, shipped, tables
from study.answers import shipped as shipped_answers
from study.landmarks import IBUG68
from study.marking import faces
from study.predict import Marker
from study.tables import shipped as shipped_tables
from study.training import Faces

COUNT = 68
ABOUT = {"data": "drawn faces", "run": "one-s0 of profile tiny", "trained_on": "trained on 3 faces"}


def evidence(errors, sure=0.9, turn=0, **kinds):
    """Evidence of faces whose points all have the same error; NaN is a missed one."""
    errors = {"annotated": errors, **kinds}
    count = len(errors["annotated"])
    arrays = {
        "id": np.arange(count).astype(str),
        "subset": np.array(["common"] * count),
        "turn": np.broadcast_to(turn, count),
    }
    for kind, values in errors.items():
        full = np.repeat(np.array(values, float)[:, None], COUNT, axis=1)
        arrays[f"error_{kind}"] = full
        arrays[f"confidence_{kind}"] = np.where(np.isnan(full), np.nan, sure)
    return shipped.Evidence(ABOUT, arrays)


def row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    [found] = table.to_dict("records")
    return found


# --- tables -----------------------------------------------------------------------------------


def test_a_score_is_of_the_found_faces_and_worse_on_those_same_faces():
    made = evidence([0.02, 0.04, 0.10, 0.06], found=[0.03, 0.05, np.nan, 0.09])
    table = shipped_tables.scores(made, looks=7)
    plain, found = row(table, boxes="annotated"), row(table, boxes="found")
    assert plain["percent"] == pytest.approx(5.5) and plain["missed"] == 0
    assert plain["failures_percent"] == 25 and np.isnan(plain["worse"])
    assert found["percent"] == pytest.approx(100 * (0.03 + 0.05 + 0.09) / 3)
    assert found["worse"] == pytest.approx(100 * (0.01 + 0.01 + 0.03) / 3)
    assert (found["missed"], found["faces"], found["looks"]) == (1, 4, 7)
    assert found["failures_percent"] == 50  # missed, or above 8 %
    assert found["low"] <= found["percent"] <= found["high"]


def test_where_all_faces_are_missed_there_is_no_number(recwarn):
    made = evidence([0.02, 0.04], found=[np.nan, np.nan])
    table = shipped_tables.scores(made)
    assert np.isnan(row(table, boxes="found")["percent"])
    assert "built-in detector, all 2 missed" in shipped_answers.scores(table)
    for there in (shipped_tables.by_area(made), shipped_tables.by_turn(made)):
        assert there[there["boxes"] == "found"]["percent"].isna().all()
    assert set(shipped_tables.reliability(made)["boxes"]) == {"annotated"}
    assert not recwarn.list


def test_areas_are_means_over_their_landmarks():
    made = evidence([0.02, 0.04])
    made.arrays["error_annotated"][:, 36:48] = 0.5
    table = shipped_tables.by_area(made)
    shares = table.set_index("area")["percent"]
    assert shares["eyes"] == pytest.approx(50) and shares["nose"] == pytest.approx(3)


def test_faces_are_counted_by_how_far_they_turn():
    table = shipped_tables.by_turn(evidence([0.01, 0.02, 0.03, 0.04], turn=[0, 1, 5, 3]))
    rows = table.set_index("turn")
    assert list(rows["faces"]) == [1, 1, 0, 2]
    assert rows.loc["more than about 30°", "percent"] == pytest.approx(3.5)
    assert np.isnan(rows.loc["to about 30°", "percent"])


def test_confidence_is_held_against_what_came_true():
    made = evidence([0.01] * 6 + [0.2] * 2, sure=0.75)
    table = shipped_tables.reliability(made, bins=1)
    [whole] = table.to_dict("records")
    assert (whole["confidence"], whole["share"]) == (0.75, 0.75)
    assert whole["landmarks"] == 8 * COUNT and whole["low"] < 0.75 < whole["high"]


def test_what_is_said_has_each_box_s_number_and_its_data():
    made = evidence([0.02, 0.04], found=[0.03, np.nan])
    text = shipped_answers.scores(shipped_tables.scores(made, looks=1))
    for part in ("3.00 %", "+1.00 points", "1 missed", "looked at once", "drawn faces"):
        assert part in text


# --- the evidence -----------------------------------------------------------------------------


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """A prepared profile of a small 300W folder."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    write_w300(tmp_path / "data" / "300W")
    write_params(tmp_path, RAW)
    made = config.load("tiny")
    prepare.prepare(made, jobs=1)
    return made


def test_test_faces_are_looked_at_once_and_the_look_is_counted(profile, monkeypatch):
    monkeypatch.setattr(faces, "find_all", lambda image: [])
    first = shipped.ensure(profile, progress=False)
    assert shipped.looks(profile) == 1
    assert first.kinds == ("annotated", "found")
    assert np.isnan(first.errors("found")).all() and not np.isnan(first.errors("annotated")).any()
    monkeypatch.setattr(shipped, "mark", None)  # would raise
    again = shipped.ensure(profile, progress=False)
    assert np.array_equal(first.errors("annotated"), again.errors("annotated"))
    assert shipped.looks(profile) == 1


def test_errors_are_those_of_the_marker_over_the_distance_of_the_eyes(profile, monkeypatch):
    monkeypatch.setattr(faces, "find_all", lambda image: [])
    made = shipped.ensure(profile, progress=False)
    index, *_, test = shipped.split(profile)
    one = index[test].iloc[0]
    [face] = Marker()(paths.ROOT / profile.data.root / one.image, one.box)
    eyes = np.linalg.norm(one.points[36] - one.points[45])
    wanted = np.linalg.norm(face.points - one.points, axis=1).mean() / eyes
    assert made.errors("annotated")[0] == pytest.approx(wanted, rel=2e-3)


def test_what_is_kept_cannot_give_annotations_back(profile, monkeypatch):
    monkeypatch.setattr(faces, "find_all", lambda image: [])
    shipped.ensure(profile, progress=False)
    with np.load(shipped.folder(profile) / "predictions.npz") as kept:
        shapes = {name: kept[name].ndim for name in kept}
        assert max(shapes.values()) == 2  # no axis of x and y
        assert {name.partition("_")[0] for name in shapes} == {
            *("id", "subset", "turn", "error", "confidence")
        }


def test_evidence_of_other_weights_is_not_taken_for_these(profile, monkeypatch):
    monkeypatch.setattr(faces, "find_all", lambda image: [])
    shipped.ensure(profile, progress=False)
    file = shipped.folder(profile) / "shipped.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "weights": "others"}))
    monkeypatch.setattr(material, "open_crops", lambda *_: None)
    with pytest.raises(material.RunError, match="prepare"):
        shipped.ensure(profile, progress=False)


def test_only_the_profile_that_trained_the_weights_chooses(profile):
    table = shipped_tables.ensure_choices(profile, progress=False)
    assert table.empty and "by the profile that trained" in shipped_answers.choices(table)


def test_a_marker_does_what_was_chosen_on_held_out_faces():
    table, marker = tables.read("shipped_choices", "cpu"), Marker()
    best = table[table["chosen"]].iloc[0]
    assert (best["decoder"], best["mirror"], best["passes"]) == (
        *(marker.decoder, marker.mirror, marker.passes),
    )


# --- calibration ------------------------------------------------------------------------------


class Sure(torch.nn.Module):
    """Finds all landmarks in the middle of the crop, with peaks that a seed says."""

    size = 32

    def forward(self, images):
        places = torch.exp(-((torch.arange(64) - 31.5) ** 2) / 8)
        height = 0.3 + 0.7 * torch.rand(len(images), COUNT, 1)
        return places * height, places * height


def test_a_calibration_comes_true_as_often_as_it_says_on_the_faces_that_it_is_fitted_on():
    generator = torch.Generator().manual_seed(0)
    points = 20 + 1.5 * torch.randn(40, COUNT, 2, generator=generator, dtype=torch.float64)
    points[:, 36], points[:, 45] = torch.tensor([0.0, 20.0]), torch.tensor([39.0, 20.0])
    shown = Faces(torch.zeros(40, 3, 40, 40, dtype=torch.uint8), points, 0.8, IBUG68.mirror)
    settings = config.load("tiny").runs[0].config
    device, detector = devices.choose(), Sure()
    torch.manual_seed(1)
    seen, errors = calibration.observe(detector, shown, settings, device)
    assert seen.shape == (4 * 40, COUNT, 2) and errors.shape == (4 * 40, COUNT)
    torch.manual_seed(1)  # the same peaks
    fitted = calibration.calibrate(detector, shown, settings, device)
    logs = seen.double().log() @ torch.tensor(fitted.slopes, dtype=torch.float64)
    said = torch.sigmoid(logs + torch.tensor(fitted.offsets, dtype=torch.float64))
    close = (errors <= calibration.WITHIN).double()
    assert 0.05 < close.mean() < 0.95
    assert said.mean().item() == pytest.approx(close.mean().item(), abs=1e-4)
