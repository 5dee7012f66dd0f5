import numpy as np
import pandas as pd
import pytest
import torch

from study import __main__ as cli, training, weights
from study.config import TrainingConfig
from study.onnx import export, exported, latency

CONFIG = TrainingConfig("detector1d", 32, 96, channels=8, depth=1, width=8, hidden=12)
META = weights.Meta("detector1d", CONFIG, 68)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A small detector's weights."""
    path = tmp_path_factory.mktemp("weights") / "a.safetensors"
    weights.save(path, training.build_model(CONFIG, 68).eval(), META)
    return path


def test_the_table_has_every_combination_and_its_parts_add_up(file, tmp_path, capsys, monkeypatch):
    assert (latency.THREADS, latency.BATCHES) == ((1, 2), (1, 16))
    monkeypatch.setattr(latency, "THREADS", (1,))  # two that spin take minutes beside other load
    monkeypatch.setattr(latency, "BATCHES", (1, 3))
    out = tmp_path / "latency.csv"
    command = ["bench", "predict", "--weights", str(file), "--seconds", "0", "--out", str(out)]
    assert cli.main(command) == 0
    table = pd.read_csv(out)
    keys = [tuple(row) for row in table[["runtime", "threads", "faces"]].values]
    assert len(set(keys)) == len(keys) == 4
    assert set(keys) == {(r, 1, b) for r in ("PyTorch", "ONNX") for b in (1, 3)}
    assert set(table["network_is"][table["runtime"] == "ONNX"]) == {"network+decode"}
    parts = table["crop_ms"] + table["network_ms"] + table["decode_ms"]
    assert np.allclose(parts, table["total_ms"], rtol=0.5)  # medians, of a shared machine
    assert (table["low_ms"] <= table["total_ms"]).all()
    assert (table["total_ms"] <= table["high_ms"]).all()
    assert np.allclose(table["ms_a_face"], table["total_ms"] / table["faces"], rtol=1e-3)
    assert np.allclose(table["faces_per_s"] * table["ms_a_face"], 1000, rtol=1e-2)
    assert (table["times_pytorch"][table["runtime"] == "PyTorch"] == 1).all()
    assert (table["calls"] >= latency.FEWEST**2).all()
    printed = capsys.readouterr().out
    for said in (latency.cpu(), torch.__version__, "F=32, L=96, decoder argmax", "network+decode"):
        assert said in printed


def test_the_ways_that_are_timed_give_the_same_points(file, tmp_path):
    detector, meta = export.load(file)
    export.export(tmp_path / "a.onnx", file, decoder="integral")
    eager = latency._pytorch(detector, meta)
    onnx = latency._onnx(exported.Runner(tmp_path / "a.onnx"))
    images = torch.rand(2, 3, 32, 32)
    heatmaps = eager.network(images)
    expected = training.decode(heatmaps, meta.config, "integral")
    found, sure = onnx.decode(onnx.network(images))
    assert (expected - found).abs().max() < 1e-2
    assert np.allclose(eager.decode(heatmaps)[1].detach(), sure, atol=1e-4)


def test_turns_are_medians_of_what_was_measured():
    way = latency.Way("PyTorch", "network", None, None)
    other = latency.Way("ONNX", "network+decode", None, None)
    seconds = np.array([[1.0, 2, 1], [0.5, 0.5, 1]]) / 1e3  # of the stages, of each way
    times = np.tile(seconds[:, None], (4, 1, 5, 1)) * np.array([1, 1, 1, 9])[:, None, None, None]
    first, second = latency._rows((way, other), times, 1, 2)
    assert (first["total_ms"], first["ms_a_face"], first["faces_per_s"]) == (4, 2, 500)
    assert (first["crop_ms"], first["network_ms"], first["decode_ms"]) == (1, 2, 1)
    assert (second["times_pytorch"], second["calls"]) == (2, 20)


def test_threads_are_as_before_after_a_fault():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), latency._on(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_a_table_without_its_folder_is_named_before_anything_is_timed(file, tmp_path, capsys):
    out = str(tmp_path / "none" / "a.csv")
    assert cli.main(["bench", "predict", "--weights", str(file), "--out", out]) == 1
    assert "there is no folder" in capsys.readouterr().err
