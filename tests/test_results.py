import json

import numpy as np
import pytest
import synthetic

from study import paths, results, runs
from study.material import RunError


def put(profile, run, **arrays):
    """Overwrites the predictions of a run's record."""
    np.savez_compressed(results.folder(profile, run) / "predictions.npz", **arrays)


def test_errors_are_mean_distances_over_landmarks_by_the_normaliser(root):
    profile = synthetic.profile(seeds=(0,))
    synthetic.write(profile, profile.run("detector1d_L16-s0"))
    residual = np.zeros((3, 2, 2), dtype=np.float16)
    residual[0] = [[3, 4], [0, 0]]  # distances 5 and 0 px
    residual[1] = [[6, 8], [0, 5]]  # 10 and 5 px
    put(
        *(profile, "detector1d_L16-s0"),
        id=np.array(["b", "a", "c"]),
        subset=np.array(["common", "common", "challenging"]),
        normalizer=np.array([50.0, 100.0, 10.0]),
        residual=residual,
        residual_taylor=residual / 2,
    )
    found = results.load(profile)
    id = "detector1d_L16-s0"
    np.testing.assert_allclose(found.errors(id, "argmax", "common"), [0.075, 0.05])  # a, then b
    np.testing.assert_allclose(found.errors(id, "taylor", "common"), [0.0375, 0.025])
    np.testing.assert_allclose(found.errors(id, "argmax", "full"), [0.075, 0.05, 0.0])
    rms = [np.sqrt(62.5) / 100, np.sqrt(12.5) / 50]
    np.testing.assert_allclose(found.errors(id, "argmax", "common", "rms"), rms)


def test_a_residual_without_a_name_belongs_to_the_runs_own_decoder(root):
    raw = {"d": {"model": "detector1d", "length": 64, "decoder": "local"}}
    profile = synthetic.profile(runs=raw, flagship="d")
    synthetic.write(profile, profile.run("d-s0"))
    arrays = results.predictions(results.folder(profile, "d-s0"))
    assert "residual_argmax" in arrays and "residual_local" not in arrays
    found = results.load(profile)
    own = found.errors("d-s0", "local", "common").mean()
    assert own > found.errors("d-s0", "argmax", "common").mean()


def test_a_decoder_that_a_record_does_not_have_is_refused_with_the_way_to_record_it(root):
    profile = synthetic.profile()
    synthetic.write_all(profile)
    with pytest.raises(RunError, match="by median; record them by .*--again detector1d_L16-s0"):
        results.load(profile).errors("detector1d_L16-s0", "median", "common")


def test_seeds_are_aligned_by_face_whatever_their_order_on_disk(root):
    profile = synthetic.profile(seeds=(0, 1))
    synthetic.write_all(profile, common=7)
    found = results.load(profile)
    folders = [results.folder(profile, f"detector1d_L16-s{seed}") for seed in (0, 1)]
    stored = [list(results.predictions(folder)["id"]) for folder in folders]
    assert stored[0] != stored[1]  # else this test could not fail
    errors = found.by_seed("detector1d_L16", "argmax", "common")
    assert errors.shape == (2, 7)
    # The drawn faces differ by up to 2.3 times, the seeds by up to 1.2 times.
    np.testing.assert_allclose(errors[0], errors[1], rtol=0.25)


def test_seeds_with_different_faces_are_refused(root):
    profile = synthetic.profile(seeds=(0, 1))
    for run in profile.runs:
        synthetic.write(profile, run, common=7 + run.seed)
    with pytest.raises(ValueError, match="different faces"):
        results.load(profile).by_seed("detector1d_L16", "argmax", "common")


def test_a_missing_record_is_a_reason_and_no_error(root):
    profile = synthetic.profile()
    synthetic.write(profile, profile.run("detector1d_L16-s0"))
    found = results.load(profile)
    assert list(found.records) == ["detector1d_L16-s0"]
    assert found.reasons["detector1d_L64-s0"] == "no record"
    assert found.recorded("detector1d_L16") == ["detector1d_L16-s0"]
    with pytest.raises(ValueError, match="no run of detector1d_L64"):
        found.by_seed("detector1d_L64", "argmax", "common")


def test_without_any_record_everything_has_a_reason(root):
    profile = synthetic.profile()
    found = results.load(profile)
    assert set(found.reasons) == {run.id for run in profile.runs}
    assert found.newest is None and found.faces("common") is None and found.seconds == 0
    assert len(found.looks) == 0


def test_a_record_that_the_profile_does_not_list_is_not_read(root):
    synthetic.write_all(synthetic.profile(lengths=(16, 64, 192)))
    smaller = synthetic.profile(lengths=(16, 192))
    found = results.load(smaller)
    assert (paths.runs("cpu") / "detector1d_L64-s0").exists()
    assert all("L64" not in id for id in [*found.records, *found.reasons])
    assert "detector1d_L64-s0" in runs.unlisted(smaller)


def test_a_record_of_another_configuration_is_not_read(root):
    synthetic.write_all(synthetic.profile())
    changed = synthetic.profile(training={"channels": 8, "depth": 2, "epochs": 5})
    found = results.load(changed)
    assert set(found.reasons.values()) == {"another configuration"}


def test_records_of_other_data_than_the_newest_are_not_mixed_in(root):
    profile = synthetic.profile(seeds=(0, 1))
    synthetic.write_all(profile)
    file = results.folder(profile, "detector1d_L16-s0") / "run.json"
    record = json.loads(file.read_text())
    record["data"]["fingerprint"] = "of other faces"
    file.write_text(json.dumps(record))
    found = results.load(profile)
    assert found.reasons == {"detector1d_L16-s0": "recorded on other data"}
    assert found.recorded("detector1d_L16") == ["detector1d_L16-s1"]


def test_stills_and_videos_have_their_own_newest_record_and_data(root):
    profile = synthetic.profile(seeds=(0, 1), video=True)
    synthetic.write_all(profile)
    for id in ("tracker1d_L192-s0", "tracker1d_L16-s0"):
        file = results.folder(profile, id) / "run.json"
        record = json.loads(file.read_text())
        record["data"]["fingerprint"] = "of other videos"
        record["finished"] = f"2024-04-0{1 + (id == 'tracker1d_L16-s0')}T10:00:00+00:00"
        file.write_text(json.dumps(record))
    found = results.load(profile)
    other = "recorded on other data"
    assert found.reasons == dict.fromkeys(("tracker1d_L192-s0", "tracker1d_L16-s0"), other)
    assert found.newest["group"] in ("resolution", "search")
    assert found.newest_on_video["group"] in ("video", "tracker")
    assert found.newest_on_video["data"]["fingerprint"] == "4567"
    assert len(found.recorded("detector1d_L192")) == 2
    assert found.faces("common") == 20  # of the stills, whatever was recorded last


def test_a_fold_is_recorded_and_never_the_newest(root):
    raw = {**RUNS, "crossed": {"group": "folds", "model": "detector1d", "length": 64, "folds": 2}}
    profile = synthetic.profile(runs=raw, flagship="d")
    late = "2030-01-01T10:00:00+00:00"
    synthetic.write(profile, profile.run("d-s0"), fold=None)
    for run in profile.group("folds"):
        synthetic.write(profile, run, fold=[run.fold, 2], finished=late)
    found = results.load(profile)
    assert found.recorded("crossed") == ["crossed-f0-s0", "crossed-f1-s0"]
    assert found.newest["run"] == "d-s0"  # it says how many faces there are to train on
    assert set(found.validation("crossed")) == set(found.validation("d"))


RUNS = {"d": {"model": "detector1d", "length": 64}}


def test_a_tracker_without_its_predictions_says_so_and_the_detector_inside_needs_none(root):
    profile = synthetic.profile(seeds=(0,), video=True)
    synthetic.write_all(profile)
    assert not (results.folder(profile, "video1d_L192-s0") / "predictions.npz").exists()
    assert results.load(profile).reasons == {}
    (results.folder(profile, "tracker2d_L32-s0") / "predictions.npz").unlink()
    assert "predictions.npz" in results.load(profile).reasons["tracker2d_L32-s0"]


def test_a_record_without_its_predictions_says_which_file_is_missing(root):
    profile = synthetic.profile()
    synthetic.write_all(profile)
    (results.folder(profile, "detector1d_L16-s0") / "predictions.npz").unlink()
    assert "predictions.npz" in results.load(profile).reasons["detector1d_L16-s0"]


def test_a_candidate_needs_no_predictions(root):
    profile = synthetic.profile()
    synthetic.write_all(profile)
    assert not (results.folder(profile, "search_a-s0") / "predictions.npz").exists()
    assert "search_a-s0" in results.load(profile).records


def test_changed_predictions_are_read_anew(root):
    profile = synthetic.profile()
    run = profile.run("detector1d_L16-s0")
    synthetic.write(profile, run, error=0.05)
    before = results.load(profile).errors(run.id, "argmax", "common").mean()
    synthetic.write(profile, run, error=0.10)
    after = results.load(profile).errors(run.id, "argmax", "common").mean()
    assert after == pytest.approx(2 * before, rel=0.01)


@pytest.mark.parametrize("challenging, full", [(0, 0), (5, 25)])
def test_the_full_set_is_there_only_if_both_its_parts_are(root, challenging, full):
    profile = synthetic.profile(seeds=(0,))
    synthetic.write_all(profile, common=20, challenging=challenging)
    found = results.load(profile)
    assert (found.faces("common"), found.faces("full")) == (20, full)


def test_looks_are_counted_one_a_line(root):
    profile = synthetic.profile()
    file = paths.reports(profile.name) / "test_looks.csv"
    file.parent.mkdir(parents=True)
    file.write_text("date,commit,run,subset,faces\n2024-05-01,,a-s0,common,20\n")
    looks = results.load(profile).looks
    assert len(looks) == 1 and looks["commit"].iloc[0] == ""


def test_validation_is_the_mean_over_seeds(root):
    profile = synthetic.profile(seeds=(0, 1))
    for seed, score in ((0, 0.04), (1, 0.06)):
        run = profile.run(f"detector1d_L16-s{seed}")
        synthetic.write(profile, run, validation={"argmax": score})
    assert results.load(profile).validation("detector1d_L16") == {"argmax": pytest.approx(0.05)}


def test_what_a_number_was_measured_on_names_stand_ins_as_such(root):
    profile = synthetic.profile(standin=True)
    run = profile.run("detector1d_L16-s0")
    rendered = synthetic.write(profile, run, standin=True)
    assert results.describe(rendered).startswith("stand-ins in 300W's layout (rendered)")
    real = synthetic.write(synthetic.profile(), run)
    assert results.describe(real) == "300W, trained on 1,811 of 3,148 images, F=64"
