"""A trained run as one file of weights that says what it is: what `predict` and `track` read."""

import numpy as np

from study import calibration, config as configs, device as devices, material, weights, work
from study.datasets.crops import square


def pack(profile, run, path, half=False):
    """Writes the weights of a run, with how sure its detector is on held-out faces.

    That is its usual confidence, and the calibration of each landmark's.

    Args:
        profile: a `config.Profile` whose crops have been made.
        run: one of its runs of a 1D detector or tracker, trained on this machine.
        path: the file.
        half: as for `weights.save`.

    Returns:
        the `weights.Meta` that was written.

    Raises:
        material.RunError: a run of another model, or no weights or no crops of it here.
        weights.WeightsError: the file cannot be written.
    """
    if run.config.model not in weights.KINDS:
        known = " and ".join(weights.KINDS)
        raise material.RunError(f"{run.id} is a {run.config.model}; {known} can be packed")
    if run.data:
        raise material.RunError(f"{run.id} is of {run.data}; runs of stills are packed")
    model = work.load_model(profile, run)
    tracks = isinstance(run.config, configs.TrackerConfig)
    detector, inside = (model.detector, run.config.detector) if tracks else (model, run.config)
    crops = material.require_crops(profile, profile.cache_of(run))
    train, held, _ = material.split(profile, crops)
    held = material.faces_of(profile, crops, held)
    scheme, device = material.scheme_of(profile.data_of(run), crops), devices.choose()
    detector = device.place(detector)
    meta = weights.Meta(
        kind=run.config.model,
        config=inside,
        landmarks=crops.points.shape[1],
        scale=profile.crops.scale,
        oversample=profile.crops.oversample,
        confidence=weights.usual_confidence(detector, held, device),
        tracker={"lam": run.config.lam, "hidden": run.config.hidden} if tracks else {},
        calibration=_calibration(scheme, detector, held, inside, device),
        scheme=scheme.name,
        box="points" if _are_tight(crops) else "annotated",
        about={
            "run": f"{run.id} of profile {profile.name}",
            "data": _trained_on(profile, train, tracks),
        },
    )
    weights.save(path, model.to("cpu"), meta, half)
    return meta


def _calibration(scheme, detector, held, config, device):
    """As `calibration.calibrate` for the 68 points, whose eye corners errors are divided by."""
    if scheme.name != "ibug68":
        return None
    return calibration.calibrate(detector, held, config, device)


def _are_tight(crops):
    """Whether each crop is the square around the tight box of its visible landmarks."""
    side, context = crops.meta["resolution"], crops.meta["context"]
    low, high = np.nanmin(crops.points, axis=1), np.nanmax(crops.points, axis=1)  # (B, 2)
    squares = [square(box, context, side) for box in np.concatenate([low, high], axis=1)]
    return bool(np.allclose(squares, [1, 0, 0], rtol=0, atol=1e-3))


def _trained_on(profile, train, tracks):
    """In words: on which training faces (B,) bool of a profile, and for trackers which videos."""
    videos = ", ".join(data.label for data in profile.videos) if tracks else ""
    words = f"trained on {train.sum()} faces of {profile.data.label}"
    return f"{words} and on videos of {videos}" if videos else words
