"""How fast training is, and how much of that the loop around the step costs."""

import itertools
import multiprocessing
import time

import torch

from study import config, device as devices, material, training


def _rate(step, batch, seconds):
    """Samples per second of a step called for about `seconds`, after three calls to warm up."""
    for _ in range(3):
        step()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        count += 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count * batch / (time.perf_counter() - start)


def _endless(faces, config):
    """Full augmented batches, epoch after epoch."""
    for epoch in itertools.count():
        for batch in training.batches(faces, config, training.epoch_generator(0, epoch)):
            if len(batch[0]) == config.batch:
                yield batch


def _steps(profile):
    """The flagship's configuration and parameters, its whole loop and its bare step."""
    crops = material.require_crops(profile)
    settings = profile.run(f"{profile.flagship}-s0").config
    faces = material.faces_of(profile, crops, material.split(profile, crops)[0])
    device = devices.choose(settings.precision)
    torch.manual_seed(0)
    model = device.place(training.build_model(settings, crops.points.shape[1])).train()
    optimizer = training.make_optimizer(model, settings)
    stream = _endless(faces, settings)
    fixed = next(stream)

    def loop():
        training.train_step(model, optimizer, *next(stream), settings, device)

    def bare():
        training.train_step(model, optimizer, *fixed, settings, device)

    return settings, sum(p.numel() for p in model.parameters()), loop, bare


def train(profile, seconds=20.0, rounds=4):
    """Times the flagship's training loop against its bare step, in turn, on this machine.

    Args:
        profile: a `config.Profile` whose crops have been made.
        seconds: of each of the measurements.
        rounds: slices that the first two alternate in, so that other load hits both.

    Returns:
        a text: samples/s of the loop (drawing, augmenting, step), of the step on one fixed
        batch, their ratio, of as many loops side by side as the profile trains at once, and what
        was measured.

    Raises:
        material.RunError: no crops here.
    """
    settings, parameters, loop, bare = _steps(profile)
    pairs = [
        (
            _rate(loop, settings.batch, seconds / rounds),
            _rate(bare, settings.batch, seconds / rounds),
        )
        for _ in range(rounds)
    ]
    ratio = sorted(a / b for a, b in pairs)[len(pairs) // 2]
    whole, step = max(a for a, _ in pairs), max(b for _, b in pairs)
    lines = [
        f"{profile.flagship}: {parameters / 1e6:.2f} M parameters, F={settings.size}, "
        f"L={settings.length}, batch {settings.batch}, {devices.choose().kind}, "
        f"{torch.get_num_threads()} threads",
        f"whole loop      {whole:7.1f} samples/s (best of {rounds})",
        f"fixed batch     {step:7.1f} samples/s (best of {rounds})",
        f"loop / fixed    {ratio:7.3f} (median of {rounds} pairs)",
    ]
    machine = profile.machine
    if machine.jobs > 1:
        together = sum(_side_by_side(profile, seconds))
        lines.append(
            f"side by side    {together:7.1f} samples/s (whole loop, {machine.jobs} processes of "
            f"{machine.threads} thread{'s'[: machine.threads > 1]}, as the profile trains)"
        )
    return "\n".join(lines)


def _side_by_side(profile, seconds):
    """Samples/s of each of the loops that run at once, one a process."""
    jobs = profile.machine.jobs
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(jobs)
    with context.Pool(jobs, _share, (ready,)) as pool:
        return pool.starmap(_alone, [(profile.name, seconds)] * jobs, chunksize=1)


def _share(ready):
    global _ready
    _ready = ready


def _alone(name, seconds):
    """One of the loops: it waits until all have been built, so that they run at once."""
    profile = config.load(name)
    devices.set_threads(profile.machine.threads)
    settings, _, loop, _ = _steps(profile)
    loop()
    _ready.wait()
    return _rate(loop, settings.batch, seconds)
