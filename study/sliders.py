"""Sliders of the notebooks, each above the figure that it changes.

Where nothing shows a slider, in a run without a browser, the figure at the first values is there.
"""

import base64

import ipywidgets

from study import figures, heatmaps
from study.figures import adjustable

DPI = 110  # of a figure that is drawn again at every move
PNG = "image/png"


class Explorer(ipywidgets.VBox):
    """Controls, and below them the figure that a function draws at their values.

    Args:
        draw: function of the controls' values by name -> a figure, an Axes or an array of Axes.
        controls: name -> a widget with a value.
    """

    def __init__(self, draw, **controls):
        self._draw = draw
        self.controls = controls
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        for control in controls.values():
            control.observe(self._redraw, names="value")
        super().__init__([*controls.values(), self.picture])
        self._redraw()

    def set(self, **values):
        """Sets some of the controls by name, as a hand on them would."""
        for name, value in values.items():
            self.controls[name].value = value

    def _redraw(self, change=None):
        drawn = self._draw(**{name: control.value for name, control in self.controls.items()})
        self.picture.value = figures.png(drawn, DPI)

    def _repr_mimebundle_(self, **options):
        """The sliders for who can show them, and the figure for who cannot."""
        bundle = super()._repr_mimebundle_(**options)
        return {**(bundle or {}), PNG: base64.b64encode(self.picture.value).decode("ascii")}


def _whole(description, low, high, value=None):
    value = low if value is None else value
    return ipywidgets.IntSlider(value, low, high, description=description)


def _real(description, low, high, step, value):
    return ipywidgets.FloatSlider(value, min=low, max=high, step=step, description=description)


def _one_of(description, options, value):
    options, style = list(options), {"description_width": "initial"}
    return ipywidgets.Dropdown(options=options, value=value, description=description, style=style)


def _among(description, options, value):
    return ipywidgets.SelectionSlider(options=list(options), value=value, description=description)


def _landmark(names, shown):
    """A choice of landmarks by name; its value is the number."""
    numbered = [(f"{n}: {name}", n) for n, name in enumerate(names)]
    return _one_of("landmark", numbered, shown)


def _lengths(size):
    """L from a quarter of F to three times F."""
    return sorted({size * n // 8 for n in (2, 3, 4, 6, 8, 10, 12, 16, 20, 24)})


def rounding(images, points, size, names, shown=39):
    """L, rule and landmark: what rounding leaves of a landmark of a face (Eq. 3-5).

    Args:
        images: (B, 3, F, F) floats in [0, 1].
        points: (B, N, 2) px of the crop.
        size: F, px.
        names: N names.
        shown: the landmark that is shown first, at an eye.
    """

    def draw(face, landmark, length, rule):
        point = points[face, landmark]
        return adjustable.rounding(images[face], point, size, length, rule)

    return Explorer(
        draw,
        face=_whole("face", 0, len(images) - 1),
        landmark=_landmark(names, shown),
        length=_among("L", _lengths(size), size // 2),
        rule=_one_of("rule", [(text, rule) for rule, text in adjustable.RULE.items()], "floor"),
    )


def target(point, size):
    """L and σ: the target heatmaps of a landmark bin by bin (Eq. 12).

    Args:
        point: (2,) px of the crop.
        size: F, px.
    """

    def draw(length, sigma):
        return adjustable.target(point, size, length, sigma)

    lengths = _among("L", _lengths(size), size // 2)
    return Explorer(draw, length=lengths, sigma=_real("σ, bins", 0.25, 12, 0.25, 1.5))


def reading(images, points, h_x, h_y, names, sigma=None, shown=30):
    """Face, landmark and decoder: a face between two heatmaps, and what is read (Eq. 7).

    Args:
        images: (B, 3, F, F) floats in [0, 1].
        points: (B, N, 2) the true places, px of the crop.
        h_x, h_y: (B, N, L).
        names: N names.
        sigma: of the targets, in bins; None where it is unknown.
        shown: the landmark that is shown first.
    """
    size = images.shape[-1]

    def draw(face, landmark, decoder):
        pair = h_x[face, landmark], h_y[face, landmark]
        found = heatmaps.decode_marginals(*(h[None] for h in pair), size, decoder, sigma)[0]
        return adjustable.marginals(images[face], pair, points[face, landmark], found)

    return Explorer(
        draw,
        face=_whole("face", 0, len(images) - 1),
        landmark=_landmark(names, shown),
        decoder=_one_of("decoder", heatmaps.DECODERS, "argmax"),
    )


def coattention(seen, names, shown=8):
    """Face, landmark and γ: heatmaps with and without the other axis, and what is looked at.

    Args:
        seen: `results.Weighed`; the first of its weights is 0.
        names: N names.
        shown: the landmark that is shown first.
    """
    size = seen.images.shape[-1]

    def draw(face, landmark, gamma):
        image, point = seen.images[face], seen.points[face, landmark]
        pairs = [
            (seen.h_x[n, face, landmark], seen.h_y[n, face, landmark])
            for n in (0, seen.gammas.index(gamma))
        ]
        found = heatmaps.decode_marginals(*(h[None] for h in pairs[1]), size)[0]
        axes = adjustable.framed(2)
        adjustable.marginals(image, pairs[1], point, found, pairs[0], axes[:, :2])
        weights = seen.w_xy[face].mean(0), seen.w_yx[face].mean(0)  # over channels
        adjustable.attended(image, point, *weights, axes[:, 2:])
        return axes

    nearest = min(seen.gammas, key=lambda gamma: abs(gamma - seen.gamma))
    return Explorer(
        draw,
        face=_whole("face", 0, len(seen.images) - 1),
        landmark=_landmark(names, shown),
        gamma=_among("γ", seen.gammas, nearest),
    )


def past():
    """λ, and the speed of what moves: how past frames weigh (Eq. 13)."""
    return Explorer(
        adjustable.past,
        lam=_real("λ", 0.0, 1.0, 0.05, 0.3),
        speed=_real("bins a frame", 0.0, 4.0, 0.5, 2.0),
    )
