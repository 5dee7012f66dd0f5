"""FAN's stacked hourglass backbone (Bulat and Tzimiropoulos 2017, after Newell et al. 2016)."""

import torch
from torch import nn
from torch.nn import functional


def conv(inputs, outputs, kernel, stride=1, bias=False):
    """A convolution that keeps the size of its input up to its stride."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)


def in_full(layer, x):
    """A layer's output in the precision of its weights, under autocast too: (B, ...)."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.weight.dtype))


def norm_relu_conv(inputs, outputs, kernel=3):
    """Batch norm, ReLU, convolution: the pre-activation order of FAN's block."""
    return nn.Sequential(
        nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), conv(inputs, outputs, kernel)
    )


class Block(nn.Module):
    """FAN's hierarchical residual block: three 3x3 convolutions, concatenated, plus a skip.

    (B, inputs, H, W) -> (B, outputs, H, W); outputs divisible by 4.
    """

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = norm_relu_conv(inputs, outputs // 2)
        self.conv2 = norm_relu_conv(outputs // 2, outputs // 4)
        self.conv3 = norm_relu_conv(outputs // 4, outputs // 4)
        same = inputs == outputs
        self.skip = nn.Identity() if same else norm_relu_conv(inputs, outputs, kernel=1)

    def forward(self, x):
        half = self.conv1(x)
        quarter = self.conv2(half)
        last = self.conv3(quarter)
        return torch.cat([half, quarter, last], dim=1) + self.skip(x)


class Hourglass(nn.Module):
    """One hourglass: `depth` halvings and as many doublings, a skip branch at each scale.

    (B, channels, H, W) -> the same shape; H and W divisible by 2 ** depth.
    """

    def __init__(self, channels, depth):
        super().__init__()
        self.skip = Block(channels, channels)
        self.down = Block(channels, channels)
        inner = Hourglass(channels, depth - 1) if depth > 1 else Block(channels, channels)
        self.inner = inner
        self.up = Block(channels, channels)

    def encode(self, x):
        """The lowest features and the inputs of all scales, finest first."""
        low = self.down(functional.max_pool2d(x, 2))
        if isinstance(self.inner, Hourglass):
            low, inputs = self.inner.encode(low)
        else:
            low, inputs = self.inner(low), []
        return low, [x, *inputs]

    def decode(self, low, inputs):
        """From what `encode` returns to the output (B, channels, H, W)."""
        x, *rest = inputs
        if rest:
            low = self.inner.decode(low, rest)
        low = self.up(low)
        return self.skip(x) + functional.interpolate(low, scale_factor=2, mode="nearest")

    def forward(self, x):
        return self.decode(*self.encode(x))


class Stack(nn.Module):
    """An hourglass and the block and 1x1 convolution that FAN puts after it."""

    def __init__(self, channels, depth):
        super().__init__()
        self.hourglass = Hourglass(channels, depth)
        self.block = Block(channels, channels)
        self.end = nn.Sequential(
            conv(channels, channels, 1, bias=True), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )

    def finish(self, x):
        """The hourglass's output to the stack's."""
        return self.end(self.block(x))

    def forward(self, x):
        return self.finish(self.hourglass(x))


def deepest(size):
    """The most halvings, FAN's 4 at most, that a face crop of F px allows after the stem's two."""
    return max((depth for depth in range(1, 5) if size % (4 * 2**depth) == 0), default=1)


def require_size(height, width, depth, shrink=4):
    """Raises a ValueError where images cannot be halved `depth` times after the stem."""
    multiple = shrink * 2**depth
    if height != width or width % multiple:
        raise ValueError(
            f"images are {height} x {width} px; this backbone takes squares whose side is a "
            f"multiple of {multiple} px"
        )


class Backbone(nn.Module):
    """Face crops to features at a quarter of their size: the F of the paper's Section 4.1.

    Args:
        channels: C, width of the hourglasses (FAN: 256).
        stacks: how many hourglasses (FAN: 4).
        depth: halvings inside each (FAN: 4).
        shrink: px of the crop that a feature covers, 4, 2 or 1. 4 is FAN's stem; 2 leaves out its
            pooling, 1 the stride of its convolution too.

    (B, 3, F, F) -> (B, C, F/shrink, F/shrink), F divisible by shrink * 2 ** depth.

    Differs from FAN: no heatmaps between the stacks (the paper's heads sit on the last stack, and
    it names no intermediate supervision), so a stack hands on its features alone. The stem's
    width is at least 32, which matters for narrow backbones only.
    """

    def __init__(self, *, channels, stacks, depth, shrink=4):
        super().__init__()
        if shrink not in (1, 2, 4):
            raise ValueError(f"shrink is {shrink}; a stem shrinks its images by 1, 2 or 4")
        first, second = max(channels // 4, 32), max(channels // 2, 32)
        self.channels, self.depth, self.shrink = channels, depth, shrink
        self.stem = nn.Sequential(
            conv(3, first, 7, stride=min(shrink, 2), bias=True),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
            Block(first, second),
            nn.MaxPool2d(2) if shrink == 4 else nn.Identity(),
            Block(second, second),
            Block(second, channels),
        )
        self.stacks = nn.ModuleList(Stack(channels, depth) for _ in range(stacks))
        self.merges = nn.ModuleList(conv(channels, channels, 1) for _ in range(stacks - 1))

    def before_last(self, x):
        """The stem's output to the input of the last stack, each (B, C, F/shrink, F/shrink)."""
        for stack, merge in zip(self.stacks, self.merges, strict=False):
            x = x + merge(stack(x))
        return x

    def forward(self, images):
        require_size(*images.shape[-2:], self.depth, self.shrink)
        x = self.stem(images)  # (B, C, F/shrink, F/shrink)
        return self.stacks[-1](self.before_last(x))
