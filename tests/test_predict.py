import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from study import __main__ as cli
from study import faces, look, predict, training, weights
from study.config import TrainingConfig
from study.landmarks import IBUG68
from study.predict import PredictError
from study.standin.face import draw, sample_face

N = 68
CONFIG = TrainingConfig("detector1d", size=32, length=24, channels=8, depth=1, width=8, hidden=12)
META = weights.Meta("detector1d", CONFIG, N)
BOXES = np.array([[40.0, 30, 120, 110], [150, 60, 210, 130], [20, 130, 60, 175]])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of a detector that has learned nothing: it still marks, always the same."""
    path = tmp_path_factory.mktemp("weights") / "a.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(3)
        weights.save(path, training.build_model(CONFIG, N).eval(), META)
    return path


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (200, 240, 3), dtype=np.uint8)


def found(*boxes):
    """A face detector that finds these boxes in every picture."""
    return lambda image: [faces.Box(*box, 1.5) for box in boxes]


def saved(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def close(faces_, points, most=1e-6):
    return np.abs(np.stack([face.points for face in faces_]) - points).max() <= most


# --- one picture ------------------------------------------------------------------------------


def test_points_are_those_of_the_network_on_the_crop_of_the_box(file, image):
    marker = predict.Marker(file, mirror=False, passes=1)
    model, meta = weights.load(file)
    images, to_image = look.look(image, BOXES[0], meta)
    with torch.inference_mode():
        points = training.decode(model(images), meta.config, meta.config.decoder)
    assert close(marker(image, BOXES[0]), to_image(points), 1e-4)


def test_faces_are_marked_together_as_they_are_alone(file, image, monkeypatch):
    marker = predict.Marker(file)
    alone = [marker(image, box)[0].points for box in BOXES]
    assert close(marker(image, BOXES), np.stack(alone), 1e-3)
    monkeypatch.setattr(predict, "BATCH", 2)
    assert close(marker(image, BOXES), np.stack(alone), 1e-3)


def test_a_mirrored_picture_has_mirrored_points(file, image):
    marker = predict.Marker(file, mirror=True, passes=1)
    width = image.shape[1]
    boxes = BOXES[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [width - 1, 0, width - 1, 0]
    there = np.stack([face.points for face in marker(image, BOXES)])
    there[..., 0] = width - 1 - there[..., 0]
    again = marker(np.ascontiguousarray(image[:, ::-1]), boxes)
    assert close(again, there[:, list(IBUG68.mirror)], 1e-3)


def test_a_second_look_is_a_first_one_at_the_box_of_the_first_points(file, image):
    first = predict.Marker(file, passes=1)
    points = first(image, BOXES[0])[0].points
    box = look.tight_box(points)
    assert look.can_be_face(box, image.shape)
    [face] = predict.Marker(file, passes=2)(image, BOXES[0])
    assert np.allclose(face.box, box) and close(first(image, box), face.points[None], 1e-4)


def test_a_box_that_no_face_has_is_not_looked_at_again():
    points = np.stack([np.full((N, 2), 50.0), np.random.default_rng(0).uniform(20, 90, (N, 2))])
    boxes = predict.closer(BOXES[:2], points, (200, 240))
    assert np.array_equal(boxes[0], BOXES[0])  # all points in one place
    assert np.array_equal(boxes[1], look.tight_box(points[1]))


def test_found_faces_are_marked_where_their_landmarks_are_expected(file, image):
    place = faces.Box(60, 40, 130, 110, 1.5)
    marker = predict.Marker(file, passes=1, find=lambda _: [place])
    [face] = marker(image)
    assert np.allclose(face.box, faces.tight_box(place)) and face.score == 1.5
    assert close(marker(image, face.box), face.points[None])


def test_a_picture_without_a_face_has_none(file, image):
    assert predict.Marker(file, find=found())(image) == []
    assert predict.Marker(file)(image, []) == []


def test_a_pillow_image_and_a_path_are_the_same_picture(file, image, tmp_path):
    marker = predict.Marker(file)
    path = saved(tmp_path / "a.png", image)
    points = marker(image, BOXES[0])[0].points[None]
    assert close(marker(Image.fromarray(image), BOXES[0]), points)
    assert close(marker(path, BOXES[0]), points) and close(marker(str(path), BOXES[0]), points)


def test_mirroring_is_the_default_where_the_scheme_says_how(file, tmp_path):
    other = tmp_path / "five.safetensors"
    meta = weights.Meta("detector1d", CONFIG, 5, scheme="five")
    weights.save(other, training.build_model(CONFIG, 5), meta)
    assert predict.Marker(file).mirror and not predict.Marker(other).mirror
    with pytest.raises(PredictError, match="'five' is unknown"):
        predict.Marker(other, mirror=True)
    with pytest.raises(PredictError, match="five.*give boxes"):
        predict.Marker(other, find=found((1, 1, 50, 50)))(np.zeros((60, 60, 3), np.uint8))


@pytest.mark.parametrize(
    "options, said", [(dict(passes=0), "looks once at least"), (dict(decoder="x"), "'x' is unk")]
)
def test_what_cannot_be_done_is_said_at_once(file, options, said):
    with pytest.raises(PredictError, match=said):
        predict.Marker(file, **options)


@pytest.mark.parametrize(
    "picture", [np.zeros((9, 9)), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8), [[1]]]
)
def test_what_is_no_picture_is_refused(file, picture):
    with pytest.raises(ValueError, match="expected"):
        predict.Marker(file)(picture, BOXES[0])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=4, max_size=4))
def test_a_box_is_refused_or_has_a_side_and_touches_the_picture(box):
    try:
        [[x1, y1, x2, y2]] = predict.require_boxes(box, (100, 200))
    except ValueError as error:
        assert "box" in str(error)
    else:
        assert x1 < x2 and y1 < y2 and x2 >= -0.5 and y2 >= -0.5 and x1 <= 199.5 and y1 <= 99.5


# --- many pictures ----------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path, image):
    """A folder of a picture, one that is cut off, an empty file, and text; and their paths."""
    folder = tmp_path / "album"
    saved(folder / "b.png", image)
    whole = saved(folder / "c.jpg", image).read_bytes()
    (folder / "c.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "d.png").touch()
    (folder / "e.jpg").write_text("no picture")
    return folder


def command(*arguments):
    return cli.main(["predict", *map(str, arguments)])


def test_what_cannot_be_read_is_named_and_the_rest_is_marked(file, album, tmp_path, capsys):
    out = tmp_path / "out"
    box = ["--box", 40, 30, 120, 110]
    assert command(album, tmp_path / "no.png", "--weights", file, "--out", out, *box) == 1
    printed = capsys.readouterr().out
    for name, cause in (("c.jpg", ""), ("d.png", "empty"), ("e.jpg", "not an image")):
        assert any(name in line and cause in line for line in printed.splitlines())
    assert f"{tmp_path / 'no.png'}: no such file" in printed
    assert "5 images, 1 faces, 0 without a face, 4 not read" in printed
    files = sorted(path.name for path in out.iterdir())
    assert files == ["b.json", "b.overlay.jpg", "b.pts", "landmarks.csv"]


def test_no_face_is_said_and_is_no_failure(file, tmp_path, capsys):
    path = saved(tmp_path / "grey.png", np.full((90, 120, 3), 128, np.uint8))
    assert command(path, "--weights", file, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert f"no face: {path}" in printed and "1 images, 0 faces, 1 without a face" in printed
    record = json.loads((tmp_path / "out" / "grey.json").read_text())
    assert record["faces"] == [] and record["width"] == 120


@pytest.mark.parametrize(
    "more, said",
    [
        (["--box", "1", "2", "3"], "not the four numbers"),
        (["--box", "none.csv"], "none.csv: No such file"),
        (["--weights", "none.safetensors"], "none.safetensors: no such file"),
        (["--passes", "0"], "looks once"),
    ],
)
def test_what_keeps_all_from_being_marked_is_one_line(file, album, tmp_path, capsys, more, said):
    given = [album, "--weights", file, "--out", tmp_path / "out", *more]
    assert command(*given) == 2
    printed = capsys.readouterr().err
    assert said in printed and "Traceback" not in printed


def test_a_box_that_does_not_fit_one_picture_does_not_stop_the_others(file, image, tmp_path):
    paths = [saved(tmp_path / "a.png", image), saved(tmp_path / "b.png", image[:50, :50])]
    summary = predict.run(paths, tmp_path / "out", weights=file, boxes=[100, 60, 160, 120])
    assert (summary.images, summary.faces) == (1, 1)
    [line] = summary.troubles
    assert "b.png" in line and "outside" in line


def test_an_interrupted_marking_keeps_what_is_done(file, image, tmp_path):
    paths = [saved(tmp_path / f"{n}.png", image) for n in range(3)]
    seen = []

    def find(picture):
        seen.append(picture)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return [faces.Box(40, 30, 120, 110, 1.0)]

    summary = predict.run(paths, tmp_path / "out", weights=file, find=find, progress=False)
    assert summary.troubles == ["interrupted after 1 images"] and summary.faces == 1
    assert len((tmp_path / "out" / "landmarks.csv").read_text().splitlines()) == 2


# --- the weights that ship --------------------------------------------------------------------


def test_the_shipped_weights_are_small_and_say_what_they_are():
    assert weights.SHIPPED.stat().st_size <= 4 * 2**20
    _, meta = weights.load()
    assert (meta.scheme, meta.config.size) == ("ibug68", 128)
    assert meta.calibration is not None and meta.about["data"]


def test_the_shipped_weights_find_the_eyes_of_drawn_faces():
    marker = predict.Marker()
    for seed in range(3):
        image, truth = draw(sample_face(np.random.default_rng(seed), "common"), 256)
        [face] = marker(image, look.tight_box(truth))
        eyes = np.linalg.norm(truth[36] - truth[45])
        assert np.linalg.norm(face.points - truth, axis=1)[36:48].mean() < 0.15 * eyes
