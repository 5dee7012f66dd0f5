"""Co-attention between the features of the x and the y axis (Section 4.1)."""

import torch
from torch import nn


def affinity(asking, matrix, answering):
    """Row-wise softmax of asking . matrix . answering / sqrt(d) (Eq. 9).

    Args:
        asking: (B, C, positions, d), features of the axis that asks.
        matrix: (d, d), P or Q.
        answering: (B, C, d, positions), features of the axis that answers.

    Returns:
        (B, C, positions, positions); each row sums to 1.
    """
    scores = asking @ matrix @ answering / matrix.shape[1] ** 0.5
    return scores.softmax(dim=-1)


def fuse(features, weights, other, gamma):
    """D' = D + gamma W D_other, the attentive feature added to an axis's own (Eq. 10).

    Args:
        features: (B, C, positions, d) of this axis.
        weights: (B, C, positions, positions) from `affinity`.
        other: (B, C, positions, d) of the other axis.
        gamma: weight of the attentive feature.

    Returns:
        (B, C, positions, d).
    """
    return features + gamma * (weights @ other)


def _drawn(side):
    """A square matrix of weights as it starts out: (side, side)."""
    return nn.init.xavier_uniform_(nn.Parameter(torch.empty(side, side)))


class CoAttention(nn.Module):
    """Shares distributional features between the two axes (Eq. 9, 10).

    Args:
        columns: d, the compressed size of the features; P and Q are (d, d), shared by channels.
        gamma: weight of the attentive feature. At 0 the inputs are returned as they are; P and Q
            are drawn all the same, so that the same seed gives the same network otherwise.

    d_x (B, C, positions, columns), d_y (B, C, columns, positions) -> the same shapes. A position
    is a place along the axis that the feature describes, a column what is left of the other axis;
    so the affinity matrices compare positions along x with positions along y.
    """

    def __init__(self, columns, gamma):
        super().__init__()
        self.gamma = gamma
        self.p, self.q = _drawn(columns), _drawn(columns)

    def affinities(self, d_x, d_y):
        """W^xy (rows along y) and W^yx (rows along x), each (B, C, positions, positions)."""
        w_xy = affinity(d_y.transpose(-1, -2), self.p, d_x.transpose(-1, -2))
        w_yx = affinity(d_x, self.q, d_y)
        return w_xy, w_yx

    def forward(self, d_x, d_y):
        if d_x.shape != d_y.transpose(-1, -2).shape:
            raise ValueError(f"d_x is {tuple(d_x.shape)}, d_y is {tuple(d_y.shape)}")
        if self.gamma == 0:
            return d_x, d_y
        w_xy, w_yx = self.affinities(d_x, d_y)
        rows_y = d_y.transpose(-1, -2)  # (B, C, positions, columns)
        fused_x = fuse(d_x, w_yx, rows_y, self.gamma)
        fused_y = fuse(rows_y, w_xy, d_x, self.gamma)
        return fused_x, fused_y.transpose(-1, -2)


class RowCoAttention(nn.Module):
    """The other reading of Eq. 9: what is left of the compressed axis asks, not the positions.

    The affinity matrices are columns x columns, so each says which of the other axis's compressed
    rows a compressed row takes up; P and Q are (positions, positions).

    Args:
        positions: d, along the axis that a feature describes, F/4.
        gamma: as in `CoAttention`.

    d_x (B, C, positions, columns), d_y (B, C, columns, positions) -> the same shapes.
    """

    def __init__(self, positions, gamma):
        super().__init__()
        self.inner = CoAttention(positions, gamma)

    def affinities(self, d_x, d_y):
        """W^xy and W^yx, each (B, C, columns, columns)."""
        return self.inner.affinities(d_x.transpose(-1, -2), d_y.transpose(-1, -2))

    def forward(self, d_x, d_y):
        fused = self.inner(d_x.transpose(-1, -2), d_y.transpose(-1, -2))
        return tuple(d.transpose(-1, -2) for d in fused)


class PooledFusion(nn.Module):
    """Eq. 10 without attention, the control: every position gets the mean of the other axis.

    D' = D + gamma mean(D_other) P: what Eq. 10 would add if every affinity were alike, through
    matrices of the same size, so with as many parameters as `CoAttention`.

    Args:
        columns, gamma: as in `CoAttention`.

    d_x (B, C, positions, columns), d_y (B, C, columns, positions) -> the same shapes.
    """

    def __init__(self, columns, gamma):
        super().__init__()
        self.gamma = gamma
        self.p, self.q = _drawn(columns), _drawn(columns)

    def forward(self, d_x, d_y):
        rows_y = d_y.transpose(-1, -2)  # (B, C, positions, columns)
        fused_x = d_x + self.gamma * (rows_y.mean(-2, keepdim=True) @ self.q)
        fused_y = rows_y + self.gamma * (d_x.mean(-2, keepdim=True) @ self.p)
        return fused_x, fused_y.transpose(-1, -2)


FUSIONS = ("positions", "rows", "pooled")


def fusion(kind, *, positions, columns, gamma):
    """The module of a kind: "positions" is `CoAttention`, "rows" its other reading, "pooled" none.

    Raises:
        ValueError: there is no such kind.
    """
    if kind == "positions":
        return CoAttention(columns, gamma)
    if kind == "rows":
        return RowCoAttention(positions, gamma)
    if kind == "pooled":
        return PooledFusion(columns, gamma)
    raise ValueError(f"fusion {kind!r} is unknown; there are {', '.join(FUSIONS)}")
