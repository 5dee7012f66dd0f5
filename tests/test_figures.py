import io
import re

import numpy as np
import pandas as pd
import pytest
import synthetic
import torch
from matplotlib.colors import to_hex
from PIL import Image

from study import figures, paper, paths, results, tables
from study.figures import (
    coattention as coattention_figures,
    detector as detector_figures,
    memory as memory_figures,
    rounding as rounding_figures,
    stills as still_figures,
)
from study.models import MODELS
from study.tables import attention, quantized, stills, trainings


@pytest.fixture
def found(root):
    profile = synthetic.profile()
    synthetic.write_all(profile)
    return results.load(profile)


def cost():
    points = torch.rand(6, 68, 2, dtype=torch.float64) * 60
    return quantized.quantization(points, np.array(["common"] * 6), 64, [16, 64, 192], "300W")


def lines(ax, label):
    return [line for line in ax.get_lines() if line.get_label().startswith(label)]


def test_the_same_figure_gives_the_same_bytes(root):
    for profile in ("cpu", "demo"):
        figures.save(rounding_figures.quantization_floor(cost()), "floor", profile)
        torch.manual_seed(0)
    torch.manual_seed(0)
    figures.save(rounding_figures.quantization_floor(cost()), "floor", "tiny")
    for kind in ("png", "svg"):
        read = [(figures.folder(p) / f"floor.{kind}").read_bytes() for p in ("demo", "tiny")]
        assert read[0] == read[1]


def test_a_saved_figure_carries_neither_date_nor_version(root):
    figures.save(rounding_figures.fig1_quantization(), "fig1", "cpu")
    svg = (figures.folder("cpu") / "fig1.svg").read_text()
    assert "<dc:date>" not in svg
    assert "Software" not in Image.open(figures.folder("cpu") / "fig1.png").info


def test_a_figure_with_faces_never_goes_to_the_reports(root):
    images = torch.rand(3, 3, 16, 16)
    sheet = figures.contact_sheet(images, torch.rand(3, 68, 2) * 15)
    figures.save(sheet, "sheet", "cpu", faces=True)
    assert (paths.build("cpu") / "figures" / "sheet.png").exists()
    assert not paths.reports("cpu").exists()


def test_a_saved_figure_is_shown_by_a_notebook(root):
    shown = figures.save(rounding_figures.fig1_quantization(), "fig1", "cpu")
    assert Image.open(io.BytesIO(shown._repr_png_())).format == "PNG"


def test_resolution_draws_ours_and_the_papers_at_their_places(found):
    axes = still_figures.resolution(stills.decoders(found), cost())
    left, right = axes[0]
    published = paper.table1().query("method == 'detector-1d' and subset == '300W com'")
    theirs = lines(left, "the paper's 1D")[0]
    np.testing.assert_allclose(theirs.get_xdata(), published["length_over_input"])
    np.testing.assert_allclose(theirs.get_ydata(), published["nrmse_percent"])
    theirs = lines(right, "the paper's 1D")[0]
    np.testing.assert_allclose(theirs.get_xdata(), published["length"])
    legend = [container.get_label() for container in left.containers]
    assert legend[0] == "1D, argmax" and legend[1].startswith("1D, best on validation (")
    drawn = left.containers[0].lines[0]
    np.testing.assert_allclose(drawn.get_xdata(), [0.25, 1, 3])
    errors = found.by_seed("detector1d_L16", "argmax", "common")
    assert drawn.get_ydata()[0] == pytest.approx(100 * errors.mean())


def test_every_detector_has_a_colour_and_a_label_and_those_of_table_1_a_row_there():
    assert set(figures.COLOR) == set(figures.LABEL) == set(MODELS)
    assert len(set(figures.COLOR.values())) == len(MODELS)
    assert {method: model for model, method in figures.METHOD.items()} == stills.METHODS


def test_rivals_are_no_lines_of_resolution(root):
    profile = synthetic.profile(rivals=True)
    synthetic.write_all(profile)
    axes = still_figures.resolution(stills.decoders(results.load(profile)), cost())
    legend = [text.get_text() for text in axes[0, 0].figure.legends[0].get_texts()]
    assert not [text for text in legend if "SimCC" in text or "coordinates" in text]


def test_resolution_draws_rounding_only_at_measured_lengths(found):
    axes = still_figures.resolution(stills.decoders(found), cost())
    floor = lines(axes[0, 1], "rounding alone")[0]
    assert list(floor.get_xdata()) == [16, 64, 192]
    assert (np.diff(floor.get_ydata()) < 0).all()


def test_resolution_without_any_record_shows_the_paper_and_says_so(root):
    empty = results.load(synthetic.profile())
    axes = still_figures.resolution(stills.decoders(empty), cost())
    assert "nothing recorded yet" in axes[0, 0].get_title(loc="left")
    assert lines(axes[0, 0], "the paper's 2D")


def test_a_saved_table_draws_like_the_table_that_was_saved(found):
    decoded = stills.decoders(found)
    saved = tables.save(decoded, "resolution_decoders", "cpu")
    axes = [still_figures.resolution(table) for table in (decoded, saved)]
    drawn = [ax[0, 0].containers[0].lines[0].get_ydata() for ax in axes]
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-5)


def test_the_floor_figure_draws_both_rules_and_the_paper():
    table = cost()
    ax = rounding_figures.quantization_floor(table)
    down = lines(ax, "rounded down")[0]
    expected = table[table["rule"] == "floor"]["nrmse_percent"]
    np.testing.assert_allclose(down.get_ydata(), expected)
    assert lines(ax, "to the nearest") and lines(ax, "the paper's")
    assert ax.get_xlabel() and "%" in ax.get_ylabel()


def test_figures_draw_into_given_axes():
    ax = figures.grid(1, 1, 4, 3)[0, 0]
    assert rounding_figures.quantization_floor(cost(), ax=ax) is ax


def test_the_rounded_landmark_of_fig_1_is_what_eq_4_gives_back():
    axes = rounding_figures.fig1_quantization(size=32, length=8)
    point = np.array([0.803, 0.573]) * 32
    marker = lines(axes[0, 1], "what Eq. 4 gives back")[0]
    np.testing.assert_allclose(marker.get_xydata()[0], np.floor(point / 4) * 4)
    error = np.linalg.norm(point - np.floor(point / 4) * 4)
    assert f"{error:.2f} px" in axes[0, 1].get_title(loc="left")


def test_cumulative_errors_draw_a_line_a_system(found):
    ax = still_figures.cumulative_errors(stills.cumulative(found))
    assert len(ax.get_lines()) == 4
    assert {to_hex(line.get_color()) for line in lines(ax, "2D")} == {figures.VERMILION.lower()}


def test_history_draws_a_line_a_seed(found):
    axes = detector_figures.detector_history(trainings.histories(found, "detector1d_L192"))
    for ax in axes[0]:
        assert sum(len(line.get_xdata()) > 0 for line in ax.get_lines()) == 2


def test_affinities_are_drawn_relative_to_even_rows():
    even = torch.full((2, 3, 4, 5), 1 / 5)
    table = trainings.affinity(even, torch.full((2, 3, 5, 4), 1 / 4))
    axes = detector_figures.affinity(table)
    for ax in axes.flat:
        np.testing.assert_allclose(ax.get_images()[0].get_array(), 1, rtol=1e-6)
    assert axes[0, 0].get_images()[0].get_array().shape == (4, 5)
    assert axes[0, 0].get_ylabel() == "position along y"  # rows of W^xy are along y


def test_heatmaps_are_drawn_over_px_with_the_true_places():
    h = torch.rand(68, 24)
    points = torch.arange(136, dtype=torch.float64).reshape(68, 2) / 10
    names = [f"landmark {n}" for n in range(68)]
    axes = detector_figures.marginal_heatmaps(h, h, points, 16, [3, 5], names)
    line, truth = axes[1, 0].get_lines()[:2]
    np.testing.assert_allclose(line.get_xdata()[[0, -1]], [1 / 3 - 0.5, 16 - 1 / 3 - 0.5])
    assert truth.get_xdata()[0] == pytest.approx(points[3, 1].item())


def test_a_contact_sheet_shows_each_face_with_its_points_and_no_more():
    images = np.zeros((4, 3, 16, 16), dtype=np.uint8)
    points = np.full((4, 68, 2), 3.0)
    axes = figures.contact_sheet(images, points, points + 1, titles=list("abcd"), columns=3)
    assert axes.shape == (2, 3)
    assert [len(ax.get_images()) for ax in axes.flat] == [1, 1, 1, 1, 0, 0]
    assert axes[1, 0].get_lines()[1].get_xdata()[0] == 4.0
    assert axes[1, 0].get_title(loc="left") == "d"


def test_colours_are_distinct_and_written_as_hex():
    assert len(set(figures.SERIES)) == len(figures.SERIES)
    assert all(re.fullmatch("#[0-9A-F]{6}", color) for color in figures.SERIES)
    assert isinstance(cost(), pd.DataFrame)


# --- Section 5.3 -------------------------------------------------------------------------------


def gamma_curve():
    rows = [(0.0, 4.0, np.nan, np.nan, np.nan), (0.4, 3.9, 2.5, 1.0, 4.0), (1.0, 3.96, 1.0, -1, 3)]
    columns = ["gamma", "percent", "decrease_percent", "low", "high"]
    where = dict(subset="300W com", faces=20, seeds=[3, 3, 1], data="300W, F=64")
    return pd.DataFrame(rows, columns=columns).assign(**where)


def test_co_attention_is_drawn_over_gamma_from_zero_and_beside_the_papers_decreases():
    published = attention.published()
    over, by_set = coattention_figures.coattention(gamma_curve(), published)[0]
    (line,) = over.containers
    np.testing.assert_allclose(line.lines[0].get_xydata(), [[0, 0], [0.4, 2.5], [1.0, 1.0]])
    assert [text.get_text() for text in by_set.get_yticklabels()] == list(published["subset"])
    ours = by_set.containers[0].lines[0].get_xydata()
    assert ours[0, 0] == 2.5 and round(ours[0, 1]) == 0  # beside 300W com, the first
    marks = [t.get_text() for t in by_set.get_legend().get_texts()]
    assert marks == ["the paper, γ=0.4", "ours"]
    note = over.figure.get_suptitle()
    assert note == "300W, F=64; 20 test faces, seeds: 1 to 3"


def test_without_a_measured_gamma_the_papers_decreases_stand_alone():
    empty = gamma_curve().assign(percent=np.nan)
    over, by_set = coattention_figures.coattention(empty, attention.published())[0]
    assert not over.containers and not by_set.containers
    assert len(by_set.get_lines()[0].get_xdata()) == 8
    assert over.figure.get_suptitle() == "nothing recorded yet"


def test_memory_is_drawn_over_l_with_the_card_as_a_labelled_line():
    rows = [
        {"system": system, "length": length, "peak_gib": length / 8, "activations_gib": length / 9}
        for system, lengths in (("2D", (64, 128)), ("1D", (64, 128, 768)))
        for length in lengths
    ]
    shared = dict(card_gib=24, size=256, batch=10, precision="float32")
    ax = memory_figures.memory(pd.DataFrame(rows).assign(**shared))
    assert [text.get_text() for text in ax.texts] == ["the card: 24 GiB"]
    assert any(set(line.get_ydata()) == {24} for line in ax.get_lines())
    for system, lengths in (("2D", [64, 128]), ("1D", [64, 128, 768])):
        (line,) = lines(ax, system)
        assert line.get_xdata().tolist() == lengths
        assert line.get_ydata().tolist() == [length / 8 for length in lengths]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["2D", "1D", "peak of the step", "saved activations alone"]
    colors = {to_hex(line.get_color()) for line in lines(ax, "2D") + lines(ax, "1D")}
    assert len(colors) == 2
