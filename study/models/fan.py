"""FAN as it is (Bulat and Tzimiropoulos 2017): hourglasses at the heatmaps' own size."""

from torch import nn

from study.models.detector import near_zero, require_crop
from study.models.hourglass import Backbone, conv, deepest

STEMS = (1, 2, 4)  # F/L that a stem can give


def shrinking(size, length):
    """px of the crop that a feature covers where hourglasses run at L x L: F/L.

    Raises:
        ValueError: no stem gives L x L: F/L is not 1, 2 or 4.
    """
    if length <= 0 or size / length not in STEMS:
        raise ValueError(f"length {length} is not F, F/2 or F/4 (F = {size})")
    return size // length


class FAN(nn.Module):
    """The 2D detector whose resolution grows with its hourglasses', not by deconvolution.

    It needs the memory that the paper's Table 1 runs out of; the study counts that (`study.memory`)
    and trains `Detector2D` instead, whose hourglasses stay at F/4.

    Args:
        landmarks, size, channels, stacks, depth: as in `Detector2D`.
        length: L: F/4, where this is FAN's own stem, F/2 or F.

    (B, 3, F, F) -> h (B, N, L, L), rows along y and columns along x.

    Differs from FAN: no heatmaps between the stacks, as in `Backbone`.

    Raises:
        ValueError: L is not F, F/2 or F/4.
    """

    def __init__(self, *, landmarks, size, length, channels, stacks, depth=None):
        super().__init__()
        self.landmarks, self.size, self.length = landmarks, size, length
        depth, shrink = deepest(size) if depth is None else depth, shrinking(size, length)
        self.backbone = Backbone(channels=channels, stacks=stacks, depth=depth, shrink=shrink)
        self.head = near_zero(conv(channels, landmarks, 1, bias=True))

    def forward(self, images):
        require_crop(images, self.size)
        return self.head(self.backbone(images))
