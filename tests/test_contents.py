import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from study import notebook
from study.docs import contents

FILES = sorted(notebook.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
FIRST = """# 03 · Why so?

Because.

- **You learn** this.
- **Needs** That.
- **Writes** Nothing.
- **Takes** Long.
"""


def cells(path):
    return nbformat.read(path, as_version=4).cells


@pytest.fixture
def folder(tmp_path):
    """A folder with one notebook whose first cell is FIRST."""
    document = new_notebook(cells=[new_markdown_cell(FIRST), new_code_cell("1")])
    nbformat.write(document, tmp_path / "03_why.ipynb")
    return tmp_path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_notebook_begins_with_its_question(path):
    first = cells(path)[0]
    assert first.cell_type == "markdown"
    contents.entry(path.name, first.source)  # raises where there is none


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_notebook_ends_with_its_answer(path):
    *_, heading, answer = cells(path)
    assert heading.cell_type == "markdown" and heading.source.endswith("## Answer")
    assert answer.cell_type == "code"
    assert answer.source.splitlines()[-1].startswith("Markdown(")


def test_numbers_of_notebooks_have_no_gap():
    numbers = [entry.number for entry in contents.entries()]
    assert numbers == [f"{n:02}" for n in range(len(FILES))]


def test_the_committed_index_is_what_the_first_cells_say():
    wanted = nbformat.writes(contents.index()) + "\n"
    found = (notebook.NOTEBOOKS / contents.INDEX).read_text(encoding="utf-8")
    assert found == wanted, "run `python -m study contents`"


def test_an_update_twice_gives_the_same_bytes(folder):
    path = contents.update(folder)
    first = path.read_bytes()
    assert contents.update(folder).read_bytes() == first
    assert "| 03 | [Why so?](03_why.ipynb) | this. | Long. | That. |" in path.read_text()


def test_the_index_lists_each_notebook_once_and_not_itself():
    text = contents.table(contents.entries())
    assert [text.count(f"]({path.name})") for path in FILES] == [1] * len(FILES)
    assert contents.INDEX not in text


def test_further_reading_leaves_the_notebook_itself_out(folder):
    assert contents.further("03_why.ipynb", folder) == ""
    assert contents.further("00_a.ipynb", folder) == (
        "- [03](03_why.ipynb) Why so? You learn this."
    )


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("Why so?", "Because", "begin with its question"),
        ("# 03", "# 04", "begin with its question"),
        ("- **Needs** That.\n", "", "no list"),
        ("- **Takes** Long.", "- **Takes** Long.\n- **Takes** Longer.", "no list"),
    ],
)
def test_a_first_cell_that_lacks_something_is_named(old, new, message):
    with pytest.raises(contents.ContentsError, match=f"03_why.ipynb.*{message}"):
        contents.entry("03_why.ipynb", FIRST.replace(old, new))
