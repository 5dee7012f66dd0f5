"""How fast training is, and how much of that the loop around the step costs."""

import itertools
import time

import torch

from study import device as devices
from study import material, training


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


def train(profile, seconds=20.0, rounds=4):
    """Times the flagship's training loop against its bare step, in turn, on this machine.

    Args:
        profile: a `config.Profile` whose crops have been made.
        seconds: of each of the two measurements.
        rounds: slices that the two measurements alternate in, so that other load hits both.

    Returns:
        a text: samples/s of the loop (drawing, augmenting, step), of the step on one fixed
        batch, their ratio, and what was measured.

    Raises:
        material.RunError: no crops here.
    """
    crops = material.require_crops(profile)
    config = profile.run(f"{profile.flagship}-s0").config
    faces = material.faces_of(profile, crops, material.split(profile, crops)[0])
    device = devices.choose(config.precision)
    torch.manual_seed(0)
    model = device.place(training.build_model(config, crops.points.shape[1])).train()
    optimizer = training.make_optimizer(model, config)
    stream = _endless(faces, config)
    fixed = next(stream)

    def loop():
        training.train_step(model, optimizer, *next(stream), config, device)

    def bare():
        training.train_step(model, optimizer, *fixed, config, device)

    pairs = [
        (_rate(loop, config.batch, seconds / rounds), _rate(bare, config.batch, seconds / rounds))
        for _ in range(rounds)
    ]
    ratio = sorted(a / b for a, b in pairs)[len(pairs) // 2]
    whole, step = max(a for a, _ in pairs), max(b for _, b in pairs)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    return (
        f"{profile.flagship}: {parameters:.2f} M parameters, F={config.size}, L={config.length}, "
        f"batch {config.batch}, {device.kind}, {torch.get_num_threads()} threads\n"
        f"whole loop      {whole:7.1f} samples/s (best of {rounds})\n"
        f"fixed batch     {step:7.1f} samples/s (best of {rounds})\n"
        f"loop / fixed    {ratio:7.3f} (median of {rounds} pairs)"
    )
