import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from study import notebook, paths
from study.docs.contents import INDEX

COMMITTED = [path for path in sorted(notebook.NOTEBOOKS.glob("*.ipynb")) if path.name != INDEX]
MAGIC = re.compile(r"^\s*[!%]", re.M)
ABSOLUTE = re.compile(r"""["'](/|~|[A-Za-z]:\\)""")


def parameters(source='profile = "tiny"'):
    return new_code_cell(source, metadata={"tags": ["parameters"]})


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def code_faults(source):
    """What a cell of a thin notebook does not do; names of what the source does."""
    if MAGIC.search(source):
        return ["magic"]
    tree = ast.parse(source)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    faults = ["definition" for node in ast.walk(tree) if isinstance(node, kinds)]
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    faults += sorted(calls & {"sys.exit", "exit", "quit", "os._exit", "os.chdir"})
    if len(source.splitlines()) > 10:
        faults.append("more than ten lines")
    if ABSOLUTE.search(source):
        faults.append("absolute path")
    return faults


def parameter_faults(cells):
    """A `parameters` cell is one, and binds names to literals: papermill recomputes nothing."""
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        return [f"{len(tagged)} cells tagged `parameters`"]
    try:
        for statement in ast.parse(tagged[0].source).body:
            ast.literal_eval(statement.value)
    except (AttributeError, ValueError):
        return ["a parameter that is no literal"]
    return []


def faults(document):
    """Why a notebook may not be committed: a list of short reasons, empty for a good one."""
    cells = [cell for cell in document.cells if cell.cell_type == "code"]
    found = [fault for cell in cells for fault in code_faults(cell.source)]
    found += parameter_faults(cells)
    found += ["outputs" for cell in cells if cell.outputs and not notebook.checked(cell)]
    compared = [cell for cell in cells if notebook.checked(cell)]
    found += ["nothing stored to compare" for cell in compared if not cell.outputs]
    found += ["no count, so nbval compares nothing" for c in compared if not c.execution_count]
    if not compared:
        found.append("no cell that nbval compares")
    if document != notebook.strip(document):
        found.append("metadata: run `make strip`")
    return found


def good():
    answer = new_code_cell("# NBVAL_CHECK_OUTPUT\n1 + 1", execution_count=5)
    answer.outputs = [new_output("execute_result", {"text/plain": "2"}, execution_count=5)]
    return notebook.strip(new_notebook(cells=[new_markdown_cell("# Why"), parameters(), answer]))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_a_committed_notebook_is_thin_stripped_and_compared(path):
    assert faults(nbformat.read(path, as_version=4)) == []


def test_there_are_notebooks_and_all_are_named_as_the_pipeline_expects():
    assert COMMITTED
    strangers = [path.name for path in COMMITTED if not re.fullmatch(r"\d\d_\w+", path.stem)]
    assert strangers == []


@pytest.mark.parametrize(
    "source, fault",
    [
        ("def f():\n    pass", "definition"),
        ("class A:\n    pass", "definition"),
        ("!false", "magic"),
        ("x = 1\n%autoreload 2", "magic"),
        ("import sys\nsys.exit(0)", "sys.exit"),
        ("\n".join("x = 1" for _ in range(11)), "more than ten lines"),
        ("open('" + "/" + "etc/hosts')", "absolute path"),
    ],
)
def test_each_forbidden_thing_in_a_cell_is_found(source, fault):
    document = good()
    document.cells.append(new_code_cell(source))
    assert fault in faults(document)


def test_a_good_notebook_has_no_faults():
    assert faults(good()) == []


def test_a_notebook_without_its_parameters_is_faulty():
    document = good()
    del document.cells[1]
    assert "0 cells tagged `parameters`" in faults(document)


def test_a_computed_parameter_is_faulty():
    document = good()
    document.cells[1].source = "size = 2 * 32"
    assert "a parameter that is no literal" in faults(document)


def test_outputs_of_cells_that_nbval_does_not_compare_are_faulty():
    document = good()
    document.cells[1].outputs = [printed("x")]
    assert "outputs" in faults(document)


def test_a_compared_cell_without_an_output_or_a_count_is_faulty():
    document = good()
    document.cells[2].execution_count = None
    assert "no count, so nbval compares nothing" in faults(document)
    document.cells[2].outputs = []
    assert "nothing stored to compare" in faults(document)


def test_stripping_keeps_the_output_of_compared_cells_alone():
    cell = new_code_cell("print(1)", execution_count=3, metadata={"scrolled": True})
    cell.outputs = [printed("1\n")]
    document = good()
    document.cells.append(cell)
    stripped = notebook.strip(document)
    assert stripped.cells[2].outputs[0].data == {"text/plain": "2"}
    assert stripped.cells[3].outputs == []
    assert stripped.cells[3].execution_count is None
    assert stripped.cells[3].metadata == {}
    assert cell.outputs, "the argument is unchanged"
    assert notebook.strip(stripped) == stripped


def test_cleaning_a_run_notebook_equals_cleaning_the_one_never_run():
    before = good()
    after = good()
    for before_cell, after_cell in zip(before.cells, after.cells, strict=True):
        after_cell.id = before_cell.id
    after.metadata["widgets"] = {"state": {}}
    after.cells[1].execution_count = 9
    after.cells[1].outputs = [printed("seen")]
    after.cells[2].outputs = []
    assert notebook.clean(after) == notebook.clean(before)
    after.cells[1].source += "\nseed = 1"
    assert notebook.clean(after) != notebook.clean(before)


def test_normalising_merges_streams_and_shows_the_last_state_of_a_line():
    cell = new_code_cell("train()", metadata={"execution": {"iopub.execute_input": "now"}})
    cell.outputs = [
        printed("epoch 1\nepo"),
        printed("\r  0%|   | 0/3 [00:00<?, ?it/s]", "stderr"),
        printed("ch 2\n"),
        printed("\r100%|###| 3/3 [00:01<00:00,  2.9it/s]\n", "stderr"),
    ]
    outputs = notebook.normalise(new_notebook(cells=[cell])).cells[0].outputs
    assert [(out.name, out.text) for out in outputs] == [
        ("stdout", "epoch 1\nepoch 2\n"),
        ("stderr", "100%|###| 3/3\n"),
    ]


def test_a_shorter_text_after_a_return_leaves_the_tail_of_the_longer_one():
    cell = new_code_cell("x", outputs=[printed("abcdef\rXY\nnext\r")])
    assert notebook.normalise(new_notebook(cells=[cell])).cells[0].outputs[0].text == (
        "XYcdef\nnext"
    )


def test_stripping_a_file_that_is_stripped_does_not_touch_it(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(nbformat.writes(good()) + "\n")
    old = path.stat().st_mtime_ns
    assert notebook.main(["strip", str(path)]) == 0
    assert path.stat().st_mtime_ns == old


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with a profile named tiny; returns what adds a clean notebook to it."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for name in ("PYTHONPATH", "SOURCE_DATE_EPOCH", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # a run sets them; this restores them
        monkeypatch.delenv(name)
    (tmp_path / "profiles" / "tiny").mkdir(parents=True)
    (tmp_path / "profiles" / "tiny" / "params.yaml").touch()

    def add(*cells):
        folder = tmp_path / "build" / "tiny" / "clean"
        folder.mkdir(parents=True, exist_ok=True)
        document = notebook.clean(new_notebook(cells=list(cells)))
        nbformat.write(document, folder / "01_a.ipynb")
        return Path("build") / "tiny" / "notebooks" / "01_a.ipynb"

    return add


def test_two_runs_of_a_notebook_get_the_profile_and_leave_the_same_bytes(project, capfd):
    target = paths.ROOT / project(
        parameters('profile = "none"'), new_code_cell("print('for', profile)")
    )
    assert notebook.main(["run", "01_a", "--profile", "tiny"]) == 0
    first = target.read_bytes()
    assert notebook.main(["run", "01_a", "--profile", "tiny"]) == 0
    assert target.read_bytes() == first
    assert nbformat.read(target, as_version=4).cells[-1].outputs[0].text == "for tiny\n"
    assert "for tiny\n" in capfd.readouterr().out, "what a cell prints is seen as it runs"


def test_a_failing_cell_gives_its_traceback_and_the_notebook_and_no_more(project, capfd):
    project(parameters(), new_code_cell("points = 67\nraise ValueError(f'{points} points')"))
    assert notebook.main(["run", "01_a", "--profile", "tiny"]) == 1
    error = capfd.readouterr().err
    assert "ValueError: 67 points" in error
    assert "build/tiny/notebooks/01_a.ipynb" in error
    assert "papermill" not in error and "nbclient" not in error


def test_a_notebook_that_takes_no_profile_does_not_run(project, capfd):
    project(parameters("seed = 0"))
    assert notebook.main(["run", "01_a", "--profile", "tiny"]) == 1
    assert "01_a.ipynb has no parameter profile" in capfd.readouterr().err


@pytest.mark.parametrize(
    "name, profile, message",
    [("09_b", "tiny", "09_b.ipynb"), ("01_a", "huge", "huge/params.yaml")],
)
def test_an_unknown_notebook_or_profile_is_named(project, capfd, name, profile, message):
    project(parameters())
    assert notebook.main(["run", name, "--profile", profile]) == 1
    assert message in capfd.readouterr().err
