import json
import shutil

import pytest
import yaml
from test_runs import RAW, write_params
from w300_folder import cut_off, write_w300

from study import __main__ as cli, config, material, paths, prepare, runs, training


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A root with a small 300W folder and a tiny profile; nothing is prepared or trained."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    write_w300(tmp_path / "data" / "300W")
    write_params(tmp_path, RAW)
    return tmp_path


def failure(capsys, *arguments):
    """The lines of a failing command's message, after its exit code has been checked."""
    capsys.readouterr()
    assert cli.main(list(arguments)) == 1
    printed = capsys.readouterr().err
    _, mark, text = printed.rpartition("error: ")  # progress bars may stand before it
    assert mark and "Traceback" not in printed
    return (mark + text).splitlines()


def train(*arguments):
    return cli.main(["train", "--profile", "tiny", *arguments])


def never(*_):
    raise AssertionError("a training was started")


@pytest.mark.parametrize(
    "path, value, cause",
    [
        (("training", "rate"), "1e-4", ".rate: '1e-4' is str, not float"),
        (("runs", "one", "lenght"), 3, "runs.one: no such key: lenght"),
        (("runs", "one", "length"), 30, "length 30 is no multiple of F/4 = 8"),
        (("runs", "one", "group"), "final", "group 'final'"),
    ],
)
def test_a_fault_in_the_parameters_is_one_line_with_file_and_cause(
    root, capsys, path, value, cause
):
    raw = json.loads(json.dumps(RAW))
    section = raw
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    write_params(root, raw)
    for command in (["train"], ["prepare"], ["render"]):
        (line,) = failure(capsys, *command, "--profile", "tiny")
        assert line.startswith("error: profiles/tiny/params.yaml: ") and cause in line


def test_an_unknown_profile_is_one_line(root, capsys):
    (line,) = failure(capsys, "train", "--profile", "huge")
    assert line == "error: no profile 'huge'; there are demo, cpu, paper, tiny, own, own_tiny"


def test_a_profile_without_its_file_is_one_line(root, capsys):
    (line,) = failure(capsys, "prepare", "--profile", "paper")
    assert "profiles/paper/params.yaml: No such file" in line


def test_an_unknown_run_is_one_line(root, capsys):
    (line,) = failure(capsys, "train", "--profile", "tiny", "one")
    assert line.startswith("error: profile tiny has no run 'one'; it has candidate-s0, one-s0")


def test_an_unknown_group_is_one_line(root, capsys):
    (line,) = failure(capsys, "train", "--profile", "tiny", "--group", "final")
    known = "resolution, coattention, ablation, rival, aflw, tracker, search, shipped, "
    known += "video, folds, tracker_folds"
    assert line == f"error: no group 'final'; there are {known}"


def test_training_before_the_crops_are_made_is_one_line(root, capsys):
    (line,) = failure(capsys, "train", "--profile", "tiny")
    assert "build/tiny/crops/300W" in line and "python -m study prepare --profile tiny" in line


def test_a_missing_data_folder_is_named(root, capsys):
    shutil.rmtree(root / "data" / "300W")
    lines = failure(capsys, "prepare", "--profile", "tiny")
    assert "data/300W" in lines[0] and any("no such folder" in line for line in lines)


def test_all_bad_files_are_listed_at_once_and_before_any_training(root, capsys):
    folder = root / "data" / "300W" / "afw"
    (folder / "134212_1.pts").unlink()
    (folder / "134212_2.pts").write_text("version: 1\nn_points: 1\n{\n1 2\n}\n")
    text = "\n".join(failure(capsys, "prepare", "--profile", "tiny"))
    assert "afw/134212_1.jpg: image without its points" in text
    assert "afw/134212_2.pts" in text
    assert not paths.crops("tiny", "300W").exists()


def test_a_truncated_image_stops_before_training_with_its_name(root, capsys):
    cut_off(root / "data" / "300W" / "helen" / "trainset" / "100032540_1.jpg")
    text = "\n".join(failure(capsys, "prepare", "--profile", "tiny"))
    assert "helen/trainset/100032540_1.jpg" in text
    assert not paths.crops("tiny", "300W").exists()


def test_an_unknown_data_set_is_one_line(root, capsys):
    (line,) = failure(capsys, "check-data", "301W", str(root))
    assert line == "error: no data set '301W'; there is: 300W, AFLW, 300VW, TF, OWN"


def test_checking_data_prints_counts_and_fails_where_files_are_broken(root, capsys):
    data = root / "data" / "300W"
    assert cli.main(["check-data", "300W", str(data)]) == 0
    assert "3148" in capsys.readouterr().out.replace(",", "")
    cut_off(data / "afw" / "134212_1.jpg")
    assert cli.main(["check-data", "300W", str(data)]) == 1
    assert "afw/134212_1.jpg" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_is_one_line(root, capsys):
    raw = {**RAW, "training": {**RAW["training"], "rate": 1e30}}
    write_params(root, raw)
    assert cli.main(["prepare", "--profile", "tiny", "--jobs", "1"]) == 0
    lines = failure(capsys, "train", "--profile", "tiny", "candidate-s0")
    assert len(lines) == 1 and "epoch 1" in lines[0] and "batch 2" in lines[0]


def test_prepare_then_train_then_train_again(root, capsys, monkeypatch):
    assert cli.main(["prepare", "--profile", "tiny", "--jobs", "1"]) == 0
    assert "13 faces in" in capsys.readouterr().out
    assert train("one-s0", "candidate-s0") == 0
    assert "0 of 2 runs are recorded" in capsys.readouterr().out
    profile = config.load("tiny")
    assert [run.id for run, _ in runs.missing(profile)] == ["two-s0"]

    with monkeypatch.context() as patch:  # what is recorded costs nothing
        patch.setattr(training, "fit", never)
        assert train("one-s0") == 0
        assert train("--group", "search") == 0
        assert "1 of 1 runs are recorded" in capsys.readouterr().out

    write_params(root, {**RAW, "runs": {**RAW["runs"], "one": {**RAW["runs"]["one"], "gamma": 1}}})
    assert train("one-s0", "candidate-s0") == 0
    out = capsys.readouterr().out
    assert "1 of 2 runs are recorded\nto train: one-s0 (another configuration)" in out
    profile = config.load("tiny")
    assert runs.read_record(profile, profile.run("one-s0"))["config"]["gamma"] == 1


def test_training_again_trains_what_is_recorded(root, capsys):
    prepare.prepare(config.load("tiny"), jobs=1)
    assert train("candidate-s0") == train("--again", "candidate-s0") == 0
    assert capsys.readouterr().out.count("to train: candidate-s0 (no record)") == 2


def test_training_again_without_crops_keeps_the_record(root, capsys):
    profile = config.load("tiny")
    where = material.folder(profile, profile.run("one-s0"))
    where.mkdir(parents=True)
    (where / "run.json").write_text("{}")
    failure(capsys, "train", "--profile", "tiny", "--again", "one-s0")
    assert (where / "run.json").exists()


def test_a_command_is_needed(capsys):
    with pytest.raises(SystemExit) as error:
        cli.main([])
    assert error.value.code == 2
    assert "check-data" in capsys.readouterr().err


def test_the_parameters_of_this_test_are_written_as_yaml(root):
    assert yaml.safe_load((root / "profiles/tiny/params.yaml").read_text()) == RAW
