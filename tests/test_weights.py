import dataclasses

import pytest
import torch

from study import device, training, weights
from study.config import TrainingConfig
from study.models import Tracker1D

N = 5
CONFIG = TrainingConfig("detector1d", size=32, length=24, channels=8, depth=1, width=8, hidden=12)
META = weights.Meta("detector1d", CONFIG, N, scale=1.3, oversample=1.5, confidence=0.7)
TRACKER = weights.Meta("tracker1d", CONFIG, N, tracker={"lam": 0.4, "hidden": 6})


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
    model, file = detector(), tmp_path / "a.pt"
    weights.save(file, model, META)
    again, meta = weights.load(file)
    assert meta == META
    pictures = images()
    with torch.no_grad():
        for one, other in zip(model(pictures), again(pictures), strict=True):
            assert torch.equal(one, other)
    assert not again.training
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_tracker_comes_back_as_it_was(tmp_path):
    model, file = tracker(), tmp_path / "a.pt"
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
    file = tmp_path / "a.pt"
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
    weights.save(tmp_path / "a.pt", detector(), META)
    with pytest.raises(weights.WeightsError, match="a detector alone"):
        weights.load(tmp_path / "a.pt", lam=0.5)


def test_loading_draws_no_random_number(tmp_path):
    weights.save(tmp_path / "a.pt", detector(), META)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    weights.load(tmp_path / "a.pt")
    assert torch.equal(torch.rand(4), expected)


def test_a_file_of_a_configuration_with_fewer_keys_takes_their_defaults(tmp_path):
    file = tmp_path / "a.pt"
    weights.save(file, detector(), META)
    values = torch.load(file, weights_only=True)
    del values["config"]["detector"]["gamma"]
    torch.save(values, file)
    assert weights.load(file)[1].config == dataclasses.replace(CONFIG, gamma=0.4)


def changed(tmp_path, change):
    file = tmp_path / "a.pt"
    weights.save(file, detector(), META)
    values = torch.load(file, weights_only=True)
    change(values)
    torch.save(values, file)
    return file


@pytest.mark.parametrize(
    "change, cause",
    [
        (lambda v: v.pop("landmarks"), "lacks landmarks"),
        (lambda v: v.pop("format"), "not weights as"),
        (lambda v: v.update(format=9), "format 9; this version of the study reads 1"),
        (lambda v: v.update(kind="detector2d"), "kind 'detector2d'; there are detector1d"),
        (lambda v: v.update(kind="tracker1d"), "config: KeyError: 'tracker'"),
        (lambda v: v["config"]["detector"].update(lenght=3), "no such key: lenght"),
        (lambda v: v["config"]["detector"].update(model="detector2d"), "not a detector1d"),
        (lambda v: v["config"]["detector"].update(channels=16), "size mismatch"),
        (lambda v: v["state_dict"].popitem(), "Missing key"),
        (lambda v: v.update(landmarks=6), "size mismatch"),
        (lambda v: v.update(state_dict=None), "state_dict"),
    ],
)
def test_a_file_that_does_not_fit_says_what_is_wrong(tmp_path, change, cause):
    file = changed(tmp_path, change)
    with pytest.raises(weights.WeightsError) as caught:
        weights.load(file)
    assert str(caught.value).startswith(f"{file}: ") and cause in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut off"])
def test_a_file_of_another_kind_is_named(tmp_path, content):
    file = tmp_path / "a.pt"
    file.write_bytes(content)
    with pytest.raises(weights.WeightsError, match="a.pt: not a file of weights"):
        weights.load(file)


def test_a_cut_off_file_is_named(tmp_path):
    file = tmp_path / "a.pt"
    weights.save(file, detector(), META)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(weights.WeightsError, match="or a damaged one"):
        weights.load(file)


def test_a_bare_state_dict_is_named(tmp_path):
    torch.save(detector().state_dict(), tmp_path / "a.pt")
    with pytest.raises(weights.WeightsError, match="not weights as"):
        weights.load(tmp_path / "a.pt")


def test_no_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(weights.WeightsError, match="none.pt: no such file"):
        weights.load(tmp_path / "none.pt")
    with pytest.raises(weights.WeightsError, match="a folder"):
        weights.load(tmp_path)


def test_a_model_that_its_description_does_not_fit_is_not_written(tmp_path):
    file = tmp_path / "a.pt"
    wrong = dataclasses.replace(META, landmarks=N + 1)
    for meta in (wrong, TRACKER):
        with pytest.raises(weights.WeightsError, match="not the described one"):
            weights.save(file, detector(), meta)
    assert list(tmp_path.iterdir()) == []


def test_no_folder_to_write_to_is_named(tmp_path):
    with pytest.raises(weights.WeightsError, match="cannot be written"):
        weights.save(tmp_path / "none" / "a.pt", detector(), META)


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
