"""README and docs as a reader uses them: links lead somewhere, and commands are understood."""

import re
import shlex

import pytest

from study import __main__ as cli, config, paths
from study.docs import readme

PAGES = {file.relative_to(paths.ROOT).as_posix(): file.read_text() for file in readme.files()}

FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMANDS = cli._parser()._subparsers._group_actions[0].choices


def links():
    for page, text in PAGES.items():
        prose = FENCED.sub("", text)
        for target in sorted(set(LINK.findall(prose))):
            if not target.startswith(("http://", "https://")):
                yield page, target


def slug(heading):
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(text):
    return {slug(line.lstrip("#")) for line in FENCED.sub("", text).splitlines() if line[:1] == "#"}


@pytest.mark.parametrize("page, target", list(links()))
def test_a_link_leads_to_a_file_and_to_a_heading_in_it(page, target):
    file, _, anchor = target.partition("#")
    path = (paths.ROOT / page).parent / file if file else paths.ROOT / page
    assert path.exists(), f"{page} links {target}"
    if anchor:
        assert anchor in anchors(path.read_text()), f"{page} links {target}"


def test_every_page_is_reached_from_the_index():
    index = PAGES["docs/index.md"]
    named = {f"docs/{target}" for target in LINK.findall(index)}
    assert {page for page in PAGES if page.startswith("docs/")} - {"docs/index.md"} <= named


@pytest.mark.parametrize(
    "heading, expected",
    [("Several machines", "several-machines"), ("A `run`, anew", "a-run-anew")],
)
def test_an_anchor_is_that_of_its_heading(heading, expected):
    assert slug(heading) == expected


# --- commands ---------------------------------------------------------------------------------


def commands():
    """(page, words) of every line in a bash block."""
    for page, text in PAGES.items():
        for language, block in FENCED.findall(text):
            if language == "bash":
                for line in block.splitlines():
                    for part in line.split("&&"):
                        words = shlex.split(part, comments=True)
                        if words:
                            yield page, words


ALL = list(commands())
STUDY = [(page, words[3:]) for page, words in ALL if words[1:3] == ["-m", "study"]]
MAKE = [(page, words[1:]) for page, words in ALL if words[0] == "make"]


@pytest.mark.parametrize("page, words", STUDY)
def test_a_command_is_understood(page, words):
    args = cli._parser().parse_args(words)  # exits where it does not know an argument
    for id in [*getattr(args, "runs", []), *([args.run] if hasattr(args, "run") else [])]:
        config.load(args.profile).run(id)


@pytest.mark.parametrize("page, words", MAKE)
def test_a_make_target_and_its_profile_are_there(page, words):
    targets = re.findall(r"^(\w+):", (paths.ROOT / "Makefile").read_text(), re.MULTILINE)
    assert words[0] in targets
    for word in words[1:]:
        assert word.removeprefix("PROFILE=") in config.PROFILES


def test_other_commands_are_known_ones():
    first = {words[0] for _, words in ALL}
    assert first <= {"python", ".venv/bin/python", "make", "git", "cd"}
    tests = [words[3:] for _, words in ALL if words[1:3] == ["-m", "pytest"]]
    assert all((paths.ROOT / name).exists() for names in tests for name in names)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_prose_are_there(page):
    prose = FENCED.sub("", PAGES[page])
    named = set(re.findall(r"python -m study ([\w-]+)", prose))
    targets = re.findall(r"^(\w+):", (paths.ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named <= set(COMMANDS)
    assert set(re.findall(r"`make (\w+)", prose)) <= set(targets)


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_compile(page):
    for language, block in FENCED.findall(PAGES[page]):
        if language == "python":
            compile(block, page, "exec")


@pytest.mark.parametrize("page", PAGES)
def test_the_rows_of_a_table_have_as_many_cells_as_its_head(page):
    for block in re.findall(r"(?:^\|.*\n)+", FENCED.sub("", PAGES[page]), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}) == 1, block
