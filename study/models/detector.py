"""The paper's detector (Fig. 2a) and the 2D heatmap detector that it is compared with."""

from torch import nn

from study.models import coattention
from study.models.hourglass import Backbone, deepest


def deconvolution_stride(size, length):
    """M, kernel and stride of the last deconvolution: L = M * F/4.

    Raises:
        ValueError: L is no multiple of F/4.
    """
    stride, rest = divmod(length, size // 4)
    if rest or stride < 1:
        raise ValueError(f"length {length} is no multiple of F/4 = {size // 4} (F = {size})")
    return stride


def means(length, head_length):
    """How many of a head's bins are averaged to one of L; 1 where the head gives L itself.

    Raises:
        ValueError: the head's bins are no multiple of L.
    """
    pool, rest = divmod(head_length or length, length)
    if rest or pool < 1:
        raise ValueError(f"head_length {head_length} is no multiple of length {length}")
    return pool


def halvings(rest, columns):
    """How often CNN1 halves one axis of F/4 positions until only the columns are left.

    Raises:
        ValueError: no number of halvings, one at least, gives that many columns.
    """
    steps, side = 0, rest
    while side > max(columns, 1):
        steps, side = steps + 1, (side + 1) // 2
    if side != columns or not steps:
        raise ValueError(f"cannot halve {rest} positions to {columns} columns")
    return steps


def require_crop(images, size):
    """Raises a ValueError where images are not the F x F px that a detector was built for."""
    height, width = images.shape[-2:]
    if (height, width) != (size, size):
        raise ValueError(f"images are {height} x {width} px; this detector takes {size} x {size}")


def near_zero(layer):
    """Starts an output layer near zero, the value of almost every heatmap bin."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


def conv_norm_relu(inputs, outputs, stride=1):
    """A 3x3 convolution, batch norm and ReLU, the step of every head."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class AxisEncoder(nn.Module):
    """CNN1: compresses the axis that is not described, step by step, to a few columns.

    (B, C, positions, rest) -> (B, width, positions, columns), halving `rest` by strides; the
    axis that the heatmaps describe keeps its full length.
    """

    def __init__(self, *, channels, width, rest, columns):
        super().__init__()
        inputs = [channels] + [width] * (halvings(rest, columns) - 1)
        self.steps = nn.Sequential(*(conv_norm_relu(c, width, stride=(1, 2)) for c in inputs))

    def forward(self, x):
        return self.steps(x)


class AxisDecoder(nn.Module):
    """CNN2: what is left of the columns to the heatmaps of one axis, ending in a deconvolution.

    (B, width, positions, columns) -> (B, N, L), L = stride * positions / pool.
    """

    def __init__(self, *, width, hidden, columns, landmarks, stride, pool=1):
        super().__init__()
        self.pool = pool
        self.merge = nn.Sequential(
            nn.Conv2d(width, hidden, (3, columns), padding=(1, 0), bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
        )
        self.mix = nn.Sequential(
            nn.Conv1d(hidden, hidden, 3, padding=1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
        )
        self.deconvolve = near_zero(nn.ConvTranspose1d(hidden, landmarks, stride, stride))

    def forward(self, x):
        merged = self.merge(x).squeeze(-1)  # (B, hidden, positions)
        h = self.deconvolve(self.mix(merged))
        return nn.functional.avg_pool1d(h, self.pool) if self.pool > 1 else h


class Detector1D(nn.Module):
    """The paper's detector: marginal heatmaps along x and y, joined by co-attention (Eq. 6).

    Args:
        landmarks: N.
        size: F, side of the face crop, in px.
        length: L, bins along each axis; a multiple of F/4.
        gamma: weight of the attentive feature (Eq. 10); 0 is no co-attention.
        channels, stacks, depth: of the backbone; depth None is FAN's 4, or what F allows.
        width: channels of D^x and D^y, the output of CNN1.
        columns: compressed size that CNN1 leaves of the other axis.
        hidden: channels of CNN2.
        fusion: how the axes are joined, a kind of `coattention.fusion`.
        head_length: bins that the deconvolution gives, a multiple of L, whose means are the L
            bins: a head of one capacity at every L. 0 is L itself.

    (B, 3, F, F) -> h_x, h_y, each (B, N, L).
    """

    def __init__(
        self,
        *,
        landmarks,
        size,
        length,
        gamma,
        channels,
        stacks,
        depth=None,
        width=64,
        columns=4,
        hidden=128,
        fusion="positions",
        head_length=0,
    ):
        super().__init__()
        self.landmarks, self.size, self.length = landmarks, size, length
        depth = deepest(size) if depth is None else depth
        self.backbone = Backbone(channels=channels, stacks=stacks, depth=depth)
        encoder = dict(channels=channels, width=width, rest=size // 4, columns=columns)
        decoder = dict(
            width=width,
            hidden=hidden,
            columns=columns,
            landmarks=landmarks,
            stride=deconvolution_stride(size, head_length or length),
            pool=means(length, head_length),
        )
        self.cnn1_x, self.cnn1_y = AxisEncoder(**encoder), AxisEncoder(**encoder)
        at = dict(positions=size // 4, columns=columns, gamma=gamma)
        self.co_attention = coattention.fusion(fusion, **at)
        self.cnn2_x, self.cnn2_y = AxisDecoder(**decoder), AxisDecoder(**decoder)

    def distributions(self, images):
        """D^x (B, width, F/4, columns) and D^y (B, width, columns, F/4), before co-attention."""
        require_crop(images, self.size)
        features = self.backbone(images)  # (B, C, y, x)
        d_x = self.cnn1_x(features.transpose(-1, -2))  # (B, width, x, columns)
        d_y = self.cnn1_y(features).transpose(-1, -2)  # (B, width, columns, y)
        return d_x, d_y

    def forward(self, images):
        d_x, d_y = self.co_attention(*self.distributions(images))
        return self.cnn2_x(d_x), self.cnn2_y(d_y.transpose(-1, -2))


class Detector2D(nn.Module):
    """The 2D heatmap detector on the same backbone, with a head as deep and as wide.

    Args:
        landmarks, size, length, channels, stacks, depth: as in `Detector1D`.
        width, hidden: channels of the head's convolutions, in CNN1's and CNN2's places.
        columns: of the 1D head that this one is to be as deep as; CNN1 halves F/4 to it.

    (B, 3, F, F) -> h (B, N, L, L), rows along y and columns along x.

    Differs from FAN: the head has the 1D head's convolutions and ends in one deconvolution with
    kernel = stride = M, where FAN's is one 1x1 convolution at L = F/4.
    """

    def __init__(
        self,
        *,
        landmarks,
        size,
        length,
        channels,
        stacks,
        depth=None,
        width=64,
        columns=4,
        hidden=128,
    ):
        super().__init__()
        self.landmarks, self.size, self.length = landmarks, size, length
        stride = deconvolution_stride(size, length)
        inputs = [channels] + [width] * (halvings(size // 4, columns) - 1)
        depth = deepest(size) if depth is None else depth
        self.backbone = Backbone(channels=channels, stacks=stacks, depth=depth)
        self.head = nn.Sequential(
            *(conv_norm_relu(count, width) for count in inputs),
            conv_norm_relu(width, hidden),
            conv_norm_relu(hidden, hidden),
            near_zero(nn.ConvTranspose2d(hidden, landmarks, stride, stride)),
        )

    def forward(self, images):
        require_crop(images, self.size)
        return self.head(self.backbone(images))
