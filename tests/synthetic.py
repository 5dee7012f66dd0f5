"""Invented records of runs, for tests of what is made from records. No training, no faces."""

import dataclasses
import json

import numpy as np
import torch

from study import config, heatmaps, material, tracking, training

FOLDER = {"common": "helen/testset", "challenging": "ibug", "AFLW": "0"}
VIDEOS = {"S1": (6, 9, 4), "S2": (5, 8, 7), "S3": (10, 6, 5), "TF": (12,)}  # frames of each


def profile(
    name="cpu",
    seeds=(0, 1),
    standin=False,
    lengths=(16, 64, 192),
    video=False,
    lams=(),
    rivals=False,
    gammas=(),
    ablation=False,
    folds=False,
    video_rivals=False,
    aflw=False,
    **changes,
):
    """A profile of 1D runs at some lengths, one 2D run and two candidates; F = 64 px.

    Args:
        rivals: whether there are runs of SimCC, of coordinates and of integral regression, and a
            candidate of each of the first two.
        video: whether there are trackers, at λ=0.3 and 0 on the longest heatmaps (whose detector
            saw frames), on the shortest, and in 2D; "camera" makes their videos real ones, True
            rendered ones where `standin` and stills in motion elsewhere.
        lams: λ of further trackers on the longest heatmaps.
        gammas: γ of further detectors of the longest heatmaps; the others have 0.4.
        ablation: whether there are detectors that are others in one thing, for lengths as above.
        folds: whether γ is cross-validated, and λ where there are videos, each in three folds.
        aflw: whether there is AFLW, rendered where `standin`, with 1D detectors of γ=0.4 and 0 on
            it and a 2D one.
        video_rivals: whether there are, with videos, GANs, one of them without a discriminator,
            SDM from the frame before, and STA over FHR.
    """
    raw = {
        "profile": name,
        "data": {"name": "300W", "root": "data/300W", "source": "data/300W"},
        "crops": {"size": 64},
        "training": {"channels": 8, "depth": 2, "epochs": 4},
        "flagship": f"detector1d_L{lengths[-1]}",
        "runs": {
            "search_a": {"group": "search", "model": "detector1d", "length": lengths[-1]},
            "search_b": {
                **{"group": "search", "model": "detector1d", "length": lengths[-1]},
                **{"sigma": 0.05, "epochs": 2},
            },
            **{
                f"detector1d_L{length}": {
                    **{"model": "detector1d", "length": length, "seeds": list(seeds)}
                }
                for length in lengths
            },
            "detector2d_L32": {"model": "detector2d", "length": 32, "seeds": list(seeds)},
            **{
                f"detector1d_L{lengths[-1]}_g{10 * gamma:02.0f}": {
                    **{"group": "coattention", "model": "detector1d", "length": lengths[-1]},
                    **{"gamma": gamma, "seeds": list(seeds)},
                }
                for gamma in gammas
            },
        },
        **changes,
    }
    if rivals:
        raw["runs"] = {**raw["runs"], **_rivals(list(seeds))}
    if ablation:
        raw["runs"] = {**raw["runs"], **_ablation(list(seeds))}
    if standin:
        raw["data"]["standin"] = {"seed": 0, "faces": {"afw": 3}}
    if video:
        raw = _with_trackers(raw, "rendered" if standin else video, lengths, list(seeds), lams)
    if folds:
        raw["runs"] = {**raw["runs"], **_folds(lengths[-1], video)}
    if aflw:
        raw = _with_aflw(raw, lengths[-1], list(seeds), standin)
    if video_rivals:
        raw["runs"] = {**raw["runs"], **_video_rivals(list(seeds))}
    return config.parse(raw, "synthetic")


def _with_aflw(raw, length, seeds, standin):
    """The mapping of a profile with AFLW and detectors on it added."""
    folder = {"name": "AFLW", "root": "data/AFLW", "source": "data/AFLW"}
    made = {"standin": {"seed": 0, "faces": {"train": 3, "test": 2}}} if standin else {}
    one = {"data": "AFLW", "model": "detector1d", "length": length, "seeds": seeds}
    runs = {f"aflw1d_L{length}": one, f"aflw1d_L{length}_g00": {**one, "gamma": 0.0}}
    runs["aflw2d_L32"] = {**one, "model": "detector2d", "length": 32}
    return {**raw, "aflw": {**folder, **made}, "runs": {**raw["runs"], **runs}}


def _rivals(seeds):
    return {
        "simcc": {"model": "simcc", "seeds": seeds},
        "coordinates": {"model": "coordinates", "seeds": seeds},
        "integral": {"model": "integral", "length": 32, "seeds": seeds},
        "lab": {"model": "lab", "seeds": seeds},
        "lab1d": {"model": "lab1d", "length": 192, "seeds": seeds},
        "lab_landmarks": {"model": "lab_landmarks", "length": 192, "seeds": seeds},
        "sdm": {"model": "sdm", "seeds": seeds},
        "search_simcc": {"group": "search", "model": "simcc", "epochs": 2},
        "search_coordinates": {"group": "search", "model": "coordinates", "loss": "l2"},
    }


def _ablation(seeds):
    """Detectors of 192 bins, of L=16 and of other lengths, changed in what their names say."""
    one = {"group": "ablation", "model": "detector1d", "length": 192, "seeds": seeds}
    small, few = {**one, "size": 32}, {**one, "epochs": 2}
    return {
        "floor_L16": {**one, "length": 16, "rule": "floor"},
        "floor_L192": {**one, "rule": "floor"},
        "head_L16": {**one, "length": 16, "head_length": 192},
        "wide_L192": {**one, "sigma": 1 / 16},
        "bins_L16": {**one, "length": 16, "sigma": 0.14},
        "root_L16": {**one, "length": 16, "sigma": 0.125},
        "small_L8": {**small, "length": 8},
        "small_L64": {**small, "length": 64},
        "small_L96": {**small, "length": 96},
        "fusion_rows": {**one, "fusion": "rows"},
        "fusion_pooled": {**one, "fusion": "pooled"},
        "usual_g00": {**few, "gamma": 0.0},
        "usual_g04": few,
        "columns2_g00": {**few, "gamma": 0.0, "columns": 2},
        "columns2_g04": {**few, "columns": 2},
    }


def _folds(length, video):
    """Candidates in three folds: γ of a detector, and λ of a tracker where there are videos."""
    one = {"group": "folds", "model": "detector1d", "length": length, "epochs": 2, "folds": 3}
    found = {f"folds_g{10 * gamma:02.0f}": {**one, "gamma": gamma} for gamma in (0.0, 0.4, 0.7)}
    if video:
        inside = {"group": "tracker_folds", "model": "tracker1d", "detector": f"video1d_L{length}"}
        for lam in (0.0, 0.3, 0.7):
            found[f"folds_lam{10 * lam:02.0f}"] = {**inside, "lam": lam, "epochs": 2, "folds": 3}
    return found


def _video_rivals(seeds):
    one = {"model": "gan", "detector": "video_coordinates", "seeds": seeds}
    return {
        "video_coordinates": {"group": "video", "model": "coordinates", "seeds": seeds},
        "gan": {**one, "adversarial": 1.0},
        "gan_weight01": {**one, "adversarial": 0.1, "seeds": seeds[:1]},
        "gan_alone": one,
        "video_sdm": {"group": "video", "model": "sdm", "seeds": seeds},
        "sdm_tracker": {"model": "sdm_tracker", "detector": "video_sdm", "seeds": seeds},
        "sta": {"model": "sta", "detector": "detector2d_L32", "seeds": seeds},
    }


def _with_trackers(raw, kind, lengths, seeds, lams):
    """The mapping of a profile with videos and trackers added."""
    made = {"rendered": {"standin": {"seed": 0, "frames": 9}}}
    made[True] = {"motion": {"seed": 0, "frames": 9, "clips": {"train": 9}}}
    folder = {"source": "data/300W", **made.get(kind, {})}
    raw["video"] = {"name": "300VW", "root": "data/300VW", **folder}
    if kind is not True:
        raw["talking"] = {"name": "TF", "root": "data/TF", **folder}
    low, high = lengths[0], lengths[-1]
    one = {"model": "tracker1d", "detector": f"video1d_L{high}", "seeds": seeds}
    raw["tracker"] = f"tracker1d_L{high}"
    video = {"group": "video", "model": "detector1d", "length": high, "frame_step": 2}
    raw["runs"] |= {
        f"video1d_L{high}": {**video, "seeds": seeds},
        f"tracker1d_L{high}": one,
        f"tracker1d_L{low}": {**one, "detector": f"detector1d_L{low}"},
        "tracker2d_L32": {"model": "tracker2d", "detector": "detector2d_L32", "seeds": seeds},
    }
    for lam in (0.0, *lams):
        name = f"tracker1d_L{high}_lam{10 * lam:02.0f}"
        raw["runs"][name] = {**one, "lam": lam, "seeds": seeds}
    return raw


def write(
    profile, run, *, common=20, challenging=0, error=None, standin=False, videos=None, **changes
):
    """Writes the record of a run: residuals of about `error` (fraction), drawn by its seed.

    Args:
        profile, run: whose record.
        common, challenging: test faces of each subset.
        error: mean NRMSE by argmax, a fraction; other decoders do a little better. None takes
            one that falls with L; a tracker's also falls as λ nears 0.35, and that of the groups
            "ablation" and "folds" differs with what they differ in.
        standin: whether the record says that its faces are rendered.
        videos: frames of the test videos of each subset; None is those of VIDEOS that the
            profile has.
        changes: entries of run.json that differ.
    """
    where = material.folder(profile, run)
    where.mkdir(parents=True, exist_ok=True)
    error = error if error is not None else _error(run)
    decoders = training.decoders_of(run.config)
    better = {name: error * (1 - 0.04 * place) for place, name in enumerate(decoders)}
    if run.group in ("resolution", "coattention", "ablation", "rival"):
        arrays = _predictions(run, better, {"common": common, "challenging": challenging})
        np.savez_compressed(where / "predictions.npz", **arrays)
    if run.data:
        arrays = _hide(_predictions(run, better, {"AFLW": common}))
        np.savez_compressed(where / "predictions.npz", **arrays)
    if run.group in config.ON_VIDEO:
        there = VIDEOS if profile.talking else {key: VIDEOS[key] for key in ("S1", "S2", "S3")}
        videos = there if videos is None else videos
    if run.group == "tracker":
        np.savez_compressed(where / "predictions.npz", **_on_videos(run, error, videos))
    epochs = range(1, run.config.epochs + 1)
    lines = [f"{e},0.001,{100 / e:.6g},{error * (1 + 1 / e):.6g},1.5" for e in epochs]
    header = "epoch,rate,loss,validation_nrmse,seconds"
    (where / "history.csv").write_text("\n".join([header, *lines]) + "\n")
    record = _record(profile, run, {"common": common, "challenging": challenging}, standin)
    if run.group in config.ON_VIDEO:
        record["data"] = _data_on_videos(profile, videos)
    if run.data:
        record["data"] |= {"name": run.data, "label": profile.aflw.label, "fingerprint": "89ab"}
        record["data"] |= {"official_train": 20000, "test": {"AFLW": common}}
    record |= {"validation": better, **changes}
    (where / "run.json").write_text(json.dumps(record))
    return record


def write_all(profile, **options):
    """Writes the records of all runs of a profile."""
    for run in profile.runs:
        write(profile, run, **options)


def _error(run):
    error = 0.04 + 0.5 / (run.config.length or 40)
    if run.config.model == "tracker1d":
        error *= 1 - 0.25 * np.exp(-(((run.config.lam - 0.35) / 0.3) ** 2))
    if run.group in ("ablation", "folds"):
        error *= _changed(run.config)
    if run.data:
        error *= 1 + 0.2 * abs(run.config.gamma - 0.4)
    return error + 0.001 * run.fold


def _changed(settings):
    """What the error of a detector is multiplied by for being no other 1D detector's."""
    found = 1 + 0.2 * abs(settings.gamma - 0.4)
    found *= {"floor": 1.3, "centre": 1}[settings.rule] * (0.95 if settings.head_length else 1)
    found *= {"positions": 1, "rows": 0.99, "pooled": 1.02}[settings.fusion]
    return found * (1 + 2 * abs(settings.sigma - 0.035)) * (64 / settings.size) ** 0.5


def _on_videos(run, error, videos):
    """Arrays of predictions.npz of a tracker, as `work.measure` documents them.

    All landmarks drift together. The detector inside errs by a fifth more, and three times as far
    where something occludes: in S3, the jaw line in every third frame. On TF seven count.
    """
    rng = np.random.default_rng([run.seed, run.config.length])
    fixed = np.random.default_rng(3)  # the videos are the same for every run
    parts = []
    for subset, lengths in videos.items():
        for number, count in enumerate(lengths):
            parts.append(_one_video(run, error, subset, f"{subset}{number:02d}", count, rng, fixed))
    arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    scale = torch.from_numpy(arrays["normalizer"])
    truth = torch.from_numpy(arrays.pop("truth"))
    found = (torch.from_numpy(arrays[key]).double() for key in ("residual", "detected"))
    ends = [truth + residual.nan_to_num() for residual in found]
    lengths = [count for counts in videos.values() for count in counts]
    measured = tracking.motion_measures(*ends, truth, scale, lengths)
    if "averaged" in arrays:
        measured["jitter_averaged"] = measured["jitter_detected"]
        measured["delay_averaged"] = measured["delay_detected"]
    return arrays | measured


def _one_video(run, error, subset, name, frames, rng, fixed):
    scale = np.full(frames, fixed.uniform(80, 120))
    path = 0.05 * scale[0] * np.sin(np.arange(frames) * fixed.uniform(0.3, 0.6))
    truth = np.repeat(path[:, None, None], 68, axis=1) * [1.0, 0.5] + fixed.uniform(0, 99, (68, 2))
    occluded = np.zeros((frames, 68), dtype=bool)
    occluded[::3, :17] = subset == "S3"
    hard = {"S1": 1.0, "S2": 1.1, "S3": 1.3, "TF": 0.7}[subset] * fixed.uniform(0.8, 1.2)
    size = np.where(occluded, 2.0, 1.0) * hard * error * scale[:, None]
    still, moving = rng.normal(size=(1, 68, 2)), rng.normal(size=(frames, 68, 2))
    residual = 0.8 * size[..., None] * (0.9 * still + 0.3 * moving)
    worse = np.where(occluded, 1.5, 1.2)[..., None]
    again = 0.8 * size[..., None] * worse * (0.8 * still + 0.6 * rng.normal(size=moving.shape))
    found = {"residual": residual, "residual_local": 0.95 * residual, "detected": again}
    found["residual_previous"] = 1.1 * residual
    if run.config.model in ("gan", "sdm_tracker", "sta"):
        del found["residual_local"]
    if getattr(run.config, "lam", 0) and run.config.model == "tracker1d":
        found["residual_without"], found["averaged"] = 0.95 * again, 0.9 * again
    if subset == "TF":
        for points in found.values():
            points[:, 7:] = np.nan
    return {
        "id": np.array([f"{name}/vid#{n}" for n in range(frames)]),
        "subset": np.full(frames, subset),
        "video": np.full(frames, name),
        "frame": np.arange(1, frames + 1, dtype=np.int32),
        "normalizer": scale,
        "interpupil": np.full(frames, np.nan) if subset == "TF" else 0.7 * scale,
        "occluded": occluded,
        "truth": truth,
        **{key: points.astype(np.float16) for key, points in found.items()},
    }


def _data_on_videos(profile, videos):
    return {
        "name": profile.video.name,
        "label": profile.video.label,
        "standin": not profile.video.real,
        "fingerprint": "4567",
        "train": 5184,
        "validation": 576,
        "train_videos": 216,
        "test": {subset: sum(counts) for subset, counts in videos.items()},
        "test_videos": {subset: len(counts) for subset, counts in videos.items()},
    }


def _predictions(run, errors, faces):
    """Arrays of predictions.npz; faces stand in an order of their own, differing by seed."""
    rng = np.random.default_rng(run.seed)
    subset = np.repeat(list(faces), list(faces.values()))
    ids = np.array([f"{FOLDER[name]}/{n:03d}" for n, name in enumerate(subset)], dtype=str)
    order = rng.permutation(len(ids))
    normalizer = np.linspace(80, 120, len(ids))
    hard = np.where(subset == "challenging", 1.7, 1.0)
    angle = rng.uniform(0, 2 * np.pi, (len(ids), 68))
    own = np.random.default_rng([run.seed, run.config.length]).uniform(0.9, 1.1, len(ids))
    size = normalizer * hard * own * np.random.default_rng(7).uniform(0.6, 1.4, len(ids))
    vectors = size[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    arrays = {"id": ids[order], "subset": subset[order], "normalizer": normalizer[order]}
    arrays["interpupil"] = 0.7 * arrays["normalizer"]
    for name, error in errors.items():
        key = "residual" if name == run.config.decoder else f"residual_{name}"
        arrays[key] = (error * vectors[order]).astype(np.float16)
    return arrays


def _hide(arrays):
    """Arrays of predictions.npz as on AFLW: 19 landmarks, the first of every other face hidden."""
    visible = np.ones((len(arrays["id"]), 19), dtype=bool)
    visible[::2, 0] = False
    found = {key: a[:, :19] if a.ndim == 3 else a for key, a in arrays.items()}
    for array in found.values():
        if array.ndim == 3:
            array[~visible] = np.nan
    return found | {"visible": visible, "interpupil": np.full(len(visible), np.nan)}


def _record(profile, run, faces, standin):
    data = {
        "name": "300W",
        "label": profile.data.label,
        "standin": standin,
        "fingerprint": "0123",
        "train": 1811,
        "validation": 201,
        "official_train": 3148,
        "test": faces,
    }
    return {
        "run": run.id,
        "name": run.name,
        "seed": run.seed,
        "group": run.group,
        "fold": [run.fold, run.folds] if run.folds else None,
        "config": dataclasses.asdict(run.config),
        "data": data,
        "recipe": training.RECIPES[run.config.model],
        "versions": {"python": "3.11", "torch": "2.13.0", "numpy": "2.4.6"},
        "source": "abc",
        "commit": "abc1234",
        "device": "cpu",
        "threads": 1,
        "seconds": 60.0,
        "samples_per_second": 120.7,
        "peak_memory_mib": 500,
        "parameters": 487_236,
        "finished": f"2024-05-0{1 + run.seed}T10:00:00+00:00",
        "validation": dict.fromkeys(heatmaps.DECODERS, 0.05),
    }
