"""Rules over the whole tree: who imports whom, what the pipeline declares, what is committed."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from study.paths import ROOT

STUDY = ROOT / "study"

# Lower never imports upper; modules of one layer may import each other.
LAYERS = (
    # pure: no file, no clock, no global state
    {"landmarks", "heatmaps", "boundaries", "metrics", "confidence", "models"},
    {"paths", "device", "paper"},
    {"datasets", "standin"},
    {"config", "training", "tracking", "adversarial", "fitted", "weights", "marking",
     "calibration"},
    {"material"},
    {"work"},
    {"runs"},
    {"prepare", "results", "lesson"},
    {"predict", "track", "shipped", "memory"},
    {"tables", "figures", "answers", "claims", "sliders"},
    {"page", "docs", "onnx", "key_numbers", "report", "ready", "notebook", "bench", "pack", "plan",
     "own_data", "__main__"},
)
# The package behind an import of another name, and what comes with a requirement.
PACKAGES = {
    "cv2": "opencv-python-headless",
    "dlib": "dlib-bin",
    "PIL": "pillow",
    "yaml": "pyyaml",
}

# Profiles of one's own data run a pipeline of their own, the others the study's.
OWN = ["own", "own_tiny"]
FOLDERS = sorted(path.parent.name for path in ROOT.glob("profiles/*/dvc.yaml"))
PROFILES = ["demo", *(name for name in FOLDERS if name not in OWN)]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
OWN_STAGES = yaml.safe_load((ROOT / "profiles/own/dvc.yaml").read_text())["stages"]
ALL_STAGES = {**STAGES, **{f"own {name}": stage for name, stage in OWN_STAGES.items()}}

REGISTRY = re.compile(
    r"\b(py" r"pi|pythonho" r"sted|regis" r"try\.\w+js|ana" r"conda)\.\w"
    r"|https?://\S*/(simple|whl)\b|--(extra-)?index-url|--find-link[s]"
)
MACHINE = re.compile(r"(?<![\w.*$})-])/(home|root|Users|work|opt|mnt|tmp)/\w")
REPORTED = {".png", ".svg", ".csv", ".json", ".npz", ".html"}


def tracked():
    """Files that git tracks or would add, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this tree is no git checkout")
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(STUDY.rglob("*.py"))}


def imported(source):
    """Dotted names that a source imports anywhere, functions included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def study_imports(source):
    """Modules of the study that a source imports, without the packages that hold them."""
    return {name for name in imported(source) if name in MODULES and name != "study"}


@functools.cache
def imports_of(module):
    """`study_imports` of a module of the study."""
    return study_imports(MODULES[module].read_text())


def reachable(source):
    """Modules of the study that run when a source does: its imports, and theirs."""
    found, new = set(), study_imports(source)
    while new:
        found |= new
        new = {n for name in new for n in imports_of(name)} - found
    return found


def layer(module):
    name = module.split(".")[1]
    return next((index for index, names in enumerate(LAYERS) if name in names), None)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"study"}))
def test_a_module_imports_none_of_a_layer_above_its_own(module):
    assert layer(module) is not None, f"give {module} a layer in LAYERS"
    above = {
        other
        for other in study_imports(MODULES[module].read_text())
        if layer(other) is not None and layer(other) > layer(module)
    }
    assert above == set()


def test_no_module_uses_relative_or_star_imports():
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}, line {node.lineno}: relative import"
                assert node.names[0].name != "*", f"{name}, line {node.lineno}: star import"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_and_its_public_functions_and_classes_have_docstrings(module):
    tree = ast.parse(MODULES[module].read_text())
    kinds = (ast.FunctionDef, ast.ClassDef)
    public = [n for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")]
    assert ast.get_docstring(tree) or not tree.body, f"{module} has no docstring"
    bare = [node.name for node in public if not ast.get_docstring(node)]
    assert not bare, f"{module} has no docstring for {bare}"


def requirements():
    """Name to (version condition, reason), as requirements.in says."""
    found = {}
    for line in (ROOT / "requirements.in").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement, _, reason = line.partition("#")
            name, condition = re.fullmatch(r"([\w-]+)\s*(\S*)", requirement.strip()).groups()
            found[name.lower()] = (condition, reason.strip())
    return found


def lock():
    """Name to version, as requirements.lock says."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(re.fullmatch(r"([\w.-]+)==([\w.]+)(?: +# .*)?", line).groups() for line in lines)


def test_every_requirement_says_what_it_is_for():
    assert [name for name, (_, reason) in requirements().items() if len(reason.split()) < 3] == []


def test_the_lock_pins_every_requirement_as_asked():
    pinned = lock()  # raises at hashes, addresses and local versions
    for name, (condition, _) in requirements().items():
        assert name in pinned, f"{name}: run `make lock`"
        if condition.startswith("=="):
            assert pinned[name] == condition[2:]
        elif condition.startswith("<"):
            numbers = [[int(n) for n in v.split(".")] for v in (pinned[name], condition[1:])]
            assert numbers[0] < numbers[1]
        else:
            assert condition == "", f"{name}{condition}: this test does not know the condition"


def test_every_imported_package_is_a_requirement():
    sources = [*STUDY.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    names = {name.split(".")[0] for path in sources for name in imported(path.read_text())}
    local = {"study", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
    packages = {PACKAGES.get(name, name) for name in names - local - sys.stdlib_module_names}
    assert packages - set(requirements()) == set()


def test_conda_gets_the_same_python_and_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "python=3.11" in environment["dependencies"]
    assert environment["dependencies"][-1] == {"pip": ["-r requirements.lock", "-e ."]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.12"


@functools.cache
def load_params(profile):
    folder = ROOT if profile == "demo" else ROOT / "profiles" / profile
    return yaml.safe_load((folder / "params.yaml").read_text())


def lookup(profile, key):
    """The value of a dotted key in a profile's parameters; a KeyError names what is missing."""
    value = load_params(profile)
    for part in key.split("."):
        value = value[part]
    return value


def resolved(text, profile):
    """A template of dvc.yaml with a profile's parameters filled in."""
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(lookup(profile, match[1])), text)


def names_of(entries):
    """Paths of a list of outs, whose items are paths or mappings from path to options."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage):
    return [*ALL_STAGES[stage].get("outs", []), *ALL_STAGES[stage].get("metrics", [])]


def test_every_profile_runs_the_one_pipeline():
    for profile in PROFILES[1:]:
        link = ROOT / "profiles" / profile / "dvc.yaml"
        assert link.is_symlink() and link.readlink() == Path("../../dvc.yaml")


def test_the_profiles_of_own_data_run_one_pipeline():
    link = ROOT / "profiles/own_tiny/dvc.yaml"
    assert link.is_symlink() and link.readlink() == Path("../own/dvc.yaml")


@pytest.mark.parametrize("profile", [*PROFILES, *OWN])
def test_a_profile_says_where_it_is(profile):
    params = load_params(profile)
    own = "params.yaml" if profile == "demo" else f"profiles/{profile}/params.yaml"
    root = "." if profile == "demo" else "../.."
    assert (params["profile"], params["params_file"], params["root"]) == (profile, own, root)


@pytest.mark.parametrize("profile", [*PROFILES, *OWN])
def test_a_profile_has_every_parameter_that_a_stage_depends_on(profile):
    for stage in (OWN_STAGES if profile in OWN else STAGES).values():
        for entry in stage.get("params", []):
            assert list(entry) == ["${params_file}"]
            for key in entry["${params_file}"]:
                lookup(profile, resolved(key, profile))  # raises where there is none


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_outputs_of_a_stage_are_the_profiles_own_and_not_cached(stage):
    assert ALL_STAGES[stage]["wdir"] == "${root}"
    for entry in outputs(stage):
        assert isinstance(entry, dict) and next(iter(entry.values()))["cache"] is False
    for name in names_of(outputs(stage)):
        assert name.startswith(("build/${profile}/", "reports/${profile}/"))
        assert not name.startswith("reports/${profile}/runs"), "DVC would delete the records"


def entry_source(stage):
    """The source that a stage's command starts: a notebook's imports, or those of a module."""
    words = ALL_STAGES[stage]["cmd"].split()
    if words[2:4] == ["study.notebook", "run"]:
        document = yaml.safe_load((ROOT / "notebooks" / f"{words[4]}.ipynb").read_text())
        code = [cell["source"] for cell in document["cells"] if cell["cell_type"] == "code"]
        return "\n".join("".join(source) for source in code)
    module = words[2] if words[2] != "study" else f"study.{words[3]}"
    return f"import {module}"


def has_module(path):
    """Whether a dependency is or holds modules; others hold facts or a template."""
    return path.suffix == ".py" or any((ROOT / path).rglob("*.py"))


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_a_stage_depends_on_the_modules_that_it_runs_and_on_no_others(stage):
    run = {MODULES[name].relative_to(ROOT) for name in reachable(entry_source(stage))}
    profile = "own" if stage not in STAGES else "demo"
    listed = {Path(resolved(dep, profile)) for dep in ALL_STAGES[stage]["deps"]}
    listed = {path for path in listed if path.parts[0] == "study" and has_module(path)}
    missing = sorted(str(path) for path in run if not ({path, *path.parents} & listed))
    idle = sorted(str(dep) for dep in listed if not any(dep in {p, *p.parents} for p in run))
    assert not missing + idle, f"in dvc.yaml, {stage} lacks deps {missing}, and never runs {idle}"


def test_the_clean_stage_lists_exactly_the_notebooks():
    names = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/[0-9]*.ipynb")}
    assert {dep for dep in STAGES["clean"]["deps"] if dep.startswith("notebooks/")} == names
    cleaned = {Path(name).name for name in names_of(outputs("clean"))}
    assert cleaned == {Path(name).name for name in names}


def test_committed_tables_and_figures_are_exactly_what_the_stages_write():
    files = {path.as_posix() for path in tracked()}
    for profile in PROFILES:
        ours = {name for name in files if name.startswith(f"reports/{profile}/")}
        results = {n for n in ours if not n.startswith(f"reports/{profile}/runs/")}
        results -= {f"reports/{profile}/test_looks.csv"}
        declared = {resolved(n, profile) for stage in STAGES for n in names_of(outputs(stage))}
        declared = {name for name in declared if name.startswith("reports/")}
        if results:
            assert (sorted(results - declared), sorted(declared - results)) == ([], [])


def test_nothing_of_the_kind_of_a_photograph_or_annotation_is_reported():
    reported = [path for path in tracked() if path.parts[0] == "reports"]
    assert [path for path in reported if path.suffix not in REPORTED] == []


def text_of(path):
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_committed_file_names_a_registry_or_a_path_of_some_machine():
    for path in tracked():
        text = text_of(path)
        for pattern in (REGISTRY, MACHINE):
            found = pattern.search(text)
            assert not found, f"{path} says {found[0]!r}"


@pytest.mark.parametrize(
    "text",
    ["/".join(["", "home", "me", "data"]), "https://x.org" + "/simple", "py" + "pi.org"],
)
def test_a_registry_or_a_machine_path_would_be_found(text):
    assert REGISTRY.search(text) or MACHINE.search(text)


def test_ci_runs_what_make_test_runs():
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")
    assert "run: .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
