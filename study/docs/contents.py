"""The notebooks' table of contents, from their first cells: nothing in it is typed twice.

A first cell begins with its question as a heading, "# 01 · What ...?", and ends with a list:
what you learn, and what it needs, writes and takes.
"""

import re
from dataclasses import dataclass

import nbformat

from study import notebook

INDEX = "index.ipynb"
HEADING = re.compile(r"# (\d\d) · (.+\?)")
ITEM = re.compile(r"^- \*\*(You learn|Needs|Writes|Takes)\*\* (.+)$", re.M)
TITLE = """# What do you want to know?

Each notebook answers one question, from top to bottom. Begin with 00. The others run at a \
tiny profile as they stand, in seconds and on numbers that mean nothing: set `profile` in their \
second cell to `"demo"` or `"cpu"` to read what `make repro` recorded.
"""


class ContentsError(ValueError):
    """A notebook whose first cell does not say what the contents need; the message names it."""


@dataclass(frozen=True)
class Entry:
    """One notebook, as its first cell introduces it.

    Attributes:
        file: its name. number: such as "01". question: with its mark.
        learn, needs, writes, takes: one sentence each.
    """

    file: str
    number: str
    question: str
    learn: str
    needs: str
    writes: str
    takes: str


def entry(file, text):
    """The `Entry` of a notebook.

    Args:
        file: its name.
        text: its first cell.

    Raises:
        ContentsError: the cell asks no question, or does not say one of the four things once.
    """
    heading = HEADING.match(text)
    if not heading or not file.startswith(f"{heading[1]}_"):
        raise ContentsError(f"{file} does not begin with its question, such as `# 01 · What ...?`")
    found = ITEM.findall(text)
    names = ["You learn", "Needs", "Writes", "Takes"]
    if [name for name, _ in found] != names:
        known = ", ".join(f"**{name}**" for name in names)
        raise ContentsError(f"{file}: its first cell has no list of {known}, a line each")
    return Entry(file, *heading.groups(), *(words for _, words in found))


def entries(folder=notebook.NOTEBOOKS):
    """The `Entry` of each notebook of a folder, in their order."""
    files = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    documents = ((path.name, nbformat.read(path, as_version=4)) for path in files)
    return [entry(name, document.cells[0].source) for name, document in documents]


def table(listed):
    """Entries as a Markdown table whose questions are links."""
    rows = [
        f"| {e.number} | [{e.question}]({e.file}) | {e.learn} | {e.takes} | {e.needs} |"
        for e in listed
    ]
    head = ["| | question | you learn | takes | needs |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def further(file, folder=notebook.NOTEBOOKS):
    """The other notebooks by their questions, a line each, in Markdown."""
    others = [e for e in entries(folder) if e.file != file]
    return "\n".join(f"- [{e.number}]({e.file}) {e.question} You learn {e.learn}" for e in others)


def index(folder=notebook.NOTEBOOKS):
    """The notebook that `make lab` opens: a title and the table."""
    cell = nbformat.v4.new_markdown_cell(f"{TITLE}\n{table(entries(folder))}", id="contents")
    return notebook.strip(nbformat.v4.new_notebook(cells=[cell]))


def update(folder=notebook.NOTEBOOKS):
    """Writes `index.ipynb` anew; returns its path."""
    path = folder / INDEX
    path.write_text(nbformat.writes(index(folder)) + "\n", encoding="utf-8")
    return path
