"""The GAN tracker of Yin et al. (2019, IJCAI): coordinates, an LSTM and a discriminator."""

import copy

import torch
from torch import nn

from study.models.detector import require_crop
from study.models.hourglass import in_full
from study.models.tracker import forget

# What a discriminator's inputs are multiplied by, so that both are about 1: points lie within half
# a side of the crop from its centre, movements within some hundredths of a side.
SHAPE_SCALE, MOVEMENT_SCALE = 3.0, 50.0


class Discriminator(nn.Module):
    """Tells sequences of true landmarks from a tracker's, by shape and by movement.

    (B, T, N, 2), sides of the crop -> logits (B, T), high where frame t looks true after the
    frames before it. The first frame has no movement.

    Args:
        landmarks: N.
        hidden: size of the LSTM's memory, and of what shape and movement become before it.
    """

    def __init__(self, *, landmarks, hidden=128):
        super().__init__()
        self.shape = nn.Sequential(nn.Linear(2 * landmarks, hidden), nn.LeakyReLU(0.2))
        self.movement = nn.Sequential(nn.Linear(2 * landmarks, hidden), nn.LeakyReLU(0.2))
        self.lstm = nn.LSTM(2 * hidden, hidden, batch_first=True)
        self.judge = nn.Linear(hidden, 1)

    def forward(self, points):
        moved = torch.zeros_like(points)
        moved[:, 1:] = points[:, 1:] - points[:, :-1]
        shape = self.shape(SHAPE_SCALE * points.flatten(2))
        movement = self.movement(MOVEMENT_SCALE * moved.flatten(2))
        seen, _ = self.lstm(torch.cat([shape, movement], dim=-1))
        return self.judge(seen).squeeze(-1)


class GANTracker(nn.Module):
    """Coordinates of a detector, corrected by a memory of past frames: the generator.

    Args:
        detector: a `Coordinates`, already trained. The tracker holds a frozen copy of it: the
            convolutions of the generator.
        hidden: size of the LSTM's memory.

    State: (h, c), each (B, hidden). It is handed in and back and never written into; None is no
    past, as zeros are.

    The last layer starts at zero: a fresh tracker equals its detector. The discriminator is only
    of use in training.

    Differs from Yin et al., whose code is not public: the generator's convolutions are those of a
    detector trained before; clips of one batch share no memory, where theirs hands that of a
    slice to the next (when tracking, memory does last for the whole video).
    """

    def __init__(self, detector, *, hidden=256):
        super().__init__()
        self.detector = copy.deepcopy(detector).requires_grad_(False).eval()
        self.landmarks, self.hidden = detector.landmarks, hidden
        self.compress = nn.Sequential(
            nn.Linear(detector.regress.in_features + 2 * self.landmarks, hidden), nn.ReLU()
        )
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.correct = nn.Linear(hidden, 2 * self.landmarks)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        self.discriminator = Discriminator(landmarks=self.landmarks)

    def train(self, mode=True):
        """Training mode for all but the detector, whose batch norms keep their statistics."""
        super().train(mode)
        self.detector.eval()
        return self

    @torch.no_grad()
    def observe(self, images):
        """The detector's features (B, D) of single frames, and its points (B, N, 2) in sides."""
        require_crop(images, self.detector.size)
        features = self.detector.head(self.detector.backbone(images))
        points = in_full(self.detector.regress, features) / self.detector.positions
        return features, points.unflatten(-1, (self.landmarks, 2))

    def forward(self, features, points, state=None):
        """Clips of what `observe` gives: (B, T, D), (B, T, N, 2) -> (B, T, N, 2) and the state."""
        seen = self.compress(torch.cat([features, points.flatten(2)], dim=-1))
        past = None if state is None else tuple(part[None].contiguous() for part in state)
        seen, (h, c) = self.lstm(seen, past)
        moved = in_full(self.correct, seen).unflatten(-1, (self.landmarks, 2))
        return points + moved, (h[0], c[0])

    def step(self, images, state=None):
        """One frame of images (B, 3, F, F) -> points (B, N, 2) in sides, and the state."""
        features, points = self.observe(images)
        points, state = self(features[:, None], points[:, None], state)
        return points[:, 0], state

    def reset(self, state, lost):
        """The state without the past of the faces where `lost` (B,) is true; see `forget`."""
        return forget(state, lost)
