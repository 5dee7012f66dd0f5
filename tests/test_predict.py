import csv
import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image

from study import __main__ as cli, confidence, paths, predict, training, weights
from study.config import TrainingConfig
from study.landmarks import SCHEMES
from study.marking import faces, follower, look
from study.predict import Marker, PredictError
from study.standin.face import draw, sample_face

CONFIG = TrainingConfig("detector1d", size=32, length=96, channels=8, depth=1, decoder="local")
META = weights.Meta("detector1d", CONFIG, 68)
ORDER = list(SCHEMES["ibug68"].mirror)
WIDTH, HEIGHT = 120, 90
BOXES = np.array([[20.25, 10.5, 60.0, 52.75], [70.0, 30.0, 110.5, 80.25]])


def file_of(folder, meta=META, seed=0):
    """Weights that nobody has trained, drawn anew; their heatmaps differ from place to place."""
    torch.manual_seed(seed)
    model = weights._build(meta)
    for name, part in model.named_parameters():
        if name.endswith("deconvolve.weight"):
            part.data = 0.5 * torch.randn_like(part)
    weights.save(folder / "weights.safetensors", model, meta)
    return folder / "weights.safetensors"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of a small detector."""
    return file_of(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def thorough(file):
    """A Marker that looks three times at a face and at the mirrored one."""
    return once(file, mirror=True, passes=3, find=never)


def once(file, **options):
    """A Marker that looks once, and not at the mirrored face, where nothing else is said."""
    return Marker(file, **{"mirror": False, "passes": 1, **options})


def picture(height=HEIGHT, width=WIDTH):
    """Smooth random colours, (H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (height // 6, width // 6, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def found(*boxes):
    """A double of the face detector: finds these everywhere."""
    return lambda image: [faces.Box(*box, 1.5 - n) for n, box in enumerate(boxes)]


def never(*_):
    raise AssertionError("the face detector was asked")


# --- marking ----------------------------------------------------------------------------------


def test_with_a_box_the_points_are_the_networks_own(file):
    model, _ = weights.load(file)
    images, to_image = look.look(picture(), BOXES[0], META)
    with torch.inference_mode():
        heatmaps = model(images)
    expected = to_image(training.decode(heatmaps, CONFIG, "local"))
    (face,) = once(file, find=never)(picture(), BOXES[0])
    assert np.allclose(face.points, expected, atol=1e-4)
    assert np.ptp(face.points, axis=0).min() > 5  # it is not one point
    peaks = confidence.peaks(*heatmaps)[0, :, 0]
    assert np.allclose(face.confidence, peaks, atol=1e-6)
    assert face.score is None and np.array_equal(face.box, BOXES[0])


def test_several_boxes_are_marked_as_each_alone_and_in_their_order(file, monkeypatch):
    marker, boxes = once(file, find=never), np.concatenate([BOXES, BOXES[::-1] + 3.5])
    together = marker(picture(), boxes)
    monkeypatch.setattr(predict, "BATCH", 3)
    for in_parts, face, box in zip(marker(picture(), boxes), together, boxes, strict=True):
        (alone,) = marker(picture(), box)
        for other in (in_parts, alone):
            assert np.allclose(face.points, other.points, atol=1e-3)
            assert np.allclose(face.confidence, other.confidence, atol=1e-5)
        assert np.array_equal(face.box, box)


def test_found_faces_are_marked_where_their_landmarks_are_expected(file):
    faces_found = once(file, find=found(BOXES[1], BOXES[0]))(picture())
    given = once(file, find=never)(picture(), [faces.tight_box(b) for b in BOXES[::-1]])
    for one, other in zip(faces_found, given, strict=True):
        assert np.array_equal(one.points, other.points) and np.array_equal(one.box, other.box)
    assert [face.score for face in faces_found] == [1.5, 0.5]


def test_a_picture_without_a_face_and_no_boxes_have_none(file):
    assert once(file, find=found())(picture()) == []
    assert once(file, find=never)(picture(), np.zeros((0, 4))) == []
    assert once(file, mirror=True, passes=3, find=found())(picture()) == []


@pytest.mark.parametrize("passes", [1, 3])
def test_of_the_mirrored_picture_mirroring_gives_the_mirrored_points(file, passes):
    marker = once(file, mirror=True, passes=passes, find=never)
    turned = BOXES.copy()
    turned[:, [2, 0]] = WIDTH - 1 - BOXES[:, [0, 2]]
    for one, other in zip(
        marker(picture(), BOXES), marker(picture()[:, ::-1], turned), strict=True
    ):
        expected = one.points[ORDER]
        expected[:, 0] = WIDTH - 1 - expected[:, 0]
        assert np.allclose(other.points, expected, rtol=0, atol=1e-9)
        assert np.allclose(other.confidence, one.confidence[ORDER], rtol=0, atol=1e-9)


def test_mirroring_averages_the_face_with_its_mirrored_one(file):
    plain, mirrored = once(file, find=never), once(file, mirror=True, find=never)
    (one,) = plain(picture(), BOXES[0])
    box = [WIDTH - 1 - BOXES[0][2], BOXES[0][1], WIDTH - 1 - BOXES[0][0], BOXES[0][3]]
    (turned,) = plain(np.ascontiguousarray(picture()[:, ::-1]), box)
    other = predict.mirrored(turned.points, WIDTH)[ORDER]
    (both,) = mirrored(picture(), BOXES[0])
    assert np.allclose(both.points, (one.points + other) / 2, atol=1e-3)
    assert np.abs(one.points - other).max() > 1  # which is no small thing here


def test_a_second_pass_looks_where_the_points_were(file):
    (first,) = once(file, find=never)(picture(), BOXES[0])
    (second,) = once(file, passes=2, find=never)(picture(), BOXES[0])
    assert np.array_equal(second.box, BOXES[0])  # as it was given
    (expected,) = once(file, find=never)(picture(), look.tight_box(first.points))
    assert np.array_equal(second.points, expected.points)


def test_a_box_comes_closer_where_the_points_can_be_a_face_and_else_stays():
    points = np.stack([BOXES[0].reshape(2, 2), BOXES[1].reshape(2, 2)])
    points[0] += 7.5
    points[1] = 3.0  # all at one place
    closer = predict.closer(BOXES, points, (HEIGHT, WIDTH, 3))
    assert np.array_equal(closer, [BOXES[0] + 7.5, BOXES[1]])


def test_calibrated_weights_give_their_own_confidence(tmp_path):
    calibration = confidence.Calibration(0.05, (2.0, 1.0), tuple(np.linspace(-1, 4, 68).tolist()))
    made = file_of(tmp_path, dataclasses.replace(META, calibration=calibration))
    model, _ = weights.load(made)
    with torch.inference_mode():
        expected = calibration(*model(look.look(picture(), BOXES[0], META)[0]))[0]
    (face,) = once(made)(picture(), BOXES[0])
    assert np.allclose(face.confidence, expected, atol=1e-5)
    assert (face.confidence > 0).all() and (face.confidence < 1).all()


@pytest.mark.parametrize("offset, faces_left", [(30.0, 1), (-30.0, 0)])
def test_what_was_found_is_no_face_where_no_landmark_is_sure(tmp_path, offset, faces_left):
    calibration = confidence.Calibration(0.05, (1.0, 1.0), (offset,) * 68)
    made = file_of(tmp_path, dataclasses.replace(META, calibration=calibration))
    assert len(once(made, find=found(BOXES[0]))(picture())) == faces_left
    assert len(once(made, find=never)(picture(), BOXES[0])) == 1  # a given box is believed


def test_a_trackers_weights_mark_as_its_first_frame(tmp_path):
    meta = weights.Meta("tracker1d", CONFIG, 68, tracker={"lam": 0.4, "hidden": 6})
    made = file_of(tmp_path, meta)
    model, _ = weights.load(made)
    for part in model.parameters():  # a fresh one refines nothing
        part.data += 0.05 * torch.randn_like(part)
    weights.save(made, model, meta)
    images, to_image = look.look(picture(), BOXES[0], meta)
    with torch.inference_mode():
        expected = to_image(training.decode(model.step(images)[0], CONFIG, "local"))
        alone = to_image(training.decode(model.detector(images), CONFIG, "local"))
    (face,) = once(made)(picture(), BOXES[0])
    assert np.allclose(face.points, expected, atol=1e-3)
    assert not np.allclose(face.points, alone, atol=1e-3)


def test_paths_pillow_images_and_arrays_are_marked_alike(file, tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    marker = once(file)
    (expected,) = marker(picture(), BOXES[0])
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(picture())):
        (face,) = marker(image, BOXES[0])
        assert np.array_equal(face.points, expected.points)


def test_marking_leaves_picture_and_boxes_as_they_were(file):
    image, boxes = picture(), BOXES.copy()
    once(file, mirror=True, passes=2)(image, boxes)
    assert np.array_equal(image, picture()) and np.array_equal(boxes, BOXES)


@pytest.mark.parametrize(
    "image",
    [
        picture()[..., 0],
        picture().astype(float),
        picture()[..., [0, 1, 2, 2]],
        picture()[:0],
        picture().tolist(),
        None,
    ],
)
def test_what_is_no_picture_is_named(file, image):
    with pytest.raises(ValueError, match=r"image is .*; expected \(H, W, 3\) uint8"):
        once(file)(image)


def test_options_that_cannot_be_are_named(file, tmp_path):
    with pytest.raises(PredictError, match="decoder 'best' is unknown; there are argmax"):
        once(file, decoder="best")
    with pytest.raises(PredictError, match="passes is 0"):
        once(file, passes=0)
    five = file_of(tmp_path, weights.Meta("detector1d", CONFIG, 5, scheme="five"))
    with pytest.raises(PredictError, match="'five' is unknown, and so its mirror order"):
        once(five, mirror=True)
    with pytest.raises(PredictError, match="the 5 landmarks 'five' do not say where"):
        once(five, find=never)(picture())
    assert once(five, find=never)(picture(), BOXES[0])[0].points.shape == (5, 2)


def test_weights_of_annotated_boxes_look_once_at_the_box_that_is_given(tmp_path):
    annotated = file_of(tmp_path, dataclasses.replace(META, box="annotated"))
    [face], [one] = (Marker(annotated, **how)(picture(), BOXES[0]) for how in ({}, {"passes": 1}))
    assert np.array_equal(face.points, one.points)
    with pytest.raises(PredictError, match="passes is 2; these weights look once"):
        Marker(annotated, passes=2)


def test_another_decoder_gives_other_points(file):
    points = [once(file, decoder=d)(picture(), BOXES[0])[0].points for d in ("argmax", "local")]
    assert 0 < np.abs(points[0] - points[1]).max()


# --- boxes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "box, cause",
    [
        ((10, 10, 10, 20), "x1 < x2"),
        ((30, 10, 20, 20), "x1 < x2"),
        ((10, 10, float("nan"), 20), "x1 < x2"),
        ((10, 10, float("inf"), 20), "x1 < x2"),
        ((120, 10, 150, 20), "outside the 120x90 px"),
        ((10, -30, 40, -1), "outside the 120x90 px"),
        ((-700, 10, 600, 40), "or far larger"),
        ((1, 2, 3), r"boxes are \(1, 3\)"),
        (np.zeros((1, 2, 4)), r"boxes are \(1, 2, 4\)"),
    ],
)
def test_a_box_that_can_be_no_faces_is_named(box, cause):
    with pytest.raises(ValueError, match=cause):
        predict.require_boxes(box, (HEIGHT, WIDTH, 3))


def test_boxes_may_reach_beyond_the_picture():
    boxes = [(-40, -9, 5, 30), (100, 60, 180, 150), (-200, -200, 400, 400)]
    assert np.array_equal(predict.require_boxes(boxes, (HEIGHT, WIDTH)), boxes)
    assert predict.require_boxes(boxes[0], (HEIGHT, WIDTH)).shape == (1, 4)
    assert predict.require_boxes([], (HEIGHT, WIDTH)).shape == (0, 4)


@given(
    st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000), st.floats(0, 3000), st.floats(0, 99))
)
def test_whatever_box_is_let_through_can_be_marked(thorough, numbers):
    x, y, width, height = numbers
    box = (x, y, x + width, y + height)
    try:
        predict.require_boxes(box, (HEIGHT, WIDTH))
    except ValueError as error:
        assert str(error).startswith("box ")
    else:
        (face,) = thorough(picture(), box)
        assert np.isfinite(face.points).all() and np.isfinite(face.confidence).all()


# --- many pictures ----------------------------------------------------------------------------


def folder_of(tmp_path):
    """A folder of pictures, and a damaged file, an empty one and a text among them."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name in ("1.png", "3.png", "deep/10.jpg"):
        Image.fromarray(picture()).save(folder / name)
    data = (folder / "1.png").read_bytes()
    (folder / "2.png").write_bytes(data[: len(data) // 2])
    (folder / "4.jpg").touch()
    (folder / "5.jpg").write_text("no picture")
    Image.new("RGB", (1, 1)).save(folder / "6.png")
    return folder


def rows(out):
    """Rows of the table, dicts."""
    with open(out / "landmarks.csv", newline="") as opened:
        return list(csv.DictReader(opened))


def run(paths, out, file, find=None, **options):
    """`predict.run` with found boxes, but for tiny pictures."""
    find = find or found(*BOXES)

    def find_in_large(image):
        return find(image) if len(image) > 1 else []

    settings = {"weights": file, "progress": False, "find": find_in_large, **options}
    return predict.run(paths, out, **settings)


def test_what_cannot_be_read_is_said_and_the_others_go_on(file, tmp_path):
    folder, out = folder_of(tmp_path), tmp_path / "out"
    summary = run([folder, tmp_path / "none.jpg"], out, file)
    assert (summary.images, summary.faces) == (4, 6)
    assert summary.empty == [str(folder / "6.png")]
    causes = [re.sub(r"^.*[/\\]", "", line) for line in summary.troubles]
    assert [cause.split(":")[0] for cause in causes] == ["2.png", "4.jpg", "5.jpg", "none.jpg"]
    assert "empty file" in causes[1] and "no such file" in causes[3]
    assert [(row["image"], row["face"]) for row in rows(out)] == [
        (str(folder / name), face) for name in ("1.png", "3.png", "deep/10.jpg") for face in "01"
    ]
    assert json.loads((out / "6.json").read_text())["faces"] == []
    assert not (out / "2.json").exists() and (out / "deep" / "10.face1.pts").exists()


def test_the_summary_tells_all(file, tmp_path):
    folder, out = folder_of(tmp_path), tmp_path / "out"
    lines = str(run([folder], out, file)).splitlines()
    assert [line.split(": ")[0] for line in lines[:4]] == [*["not read"] * 3, "no face"]
    assert lines[4] == "7 images, 6 faces, 1 without a face, 3 not read"
    assert lines[5] == f"written to {out}: 1 landmarks.csv, 4 .json, 6 .pts, 3 .overlay.jpg"


def test_the_table_holds_what_a_marker_says(file, tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    run([tmp_path / "a.png"], tmp_path / "out", file, mirror=True, passes=2, decoder="argmax")
    marker = once(file, mirror=True, passes=2, decoder="argmax", find=found(*BOXES))
    for row, face in zip(rows(tmp_path / "out"), marker(picture()), strict=True):
        points = [[float(row[f"{axis}{n}"]) for axis in "xy"] for n in range(68)]
        assert np.abs(points - face.points).max() <= 0.005001
        assert float(row["score"]) == face.score


def test_one_box_holds_in_all_pictures_and_where_it_cannot_is_said(file, tmp_path):
    folder = folder_of(tmp_path)
    summary = run([folder], tmp_path / "out", file, find=never, boxes=BOXES[0])
    assert (summary.images, summary.faces) == (3, 3)
    assert summary.troubles[-1].startswith(f"{folder / '6.png'}: box 20.25, 10.5, 60, 52.75: out")
    assert {row["score"] for row in rows(tmp_path / "out")} == {""}


def test_a_list_of_boxes_holds_where_it_says_and_the_others_are_searched(file, tmp_path):
    folder, boxes = folder_of(tmp_path), tmp_path / "boxes.csv"
    boxes.write_text("image,x1,y1,x2,y2\n3.png,20,10,60,50\n")
    summary = run([folder], tmp_path / "out", file, boxes=boxes)
    assert [row["score"] for row in rows(tmp_path / "out")] == [
        *("1.500", "0.500", "", "1.500", "0.500")
    ]
    assert f"{boxes} names 6 of the images not: searched for faces" in str(summary)


def test_a_table_is_the_list_of_boxes_that_gives_it_again(file, tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    run([tmp_path / "a.png"], tmp_path / "1", file)
    for n in (1, 2):  # the first table's boxes were rounded after its points had been marked
        boxes = tmp_path / str(n) / "landmarks.csv"
        run([tmp_path / "a.png"], tmp_path / str(n + 1), file, find=never, boxes=boxes)
    first, second, third = (rows(tmp_path / str(n)) for n in (1, 2, 3))
    assert [row["box_x1"] for row in first] == [row["box_x1"] for row in second]
    assert second == third and len(third) == 2


def test_an_interruption_keeps_what_is_there(file, tmp_path):
    calls = iter(range(9))

    def find(image):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return found(*BOXES)(image)

    summary = run([folder_of(tmp_path)], tmp_path / "out", file, find=find)
    assert summary.troubles[-1] == "interrupted after 3 images"  # one of them of one px
    assert len(rows(tmp_path / "out")) == 4


def test_a_progress_bar_counts_images(file, tmp_path, capsys):
    run([folder_of(tmp_path)], tmp_path / "out", file, progress=True)
    assert re.search(r"100%.* 7/7 .*image", capsys.readouterr().err)


def test_weights_without_a_place_need_boxes_before_any_work(tmp_path):
    five = file_of(tmp_path, weights.Meta("detector1d", CONFIG, 5, scheme="five"))
    with pytest.raises(PredictError, match="give boxes"):
        run([folder_of(tmp_path)], tmp_path / "out", five, find=never)
    assert not (tmp_path / "out").exists()
    summary = run([tmp_path / "in"], tmp_path / "out", five, find=never, boxes=[9, 9, 60, 70])
    assert summary.faces == 3 and (tmp_path / "out" / "1.overlay.jpg").exists()


# --- the command ------------------------------------------------------------------------------


def command(capsys, *arguments):
    """Exit code, standard output and standard error of a `predict` command."""
    capsys.readouterr()
    try:
        code = cli.main(["predict", *map(str, arguments)])
    except SystemExit as exit:  # of argparse
        code = exit.code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_the_command_marks_a_face_that_is_really_found(file, tmp_path, capsys):
    image, points = draw(sample_face(np.random.default_rng(1), "common"), 256)
    Image.fromarray(image).save(tmp_path / "a.png")
    arguments = [tmp_path / "a.png", "--weights", file, "--out", tmp_path / "out"]
    code, out, err = command(capsys, *arguments)
    assert (code, err) == (0, "") and "1 images, 1 faces, 0 without a face, 0 not read" in out
    (row,) = rows(tmp_path / "out")
    box = [float(row[name]) for name in predict.marks.BOX]
    assert faces.overlap(np.array(box), look.tight_box(points)) > 0.6


def test_a_picture_without_a_face_is_no_fault_and_one_that_cannot_be_read_is(
    file, tmp_path, capsys
):
    Image.fromarray(np.full((60, 80, 3), 90, dtype=np.uint8)).save(tmp_path / "plain.png")
    (tmp_path / "empty.jpg").touch()
    arguments = ["--weights", file, "--out", tmp_path / "out"]
    code, out, _ = command(capsys, tmp_path / "plain.png", *arguments)
    assert code == 0 and f"no face: {tmp_path / 'plain.png'}" in out
    code, out, _ = command(capsys, tmp_path / "empty.jpg", tmp_path / "plain.png", *arguments)
    assert code == 1 and f"not read: {tmp_path / 'empty.jpg'}: empty file" in out
    assert "2 images, 0 faces, 1 without a face, 1 not read" in out


@pytest.mark.parametrize(
    "arguments, cause",
    [
        (["--weights", "none"], "none: no such file"),
        (["--decoder", "best"], "decoder 'best' is unknown"),
        (["--passes", "0"], "passes is 0"),
        (["--passes", "two"], "invalid int value: 'two'"),
        (["--format", "xml"], "invalid choice: 'xml'"),
        (["--box", "1", "2", "3"], "not the four numbers x1, y1, x2, y2"),
        (["--box", "1", "2", "3", "x"], "not the four numbers x1, y1, x2, y2"),
        (["--box", "none.csv"], "none.csv: No such file"),
        (["--out", "a.png"], "a.png: File exists"),
    ],
)
def test_what_stops_everything_exits_with_2_and_one_line(
    file, tmp_path, capsys, monkeypatch, arguments, cause
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("a.png")
    code, out, err = command(capsys, "a.png", "--weights", file, "--out", "out", *arguments)
    assert (code, out) == (2, "")
    assert cause in err.splitlines()[-1] and "error: " in err
    assert not (tmp_path / "out").exists()


def test_the_commands_options_reach_the_marking(file, tmp_path, capsys):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    arguments = [tmp_path / "a.png", "--weights", file, "--out", tmp_path / "out"]
    options = ["--mirror", "--passes", 2, "--decoder", "taylor", "--format", "csv", "--no-overlay"]
    code, _, _ = command(capsys, *arguments, *options, "--box", *BOXES[0])
    assert code == 0 and os.listdir(tmp_path / "out") == ["landmarks.csv"]
    marker = once(file, mirror=True, passes=2, decoder="taylor")
    (expected,) = marker(picture(), BOXES[0])
    (row,) = rows(tmp_path / "out")
    points = [[float(row[f"{axis}{n}"]) for axis in "xy"] for n in range(68)]
    assert np.abs(points - expected.points).max() <= 0.005001


def test_help_needs_no_network_library():
    code = "import sys; from study import __main__ as cli\ntry:\n    cli.main(['predict', '-h'])\n"
    code += "except SystemExit:\n    print(sorted({'torch', 'pandas', 'cv2'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]" and "Exits with 0" in done.stdout


def test_the_marker_and_the_follower_look_in_the_same_way():
    assert follower.look is look.look and follower.tight_box is look.tight_box


# --- what is not said -------------------------------------------------------------------------


def test_where_nothing_is_said_a_marker_looks_twice_and_at_the_mirrored_face(file, tmp_path):
    usual = Marker(file, find=never)(picture(), BOXES)
    wanted = once(file, mirror=True, passes=2, find=never)(picture(), BOXES)
    for one, other in zip(usual, wanted, strict=True):
        assert np.array_equal(one.points, other.points)
    five = dataclasses.replace(META, landmarks=5, scheme="five")
    assert not Marker(file_of(tmp_path, five)).mirror  # which is not known there


def test_the_shipped_weights_are_small_and_say_what_they_are():
    assert weights.SHIPPED.stat().st_size <= 4 * 2**20
    _, meta = weights.load()
    assert (meta.scheme, meta.config.size) == ("ibug68", 128)
    assert meta.calibration is not None and meta.about["data"]


def test_the_shipped_weights_find_the_eyes_of_drawn_faces():
    marker = Marker(find=never)
    for seed in range(3):
        image, truth = draw(sample_face(np.random.default_rng(seed), "common"), 256)
        [face] = marker(image, look.tight_box(truth))
        eyes = np.linalg.norm(truth[36] - truth[45])
        assert np.linalg.norm(face.points - truth, axis=1)[36:48].mean() < 0.15 * eyes
