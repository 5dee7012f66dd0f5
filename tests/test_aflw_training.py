"""Training and scores where landmarks are hidden: these are in neither; nothing else changes."""

import dataclasses

import numpy as np
import pytest
import synthetic
import torch

from study import (
    claims,
    config,
    device as devices,
    material,
    metrics,
    prepare,
    results,
    runs,
    tables,
    training,
    work,
)
from study.config import ON_AFLW, ConfigError, TrainingConfig
from study.datasets import augment
from study.landmarks import SCHEMES
from study.page import ablation_views
from study.tables import at_hand, attention, quantized, rivals, stills

SIDE, SIZE, N = 40, 32, 19
SCHEME = SCHEMES["aflw19"]
CPU = devices.Device("cpu")
TINY = dict(size=SIZE, channels=8, depth=2, width=8, hidden=8, columns=2, epochs=2, batch=4)
OWN = {
    "detector1d": {"length": 64},
    "detector2d": {"length": 16},
    "simcc": {"length": 48, "loss": "kl"},
    "coordinates": {"length": 0, "loss": "wing", "decoder": "direct"},
    "integral": {"length": 16, "loss": "l1", "decoder": "direct"},
}
STILL = augment.Augmentation(
    rotation=0, scale=0, shift=0, mirror=0, brightness=0, contrast=0, color=0, gray=0, occlusion=0
)


def settings(model="detector1d", **changed):
    return TrainingConfig(model=model, **{**TINY, **OWN[model], **changed})


def batch(hidden=()):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(4, 3, SIZE, SIZE, generator=generator)
    points = 4 + 24 * torch.rand(4, N, 2, generator=generator, dtype=torch.float64)
    for face, landmark in hidden:
        points[face, landmark] = torch.nan
    return images, points


def stepped(model_name, points, images, hides):
    """The loss of one step, and the model after it."""
    chosen = settings(model_name)
    torch.manual_seed(0)
    model = training.build_model(chosen, N).train()
    optimizer = training.make_optimizer(model, chosen)
    loss = training.train_step(model, optimizer, images, points, chosen, CPU, hides)
    return loss, model


HIDDEN = [(0, 3), (0, 18), (2, 7)]


@pytest.mark.parametrize("model", ON_AFLW)
def test_a_hidden_landmark_adds_nothing_to_the_loss_and_pulls_at_no_weight(model):
    images, points = batch(HIDDEN)
    loss, trained = stepped(model, points, images, True)
    assert torch.isfinite(loss)
    # By hand: the losses of all landmarks, less those of the hidden ones, each alone.
    chosen = settings(model)
    torch.manual_seed(0)
    plain = training.build_model(chosen, N).train()
    output = training.as_tuple(plain(images.contiguous(memory_format=torch.channels_last)))
    wanted = training.targets(batch()[1], chosen)
    function = training.OBJECTIVES[model].losses[chosen.loss]
    alone = [
        function(tuple(h[:, [n]] for h in output), tuple(h[:, [n]] for h in wanted))
        if face is None
        else function(
            tuple(h[[face]][:, [n]] for h in output), tuple(h[[face]][:, [n]] for h in wanted)
        )
        / len(images)
        for face, n in [*((None, n) for n in range(N)), *HIDDEN]
    ]
    expected = sum(alone[:N]) - sum(alone[N:])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    for mine, theirs in zip(trained.parameters(), plain.parameters(), strict=True):
        near = 1e-3 * theirs.grad.abs().max().item()
        torch.testing.assert_close(mine.grad, theirs.grad, atol=near, rtol=1e-3)


@pytest.mark.parametrize("model", ON_AFLW)
def test_where_all_is_visible_no_bit_changes(model):
    images, points = batch()
    (before, plain), (after, masked) = (stepped(model, points, images, hides) for hides in (0, 1))
    assert torch.equal(before, after)
    one, other = plain.state_dict(), masked.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def faces(count=8, hides=True):
    """Pictures of noise-free blobs at 19 landmarks, some hidden; face sizes of 20 px."""
    generator = torch.Generator().manual_seed(3)
    points = (0.2 + 0.6 * torch.rand(1, N, 2, generator=generator, dtype=torch.float64)) * SIDE
    points = points + 4 * torch.rand(count, 1, 2, generator=generator, dtype=torch.float64) - 2
    px = torch.arange(SIDE, dtype=torch.float64)
    blob = torch.exp(-((px - points[..., None]) ** 2) / 4.5)
    colors = torch.rand(N, 3, generator=generator, dtype=torch.float64)
    pictures = torch.einsum("bny,bnx,nc->bcyx", blob[:, :, 1], blob[:, :, 0], colors)
    if hides:
        points[::2, 5] = torch.nan
    pictures = (255 * pictures.clamp(max=1)).byte()
    sizes = torch.full((count,), 20.0, dtype=torch.float64)
    return training.Faces(pictures, points, 0.8, SCHEME.mirror, sizes, hides)


def test_mirrored_faces_hide_the_other_side_s_landmark():
    data = faces()
    mirrored = dataclasses.replace(STILL, mirror=1.0)
    generator = torch.Generator().manual_seed(0)
    _, moved = augment.augment(
        *(data.pictures, data.points),
        **dict(size=SIZE, share=data.share, order=data.order, settings=mirrored),
        generator=generator,
    )
    hidden = moved.isnan().any(-1)
    assert hidden[::2, SCHEME.mirror[5]].all() and hidden.sum() == 4
    # x of a mirrored landmark n is that of the old mirror[n] from the other side.
    _, plain = augment.plain(data.pictures, data.points, size=SIZE, share=data.share)
    there = ~hidden
    expected = torch.stack([SIZE - 1 - plain[..., 0], plain[..., 1]], -1)[:, list(SCHEME.mirror)]
    torch.testing.assert_close(moved[there], expected[there], atol=1e-5, rtol=0)


def test_validation_divides_by_the_face_size_and_sees_visible_points_alone():
    data, chosen = faces(), settings()
    torch.manual_seed(0)
    model = training.build_model(chosen, N).eval()
    predicted, truth = training.predict(model, data, chosen, CPU)
    errors = (predicted["argmax"] - truth).norm(dim=-1)
    by_hand = [row[~row.isnan()].mean().item() / 20 for row in errors]
    found = training.validate(model, data, chosen, CPU)["argmax"]
    assert found == pytest.approx(np.mean(by_hand))


def test_a_detector_learns_faces_whose_points_are_partly_hidden():
    chosen = settings(epochs=60, rate=1e-2, schedule="constant", augmentation=STILL)
    data = faces()
    values = dict(seed=0, landmarks=N, report=lambda news: None)
    model, state = training.fit(chosen, data, data, **values)
    assert state.history[-1]["validation_nrmse"] < 0.05  # a px
    # What was hidden in every other face has been learnt from the others.
    predicted, _ = training.predict(model, data, chosen, CPU)
    whole = faces(hides=False).points
    assert (predicted["argmax"] - whole)[:, 5].norm(dim=-1).max() < 3


def test_a_point_that_is_no_number_stops_a_training_where_none_is_hidden():
    data = dataclasses.replace(faces(), hides=False)
    with pytest.raises(training.TrainingError, match="loss is nan"):
        training.fit(settings(), data, data, seed=0, landmarks=N, report=lambda news: None)


# --- configuration ----------------------------------------------------------------------------


def changed(**run):
    raw = {
        "profile": "cpu",
        "data": {"name": "300W", "root": "r", "source": "r"},
        "aflw": {"name": "AFLW", "root": "a", "source": "a"},
        "crops": {"size": 64},
        "flagship": "one",
        "runs": {
            "one": {"model": "detector1d", "length": 64},
            "two": {"model": "detector1d", "length": 64, "data": "AFLW", **run},
        },
    }
    return raw


def test_a_run_on_aflw_has_a_group_of_its_own_and_its_own_data():
    profile = config.parse(changed(), "p")
    one, two = profile.run("one-s0"), profile.run("two-s0")
    assert (one.data, one.group, two.data, two.group) == ("", "resolution", "AFLW", "aflw")
    assert profile.data_of(one).name == "300W" and profile.data_of(two).name == "AFLW"
    assert material.needed(profile, two) == ("AFLW",)
    assert work.build(profile, two)(torch.zeros(2, 3, 64, 64))[0].shape == (2, 19, 64)
    assert [run.name for run in stills.lines(profile)] == ["one"]


@pytest.mark.parametrize(
    "run, message",
    [
        ({"data": "300VW"}, "data: '300VW': there is AFLW"),
        ({"group": "resolution"}, "group 'resolution' does not fit a detector1d on AFLW"),
        ({"data": "", "group": "aflw"}, "group 'aflw' does not fit a detector1d"),
        ({"frame_step": 2}, "frame_step: AFLW has other landmarks than videos"),
        ({"model": "lab1d"}, "a lab1d cannot be trained on AFLW"),
    ],
)
def test_what_cannot_be_on_aflw_fails_by_name(run, message):
    with pytest.raises(ConfigError, match=message):
        config.parse(changed(**run), "p")


def test_a_run_on_aflw_needs_the_key_and_no_tracker_holds_it():
    raw = changed()
    with pytest.raises(ConfigError, match="runs.two needs AFLW; there is no key `aflw`"):
        config.parse({**raw, "aflw": None}, "p")
    with pytest.raises(ConfigError, match="aflw.name is '300W'"):
        config.parse({**raw, "aflw": {**raw["aflw"], "name": "300W"}}, "p")
    raw["video"] = {"name": "300VW", "root": "v", "source": "v"}
    raw["runs"]["three"] = {"model": "tracker1d", "detector": "two"}
    with pytest.raises(ConfigError, match="no detector 'two'; there are one"):
        config.parse(raw, "p")


# --- records, Table 3, claims -----------------------------------------------------------------


def recorded(**options):
    profile = synthetic.profile(seeds=(0, 1), rivals=True, gammas=(0.0,), aflw=True, **options)
    synthetic.write_all(profile, standin=options.get("standin", False))
    return results.load(profile)


def test_records_of_the_two_sets_are_never_mixed(root):
    found = recorded()
    assert not found.reasons  # two fingerprints, one a set
    assert found.newest["data"]["name"] == "300W"
    assert found.newest_on_aflw["data"]["name"] == "AFLW"
    assert found.faces("AFLW") == found.faces("common") == 20 and found.faces("challenging") == 0
    theirs = {run.name for run in found.profile.group("aflw")}
    assert not theirs & set(stills.decoders(found)["name"])
    # A record of the other set does not serve, even where neither set is here to compare with.
    profile, id = found.profile, "aflw1d_L192-s0"
    synthetic.write(profile, profile.run(id), data={**found.records[id]["data"], "name": "300W"})
    assert runs.why_not_recorded(profile, profile.run(id)) == "another data set"


def test_errors_are_means_over_the_visible_landmarks_alone(root):
    found = recorded()
    arrays = results.predictions(results.folder(found.profile, "aflw1d_L192-s0"))
    order = np.argsort(arrays["id"])
    length = np.linalg.norm(arrays["residual"][order].astype(float), axis=-1)
    by_hand = np.nanmean(length, axis=1) / arrays["normalizer"][order]
    assert np.isnan(length).sum() == 10
    np.testing.assert_allclose(found.errors("aflw1d_L192-s0", "argmax", "AFLW"), by_hand)


def test_table_3_and_gains_have_our_numbers_on_aflw(root):
    found = recorded()
    table = rivals.table3(found)
    ours = table[(table["subset"] == "AFLW") & table["ours_percent"].notna()].set_index("method")
    assert ours.loc["Ours", "ours_length"] == 192 and ours.loc["FHR", "ours_length"] == 32
    expected = 100 * found.by_seed("aflw1d_L192", "argmax", "AFLW").mean()
    assert ours.loc["Ours", "ours_percent"] == pytest.approx(expected)
    assert ours.loc["Ours", "data"].startswith("AFLW, trained on 1,811 of 20,000")
    assert "SimCC" not in ours.index and "DARK (2D, Taylor)" in ours.index
    stills = table[table["subset"] == "300W com"].set_index("method").loc["Ours", "ours_percent"]
    own = 100 * found.by_seed("detector1d_L192", "argmax", "common").mean()
    assert stills == pytest.approx(own)
    page = ablation_views._table3(tables.save(table, "table3", "cpu"))
    assert "AFLW, ours" in page and "has no number of ours" not in page
    gains = rivals.gains(found)
    assert set(gains[gains["subset"] == "AFLW"]["comparison"]) == {"FHR to Ours", "2D to 1D"}


@pytest.mark.parametrize("standin", [False, True])
def test_claims_on_aflw_are_measured_where_there_are_runs(root, standin):
    found = recorded(standin=standin)
    made = {"rivals_gain": rivals.gains(found), "coattention_gain": attention.gains(found)}
    table = claims.table(quantized.worked_example(), made).set_index("id")
    for id in ("gamma-aflw", "ours-below-fhr-aflw"):
        assert table.loc[id, "ours"] > 0 and table.loc[id, "reason"] == ""
        assert (table.loc[id, "verdict"] == "inconclusive") == standin
        assert "AFLW" in table.loc[id, "data"]


def test_a_profile_whose_runs_on_aflw_are_not_trained_says_so(root):
    profile = synthetic.profile(seeds=(0,), gammas=(0.0,), aflw=True)
    for run in profile.runs:
        if not run.data:
            synthetic.write(profile, run)
    found = results.load(profile)
    row = claims.row_of(attention.gains(found), "γ 0 to 0.4", "AFLW")
    assert row["reason"] == "not trained yet (no record)"
    page = ablation_views._table3(tables.save(rivals.table3(found), "table3", "cpu"))
    assert "AFLW has no number of ours: not trained yet (no record)" in page


# --- from files to a record -------------------------------------------------------------------


def test_a_profile_with_aflw_prepares_trains_and_records_it(root):
    raw = changed(model="detector1d", length=32)
    raw["aflw"] = {"name": "AFLW", "root": "build/a", "source": "s"}
    raw["aflw"]["standin"] = {"seed": 1, "faces": {"train": 6, "test": 3}}
    raw |= {"crops": {"size": 32}, "validation": {"share": 0.3}}
    raw["training"] = {"channels": 8, "depth": 2, "width": 8, "hidden": 8, "columns": 2}
    raw["training"] |= {"epochs": 1, "batch": 2}
    profile = config.parse(raw, "p")
    index, crops = prepare.prepare_aflw(profile, jobs=1)
    run = profile.run("two-s0")
    runs.train(profile, run, report=lambda line: None)
    record = runs.read_record(profile, run)
    assert record["data"]["name"] == "AFLW" and record["data"]["test"] == {"AFLW": 3}
    assert record["data"]["label"] == "stand-ins in AFLW's layout" and record["data"]["standin"]
    arrays = results.predictions(material.folder(profile, run))
    test = index[index["split"] == "test"]
    assert list(arrays["id"]) == list(test["id"])
    assert list(arrays["normalizer"]) == list(test["face_size"])
    hidden = ~np.stack(list(test["visible"]))
    assert np.array_equal(np.isnan(arrays["residual"]).any(-1), hidden)
    # The validation score by hand: image px over the annotated face size.
    _, held, _ = material.split(profile, crops)
    rows = np.flatnonzero(held)
    faces = material.faces_of(profile, crops, rows, profile.aflw)
    model = work.load_model(profile, run)
    predicted, _ = training.predict(model, faces, run.config, CPU)
    image = crops.to_image(predicted["argmax"].numpy(), rows)
    truth = np.stack(list(index["points"][rows]))
    size = torch.from_numpy(index["face_size"].to_numpy()[rows])
    errors = metrics.nrmse(torch.from_numpy(image), torch.from_numpy(truth), size)
    assert record["validation"]["argmax"] == pytest.approx(errors.mean().item())
    assert runs.why_not_recorded(profile, run, record["data"]["fingerprint"]) is None
    counts = at_hand.aflw(profile, index, crops)
    assert counts["subset"].tolist() == ["train", "AFLW"] and counts["found"].tolist() == [6, 3]
    assert counts["held_out"].tolist() == [held.sum(), 0] and held.sum() == 2
    assert counts["visible_percent"][1] == pytest.approx(100 * (1 - hidden.mean()))


def test_a_profile_without_aflw_prepares_none_of_it_and_says_so():
    profile = synthetic.profile()
    assert prepare.prepare_aflw(profile) is None
    assert at_hand.aflw(profile, None, None)["data"].tolist() == ["no AFLW in this profile"]
