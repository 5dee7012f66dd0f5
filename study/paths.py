"""Where things are: every path of the study is built here, from the project's root."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def params_file(profile):
    """The parameters of a profile: `params.yaml` at the root for the demo, else its folder's."""
    folder = ROOT if profile == "demo" else ROOT / "profiles" / profile
    return folder / "params.yaml"


def reports(profile):
    """What a profile reports: tables, figures, the records of its runs, its page."""
    return ROOT / "reports" / profile


def runs(profile):
    """The records of a profile's trainings, one folder each."""
    return reports(profile) / "runs"


def build(profile):
    """What a profile can make again: stand-ins, crops, weights, checkpoints, notebooks."""
    return ROOT / "build" / profile


def crops(profile, dataset):
    """The cached crops of a profile's dataset."""
    return build(profile) / "crops" / dataset
