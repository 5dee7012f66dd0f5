"""A trained run as one file of weights that says what it is: what `predict` and `track` read."""

from study import config as configs
from study import device as devices
from study import material, weights, work


def pack(profile, run, path, half=False):
    """Writes the weights of a run, with how sure its detector is on held-out faces.

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
        raise material.RunError(f"{run.id} is of {run.data}; what is packed has 68 landmarks")
    model = work.load_model(profile, run)
    tracks = isinstance(run.config, configs.TrackerConfig)
    detector, inside = (model.detector, run.config.detector) if tracks else (model, run.config)
    crops = material.require_crops(profile, profile.cache_of(run))
    held = material.faces_of(profile, crops, material.split(profile, crops)[1])
    device = devices.choose()
    meta = weights.Meta(
        kind=run.config.model,
        config=inside,
        landmarks=crops.points.shape[1],
        scale=profile.crops.scale,
        oversample=profile.crops.oversample,
        confidence=weights.usual_confidence(device.place(detector), held, device),
        tracker={"lam": run.config.lam, "hidden": run.config.hidden} if tracks else {},
        about={"run": f"{run.id} of profile {profile.name}", "data": profile.data.label},
    )
    weights.save(path, model.to("cpu"), meta, half)
    return meta
