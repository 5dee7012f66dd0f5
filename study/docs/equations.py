"""The way from the paper's equations to code, tests and notebooks, as docstrings tell it."""

import ast
import json
import re

from study import paths

# Where equations are computed; elsewhere they are shown, tabled or talked about.
CORE = ("study/heatmaps.py", "study/models/", "study/tracking.py")
NUMBERED = re.compile(r"\(Eq\. (\d[\d, -]*)\)")
# What has no number in the paper -> the function that computes it, below `study`.
UNNUMBERED = {
    "NRMSE, Section 5.1": "metrics.nrmse",
    "folds, Section 5.1": "datasets.crops.folds",
    "memory of a training step, Table 1": "memory.ledger",
    "what the gain is made of": "tables.ablation.split",
    "decoders below the bin: FHR, DARK": "heatmaps.DECODERS",
    "SimCC's loss": "models.simcc.divergence",
    "wing loss": "models.coordinates.wing",
    "integral regression": "models.integral.expectation",
    "variances by facial area, Fig. 5": "tables.areas.spread",
    "the rule of the verdicts": "claims.verdict",
}


def numbers(text):
    """The equations that a docstring names in brackets, ranges in full: a sorted list."""
    found = set()
    for group in NUMBERED.findall(text):
        for part in group.split(","):
            first, _, last = part.strip().partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return sorted(found)


def named():
    """Every function and class of the study whose docstring names an equation.

    Returns:
        (number, path below the project's root, dotted name in its module): sorted.
    """
    found = []
    for path in sorted((paths.ROOT / "study").rglob("*.py")):
        tree = ast.parse(path.read_text())
        file = path.relative_to(paths.ROOT).as_posix()
        found += [
            (number, file, name) for name, text in _docstrings(tree) for number in numbers(text)
        ]
    return sorted(found, key=lambda one: one[0])


def _docstrings(tree, prefix=""):
    """(dotted name, docstring) of all functions and classes, methods included."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            name = f"{prefix}{node.name}"
            yield name, ast.get_docstring(node) or ""
            if isinstance(node, ast.ClassDef):
                yield from _docstrings(node, f"{name}.")


def table():
    """Markdown rows: an equation and the functions in CORE that compute it, tests, notebooks."""
    found = [one for one in named() if one[1].startswith(CORE)]
    return _table(_row(f"Eq. {number}", functions) for number, functions in _by_number(found))


def index():
    """Markdown rows, one a function or class whose docstring names an equation, wherever it is."""
    of = {}
    for number, *function in named():
        of.setdefault(tuple(function), []).append(str(number))
    return _table(_row(", ".join(found), [one], "../") for one, found in of.items())


def unnumbered():
    """Markdown rows of what has no number in the paper."""
    rows = (_row(what, [place(dotted)], "../") for what, dotted in UNNUMBERED.items())
    return _table(rows, "what")


def _table(rows, head="equation"):
    head = f"| {head} | function | test | notebook |"
    return "\n".join(["", head, "|---|---|---|---|", *rows, ""])


def _by_number(found):
    return [
        (number, [one[1:] for one in found if one[0] == number])
        for number in dict.fromkeys(one[0] for one in found)
    ]


def place(dotted):
    """A function below `study` by its dotted name: (path below the root, name in its module).

    Raises:
        ValueError: there is no such module.
    """
    parts = dotted.split(".")
    for count in range(len(parts) - 1, 0, -1):
        file = "/".join(["study", *parts[:count]]) + ".py"
        if (paths.ROOT / file).exists():
            return file, ".".join(parts[count:])
    raise ValueError(f"study has no module of {dotted}")


def _row(what, functions, up=""):
    """One markdown row; `up` leads from the page's folder to the root."""
    tests = [test_of(*one) for one in functions]
    books = sorted({book for one in functions for book in notebooks_of(*one)})
    cells = (
        [f"[`{_module(file)}.{name}`]({up}{file})" for file, name in functions],
        [f"[{_module(file)}]({up}{file})" for file in tests if file],
        [f"[{_module(book)[:2]}]({up}{book})" for book in books],
    )
    shown = (", ".join(dict.fromkeys(cell)) or "-" for cell in cells)
    return f"| {what} | {' | '.join(shown)} |"


def _module(file):
    return file.rsplit("/", 1)[-1].removesuffix(".py")


def test_of(file, name):
    """The test file of a function: its module's, else its package's, else the first to name it.

    Args:
        file: path of its module below the root.
        name: in the module.

    Returns:
        path below the root, or None.
    """
    module, word = _module(file), name.split(".")[-1]
    first = [f"test_{module}", f"test_{file.split('/')[-2]}"]
    files = sorted(paths.ROOT.glob("tests/test_*.py"))
    files.sort(key=lambda one: first.index(one.stem) if one.stem in first else len(first))
    for path in files:
        text = path.read_text()
        if all(re.search(rf"\b{one}\b", text) for one in (module, word)):
            return path.relative_to(paths.ROOT).as_posix()
    return None


def notebooks_of(file, name):
    """The notebooks that name a function with its module, or `..._figures` as it is imported."""
    found = []
    for path in sorted(paths.ROOT.glob("notebooks/*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        if re.search(rf"\b{_module(file)}(_figures)?\.{re.escape(name)}\b", text):
            found.append(path.relative_to(paths.ROOT).as_posix())
    return found
