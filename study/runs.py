"""Runs: a configuration becomes a record in git, once; what is recorded is not trained again.

A record is `reports/<profile>/runs/<run>/` with run.json, history.csv and, but for candidates,
predictions.npz: id and subset (B,) of the test faces; normalizer and interpupil (B,), the distances
of the outer eye corners and of the eyes' centres; residual (B, N, 2), predicted minus true point by
the run's own decoder, and residual_<decoder> by the others; all in px of the image file. Weights
and checkpoints are a cache under `build/<profile>/`.
"""

import contextlib
import csv
import dataclasses
import datetime
import fcntl
import hashlib
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from study import config as configs
from study import datasets, metrics, paths, training
from study import device as devices
from study.datasets import crops as crop_cache


class RunError(RuntimeError):
    """A run that cannot start; the message says why and what to do."""


def folder(profile, run):
    """Where the record of a run is."""
    return paths.runs(profile.name) / run.id


def weights_file(profile, run):
    """Where the weights of a run are cached."""
    return paths.build(profile.name) / "weights" / f"{run.id}.pt"


def checkpoint_file(profile, run):
    """Where an interrupted run goes on from."""
    return paths.build(profile.name) / "checkpoints" / f"{run.id}.pt"


# --- the data of a profile --------------------------------------------------------------------


def open_crops(profile):
    """The cached crops of a profile, or None where they have not been made on this machine.

    Crops that were cut with other parameters than the profile's are none.
    """
    where = paths.crops(profile.name, profile.data.name)
    if not (where / "meta.json").exists():
        return None
    crops = crop_cache.read(where)
    wanted = dataclasses.asdict(profile.crops)
    return crops if {key: crops.meta[key] for key in wanted} == wanted else None


def require_crops(profile):
    """The cached crops of a profile.

    Raises:
        RunError: they have not been made on this machine; says how to.
    """
    crops = open_crops(profile)
    if crops is None:
        where = paths.crops(profile.name, profile.data.name).relative_to(paths.ROOT)
        raise RunError(
            f"{where} holds no crops of this profile: "
            f"run `python -m study prepare --profile {profile.name}` first"
        )
    return crops


def fingerprint(profile, crops):
    """What a run is trained on, as one hash: the faces, how they are cut, who is held out."""
    parts = [crops.meta["fingerprint"]]
    parts += [dataclasses.asdict(part) for part in (profile.crops, profile.validation)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def faces_of(profile, crops, rows):
    """`training.Faces` of some rows (a bool mask or indices) of the cached crops."""
    rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
    pictures = torch.from_numpy(np.ascontiguousarray(crops.faces[rows]))
    return training.Faces(
        pictures=pictures,
        points=torch.from_numpy(np.ascontiguousarray(crops.points[rows])),
        share=profile.crops.scale / profile.crops.context,
        order=datasets.reader(profile.data.name).SCHEME.mirror,
    )


def split(profile, crops):
    """Bool masks (B,) of the faces to train on, to validate on, and to test on."""
    held = crop_cache.validation_split(
        crops.table, profile.validation.share, seed=profile.validation.seed
    )
    train = (crops.table["split"] == "train").to_numpy()
    return train & ~held, held, (crops.table["split"] == "test").to_numpy()


def describe_data(profile, crops):
    """What a run was trained and measured on, for its record."""
    train, held, test = split(profile, crops)
    subsets = crops.table["subset"][test]
    reader = datasets.reader(profile.data.name)
    tested = dict.fromkeys(f.subset for f in reader.FOLDERS if f.split == "test")
    return {
        "name": profile.data.name,
        "label": profile.data.label,
        "standin": profile.data.standin is not None,
        "fingerprint": fingerprint(profile, crops),
        "train": int(train.sum()),
        "validation": int(held.sum()),
        "official_train": sum(f.official for f in reader.FOLDERS if f.split == "train"),
        "test": {name: int((subsets == name).sum()) for name in tested},
    }


# --- records ----------------------------------------------------------------------------------


def read_record(profile, run):
    """The run.json of a run as a dict, or None where there is none.

    Raises:
        RunError: the file is no JSON; names it.
    """
    file = folder(profile, run) / "run.json"
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise RunError(f"{file.relative_to(paths.ROOT)} is no JSON: {error}") from None


def _same_config(values, run):
    """Whether a record's configuration is the run's; one with keys that are gone is another."""
    try:
        return configs.training_config(values) == run.config
    except configs.ConfigError:
        return False


def why_not_recorded(profile, run, data=None):
    """Why a run has to be trained: a reason, or None where its record serves.

    Args:
        data: `fingerprint` of the data at hand; None (no data here) believes the record.

    Raises:
        RunError: the record cannot be read.
    """
    record = read_record(profile, run)
    if record is None:
        return "no record"
    if not _same_config(record["config"], run):
        return "another configuration"
    if record["recipe"] != training.RECIPES[run.config.model]:
        return "another recipe"
    if record["group"] != run.group and run.group == "resolution":
        return "recorded as a candidate, without predictions"
    if run.group == "resolution" and not (folder(profile, run) / "predictions.npz").exists():
        return "predictions.npz is missing"
    if data is not None and record["data"]["fingerprint"] != data:
        return "other data"
    return None


def source_hash():
    """sha256 over the study's own files: recorded with a run, and triggers nothing."""
    digest = hashlib.sha256()
    for file in sorted((paths.ROOT / "study").rglob("*.py")):
        digest.update(file.relative_to(paths.ROOT).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def commit():
    """Short hash of the checkout, with a + where files differ from it; "" outside git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--exclude=*", "--dirty=+"],
            **dict(cwd=paths.ROOT, capture_output=True, text=True, check=True),
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return described.stdout.strip()


def _write(path, text):
    """Writes a small file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    os.replace(part, path)


def _write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def _versions():
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("torch", "numpy", "pillow")},
    }


def _score_test(profile, run, crops, model, device):
    """Arrays of predictions.npz for all test faces, by decoder."""
    _, _, test = split(profile, crops)
    rows = np.flatnonzero(test)
    faces = faces_of(profile, crops, rows)
    decoders = training.decoders_of(run.config)
    predicted, truth = training.predict(model, faces, run.config, device, decoders)
    truth = torch.from_numpy(crops.to_image(truth.numpy(), rows))
    arrays = {
        "id": crops.table["id"].to_numpy(dtype=str)[rows],
        "subset": crops.table["subset"].to_numpy(dtype=str)[rows],
        "normalizer": metrics.interocular(truth).numpy(),
        "interpupil": metrics.interpupil(truth).numpy(),
    }
    for name, points in predicted.items():
        key = "residual" if name == run.config.decoder else f"residual_{name}"
        residual = crops.to_image(points.numpy(), rows) - truth.numpy()
        arrays[key] = residual.astype(np.float16)  # px; 0.004 px at 4 px
    return arrays


def note_look(profile, run, arrays):
    """Writes down that the test set was looked at: one line a subset in test_looks.csv."""
    file = paths.reports(profile.name) / "test_looks.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    with open(file, "a", newline="") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        if out.tell() == 0:
            out.write("date,commit,run,subset,faces\n")
        for subset in sorted(set(arrays["subset"])):
            count = int((arrays["subset"] == subset).sum())
            out.write(f"{today},{commit()},{run.id},{subset},{count}\n")


@contextlib.contextmanager
def _only_one(profile, run):
    """Holds the run's lock, so that two processes never train the same run at once."""
    file = checkpoint_file(profile, run).with_suffix(".lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{run.id} is being trained by another process ({file})") from None
        yield


def _line(run, news):
    minutes = news["seconds_left"] / 60
    return (
        f"{run.id:32s} epoch {news['epoch']:3d}/{news['epochs']}  loss {news['loss']:9.3f}  "
        f"validation {100 * news['validation_nrmse']:6.2f} %  "
        f"{news['samples_per_second']:5.0f} samples/s  {minutes:5.1f} min left"
    )


def train(profile, run, report=print):
    """Trains a run, or goes on with it, and writes its record.

    Args:
        profile: a `config.Profile` whose crops have been made.
        run: one of its runs.
        report: called with a line of text after each epoch.

    Raises:
        RunError: no crops here, or another process trains this run.
        training.TrainingError: the loss is not finite.
    """
    crops = require_crops(profile)
    with _only_one(profile, run):
        train_rows, held_rows, _ = split(profile, crops)
        validation = faces_of(profile, crops, held_rows)
        model, state = training.fit(
            run.config,
            faces_of(profile, crops, train_rows),
            validation,
            seed=run.seed,
            landmarks=crops.points.shape[1],
            checkpoint=checkpoint_file(profile, run),
            data=fingerprint(profile, crops),
            report=lambda news: report(_line(run, news)),
        )
        device = devices.choose(run.config.precision)
        decoders = training.decoders_of(run.config)
        scores = training.validate(model, validation, run.config, device, decoders)
        arrays = None
        if run.group == "resolution":
            arrays = _score_test(profile, run, crops, model, device)
        _write_record(profile, run, crops, model, state, scores, arrays)
        checkpoint_file(profile, run).unlink(missing_ok=True)


def _write_record(profile, run, crops, model, state, scores, arrays):
    """Writes weights and record; run.json last, since it is what makes a run recorded."""
    where = folder(profile, run)
    where.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "predictions.npz"):
        (where / name).unlink(missing_ok=True)
    weights = weights_file(profile, run)
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), weights)
    _write_csv(where / "history.csv", state.history)
    if arrays is not None:
        np.savez_compressed(where / "predictions.npz", **arrays)
        note_look(profile, run, arrays)
    data = describe_data(profile, crops)
    device = devices.choose(run.config.precision)
    record = {
        "run": run.id,
        "name": run.name,
        "seed": run.seed,
        "group": run.group,
        "config": dataclasses.asdict(run.config),
        "data": data,
        "recipe": training.RECIPES[run.config.model],
        "versions": _versions(),
        "source": source_hash(),
        "commit": commit(),
        "device": device.kind,
        "threads": torch.get_num_threads(),
        "seconds": round(state.seconds, 1),
        "samples_per_second": round(data["train"] * run.config.epochs / state.seconds, 1),
        "peak_memory_mib": round(device.peak_memory()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "validation": scores,
    }
    _write(where / "run.json", json.dumps(record, indent=1) + "\n")


def load_model(profile, run):
    """The trained model of a run on the CPU in evaluation mode.

    Raises:
        RunError: its weights are not on this machine; says how to get them.
    """
    file = weights_file(profile, run)
    if not file.exists():
        raise RunError(
            f"no weights in {file.relative_to(paths.ROOT)}: they are not kept in git; "
            f"`python -m study train --profile {profile.name} --again {run.id}` makes them"
        )
    scheme = datasets.reader(profile.data.name).SCHEME
    model = training.build_model(run.config, scheme.count)
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model.eval()


# --- many runs --------------------------------------------------------------------------------


def missing(profile, selected=None):
    """The runs that have to be trained, with the reason: a list of (run, reason)."""
    crops = open_crops(profile)
    data = fingerprint(profile, crops) if crops is not None else None
    found = []
    for run in profile.runs if selected is None else selected:
        reason = why_not_recorded(profile, run, data)
        if reason:
            found.append((run, reason))
    return found


def _start_worker(queue, threads, parent):
    global _report
    devices.set_threads(threads)
    _report = queue.put
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent):
    """Ends this worker soon after its parent is killed, so that no orphan trains on."""
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(1)
    os._exit(1)


def _train_in_worker(profile, run):
    train(profile, run, _report)


def ensure(profile, selected=None, report=print):
    """Trains the runs that have no record yet; the others cost nothing.

    Several at once where the profile's machine says so; an interrupted call goes on where it
    was when it is called again.

    Args:
        profile: a `config.Profile`.
        selected: some of its runs; None is all.
        report: called with lines of text as the trainings go on.
    """
    selected = profile.runs if selected is None else selected
    todo = missing(profile, selected)
    report(f"{len(selected) - len(todo)} of {len(selected)} runs are recorded")
    for run, reason in todo:
        report(f"to train: {run.id} ({reason})")
    jobs = min(profile.machine.jobs, len(todo))
    if jobs <= 1:
        devices.set_threads(profile.machine.threads)
        for run, _ in todo:
            train(profile, run, report)
    else:
        _ensure_in_workers(profile, [run for run, _ in todo], jobs, report)


def _ensure_in_workers(profile, todo, jobs, report):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    printer = threading.Thread(target=_print_from, args=(queue, report), daemon=True)
    printer.start()
    start = (queue, profile.machine.threads, os.getpid())
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=start)
    try:
        futures = [pool.submit(_train_in_worker, profile, run) for run in todo]
        for future in as_completed(futures):
            future.result()
    except BrokenProcessPool:
        raise RunError(
            "a training's process was killed, perhaps for want of memory; the same command goes on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)  # trainings that have begun go on to their end
        queue.put(None)
        printer.join()


def _print_from(queue, report):
    while (line := queue.get()) is not None:
        report(line)
        sys.stdout.flush()


def unlisted(profile):
    """Names of recorded runs that the profile no longer lists: left on disk, read by nothing."""
    root = paths.runs(profile.name)
    known = {run.id for run in profile.runs}
    return sorted(p.name for p in Path(root).glob("*/") if p.name not in known)
