"""Runs: a configuration becomes a record in git, once; what is recorded is not trained again.

A record is `reports/<profile>/runs/<run>/` with run.json, history.csv and, but for candidates,
predictions.npz: id and subset (B,) of the test faces; normalizer and interpupil (B,), the distances
of the outer eye corners and of the eyes' centres; residual (B, N, 2), predicted minus true point by
the run's own decoder, and residual_<decoder> by the others; all in px of the image file. What
predictions on videos hold more, `study.work.measure` says. Weights and checkpoints are a cache
under `build/<profile>/`.
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

from study import config as configs, device as devices, paths, training, work
from study.material import (
    RunError,
    checkpoint_file,
    fingerprint_here,
    folder,
    needed,
    weights_file,
)

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
    if record.get("fold") != _fold(run):
        return "another fold"
    if run.group not in configs.ON_VIDEO and record["data"]["name"] != profile.data_of(run).name:
        return "another data set"
    if record["recipe"] != training.RECIPES[run.config.model]:
        return "another recipe"
    if record["group"] != run.group and run.group in configs.TESTED:
        return "recorded as a candidate, without predictions"
    if run.group in configs.TESTED and not (folder(profile, run) / "predictions.npz").exists():
        return "predictions.npz is missing"
    if data is not None and record["data"]["fingerprint"] != data:
        return "other data"
    return None


def _fold(run):
    """The fold of a run as its record has it, of how many; None outside cross-validations."""
    return [run.fold, run.folds] if run.folds else None


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


def note_look(profile, id, arrays):
    """Writes down that the test set was looked at: one line a subset in test_looks.csv.

    Args:
        id: of the run, or "shipped".
        arrays: what was predicted: subset (B,).
    """
    file = paths.reports(profile.name) / "test_looks.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    with open(file, "a", newline="") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        if out.tell() == 0:
            out.write("date,commit,run,subset,faces\n")
        for subset in sorted(set(arrays["subset"])):
            count = int((arrays["subset"] == subset).sum())
            out.write(f"{today},{commit()},{id},{subset},{count}\n")


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


def train(profile, run, report=print, *, record=True):
    """Trains a run, or goes on with it, and writes its record.

    Args:
        profile: a `config.Profile` whose crops have been made.
        run: one of its runs.
        report: called with a line of text after each epoch.
        record: False keeps the weights alone: a record that serves is not written again.

    Raises:
        RunError: no crops here, no weights of the detector inside, or another process trains
            this run.
        training.TrainingError: the loss is not finite.
    """
    with _only_one(profile, run):
        job = work.of(profile, run)
        model, state = training.fit_task(
            job.task,
            seed=run.seed,
            checkpoint=checkpoint_file(profile, run),
            data=f"{job.data} {_fold(run)}" if run.folds else job.data,
            report=lambda news: report(_line(run, news)),
        )
        _save_weights(profile, run, model)
        if record:
            _write_record(profile, run, job, model, state)
        job.clean()
        checkpoint_file(profile, run).unlink(missing_ok=True)


def _save_weights(profile, run, model):
    """Weights appear whole or not at all: a run that needs them looks whether they are there."""
    file = weights_file(profile, run)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".part{os.getpid()}")
    torch.save(model.state_dict(), part)
    os.replace(part, file)


def _write_record(profile, run, job, model, state):
    """Measures a trained model and writes its record; run.json last, since it makes a record."""
    device = devices.choose(run.config.precision)
    decoders = training.decoders_of(run.config)
    scores = job.task.validate(model, device, decoders)
    notes = job.task.notes(model, device) if hasattr(job.task, "notes") else {}
    arrays = job.arrays(model, device) if run.group in configs.TESTED else None
    where = folder(profile, run)
    where.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "predictions.npz"):
        (where / name).unlink(missing_ok=True)
    _write_csv(where / "history.csv", state.history)
    if arrays is not None:
        np.savez_compressed(where / "predictions.npz", **arrays)
        note_look(profile, run.id, arrays)
    record = {
        "run": run.id,
        "name": run.name,
        "seed": run.seed,
        "group": run.group,
        "fold": _fold(run),
        "config": dataclasses.asdict(run.config),
        "data": job.describe(),
        "recipe": training.RECIPES[run.config.model],
        "versions": _versions(),
        "source": source_hash(),
        "commit": commit(),
        "device": device.kind,
        "threads": torch.get_num_threads(),
        "seconds": round(state.seconds, 1),
        "samples_per_second": round(job.task.samples * run.config.epochs / state.seconds, 1),
        "peak_memory_mib": round(device.peak_memory()),
        "parameters": work.parameters(model),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "validation": scores,
        **({"notes": notes} if notes else {}),
    }
    _write(where / "run.json", json.dumps(record, indent=1) + "\n")


# --- many runs --------------------------------------------------------------------------------


def missing(profile, selected=None):
    """The runs that have to be trained, with the reason: a list of (run, reason)."""
    known, found = {}, []
    for run in profile.runs if selected is None else selected:
        kind = needed(profile, run)
        if kind not in known:
            known[kind] = fingerprint_here(profile, run)
        reason = why_not_recorded(profile, run, known[kind])
        if reason:
            found.append((run, reason))
    return found


def without_weights(profile, todo):
    """Recorded detectors whose weights trackers need that are to be trained: a list of runs."""
    ids = {run.id for run in todo}
    inside = {profile.inside(run).id: profile.inside(run) for run in todo if run.detector}
    return [
        run
        for id, run in inside.items()
        if id not in ids and not weights_file(profile, run).exists()
    ]


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


def _train_in_worker(profile, run, record):
    train(profile, run, _report, record=record)


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
    again = without_weights(profile, [run for run, _ in todo])
    for run in again:
        report(f"to train: {run.id} (recorded; a tracker needs its weights, which are not here)")
    # A tracker needs the weights of the detector inside, so detectors come first.
    detectors = [(run, False) for run in again]
    detectors += [(run, True) for run, _ in todo if not run.detector]
    _train_all(profile, detectors, report)
    _train_all(profile, [(run, True) for run, _ in todo if run.detector], report)


def _train_all(profile, todo, report):
    """Trains (run, whether to record it), several at once where the machine allows it."""
    jobs = min(profile.machine.jobs, len(todo))
    if jobs > 1:
        _train_in_workers(profile, todo, jobs, report)
        return
    devices.set_threads(profile.machine.threads)
    for run, record in todo:
        train(profile, run, report, record=record)


def _train_in_workers(profile, todo, jobs, report):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    printer = threading.Thread(target=_print_from, args=(queue, report), daemon=True)
    printer.start()
    start = (queue, profile.machine.threads, os.getpid())
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=start)
    try:
        futures = [pool.submit(_train_in_worker, profile, *one) for one in todo]
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
