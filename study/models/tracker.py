"""The paper's tracker (Fig. 2b): a detector whose heatmaps are refined by those of past frames."""

import copy

import torch
from torch import nn


def recur(u, v, lam):
    """V_t = U_t + lambda V_(t-1), which is the sum over all past frames, one at a time (Eq. 13).

    Args:
        u: U_t, features of the current frame, of any shape.
        v: V_(t-1) of the same shape, or None at the first frame.
        lam: lambda, what a frame is worth to the next, in [0, 1].

    Returns:
        V_t, at least float32: under autocast a long sum would lose what is small in it.
    """
    u = u.to(torch.promote_types(u.dtype, torch.float32))
    return u if v is None else u + lam * v


def accumulate(u, lam, v=None):
    """All V_t of clips by the recursion (Eq. 13).

    Args:
        u: (B, T, ...) features U_t.
        lam: lambda.
        v: (B, ...), the V before the first frame, or None without past.

    Returns:
        (B, T, ...).
    """
    sums = []
    for frame in u.unbind(dim=1):
        v = recur(frame, v, lam)
        sums.append(v)
    return torch.stack(sums, dim=1)


def forget(state, lost, none=0.0):
    """A tracker's state without the past of some faces.

    Args:
        state: tuple of tensors (B, ...), or None; not written into.
        lost: (B,) bool, true where a face was lost or the scene cut.
        none: what the state of a face without past is filled with.

    Returns:
        the state, with that in the rows of lost faces; None for None.

    Raises:
        ValueError: `lost` is no (B,) of booleans.
    """
    if state is None:
        return None
    faces = state[0].shape[:1]
    if lost.shape != faces or lost.dtype != torch.bool:
        raise ValueError(
            f"lost is {tuple(lost.shape)} {lost.dtype}; the state's faces take {tuple(faces)} bools"
        )
    # Chosen and not multiplied: a face may have been lost because its features are not finite.
    return tuple(
        torch.where(lost.reshape(-1, *[1] * (part.dim() - 1)), torch.full_like(part, none), part)
        for part in state
    )


def coarse_stride(length, positions):
    """M, bins a position of CNN3's features covers: L = M * P.

    Raises:
        ValueError: L is no multiple of P.
    """
    stride, rest = divmod(length, positions) if positions >= 1 else (0, 1)
    if rest or stride < 1:
        raise ValueError(f"length {length} is no multiple of {positions} positions")
    return stride


def _for_relu(layer):
    """He's initialisation, which alone keeps the size of features where there are no norms."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def _mixing(hidden, kernel):
    """Mixes neighbouring positions of each landmark."""
    return _for_relu(nn.Conv2d(hidden, hidden, (1, kernel), padding=(0, kernel // 2)))


class HeatmapEncoder(nn.Module):
    """CNN3: the heatmaps of one axis, stacked as a matrix, to features at P positions.

    (B, N, L) -> (B, hidden, N, P), by the same weights for all landmarks. Its output is not
    rectified, so that frames can add and take away.
    """

    def __init__(self, *, hidden, kernel, stride):
        super().__init__()
        self.compress = _for_relu(nn.Conv2d(1, hidden, (1, stride), (1, stride)))
        self.mix = _mixing(hidden, kernel)

    def forward(self, x):
        return self.mix(self.compress(x.unsqueeze(1)).relu())


class RefinementDecoder(nn.Module):
    """CNN4: features with temporal patterns to refinements of the heatmaps of one axis.

    (B, hidden, N, P) -> (B, N, L), zero until it is trained; the same weights for all landmarks.
    """

    def __init__(self, *, hidden, kernel, stride):
        super().__init__()
        self.mix, self.mix_again = _mixing(hidden, kernel), _mixing(hidden, kernel)
        self.deconvolve = nn.ConvTranspose2d(hidden, 1, (1, stride), (1, stride))
        nn.init.zeros_(self.deconvolve.weight)
        nn.init.zeros_(self.deconvolve.bias)

    def forward(self, x):
        return self.deconvolve(self.mix_again(self.mix(x).relu()).relu()).squeeze(1)


class Tracker1D(nn.Module):
    """The paper's tracker: marginal heatmaps refined by temporal patterns (Eq. 8).

    h_t = E_t + CNN4(V_t), V_t = U_t + lambda V_(t-1), U_t = CNN3(E_t), on each axis for itself,
    where E_t are the heatmaps of a detector.

    Args:
        detector: a `Detector1D`, already trained. The tracker holds a frozen copy of it: without
            gradients, and in evaluation mode even while the tracker is in training.
        lam: lambda in [0, 1]; a plain attribute, so that a tracker trained with one value can be
            tested with another.
        hidden: channels of U and V.
        kernel: of the convolutions that mix neighbouring positions; odd.
        positions: P, places along an axis that U and V tell apart; L is a multiple of it. None is
            the F/4 of the detector's own features.

    State: (v_x, v_y), each (B, hidden, N, P). It is handed in and back and never written into;
    None is no past, as zeros are.

    Our choices, where the paper shows boxes only. CNN3 and CNN4 are two and three convolutions
    along an axis, whose weights all landmarks share: what a landmark's past says of its present
    is the same for each, so that every landmark of a clip teaches them. (With landmarks as
    channels they barely learnt.) The outer ones have kernel = stride = M = L/P, as the detector's
    last one has, so that they reach as far at every L. E_t is added at its full weight (Eq. 8),
    so a linear CNN4 could not average frames: on a still scene its gain would have to be zero. No
    norms: the height of a heatmap is the detector's confidence, so an unsure frame should add
    less to V, and a norm on U would undo that; one on V would undo lambda. As Eq. 13 has no
    normaliser either, V grows up to 1 / (1 - lambda) times U, and without bound for lambda = 1.
    The last layer of CNN4 starts at zero: a fresh tracker equals its detector.

    Raises:
        ValueError: lambda is outside [0, 1], the kernel is even, or P does not divide L.
    """

    def __init__(self, detector, *, lam, hidden=32, kernel=5, positions=None):
        super().__init__()
        if not 0 <= lam <= 1:
            raise ValueError(f"lambda is {lam}; it must be in [0, 1] (Eq. 13)")
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; an even one shifts what it mixes")
        self.lam, self.hidden = lam, hidden
        self.positions = detector.size // 4 if positions is None else positions
        shape = dict(
            hidden=hidden,
            kernel=kernel,
            stride=coarse_stride(detector.length, self.positions),
        )
        self.detector = copy.deepcopy(detector).requires_grad_(False).eval()
        self.cnn3_x, self.cnn3_y = HeatmapEncoder(**shape), HeatmapEncoder(**shape)
        self.cnn4_x, self.cnn4_y = RefinementDecoder(**shape), RefinementDecoder(**shape)

    def train(self, mode=True):
        """Training mode for all but the detector, whose batch norms keep their statistics."""
        super().train(mode)
        self.detector.eval()
        return self

    def _require_heatmaps(self, e_x, e_y, leading):
        maps = self.detector.landmarks, self.detector.length
        if e_x.shape != e_y.shape or e_x.shape[len(leading) :] != maps:
            wanted = ", ".join([*leading, *map(str, maps)])
            raise ValueError(
                f"e_x is {tuple(e_x.shape)}, e_y is {tuple(e_y.shape)}; wanted ({wanted}) each"
            )

    def _require_state(self, state, faces):
        wanted = (faces, self.hidden, self.detector.landmarks, self.positions)
        shapes = [tuple(v.shape) for v in state]
        if shapes != [wanted, wanted]:
            raise ValueError(f"the state is {shapes}; this tracker and batch need two of {wanted}")

    def refine(self, e_x, e_y, state=None):
        """One frame's heatmaps, refined by the past.

        Args:
            e_x, e_y: detected heatmaps, each (B, N, L).
            state: of the frame before, or None.

        Returns:
            (h_x, h_y), each (B, N, L), and the state of this frame.

        Raises:
            ValueError: shapes that do not belong to this tracker, or to one another.
        """
        self._require_heatmaps(e_x, e_y, "B")
        if state is None:
            state = None, None
        else:
            self._require_state(state, len(e_x))
        v_x = recur(self.cnn3_x(e_x), state[0], self.lam)
        v_y = recur(self.cnn3_y(e_y), state[1], self.lam)
        return (e_x + self.cnn4_x(v_x), e_y + self.cnn4_y(v_y)), (v_x, v_y)

    def step(self, images, state=None):
        """One frame of images (B, 3, F, F): the detector, then `refine`.

        The state carries gradients to the past frames; streams want `torch.inference_mode`.

        Returns:
            (h_x, h_y), each (B, N, L), and the state of this frame.
        """
        with torch.no_grad():
            e_x, e_y = self.detector(images)
        return self.refine(e_x, e_y, state)

    def reset(self, state, lost):
        """The state without the past of the faces where `lost` (B,) is true; see `forget`."""
        return forget(state, lost)

    def forward(self, e_x, e_y):
        """Heatmaps of clips, refined; the first frame has no past (Eq. 14 is on these).

        Args:
            e_x, e_y: detected heatmaps, each (B, T, N, L).

        Returns:
            h_x, h_y, each (B, T, N, L).

        Raises:
            ValueError: shapes that do not belong to this tracker, or to each other.
        """
        self._require_heatmaps(e_x, e_y, "BT")
        h_x = e_x + self._refinements(e_x, self.cnn3_x, self.cnn4_x)
        h_y = e_y + self._refinements(e_y, self.cnn3_y, self.cnn4_y)
        return h_x, h_y

    def _refinements(self, e, encode, decode):
        u = encode(e.flatten(0, 1)).unflatten(0, e.shape[:2])  # (B, T, hidden, N, P)
        v = accumulate(u, self.lam)
        return decode(v.flatten(0, 1)).unflatten(0, e.shape[:2])  # (B, T, N, L)
