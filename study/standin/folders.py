"""Folders of made data: written whole or not at all, left alone when asked for again."""

import json
import multiprocessing
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(root, record, name, notes):
    """A folder to fill that takes root's place once it is filled without an error.

    Args:
        root: the folder to make.
        record: dict, all that decides what is written; it is stored as JSON.
        name: of the record's file, e.g. "standin.json".
        notes: dict from file name to the text that says what the folder holds.

    Yields:
        Path of an empty folder beside root; or None where root already has the same record.

    Raises:
        FileExistsError: root holds something without such a record: nothing is written.
    """
    root = Path(root)
    found = _read(root / name)
    if found == json.loads(json.dumps(record)):
        yield None
        return
    if root.exists() and found is None and any(root.iterdir()):
        raise FileExistsError(f"{root} is not empty and has no {name}: nothing was written")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as made:
        made = Path(made)
        yield made
        for note, text in notes.items():
            (made / note).write_text(text, encoding="utf-8")
        text = json.dumps(record, indent=2, sort_keys=True) + "\n"
        (made / name).write_text(text, encoding="utf-8")
        _swap(made, root)


def _read(path):
    """The record of a made folder, or None."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _swap(made, root):
    """Puts the folder just made in root's place; the record is never there without the data."""
    old = None
    if root.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{root.name}-old-", dir=root.parent))
        os.replace(root, old / "data")
    final = made / "_"
    final.mkdir()
    for entry in sorted(made.iterdir()):
        if entry != final:
            os.replace(entry, final / entry.name)
    final.chmod(0o755)
    os.replace(final, root)
    if old is not None:
        shutil.rmtree(old)


def each(work, tasks, jobs, chunk=1):
    """Results of work(task), in any order, made by `jobs` processes; work is a module's function.

    Args:
        work: function of one argument, importable by other processes.
        tasks: list of arguments.
        jobs: processes; at most 1 works in this one.
        chunk: tasks that a process takes at a time.
    """
    if jobs <= 1:
        yield from map(work, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(work, tasks, chunksize=chunk)
