"""Fits a detector's confidence on held-out faces, cropped as badly as users' faces are."""

import torch

from study import confidence, metrics, training
from study.datasets import augment

WITHIN = 0.05  # of the distance of the outer eye corners: an error that a viewer notices
VIEWS = 4  # of each held-out face: more of them add little, since the faces are the same
# Crops stray from the annotated box as a face detector's do: see `faces.PLACEMENT`.
STRAY = augment.Augmentation(
    **{"rotation": 0.0, "scale": 0.15, "shift": 0.1, "mirror": 0.0, "brightness": 0.0},
    **{"contrast": 0.0, "color": 0.0, "gray": 0.0, "occlusion": 0.0},
)


@torch.inference_mode()
def observe(detector, faces, config, device, seed=0, batch=64):
    """Peaks and errors of a detector on stray crops of faces.

    Args:
        detector: a Detector1D in evaluation mode, on the device.
        faces: `training.Faces` that it has not been trained on, B of them, with eye corners.
        config: its `TrainingConfig`.
        device: a `study.device.Device`.
        seed: of the crops.

    Returns:
        (VIEWS * B, N, 2) peaks as `confidence.peaks` gives them, and (VIEWS * B, N) errors as
        fractions of the distance of the outer eye corners.
    """
    generator = torch.Generator().manual_seed(seed)
    seen, errors = [], []
    for rows in torch.arange(len(faces)).repeat(VIEWS).split(batch):
        images, truth = augment.augment(
            faces.pictures[rows],
            faces.points[rows],
            size=config.size,
            share=faces.share,
            order=faces.order,
            settings=STRAY,
            generator=generator,
        )
        output = detector(device.move(images))
        points = training.decode(output, config, config.decoder).double().cpu()
        seen.append(confidence.peaks(*output).cpu())
        errors.append(metrics.point_errors(points, truth) / metrics.interocular(truth)[:, None])
    return torch.cat(seen), torch.cat(errors)


def calibrate(detector, faces, config, device):
    """The `confidence.Calibration` of a detector, from held-out faces.

    Args:
        detector, faces, config, device: as for `observe`.
    """
    seen, errors = observe(detector, faces, config, device)
    return confidence.fit(seen, errors <= WITHIN, WITHIN)
