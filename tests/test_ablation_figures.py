import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.colors import to_hex

from study import figures, paths, report, results, tables
from study.figures import ablation as ablation_figures
from study.page import captions
from study.tables import ablation, attention, folds, rivals, stills


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Records of rivals, ablations and cross-validations, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        profile = synthetic.profile(
            **dict(rivals=True, ablation=True, folds=True, gammas=(0.0,), video=True)
        )
        synthetic.write_all(profile)
        yield results.load(profile)


@pytest.fixture(scope="module")
def made(found):
    return tables_of(found)


def tables_of(found):
    lengths = ablation.lengths(found)
    return {
        "coattention_controls": attention.controls(found),
        "coattention_conditions": attention.conditions(found),
        "coattention_poses": None,
        "cross_validation_scores": folds.scores(found),
        "rivals": rivals.side_by_side(found),
        "gain_split": ablation.split(found),
        "gain_lengths": lengths,
    }


def ticks(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def legend(axes):
    return [text.get_text() for text in figures.figure_of(axes).legends[0].get_texts()]


def xy(container):
    """Where errorbar drew its marks."""
    return container.lines[0].get_xydata()


# --- all of them -------------------------------------------------------------------------------


def drawn(made, root, monkeypatch):
    """The figures, saved, by name."""
    monkeypatch.setattr(paths, "ROOT", root)
    found = report.drawn_of_ablations(made)
    for name, one in found.items():
        figures.save(one, name, "cpu")
        assert (figures.folder("cpu") / f"{name}.svg").stat().st_size > 5000
    return found


def test_every_figure_has_a_text_for_those_who_cannot_see_it(made, tmp_path, monkeypatch):
    assert set(drawn(made, tmp_path, monkeypatch)) <= set(captions.FIGURES)


def test_figures_without_any_record_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for profile in (synthetic.profile(), synthetic.profile(ablation=True, folds=True, rivals=True)):
        found = drawn(tables_of(results.load(profile)), tmp_path, monkeypatch)
        for name, one in found.items():
            first = one.flat[0] if isinstance(one, np.ndarray) else one
            assert first.get_title(loc="left") == "nothing recorded yet", name


def test_figures_draw_what_there_is_of_their_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    profile = synthetic.profile(ablation=True, folds=True, rivals=True, gammas=(0.0,))
    for run in profile.runs:
        partial = run.name in ("head_L16", "small_L8", "fusion_rows", "simcc", "folds_g00")
        if run.seed == 0 and (partial or run.group == "resolution" or run.name == "folds_g04"):
            if run.fold != 2:
                synthetic.write(profile, run)
    found = drawn(tables_of(results.load(profile)), tmp_path, monkeypatch)
    assert ticks(found["gain_split"]) == [
        *("decoding below the bin", "a head as large", "long heatmaps read by argmax"),
        ablation.IN_ALL_CENTRED,
    ]
    title = found["gain_split"].get_title(loc="left")
    assert title == "300W com, 20 faces, seeds: 1; 5 parts not measured"
    assert "SimCC, KL on 1D classes" in ticks(found["rivals"])
    assert "coordinates, wing loss" not in ticks(found["rivals"])
    scored = found["cross_validation"][0, 0]
    assert "2 folds, 300W, F=64" in scored.get_title(loc="left")


def test_saved_tables_draw_like_the_tables_that_were_saved(made):
    saved = {
        key: None if table is None else tables.save(table, key, "cpu")
        for key, table in made.items()
    }
    both = [report.drawn_of_ablations(one) for one in (made, saved)]
    for name in both[0]:
        axes = [figures.figure_of(one[name]).axes for one in both]
        for ax, other in zip(*axes, strict=True):
            assert ax.get_title(loc="left") == other.get_title(loc="left")
            for line, again in zip(ax.get_lines(), other.get_lines(), strict=True):
                np.testing.assert_allclose(line.get_xydata(), again.get_xydata(), rtol=1e-4)


def test_every_series_has_a_colour_and_a_mark_of_its_own():
    for looks in (ablation_figures.COLOR, ablation_figures.MARKER):
        assert list(looks) == list(ablation.SERIES)
        assert len(set(looks.values())) == len(ablation.SERIES)


# --- what the gain is made of ------------------------------------------------------------------


def test_the_parts_are_a_staircase_that_ends_where_the_whole_does(made):
    table = made["gain_split"]
    ax = ablation_figures.split(table)
    rows = table[table["subset"] == "300W com"]
    assert ticks(ax) == list(rows["part"])
    lefts = [bar.get_x() for bar in ax.patches]
    widths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(widths, rows["points"])
    steps = len(rows) - 2
    np.testing.assert_allclose(lefts[:steps], [0, *np.cumsum(widths[: steps - 1])])
    assert lefts[steps:] == [0, 0]
    end = lefts[steps - 1] + widths[steps - 1]
    assert end == pytest.approx(widths[steps])  # of the whole, with the paper's rounding
    colors = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    expected = [figures.BLUE if width >= 0 else figures.VERMILION for width in widths[:steps]]
    expected += [figures.GREY] * 2
    assert colors == [color.lower() for color in expected]
    assert ax.get_title(loc="left") == "300W com, 20 faces, seeds: 2"


def test_each_part_has_its_interval_in_numbers_and_around_its_end(made):
    table = made["gain_split"]
    ax = ablation_figures.split(table)
    rows = table[table["subset"] == "300W com"].to_dict("records")
    texts = [text.get_text() for text in ax.texts]
    bars = [bar for bar in ax.collections if len(bar.get_segments()) == 1]
    for row, patch, text, bar in zip(rows, ax.patches, texts, bars, strict=True):
        assert text == f"{row['points']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        (left, _), (right, _) = bar.get_segments()[0]
        assert left - patch.get_x() == pytest.approx(row["low"])
        assert right - patch.get_x() == pytest.approx(row["high"])


def test_parts_on_another_subset_are_drawn_where_there_are_some(made):
    ax = ablation_figures.split(made["gain_split"], "300W cha")
    assert ax.get_title(loc="left") == "nothing recorded yet" and not ax.patches


def test_lengths_draw_every_series_but_the_smaller_crop_over_l(made):
    table = made["gain_lengths"]
    axes = ablation_figures.lengths(table)
    series = [name for name in ablation.SERIES if name != ablation.SMALL]
    assert legend(axes) == series
    for ax, shown in zip(axes[0], ("argmax", stills.BEST), strict=True):
        assert len(ax.containers) == len(series)
        for name, container in zip(series, ax.containers, strict=True):
            rows = table[(table["series"] == name) & (table["shown"] == shown)]
            rows = rows.sort_values("length")
            np.testing.assert_allclose(xy(container)[:, 0], rows["length"].astype(float))
            np.testing.assert_allclose(xy(container)[:, 1], rows["percent"])
            assert container.lines[0].get_color() == ablation_figures.COLOR[name]


def test_order_draws_both_sizes_relative_to_their_lowest_over_l_over_f_and_over_l(made):
    table = made["gain_lengths"]
    axes = ablation_figures.order(table)
    assert legend(axes) == ["1D, F=64", "1D, F=32"]
    for ax, column in zip(axes[0], ("length_over_input", "length"), strict=True):
        for name, container in zip((ablation.OWN, ablation.SMALL), ax.containers, strict=True):
            rows = table[(table["series"] == name) & (table["shown"] == "argmax")]
            rows = rows.sort_values(column)
            np.testing.assert_allclose(xy(container)[:, 0], rows[column].astype(float))
            relative = rows["percent"] / rows["percent"].min()
            np.testing.assert_allclose(xy(container)[:, 1], relative)
            assert xy(container)[:, 1].min() == 1


# --- rivals ------------------------------------------------------------------------------------


def test_rivals_are_drawn_best_first_by_own_and_by_best_decoder(made):
    table = made["rivals"]
    ax = ablation_figures.rivals(table)
    best = table.groupby("system")["percent"].min().sort_values()
    assert ticks(ax) == list(best.index)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first stands on top
    for container, chosen in zip(ax.containers, ("own", stills.BEST), strict=True):
        rows = table[table["chosen"] == chosen]
        np.testing.assert_allclose(xy(container)[:, 0], rows["percent"])
        places = [list(best.index).index(system) for system in rows["system"]]
        assert list(np.round(xy(container)[:, 1])) == places
    assert ax.get_title(loc="left") == "common: 20 faces"
    assert legend(ax) == ["own decoder", stills.BEST]


# --- co-attention ------------------------------------------------------------------------------


def test_attention_draws_readings_detectors_and_poses_one_below_the_other(made):
    controls, conditions = made["coattention_controls"], made["coattention_conditions"]
    rows = [(third, "300W com", n, n - 2.0, n + 2.0) for n, third in enumerate(attention.THIRDS)]
    poses = pd.DataFrame(rows, columns=["third", "subset", "decrease_percent", "low", "high"])
    poses = poses.assign(data="300W, F=64", faces=7, seeds=3)
    ax = ablation_figures.attention(controls, conditions, poses)
    parts = [
        (controls[controls["subset"] == "300W com"], "reading"),
        (conditions[conditions["subset"] == "300W com"], "condition"),
        (poses, "third"),
    ]
    assert ticks(ax) == [name for part, key in parts for name in part[key]]
    decrease = np.concatenate([part["decrease_percent"] for part, _ in parts])
    marks = np.concatenate([xy(container) for container in ax.containers])
    np.testing.assert_allclose(marks[:, 0], decrease.astype(float))
    assert list(marks[:, 1]) == list(range(len(decrease)))
    assert [len(xy(container)) for container in ax.containers] == [3, 2, 3]
    assert len(legend(ax)) == 3
    above = " ".join(ax.figure.get_suptitle().split())
    assert "F=64; 300W, F=64; 7 to 20 test faces, seeds: 2 to 3" in above
    colors = {container.lines[0].get_color() for container in ax.containers}
    assert len(colors) == 3
    without = ablation_figures.attention(controls, conditions)
    assert ticks(without) == ticks(ax)[:-3] and len(legend(without)) == 2


# --- cross-validation --------------------------------------------------------------------------


def test_every_fold_is_drawn_relative_to_its_mean_beside_the_mean_of_all(made):
    scores = made["cross_validation_scores"]
    axes = ablation_figures.cross_validation(scores)
    assert [ax.get_xlabel() for ax in axes[0]] == ["γ", "λ"]
    for ax, weight in zip(axes[0], folds.WEIGHTS, strict=True):
        wide = scores[scores["weight"] == weight].pivot(
            index="value", columns="fold", values="percent"
        )
        relative = 100 * (wide / wide.mean() - 1)
        labelled = {line.get_label(): line for line in ax.get_lines()}
        for fold in (0, 1, 2):
            line = labelled[f"fold {fold}"].get_xydata()
            np.testing.assert_allclose(line[:, 0], wide.index)
            np.testing.assert_allclose(line[:, 1], relative[fold], atol=1e-9)
        mean = labelled["mean"].get_ydata()
        np.testing.assert_allclose(mean, relative.mean(axis=1), atol=1e-9)
    assert axes[0, 1].get_title(loc="left") == "3 folds, 300W stills in motion, F=64"


def test_ten_folds_are_ten_lines():
    rows = [
        dict(weight="gamma", value=value, fold=fold, percent=4 + value + fold, data="300W, F=64")
        for value in (0.0, 0.4)
        for fold in range(10)
    ]
    axes = ablation_figures.cross_validation(pd.DataFrame(rows))
    assert axes.shape == (1, 1)
    labels = [line.get_label() for line in axes[0, 0].get_lines()]
    assert [f"fold {n}" for n in range(10)] == [name for name in labels if "fold" in name]
