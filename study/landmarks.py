"""Landmark schemes: how many points, their mirror order, facial areas and normalisers.

A scheme is a fact about a markup, not about a dataset's files: the files' own quirks
(1-based coordinates, omitted points) are in `study.datasets`.
"""

from dataclasses import dataclass, field

DICT_KEYS = {"name", "points", "mirror", "areas", "normalizer"}


@dataclass(frozen=True)
class Scheme:
    """One landmark markup.

    Attributes:
        count: N, the number of landmarks.
        mirror: N indices; landmark n of a mirrored face is landmark mirror[n] of the original.
        areas: name of a facial area -> its landmark indices, 0-based.
        names: N names; left and right are those of the image.
        eye_corners: the two landmarks whose distance normalises the error: the outer eye corners,
            or whatever two a scheme of one's own names; None where there are none (AFLW, which
            divides by the face's size).
        name: what messages and files of weights call it.
    """

    count: int
    mirror: tuple
    areas: dict = field(hash=False)
    names: tuple
    eye_corners: tuple | None
    name: str = ""

    def __post_init__(self):
        if sorted(self.mirror) != list(range(self.count)):
            raise ValueError(f"mirror is no permutation of {self.count} landmarks")
        if len(self.names) != self.count:
            raise ValueError(f"{len(self.names)} names for {self.count} landmarks")
        if any(self.mirror[m] != n for n, m in enumerate(self.mirror)):
            raise ValueError("mirroring twice does not give the same landmarks")
        used = {n for index in (*self.areas.values(), self.eye_corners or ()) for n in index}
        if not used <= set(range(self.count)):
            raise ValueError(f"areas or normaliser name landmarks beyond {self.count}")

    def as_dict(self):
        """The scheme in plain lists and texts, as JSON keeps them; `from_dict` reads it back.

        Keys: name, points (N names), mirror (N indices), areas (name -> indices), and normalizer
        (two indices, or None).
        """
        return {
            "name": self.name,
            "points": list(self.names),
            "mirror": list(self.mirror),
            "areas": {area: list(index) for area, index in self.areas.items()},
            "normalizer": list(self.eye_corners) if self.eye_corners else None,
        }

    @classmethod
    def from_dict(cls, values):
        """The scheme that `as_dict` wrote.

        Raises:
            ValueError: keys that are missing or unknown, values of another kind, or a scheme that
                cannot be.
        """
        if not isinstance(values, dict) or set(values) != DICT_KEYS:
            raise ValueError(f"a scheme has {', '.join(sorted(DICT_KEYS))}; this is {values!r}")
        try:
            pair = values["normalizer"]
            areas = {str(area): tuple(index) for area, index in values["areas"].items()}
            return cls(
                count=len(values["points"]),
                mirror=tuple(values["mirror"]),
                areas=areas,
                names=tuple(values["points"]),
                eye_corners=None if pair is None else tuple(pair),
                name=values["name"],
            )
        except (TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not a scheme: {error}") from None


def _numbered(parts):
    return tuple(f"{part} {i + 1}" for part, count in parts for i in range(count))


def _span(first, last):
    return tuple(range(first, last + 1))


# 300W's and 300VW's 68 points (iBUG). Areas and mirror pairs: menpo, HRNet's facial landmark code.
IBUG68 = Scheme(
    count=68,
    mirror=(
        *range(16, -1, -1),  # contour, ear to ear
        *range(26, 16, -1),  # brows
        *(27, 28, 29, 30),  # nose bridge
        *(35, 34, 33, 32, 31),  # nose base
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
        *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
    ),
    areas={
        "eyes": _span(36, 47),
        "contour": _span(0, 16),
        "nose": _span(27, 35),
        "eyebrows": _span(17, 26),
        "mouth": _span(48, 67),
    },
    names=_numbered(
        [
            ("contour", 17),
            ("left eyebrow", 5),
            ("right eyebrow", 5),
            ("nose bridge", 4),
            ("nose base", 5),
            ("left eye", 6),
            ("right eye", 6),
            ("outer lip", 12),
            ("inner lip", 8),
        ]
    ),
    eye_corners=(36, 45),
    name="ibug68",
)

# AFLW's 21 points without the ears; order checked against the mean shape of its annotations.
AFLW19 = Scheme(
    count=19,
    mirror=(5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 14, 13, 12, 17, 16, 15, 18),
    areas={
        "eyes": _span(6, 11),
        "contour": (18,),
        "nose": (12, 13, 14),
        "eyebrows": _span(0, 5),
        "mouth": (15, 16, 17),
    },
    names=(
        *("left eyebrow, outer corner", "left eyebrow, centre", "left eyebrow, inner corner"),
        *("right eyebrow, inner corner", "right eyebrow, centre", "right eyebrow, outer corner"),
        *("left eye, outer corner", "left eye, centre", "left eye, inner corner"),
        *("right eye, inner corner", "right eye, centre", "right eye, outer corner"),
        *("nose, left wing", "nose, tip", "nose, right wing"),
        *("mouth, left corner", "mouth, centre", "mouth, right corner"),
        "chin",
    ),
    eye_corners=None,
    name="aflw19",
)

# The seven points that Talking Face has in common with the 68 of 300VW.
TF7 = Scheme(
    count=7,
    mirror=(3, 2, 1, 0, 4, 6, 5),
    areas={"eyes": (0, 1, 2, 3), "nose": (4,), "mouth": (5, 6)},
    names=(
        *("left eye, outer corner", "left eye, inner corner"),
        *("right eye, inner corner", "right eye, outer corner"),
        *("nose, tip", "mouth, left corner", "mouth, right corner"),
    ),
    eye_corners=(0, 3),
    name="tf7",
)

SCHEMES = {scheme.name: scheme for scheme in (IBUG68, AFLW19, TF7)}
