"""Invented records of runs, for tests of what is made from records. No training, no faces."""

import dataclasses
import json

import numpy as np

from study import config, heatmaps, runs, training

FOLDER = {"common": "helen/testset", "challenging": "ibug"}


def profile(name="cpu", seeds=(0, 1), standin=False, lengths=(16, 64, 192), **changes):
    """A profile of 1D runs at some lengths, one 2D run and two candidates; F = 64 px."""
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
        },
        **changes,
    }
    if standin:
        raw["data"]["standin"] = {"seed": 0, "faces": {"afw": 3}}
    return config.parse(raw, "synthetic")


def write(profile, run, *, common=20, challenging=0, error=None, standin=False, **changes):
    """Writes the record of a run: residuals of about `error` (fraction), drawn by its seed.

    Args:
        profile, run: whose record.
        common, challenging: test faces of each subset.
        error: mean NRMSE by argmax, a fraction; other decoders do a little better. None takes
            one that falls with L.
        standin: whether the record says that its faces are rendered.
        changes: entries of run.json that differ.
    """
    where = runs.folder(profile, run)
    where.mkdir(parents=True, exist_ok=True)
    error = error if error is not None else 0.04 + 0.5 / run.config.length
    decoders = training.decoders_of(run.config)
    better = {name: error * (1 - 0.04 * place) for place, name in enumerate(decoders)}
    if run.group == "resolution":
        arrays = _predictions(run, better, {"common": common, "challenging": challenging})
        np.savez_compressed(where / "predictions.npz", **arrays)
    epochs = range(1, run.config.epochs + 1)
    lines = [f"{e},0.001,{100 / e:.6g},{error * (1 + 1 / e):.6g},1.5" for e in epochs]
    header = "epoch,rate,loss,validation_nrmse,seconds"
    (where / "history.csv").write_text("\n".join([header, *lines]) + "\n")
    record = _record(profile, run, {"common": common, "challenging": challenging}, standin)
    record |= {"validation": better, **changes}
    (where / "run.json").write_text(json.dumps(record))
    return record


def write_all(profile, **options):
    """Writes the records of all runs of a profile."""
    for run in profile.runs:
        write(profile, run, **options)


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
