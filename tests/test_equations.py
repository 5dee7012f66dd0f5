"""From equations to code: the tables name every function that names an equation."""

import json
import re

import pytest

from study import paths
from study.docs import equations

NAMED = equations.named()
FUNCTIONS = sorted({one[1:] for one in NAMED})


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Targets (Eq. 12).", [12]),
        ("Rounding (Eq. 3-5, 7), and back (Eq. 4).", [3, 4, 5, 7]),
        ("The rule of Eq. 3, and lambda in [0, 1] (Eq. 13; 1D only).", []),
        ("The wing (Feng et al. 2018, CVPR, Eq. 5).", []),
    ],
)
def test_numbers_are_those_of_the_paper_in_brackets(text, expected):
    assert equations.numbers(text) == expected


def test_every_bracketed_equation_in_the_study_is_named_by_a_row():
    shown = equations.index()
    rows = {row.split(" | ")[1]: row for row in shown.splitlines() if "`" in row}
    for number, file, name in NAMED:
        row = next(row for cell, row in rows.items() if f"{name}`](../{file})" in cell)
        assert str(number) in row.strip("| ").split(" | ")[0].split(", ")


def test_no_equation_in_brackets_is_outside_the_docstrings_that_are_searched():
    found = set()
    for path in sorted((paths.ROOT / "study").rglob("*.py")):
        found |= {number for number in equations.numbers(path.read_text())}
    assert found == {number for number, _, _ in NAMED}


@pytest.mark.parametrize("number", [2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14])
def test_an_equation_has_code_a_test_and_a_notebook(number):
    (row,) = (r for r in equations.table().splitlines() if r.startswith(f"| Eq. {number} |"))
    function, test, notebook = row.strip("| ").split(" | ")[1:]
    assert "](study/" in function and "](tests/" in test and "](notebooks/" in notebook


@pytest.mark.parametrize("file, name", FUNCTIONS)
def test_the_test_and_the_notebooks_that_a_row_names_mention_its_function(file, name):
    word = name.split(".")[-1]
    test = equations.test_of(file, name)
    if file.startswith(equations.CORE):
        assert test is not None
    if test is not None:
        assert re.search(rf"\b{word}\b", (paths.ROOT / test).read_text())
    for notebook in equations.notebooks_of(file, name):
        cells = json.loads((paths.ROOT / notebook).read_text())["cells"]
        assert any(word in "".join(cell["source"]) for cell in cells)


@pytest.mark.parametrize("dotted", equations.UNNUMBERED.values())
def test_what_has_no_number_is_in_its_module_and_tested(dotted):
    file, name = equations.place(dotted)
    source = (paths.ROOT / file).read_text()
    assert re.search(rf"^(def |class )?{name}\b", source, re.MULTILINE)
    assert equations.test_of(file, name) is not None


def test_a_function_of_no_module_is_refused():
    with pytest.raises(ValueError, match="no module of nowhere.f"):
        equations.place("nowhere.f")
