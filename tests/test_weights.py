import dataclasses
import json
import pickle

import pytest
import safetensors.torch
import torch
from hypothesis import given, strategies as st

from study import device, training, weights
from study.confidence import Calibration
from study.config import TrainingConfig
from study.models import Tracker1D

N = 5
CONFIG = TrainingConfig("detector1d", size=32, length=24, channels=8, depth=1, width=8, hidden=12)
META = weights.Meta("detector1d", CONFIG, N, 1.3, 1.5, confidence=0.7, scheme="five")
TRACKER = weights.Meta("tracker1d", CONFIG, N, tracker={"lam": 0.4, "hidden": 6}, scheme="five")
FULL = dataclasses.replace(
    META,
    calibration=Calibration(0.05, (1.25, -0.3), (0.1, -2.0, 3.5, 1 / 3, 0.0)),
    placement=(0.0, 0.111, 1.024),
    about={"run": "detector1d_L24-s0", "data": "drawn faces, 20 of each"},
)


def detector():
    return training.build_model(CONFIG, N).eval()


def tracker():
    made = Tracker1D(detector(), **TRACKER.tracker).eval()
    for part in made.parameters():  # a fresh one refines nothing
        part.data += 0.05 * torch.randn_like(part)
    return made


def images(count=3):
    return torch.rand(count, 3, CONFIG.size, CONFIG.size)


def test_a_detector_comes_back_as_it_was(tmp_path):
    model, file = detector(), tmp_path / "a.safetensors"
    weights.save(file, model, META)
    again, meta = weights.load(file)
    assert meta == META
    pictures = images()
    with torch.no_grad():
        for one, other in zip(model(pictures), again(pictures), strict=True):
            assert torch.equal(one, other)
    assert not again.training
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_tracker_comes_back_as_it_was(tmp_path):
    model, file = tracker(), tmp_path / "a.safetensors"
    weights.save(file, model, TRACKER)
    again, meta = weights.load(file)
    assert meta == TRACKER
    pictures = images()
    with torch.no_grad():
        _, state = model.step(pictures)
        expected, _ = model.step(pictures.flip(-1), state)
        found, _ = again.step(pictures.flip(-1), state)
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)


def test_another_lambda_changes_what_the_past_is_worth_and_nothing_else(tmp_path):
    file = tmp_path / "a.safetensors"
    weights.save(file, tracker(), TRACKER)
    model, meta = weights.load(file, lam=0.0)
    assert meta.tracker == {"lam": 0.0, "hidden": 6}
    pictures = images()
    with torch.no_grad():
        first, state = model.step(pictures)
        second, _ = model.step(pictures, state)
    assert torch.equal(first[0], second[0])
    with pytest.raises(weights.WeightsError, match="lambda is 2"):
        weights.load(file, lam=2)


def test_a_detector_has_no_lambda(tmp_path):
    weights.save(tmp_path / "a.safetensors", detector(), META)
    with pytest.raises(weights.WeightsError, match="a detector alone"):
        weights.load(tmp_path / "a.safetensors", lam=0.5)


def test_loading_draws_no_random_number(tmp_path):
    weights.save(tmp_path / "a.safetensors", detector(), META)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    weights.load(tmp_path / "a.safetensors")
    assert torch.equal(torch.rand(4), expected)


def contents(file):
    """The header's values and the tensors of a file."""
    with safetensors.safe_open(file, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        return json.loads(opened.metadata()[weights.HEADER]), tensors


def changed(tmp_path, change, meta=META):
    """A file of weights after a function(header's values, tensors) has changed it."""
    file = tmp_path / "a.safetensors"
    weights.save(file, detector(), meta)
    values, tensors = contents(file)
    change(values, tensors)
    safetensors.torch.save_file(tensors, file, {weights.HEADER: json.dumps(values)})
    return file


def test_calibration_placement_and_notes_come_back_as_they_were(tmp_path):
    weights.save(tmp_path / "a.safetensors", detector(), FULL)
    _, meta = weights.load(tmp_path / "a.safetensors")
    assert meta == FULL and isinstance(meta.calibration, Calibration)
    h_x, h_y = torch.rand(2, 3, N, 24)
    assert torch.equal(meta.calibration(h_x, h_y), FULL.calibration(h_x, h_y))


def test_half_precision_halves_the_file_and_rounds_convolutions_alone(tmp_path):
    model = detector()
    for name, half in (("whole", False), ("half", True)):
        weights.save(tmp_path / name, model, META, half)
    bulk = sum(m.weight.numel() for m in model.modules() if isinstance(m, weights.BULK))
    sizes = [(tmp_path / name).stat().st_size for name in ("whole", "half")]
    assert sizes[0] - sizes[1] == pytest.approx(2 * bulk, rel=0.01)  # headers differ
    assert bulk > 0.8 * sum(p.numel() for p in model.parameters())
    again, _ = weights.load(tmp_path / "half")
    rounded = 0
    for (name, one), other in zip(
        model.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert one.dtype == other.dtype, name
        if not torch.equal(one, other):
            rounded += one.numel()
            torch.testing.assert_close(other, one, rtol=2**-11, atol=2**-24, msg=name)
    assert 0 < rounded <= bulk


def test_saving_in_half_leaves_the_model_as_it_was(tmp_path):
    model = detector()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    weights.save(tmp_path / "a.safetensors", model, META, half=True)
    for name, value in model.state_dict().items():
        assert value.dtype == kept[name].dtype and torch.equal(value, kept[name])


def test_a_file_of_a_configuration_with_fewer_keys_takes_their_defaults(tmp_path):
    file = changed(tmp_path, lambda values, _: values["config"]["detector"].pop("gamma"))
    assert weights.load(file)[1].config == dataclasses.replace(CONFIG, gamma=0.4)


def test_a_file_that_names_no_box_is_of_tight_ones(tmp_path):
    file = changed(tmp_path, lambda values, _: values.pop("box"))
    assert weights.load(file)[1].box == "points"


@pytest.mark.parametrize("key", weights.KEYS)
def test_a_header_without_one_of_its_keys_says_which(tmp_path, key):
    file = changed(tmp_path, lambda values, _: values.pop(key))
    with pytest.raises(weights.WeightsError, match=f"a.safetensors: lacks {key}$"):
        weights.load(file)


def first(tensors):
    """The name of one of the tensors of floating-point numbers."""
    return next(name for name, value in tensors.items() if value.is_floating_point())


NOT_FINITE = torch.tensor(float("nan"))
CALIBRATION = {"within": 0.05, "slopes": [1, 2], "offsets": [0] * N}


@pytest.mark.parametrize(
    "change, cause",
    [
        (lambda v, t: v.pop("format"), "not weights as"),
        (lambda v, t: v.update(format=9), "format 9; this version of the study reads 2"),
        (lambda v, t: v.update(kind="detector2d"), "kind is 'detector2d'; it must be detector1d"),
        (lambda v, t: v.update(kind=["detector1d"]), "kind is ['detector1d']"),
        (lambda v, t: v.update(kind="tracker1d"), "config: KeyError: 'tracker'"),
        (lambda v, t: v.update(config=None), "config: TypeError"),
        (lambda v, t: v["config"]["detector"].update(lenght=3), "no such key: lenght"),
        (lambda v, t: v["config"]["detector"].update(model="detector2d"), "not a detector1d"),
        (lambda v, t: v["config"]["detector"].update(channels=16), "size mismatch"),
        (lambda v, t: v.update(landmarks=6), "size mismatch"),
        (lambda v, t: v.update(landmarks=0), "landmarks is 0; it must be a whole number above 0"),
        (lambda v, t: v.update(landmarks=5.0), "landmarks is 5.0"),
        (lambda v, t: v.update(landmarks=True), "landmarks is True"),
        (lambda v, t: v.update(scale=-1), "scale is -1; it must be a number above 0"),
        (lambda v, t: v.update(oversample="1.5"), "oversample is '1.5'"),
        (lambda v, t: v.update(confidence="high"), "confidence is 'high'"),
        (lambda v, t: v.update(scheme=None), "scheme is None; it must be the name of a scheme"),
        (lambda v, t: v.update(scheme="ibug68"), "5 landmarks; ibug68 has 68"),
        (lambda v, t: v.update(box="tight"), "box is 'tight'; it must be points or annotated"),
        (lambda v, t: v.update(placement=[0, 0]), "placement is (0, 0)"),
        (lambda v, t: v.update(placement=[0, 0, 0]), "placement is (0, 0, 0)"),
        (lambda v, t: v.update(placement=3), "TypeError"),
        (lambda v, t: v.update(about={"run": 3}), "about is {'run': 3}; it must be strings"),
        (lambda v, t: v.update(about=[]), "about is []"),
        (lambda v, t: v.update(calibration={}), "KeyError: 'within'"),
        (lambda v, t: v.update(calibration=[0.05]), "TypeError"),
        (lambda v, t: v.update(calibration={**CALIBRATION, "within": 0}), "calibration: not num"),
        (lambda v, t: v.update(calibration={**CALIBRATION, "slopes": [1]}), "calibration: not num"),
        (lambda v, t: v.update(calibration={**CALIBRATION, "offsets": [0]}), "calibrated for 1"),
        (lambda v, t: t.popitem(), "Missing key"),
        (lambda v, t: t.clear(), "Missing key"),
        (lambda v, t: t.update(more=torch.zeros(2)), "Unexpected key"),
        (lambda v, t: t.update({first(t): t[first(t)].long()}), "is torch.int64, not torch.fl"),
        (lambda v, t: t[first(t)].view(-1)[0].copy_(NOT_FINITE), "is not finite"),
    ],
)
def test_a_file_that_does_not_fit_says_what_is_wrong(tmp_path, change, cause):
    file = changed(tmp_path, change)
    with pytest.raises(weights.WeightsError) as caught:
        weights.load(file)
    assert str(caught.value).startswith(f"{file}: ") and cause in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut off", b"\xff" * 64])
def test_a_file_of_another_kind_is_named(tmp_path, content):
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(weights.WeightsError, match="a.safetensors: not a safetensors file, or a"):
        weights.load(file)


@pytest.mark.parametrize("header", [None, {}, {weights.HEADER: "{"}, {weights.HEADER: "[2]"}])
def test_tensors_without_a_header_of_ours_are_named(tmp_path, header):
    safetensors.torch.save_file(detector().state_dict(), tmp_path / "a.safetensors", header)
    with pytest.raises(weights.WeightsError, match="a.safetensors: not weights as"):
        weights.load(tmp_path / "a.safetensors")


def test_a_pickled_file_is_named_and_not_run(tmp_path):
    class Trap:
        """Makes a file where it is unpickled."""

        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    (tmp_path / "a.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(weights.WeightsError, match="not a safetensors file"):
        weights.load(tmp_path / "a.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_is_cut_off_anywhere_is_named(tmp_path):
    file = tmp_path / "a.safetensors"
    weights.save(file, detector(), META)
    data = file.read_bytes()
    for share in (0.001, 0.01, 0.1, 0.5, 0.999):
        file.write_bytes(data[: round(len(data) * share)])
        with pytest.raises(weights.WeightsError, match="or a damaged one"):
            weights.load(file)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A file's path, and the bytes that it should hold."""
    file = tmp_path_factory.mktemp("weights") / "a.safetensors"
    weights.save(file, detector(), FULL)
    return file, file.read_bytes()


@given(place=st.integers(0, 7000), value=st.integers(0, 255))
def test_a_changed_byte_of_the_header_is_named_or_does_no_harm(damaged, place, value):
    file, data = damaged
    file.write_bytes(data[:place] + bytes([value]) + data[place + 1 :])
    try:
        weights.load(file)
    except weights.WeightsError as error:
        assert str(error).startswith(f"{file}: ")


def test_no_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(weights.WeightsError, match="none.safetensors: no such file"):
        weights.load(tmp_path / "none.safetensors")
    with pytest.raises(weights.WeightsError, match="a folder"):
        weights.load(tmp_path)


def test_a_model_that_its_description_does_not_fit_is_not_written(tmp_path):
    file = tmp_path / "a.safetensors"
    wrong = dataclasses.replace(META, landmarks=N + 1)  # of a scheme that is not known
    for meta in (wrong, TRACKER):
        with pytest.raises(weights.WeightsError, match="not the described one"):
            weights.save(file, detector(), meta)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_finite_is_not_written_nor_what_overflows_in_half(tmp_path):
    file, model = tmp_path / "a.safetensors", detector()
    weight = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d)).weight
    weight.data.view(-1)[0] = 1e5
    with pytest.raises(weights.WeightsError, match="weight is not finite"):
        weights.save(file, model, META, half=True)
    weights.save(file, model, META)
    kept = file.read_bytes()
    weight.data.view(-1)[0] = float("inf")
    with pytest.raises(weights.WeightsError, match="weight is not finite"):
        weights.save(file, model, META)
    assert file.read_bytes() == kept and list(tmp_path.iterdir()) == [file]


def test_the_file_that_ships_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "shipped.safetensors")
    with pytest.raises(weights.WeightsError, match="ships no weights; name a file"):
        weights.load()
    weights.save(weights.SHIPPED, detector(), FULL)
    assert weights.load()[1] == FULL


def test_no_folder_to_write_to_is_named(tmp_path):
    with pytest.raises(weights.WeightsError, match="cannot be written"):
        weights.save(tmp_path / "none" / "a.safetensors", detector(), META)


def test_confidence_by_hand():
    h_x = torch.zeros(2, 3, 4)
    h_y = torch.zeros(2, 3, 4)
    h_x[0, :, 1], h_y[0, :, 3] = torch.tensor([0.9, 0.6, 1.2]), torch.tensor([0.3, 0.8, 1.0])
    h_x[1] = h_y[1] = -0.5
    found = weights.confidence(h_x, h_y)
    assert found.tolist() == pytest.approx([(0.3 + 0.6 + 1.0) / 3, -0.5])


def test_the_usual_confidence_is_the_median_over_faces():
    class Bright(torch.nn.Module):
        """Heatmaps as high as the crop is bright."""

        size = 16

        def forward(self, pictures):
            height = pictures.mean(dim=(1, 2, 3))[:, None, None]
            return height.expand(-1, 2, 6), height.expand(-1, 2, 6)

    levels = torch.tensor([0, 51, 255, 102, 153], dtype=torch.uint8)
    pictures = levels[:, None, None, None].expand(-1, 3, 20, 20)
    faces = training.Faces(pictures, torch.zeros(5, 2, 2), share=0.8, order=(1, 0))
    usual = weights.usual_confidence(Bright(), faces, device.Device("cpu"), batch=2)
    assert usual == pytest.approx(0.4)
