"""Executes, strips and normalises notebooks, so that the same results give the same bytes.

`python -m study.notebook clean --profile P` writes a copy of each notebook without outputs,
which the stages depend on: saving a notebook in JupyterLab then re-runs nothing.
`python -m study.notebook run NAME --profile P` executes such a copy.
`python -m study.notebook strip FILE ...` drops from files what is not to be committed.
"""

import argparse
import os
import re
import sys
from pathlib import Path

import nbformat

from study import paths

NOTEBOOKS = paths.ROOT / "notebooks"
CHECKED = "# NBVAL_CHECK_OUTPUT"  # nbval compares the stored output of a cell that says so
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
BAR_TIMES = re.compile(r" \[(\d+:)+\d+<[^\]]*\]")  # of tqdm: elapsed, left, rate
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(RuntimeError):
    """A notebook that cannot run, or that failed; the message says where and why."""


def checked(cell):
    """Whether nbval compares the output of this cell with the stored one."""
    return cell.cell_type == "code" and CHECKED in cell.source


def strip(notebook):
    """A copy for git: no outputs, but for the cells whose output nbval compares.

    A kept output keeps a count too, always 1: nbval compares nothing in a cell without one.
    """
    notebook = _bare(notebook)
    for cell in notebook.cells:
        if checked(cell) and cell.outputs:
            cell.metadata.tags = sorted({*cell.metadata.get("tags", []), "keep_output"})
            cell.outputs = _tidy(cell.outputs)
            cell.execution_count = 1
        elif cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def clean(notebook):
    """A copy with sources, cell ids and tags alone: what the result of a run depends on."""
    notebook = _bare(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def normalise(notebook):
    """A copy of an executed notebook without what differs from run to run.

    Timings, random cell ids and widget states go. What a cell printed becomes one output for
    stdout and one for stderr, as a terminal would show it after all carriage returns.
    """
    notebook = _bare(notebook)
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
        if cell.cell_type == "code":
            cell.outputs = _tidy(cell.outputs)
    return notebook


def clean_all(profile):
    """Write `build/<profile>/clean/NN_name.ipynb` for each notebook of the study."""
    folder = paths.build(profile) / "clean"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        _write(clean(_read(path)), folder / path.name)


def strip_file(path):
    """Strip one notebook in place; leaves a file alone that is as it should be."""
    _write(strip(_read(path)), path)


def run(name, profile):
    """Execute the clean copy of a notebook with papermill, showing what it prints as it prints.

    Args:
        name: the notebook's name without extension, such as "02_data".
        profile: passed to the notebook's `parameters` cell.

    Returns:
        The path of the executed notebook, `build/<profile>/notebooks/<name>.ipynb`.

    Raises:
        NotebookError: there is no such notebook, it takes no `profile`, a cell raised (with the
            cell's traceback and the path of the notebook as far as it came), or the kernel died.
    """
    source = paths.build(profile) / "clean" / f"{name}.ipynb"
    target = paths.build(profile) / "notebooks" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_parameters(source, {"profile"})
    try:
        _execute(source, target, {"profile": profile})
    finally:
        if target.exists():
            _write(normalise(_read(target)), target)
    return target


def _execute(source, target, parameters):
    # Imported here: papermill takes a second to load, and `clean` and `strip` do without it.
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    target.unlink(missing_ok=True)  # else an early failure would show the last run's notebook
    # The kernel imports this tree's package, whichever one is installed; figures carry no date;
    # threads that wait do not spin, which would halve the speed of trainings side by side.
    os.environ["PYTHONPATH"] = str(paths.ROOT)
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters=parameters,
            kernel_name=KERNEL["name"],
            cwd=str(paths.ROOT),
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            # Spares ipykernel's warning about unencrypted channels.
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        )
    except papermill.PapermillExecutionError as error:
        trace = "\n".join(error.traceback)
        raise NotebookError(
            f"{trace if sys.stderr.isatty() else ANSI.sub('', trace)}\n"
            f"{source.stem} failed in its cell [{error.exec_count}]; see {_relative(target)}"
        ) from None
    except DeadKernelError:
        raise NotebookError(
            f"the kernel of {source.stem} died (killed, or out of memory?); see {_relative(target)}"
        ) from None


def _check_parameters(path, names):
    """Papermill merely warns of a parameter that the notebook does not have."""
    if not path.exists():
        raise NotebookError(f"there is no {_relative(path)}: run the stage `clean` first")
    cells = [cell for cell in _read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise NotebookError(f"{path.name} has {len(cells)} cells tagged `parameters`, not one")
    missing = {name for name in names if not re.search(rf"^{name}\s*[:=]", cells[0].source, re.M)}
    if missing:
        raise NotebookError(f"{path.name} has no parameter {', '.join(sorted(missing))}")


def _bare(notebook):
    """A copy with no metadata but the kernel's name and the cells' tags."""
    notebook = nbformat.from_dict(notebook)  # a deep copy
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    for index, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": list(tags)} if tags else {})
        cell.setdefault("id", f"cell-{index:02d}")  # files older than nbformat 4.5 have none
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _tidy(outputs):
    """Outputs with one stream each for stdout and stderr, and without widgets and counts."""
    streams, tidy = {}, []
    for output in outputs:
        if output.output_type == "stream":
            if output.name not in streams:
                streams[output.name] = output
                tidy.append(output)
            else:
                streams[output.name].text += output.text
            continue
        output.get("data", {}).pop(WIDGET, None)
        if "metadata" in output:
            output.metadata = nbformat.from_dict({})
        if "execution_count" in output:
            output.execution_count = 1
        tidy.append(output)
    for output in streams.values():
        output.text = _apply_returns(output.text)
    return tidy


def _apply_returns(text):
    """What a terminal shows in the end, less the times of progress bars.

    Text after a carriage return overwrites its line.
    """
    return "\n".join(_overwrite(line) for line in text.split("\n"))


def _overwrite(line):
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return BAR_TIMES.sub("", shown)


def _read(path):
    # Without a conversion note: files of nbformat 4.4 have no cell ids, `_bare` gives them some.
    return nbformat.from_dict(nbformat.reader.reads(Path(path).read_text(encoding="utf-8")))


def _write(notebook, path):
    text = nbformat.writes(notebook) + "\n"
    path = Path(path)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _relative(path):
    return os.path.relpath(path, Path.cwd())


def _arguments(arguments):
    parser = argparse.ArgumentParser(prog="python -m study.notebook", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    action = actions.add_parser("clean", help="write copies without outputs to build/PROFILE/clean")
    action.add_argument("--profile", default="demo")
    action = actions.add_parser("run", help="execute the clean copy of one notebook")
    action.add_argument("name", help="the notebook's name without extension, such as 02_data")
    action.add_argument("--profile", default="demo")
    action = actions.add_parser("strip", help="drop outputs that are not to be committed")
    action.add_argument("files", nargs="+", type=Path)
    return parser.parse_args(arguments)


def main(arguments=None):
    """The command line; returns the exit status."""
    arguments = _arguments(arguments)
    try:
        if arguments.action == "strip":
            for path in arguments.files:
                strip_file(path)
            return 0
        if not paths.params_file(arguments.profile).exists():
            raise NotebookError(f"there is no {_relative(paths.params_file(arguments.profile))}")
        if arguments.action == "clean":
            clean_all(arguments.profile)
        else:
            run(arguments.name, arguments.profile)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
