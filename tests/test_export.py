import dataclasses
import json
import re
import types

import numpy as np
import onnx
import pytest
import torch
from real_faces import REAL, needs_real_faces

from study import __main__ as cli, device, paths, predict, training, weights
from study.confidence import Calibration
from study.config import TrainingConfig
from study.datasets import crops, formats
from study.heatmaps import DECODERS, decode_marginals, half_bin, marginal_targets
from study.marking import look, photos
from study.models import Tracker1D
from study.onnx import export, exported
from study.onnx.exported import OnnxError, Runner
from study.standin import face
from study.weights import WeightsError

N, F, L = 68, 32, 96
CONFIG = TrainingConfig(
    "detector1d", F, L, channels=8, depth=1, width=8, hidden=12, rate=0.02, decoder="local"
)
META = weights.Meta(
    "detector1d",
    CONFIG,
    N,
    scale=1.3,
    oversample=1.5,
    confidence=0.7,
    calibration=Calibration(0.05, (1.5, 0.25), tuple(k / 50 for k in range(N))),
    placement=(0.01, -0.02, 1.1),
    about={"run": "of a test", "quote": '"ü"'},
)
TIED = 1e-5  # between a heatmap's two best bins: which of them is the peak may fall either way
FACES, VIEWS = 25, 4


@pytest.fixture(scope="module")
def drawn():
    """Stand-in faces: pictures (96, 96, 3) uint8, points (68, 2) px, and VIEWS boxes of each."""
    rng, found = np.random.default_rng(0), []
    for _ in range(FACES):
        image, points = face.draw(face.sample_face(rng, "common"), 96)
        stray = rng.uniform(-3, 3, (VIEWS, 4))
        found.append((image, points, look.tight_box(points) + stray))
    return found


def crops_of(drawn, meta):
    """Images (B, 3, F, F) of all boxes, and the points (B, N, 2) in px of the crop."""
    images, truth = [], []
    for image, points, boxes in drawn:
        images.append(look.look_at_all(image, boxes, meta)[0])
        for box in boxes:
            affine = crops.square(box, meta.scale, meta.config.size)
            truth.append(torch.from_numpy(crops.to_crop(points, affine)))
    return torch.cat(images), torch.stack(truth)


@pytest.fixture(scope="module")
def trained(drawn, tmp_path_factory):
    """A small detector that has learnt a little, in a file of weights, and exported from there."""
    torch.manual_seed(0)
    model = training.build_model(CONFIG, N).train()
    images, truth = crops_of(drawn, META)
    optimizer = training.make_optimizer(model, CONFIG)
    for _ in range(60):
        rows = torch.randperm(len(images))[:16]
        batch = images[rows], truth[rows]
        training.train_step(model, optimizer, *batch, CONFIG, device.Device("cpu"))
    folder = tmp_path_factory.mktemp("exported")
    files = folder / "a.safetensors", folder / "a.onnx"
    weights.save(files[0], model.eval(), META)
    assert cli.main(["export", "--weights", str(files[0]), "--out", str(files[1])]) == 0
    assert sorted(folder.iterdir()) == [files[1], files[0]]
    return files


def assert_same(file, runner, images):
    """Asserts that an exported file gives what PyTorch does; returns PyTorch's (h_x, h_y)."""
    model, meta = weights.load(file)
    with torch.inference_mode():
        wanted = [part.numpy() for part in export.Whole(model, meta, runner.decoder)(images)]
    points, *heatmaps, sure = runner.run(images.numpy()).values()
    for h, expected in zip(heatmaps, wanted[1:3], strict=True):
        assert h.dtype == np.float32 and h.shape == (len(images), N, meta.config.length)
        assert (np.abs(h - expected).max(-1) <= 1e-4 * expected.max(-1)).all()
    off = np.abs(points - wanted[0]) > 1e-3  # px
    best = [np.sort(h, axis=-1)[..., -2:] for h in wanted[1:3]]
    tied = np.stack([top[..., 1] - top[..., 0] for top in best], axis=-1) < TIED
    assert not (off & ~tied).any() and off.sum() <= 1e-3 * off.size
    assert np.abs(sure - wanted[3]).max() < 1e-5
    return wanted[1:3]


def test_a_file_gives_what_pytorch_does_on_a_hundred_stand_in_faces(drawn, trained):
    images, truth = crops_of(drawn, META)
    assert len(images) == 100
    heatmaps = assert_same(trained[0], Runner(trained[1]), images)
    assert np.median([h.max(-1) for h in heatmaps]) > 0.3  # it has learnt: those are peaks
    found = torch.from_numpy(Runner(trained[1]).run(images.numpy())["points"])
    assert (found - truth).norm(dim=-1).mean() < 3  # px of the crop


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The exported detector that ships with the study."""
    if not weights.SHIPPED.exists():
        pytest.skip("this copy of the study ships no weights")
    file = tmp_path_factory.mktemp("shipped") / "detector.onnx"
    export.export(file)
    return Runner(file)


def test_the_shipped_detector_gives_what_pytorch_does_on_stand_in_faces(drawn, shipped):
    assert_same(None, shipped, crops_of(drawn, shipped.meta)[0])


def real_faces(meta, count=100):
    """Images (count, 3, F, F) of real faces."""
    files = sorted(path for path in REAL.rglob("*.pts") if path.with_suffix(".jpg").exists())
    found = []
    for path in files[:: len(files) // count][:count]:
        box = look.tight_box(formats.read_pts(path))
        found.append(look.look(photos.read(path.with_suffix(".jpg")), box, meta)[0])
    return torch.cat(found)


@needs_real_faces
def test_the_shipped_detector_gives_what_pytorch_does_on_real_faces(shipped):
    images = real_faces(shipped.meta)
    assert len(images) == 100
    assert_same(None, shipped, images)


@needs_real_faces
def test_a_small_detector_gives_what_pytorch_does_on_real_faces(trained):
    assert_same(trained[0], Runner(trained[1]), real_faces(META))


@pytest.mark.parametrize("count", [1, 3, 16])
def test_a_batch_gives_what_its_faces_give_one_by_one(drawn, trained, count):
    images, runner = crops_of(drawn, META)[0][:count].numpy(), Runner(trained[1], threads=2)
    together = runner.run(images)
    for row in range(count):
        for name, alone in runner.run(images[row : row + 1]).items():
            assert np.allclose(alone[0], together[name][row], atol=1e-4), name


class Rows(torch.nn.Module):
    """A detector whose heatmaps are the picture's channels, averaged along either axis."""

    def forward(self, images):
        along = images.mean(dim=-2), images.mean(dim=-1)  # each (B, 3, F)
        return tuple(torch.nn.functional.avg_pool1d(h, 2) for h in along)  # (B, 3, F/2)


@pytest.mark.parametrize(
    "decoder, rule", [*((name, "centre") for name in DECODERS), ("argmax", "floor")]
)
def test_every_decoder_is_exported(decoder, rule, tmp_path):
    config = dataclasses.replace(CONFIG, length=F // 2, rule=rule)
    meta = weights.Meta("detector1d", config, 3, scheme="three of a test")
    file = tmp_path / "a.onnx"
    graph = export._graph(export.Whole(Rows(), meta, decoder).eval())
    file.write_bytes(graph.SerializeToString())
    runner = Runner(file)
    assert (runner.meta, runner.decoder) == (meta, decoder)
    places = torch.rand(5, 3, 2) * (F - 9) + 4
    h_x, h_y = marginal_targets(places, F, F, 3.0)
    images = h_x[..., None, :] * h_y[..., None]  # (5, 3, F, F)
    found = runner.run(images.numpy())
    heatmaps = Rows()(images)
    wanted = decode_marginals(*heatmaps, F, decoder, sigma=config.target_sigma)
    wanted = wanted - (half_bin(F, F // 2) if rule == "floor" else 0)
    assert np.abs(found["points"] - wanted.numpy()).max() < 1e-3
    peaks = torch.minimum(*(h.amax(dim=-1) for h in heatmaps))
    assert np.allclose(found["confidence"], peaks, atol=1e-6)  # no calibration: the lower peak


def test_a_runner_marks_a_photograph_as_a_marker_does(drawn, trained):
    image, _, boxes = drawn[0]
    for batch in (boxes, boxes[0]):
        points, sure = Runner(trained[1])(image, batch)
        wanted = predict.Marker(trained[0], mirror=False, passes=1)(image, batch)
        assert points.shape == (len(wanted), N, 2) and sure.shape == (len(wanted), N)
        for row, one in enumerate(wanted):
            assert np.abs(points[row] - one.points).max() < 1e-2  # px of the picture
            assert np.abs(sure[row] - one.confidence).max() < 1e-5


def test_a_runner_of_no_box_marks_nothing_and_of_more_than_a_pass_all(drawn, trained, monkeypatch):
    image, _, boxes = drawn[0]
    runner = Runner(trained[1])
    points, sure = runner(image, [])
    assert points.shape == (0, N, 2) and sure.shape == (0, N)
    whole = runner(image, boxes)
    monkeypatch.setattr(exported, "BATCH", 3)
    for one, other in zip(whole, runner(image, boxes), strict=True):
        assert np.allclose(one, other, atol=1e-3)
    with pytest.raises(ValueError, match="x1 < x2"):
        runner(image, (10, 10, 10, 40))


# --- what the file says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "meta",
    [
        META,
        weights.Meta("detector1d", CONFIG, 4, scheme="four"),
        dataclasses.replace(META, config=dataclasses.replace(CONFIG, rule="floor", gamma=0.0)),
    ],
)
def test_a_description_comes_back_as_it_was(meta):
    texts = exported.describe(meta, "taylor")
    assert all(isinstance(text, str) for text in texts.values())
    assert exported.described(texts) == (meta, "taylor")


def test_a_file_says_what_it_is(trained):
    runner = Runner(trained[1])
    assert (runner.meta, runner.decoder) == (META, "local")
    model = onnx.load(trained[1])
    onnx.checker.check_model(model, full_check=True)
    texts = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert (texts["size"], texts["scale"], texts["scheme"]) == (F, 1.3, "ibug68")
    shapes = {
        part.name: [d.dim_param or d.dim_value for d in part.type.tensor_type.shape.dim]
        for part in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "images": ["faces", 3, F, F],
        "points": ["faces", N, 2],
        "h_x": ["faces", N, L],
        "h_y": ["faces", N, L],
        "confidence": ["faces", N],
    }


def test_a_file_names_no_file_of_the_machine_that_wrote_it(trained):
    data = trained[1].read_bytes()
    assert b".py" not in data and str(export.__file__).encode() not in data


@pytest.mark.parametrize(
    "change, cause",
    [
        (lambda texts: texts.pop("format"), "not a detector that"),
        (lambda texts: texts.update(format="9"), "format 9; this version of the study reads 1"),
        (lambda texts: texts.pop("scale"), "metadata: KeyError: 'scale'"),
        (lambda texts: texts.update(scale="-1"), "scale is -1"),
        (lambda texts: texts.update(scale="wide"), "Expecting value"),
        (lambda texts: texts.update(config="3"), "config"),
    ],
)
def test_a_description_that_does_not_fit_says_what_is_wrong(trained, tmp_path, change, cause):
    model, texts = onnx.load(trained[1]), exported.describe(META, "local")
    change(texts)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, texts)
    file = tmp_path / "other.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(OnnxError) as caught:
        Runner(file)
    assert str(caught.value).startswith(f"{file}: ") and cause in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x0a"])
def test_a_file_of_another_kind_is_named(tmp_path, content):
    file = tmp_path / "a.onnx"
    file.write_bytes(content)
    with pytest.raises(OnnxError, match="a.onnx: not an ONNX file, or a damaged one"):
        Runner(file)


def test_no_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(OnnxError, match="none.onnx: No such file"):
        Runner(tmp_path / "none.onnx")
    with pytest.raises(OnnxError, match="a folder"):
        Runner(tmp_path)


# --- what docs/export.md says -----------------------------------------------------------------


def documented():
    """The first Python block of docs/export.md."""
    text = (paths.ROOT / "docs" / "export.md").read_text()
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def test_the_documented_lines_mark_a_photograph_with_numpy_and_onnxruntime_alone(
    drawn, trained, tmp_path, monkeypatch
):
    (tmp_path / "detector.onnx").write_bytes(trained[1].read_bytes())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(documented(), names)
    modules = {value.__name__ for value in names.values() if isinstance(value, types.ModuleType)}
    assert modules == {"json", "numpy", "onnxruntime"}
    runner, off = Runner(trained[1]), []
    for image, _, boxes in drawn:
        points, sure = runner(image, boxes)
        for row, box in enumerate(boxes):
            found, confidence = names["mark"](image, box)
            assert found.shape == (N, 2)
            off.append((found - points[row]) / (META.scale * (box[2:] - box[:2]).max() / F))
            assert np.abs(confidence - sure[row]).mean() < 0.05
    assert np.abs(np.mean(off, axis=(0, 1))).max() < 0.02  # px of the crop: not shifted
    assert np.median(np.abs(off)) < 0.1


def test_the_documented_crop_is_the_studys(monkeypatch):
    """A ramp, which both filters leave as it is, comes back at the places that both name."""
    seen = []

    class Session:
        def __init__(self, *_, **__):
            pass

        def get_modelmeta(self):
            return types.SimpleNamespace(custom_metadata_map=exported.describe(META, "local"))

        def run(self, _, inputs):
            seen.append(inputs["images"])
            return np.tile([[3.0, 20.0]], (1, N, 1)), np.ones((1, N))

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    names = {}
    exec(documented(), names)
    y, x = np.mgrid[:200, :220]
    ramp = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)
    box = (40.3, 60.8, 130.1, 121.7)
    points, _ = names["mark"](ramp, box)
    images, to_image = look.look(ramp, box, META)
    assert seen[0].dtype == np.float32 and seen[0].shape == images.shape
    assert np.abs(seen[0] - images.numpy()).max() < 0.6 / 255  # of a grey level's rounding
    assert np.allclose(points, to_image(torch.tensor([[[3.0, 20.0]]]))[0], atol=1e-4)


# --- what is not exported ---------------------------------------------------------------------


def test_what_cannot_be_exported_is_one_line_and_leaves_no_file(trained, tmp_path, capsys):
    (tmp_path / "not.safetensors").write_bytes(b"no weights")
    out, good = str(tmp_path / "a.onnx"), str(trained[0])
    for arguments, cause in [
        (["--weights", good, "--out", out, "--decoder", "best"], "'best' is unknown; there are"),
        (["--weights", good, "--out", str(tmp_path / "no" / "a.onnx")], "cannot be written"),
        (["--weights", good, "--out", str(tmp_path)], "a folder, not the file to write"),
        (["--weights", str(tmp_path / "not.safetensors"), "--out", out], "not a safetensors file"),
        (["--weights", str(tmp_path / "none"), "--out", out], "no such file"),
    ]:
        assert cli.main(["export", *arguments]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and cause in line
    assert [path.name for path in tmp_path.iterdir()] == ["not.safetensors"]


def test_a_file_with_other_heatmaps_is_not_put_in_the_place_of_a_good_one(
    trained, tmp_path, monkeypatch
):
    torch.manual_seed(1)
    other, file = training.build_model(CONFIG, N).eval(), tmp_path / "a.onnx"
    weights.save(tmp_path / "b.safetensors", other, META)
    file.write_bytes(b"a good one")
    monkeypatch.setattr(export, "_graph", lambda network: onnx.load(trained[1]))
    with pytest.raises(OnnxError, match="a.onnx: not written: its heatmaps are off by"):
        export.export(file, tmp_path / "b.safetensors")
    assert file.read_bytes() == b"a good one" and len(list(tmp_path.iterdir())) == 2


def test_of_a_tracker_the_detector_inside_is_exported_and_said_to_be(
    trained, tmp_path, monkeypatch, capsys
):
    detector, meta = weights.load(trained[0])
    tracker = Tracker1D(detector, lam=0.3, hidden=6)
    file, out = tmp_path / "t.safetensors", tmp_path / "t.onnx"
    whole = dataclasses.replace(meta, kind="tracker1d", tracker={"lam": 0.3, "hidden": 6})
    weights.save(file, tracker, whole)

    def graph(network):
        assert isinstance(network.detector, type(detector))
        made = onnx.load(trained[1])
        onnx.helper.set_model_props(made, exported.describe(network.meta, network.decoder))
        return made

    monkeypatch.setattr(export, "_graph", graph)
    assert cli.main(["export", "--weights", str(file), "--out", str(out)]) == 0
    assert "note: the detector inside a tracker" in capsys.readouterr().out
    about = {**META.about, "exported": export.OF_TRACKER}
    assert Runner(out).meta == dataclasses.replace(META, about=about)


def test_without_shipped_weights_a_file_has_to_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="ships no weights"):
        export.export(tmp_path / "a.onnx")
