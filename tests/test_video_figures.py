import numpy as np
import pandas as pd
import pytest
import synthetic
import torch
from matplotlib.colors import to_hex

from study import figures, paper, paths, results, tables
from study.figures import videos as video_figures
from study.tables import temporal


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Records of stills in motion, which have no Talking Face, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        profile = synthetic.profile(seeds=(0,), video=True, lams=(0.1, 1.0))
        synthetic.write_all(profile)
        yield results.load(profile)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return results.load(synthetic.profile(video=True))


def drawn(ax, label):
    """What errorbar drew with a label: x, y."""
    (made,) = [container for container in ax.containers if container.get_label() == label]
    return made.lines[0].get_xdata(), made.lines[0].get_ydata()


def titles(axes):
    return [ax.get_title(loc="left") for ax in axes[0]]


def note(axes):
    """The text above all panels."""
    return figures.figure_of(axes).get_suptitle()


def legend(axes):
    (shown,) = figures.figure_of(axes).legends
    return [text.get_text() for text in shown.get_texts()]


def test_the_curve_draws_ours_over_lambda_and_the_papers_two_values(found):
    table = temporal.table2(found)
    axes = video_figures.lambda_curve(table)
    assert titles(axes) == ["300VW S1", "300VW S2", "300VW S3"]  # nothing was measured on TF
    rows = table[(table["subset"] == "300VW S2") & (table["reading"] == temporal.TRAINED)]
    rows = rows.sort_values("lam")
    lam, percent = drawn(axes[0, 1], temporal.TRAINED)
    np.testing.assert_allclose(lam, [0, 0.1, 0.3, 1])
    np.testing.assert_allclose(percent, rows["decrease_percent"].to_numpy(dtype=float))
    assert percent[0] == 0  # at λ=0, by which all are measured
    assert len(drawn(axes[0, 1], temporal.TESTED)[0]) == 1
    theirs = [line for line in axes[0, 1].get_lines() if line.get_label().startswith("the paper")]
    np.testing.assert_allclose(theirs[0].get_xydata(), [[0, 0], [0.3, 100 * (1 - 3.17 / 3.45)]])
    assert note(axes) == "300W stills in motion, trained on 216 clips, F=64; 3 videos, seeds: 1"
    assert f"the paper's, F={paper.SIZE}" in legend(axes) and len(legend(axes)) == 3


def test_the_curve_without_any_record_shows_the_paper_on_every_subset_and_says_so(empty):
    axes = video_figures.lambda_curve(temporal.table2(empty))
    assert titles(axes) == list(temporal.SUBSETS)
    assert note(axes) == "nothing recorded yet" and not axes[0, 0].containers


def test_accuracy_is_drawn_against_jitter_with_the_truths_own(found):
    table = temporal.motion(found)
    axes = video_figures.motion(table)
    assert titles(axes) == ["S1", "S2", "S3"]
    rows = table[table["subset"] == "S3"].set_index("system")
    jitter, percent = drawn(axes[0, 2], "1D tracker, λ=0.3")
    assert jitter[0] == pytest.approx(rows.loc["1D tracker, λ=0.3", "jitter_percent"])
    assert percent[0] == pytest.approx(rows.loc["1D tracker, λ=0.3", "percent"])
    (truth,) = [line for line in axes[0, 2].get_lines() if "truth" in str(line.get_label())]
    assert truth.get_xdata()[0] == pytest.approx(rows["jitter_true_percent"].iloc[0])
    # What has no jitter has no place: four systems of 1D heatmaps and two of 2D have some.
    assert len(axes[0, 2].containers) == 6 and len(legend(axes)) == 7


def test_systems_of_1d_and_of_2d_heatmaps_differ_in_colour_and_mark(found):
    ax = video_figures.motion(temporal.motion(found))[0, 0]
    marks = [(to_hex(c.lines[0].get_color()), c.lines[0].get_marker()) for c in ax.containers]
    assert len(set(marks)) == len(marks) == 6
    colors = {c.get_label(): to_hex(c.lines[0].get_color()) for c in ax.containers}
    assert colors.pop("1D detector, heatmaps summed, λ=0.3") == figures.GREEN.lower()
    kinds = {label[:2]: color for label, color in colors.items()}
    assert kinds == {"1D": figures.BLUE.lower(), "2D": figures.VERMILION.lower()}


def test_gains_are_drawn_on_occluded_landmarks_where_there_are_some(found):
    table = temporal.gains(found)
    axes = video_figures.refinement_gains(table)
    assert titles(axes) == ["300VW S1", "300VW S2", "300VW S3"]
    assert [len(ax.containers) for ax in axes[0]] == [1, 1, 3]
    names = [label.get_text() for label in axes[0, 0].get_yticklabels()]
    assert names[0] == "λ 0 to 0.3, each trained" and "1D, L/F 0.25 to 3" not in names
    rows = table[(table["subset"] == "300VW S3") & (table["landmarks"] == "occluded")]
    rows = rows.set_index("comparison").loc[names]
    decrease, places = drawn(axes[0, 2], "occluded landmarks")
    np.testing.assert_allclose(decrease, rows["decrease_percent"].to_numpy(dtype=float))
    np.testing.assert_allclose(places, range(len(names)))


@pytest.mark.parametrize("name", ["motion", "refinement_gains"])
def test_figures_without_any_record_say_so(empty, name):
    table = {"motion": temporal.motion, "refinement_gains": temporal.gains}[name](empty)
    axes = getattr(video_figures, name)(table)
    assert axes.shape == (1, 1) and note(axes) == "nothing recorded yet"


def test_a_score_on_one_video_is_drawn_without_an_interval(found):
    table = temporal.table2(found).assign(decrease_low=np.nan, decrease_high=np.nan)
    axes = video_figures.lambda_curve(table)
    assert len(drawn(axes[0, 0], temporal.TRAINED)[0]) == 4


def test_a_saved_table_draws_like_the_table_that_was_saved(found):
    for key, make, draw in (
        ("table2", temporal.table2, video_figures.lambda_curve),
        ("motion", temporal.motion, video_figures.motion),
        ("gain", temporal.gains, video_figures.refinement_gains),
    ):
        table = make(found)
        both = [draw(t)[0, 0].containers for t in (table, tables.save(table, key, "cpu"))]
        for one, other in zip(*both, strict=True):
            xy = [made.lines[0].get_xydata() for made in (one, other)]
            np.testing.assert_allclose(*xy, rtol=1e-5)


def test_a_refinement_is_drawn_over_px_on_both_axes_before_and_after():
    length, size = 24, 16
    before, after = ([torch.rand(2, length) for _ in "xy"] for _ in range(2))
    points = torch.tensor([[3.0, 5.0], [7.5, 9.0]], dtype=torch.float64)
    made = results.Refinements(tuple(before), tuple(after), points, (30, 48), size)
    rows = [("S3", "007", 12), ("S1", "002", 5)]
    frames = pd.DataFrame(rows, columns=["subset", "video", "frame"])
    names = [f"landmark {n}" for n in range(68)]
    axes = video_figures.refinement(made, frames, names)
    assert axes.shape == (2, 2)
    assert axes[0, 0].get_title(loc="left") == "S3, video 007, frame 12: landmark 30"
    one, other, truth = axes[1, 1].get_lines()
    np.testing.assert_allclose(one.get_xdata()[[0, -1]], [1 / 3 - 0.5, size - 1 / 3 - 0.5])
    np.testing.assert_allclose(one.get_ydata(), before[1][1])
    np.testing.assert_allclose(other.get_ydata(), after[1][1])
    assert truth.get_xdata()[0] == 9 and one.get_color() != other.get_color()
