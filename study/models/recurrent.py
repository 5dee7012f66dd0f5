"""RED-Net's recurrence on the 2D heatmap detector: what the paper's tracker is compared with."""

import copy

import torch
from torch import nn
from torch.nn import functional

from study.models.detector import deconvolution_stride, require_crop
from study.models.hourglass import conv
from study.models.tracker import forget


def _zero(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class MotionMemory(nn.Module):
    """RED-Net's bottleneck: what stays of a face, what moves, and a memory of the latter.

    1x1 convolutions split the features into an identity and a motion half; an LSTM runs over the
    pooled motion half, and what it remembers is added at every place; both halves are fused.

    Args:
        channels: C, of the bottleneck.
        hidden: size of the LSTM's memory.

    Differs from RED-Net: the fused halves are added to the features instead of replacing them,
    by a layer that starts at zero, so that a detector's weights stay of use.
    """

    def __init__(self, *, channels, hidden):
        super().__init__()
        half = channels // 2
        self.identity = conv(channels, half, 1, bias=True)
        self.motion = conv(channels, half, 1, bias=True)
        self.lstm = nn.LSTMCell(half, hidden)
        self.recall = nn.Linear(hidden, half)
        self.fuse = _zero(conv(2 * half, channels, 1, bias=True))

    def forward(self, x, memory=None):
        """(B, C, H, W), memory (h, c), each (B, hidden), or None -> the same shapes."""
        motion = self.motion(x)
        memory = self.lstm(motion.mean(dim=(-2, -1)), memory)
        motion = motion + self.recall(memory[0])[..., None, None]
        return x + self.fuse(torch.cat([self.identity(x), motion], dim=1)), memory


class Tracker2D(nn.Module):
    """RED-Net's temporal recurrence on a 2D heatmap detector (Peng et al. 2016), at its smallest.

    The heatmaps of the frame before are fed back to the stem's output, and the bottleneck of the
    last hourglass has a `MotionMemory`. All of it is trained, from the detector's weights.

    Args:
        detector: a `Detector2D`, already trained. The tracker trains a copy of it.
        hidden: size of the LSTM's memory.

    State: (h, c, heatmaps): the LSTM's, each (B, hidden), and the frame's heatmaps
    (B, N, F/4, F/4), averaged to the stem's size. It is handed in and back and never written
    into; None is no past, as zeros are.

    A fresh tracker equals its detector: the feedback and the memory's last layer start at zero.
    Batch norms keep the detector's statistics, in training too: the frames of a few clips are
    much alike, and the first of them has no feedback.

    Differs from RED-Net: FAN's hourglass for its VGG encoder and decoder; heatmaps for its label
    maps; one pass a frame, without its spatial recurrence from coarse to fine; no classifier of
    persons on the identity half, since most of our videos show a person once; no gradient through
    the heatmaps that are fed back, as in its authors' PyTorch code.
    """

    def __init__(self, detector, *, hidden=256):
        super().__init__()
        self.detector, self.hidden = copy.deepcopy(detector), hidden
        channels = detector.backbone.channels
        self.feedback = _zero(conv(detector.landmarks, channels, 1, bias=True))
        self.memory = MotionMemory(channels=channels, hidden=hidden)
        self.train()

    def train(self, mode=True):
        """Training mode for all but the batch norms, which keep their statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def _require_state(self, state, faces):
        side = self.detector.size // 4
        memory, maps = (faces, self.hidden), (faces, self.detector.landmarks, side, side)
        shapes = [tuple(part.shape) for part in state]
        if shapes != [memory, memory, maps]:
            raise ValueError(
                f"the state is {shapes}; this tracker and batch need {[memory, memory, maps]}"
            )

    def step(self, images, state=None):
        """One frame; the state carries gradients to the past ones, through the LSTM alone.

        Args:
            images: (B, 3, F, F).
            state: of the frame before, or None.

        Returns:
            h, (B, N, L, L), rows along y and columns along x, and the state of this frame.

        Raises:
            ValueError: images or state that do not belong to this tracker, or to each other.
        """
        require_crop(images, self.detector.size)
        backbone = self.detector.backbone
        x, memory = backbone.stem(images), None  # (B, C, F/4, F/4)
        if state is not None:
            self._require_state(state, len(images))
            x, memory = x + self.feedback(state[2]), state[:2]
        last = backbone.stacks[-1]
        low, inputs = last.hourglass.encode(backbone.before_last(x))
        low, memory = self.memory(low, memory)
        h = self.detector.head(last.finish(last.hourglass.decode(low, inputs)))
        return h, (*memory, self._coarse(h))

    def _coarse(self, h):
        """(B, N, L, L) -> (B, N, F/4, F/4), a mean over M x M bins, without gradient."""
        stride = deconvolution_stride(self.detector.size, self.detector.length)
        return functional.avg_pool2d(h.detach(), stride)

    def reset(self, state, lost):
        """The state without the past of the faces where `lost` (B,) is true; see `forget`."""
        return forget(state, lost)

    def forward(self, images):
        """Clips (B, T, 3, F, F) -> heatmaps (B, T, N, L, L); the first frame has no past."""
        state, outputs = None, []
        for frame in images.unbind(dim=1):
            h, state = self.step(frame, state)
            outputs.append(h)
        return torch.stack(outputs, dim=1)
