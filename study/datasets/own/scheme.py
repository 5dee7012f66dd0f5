"""The file `scheme.yaml` of a folder of one's own: its landmarks, and how their points are kept.

    name: five
    points: [left eye, right eye, nose tip, left mouth corner, right mouth corner]
    mirror: [[left eye, right eye], [left mouth corner, right mouth corner]]
    normalizer: [left eye, right eye]
    areas: {eyes: [left eye, right eye], nose: [nose tip]}
    origin: 0
    box: points
    test_share: 0.2

    name        what messages and files of weights call the scheme; none of the study's own
                (ibug68, aflw19, tf7), unless the points are in their number and mirror order
    points      the names of the landmarks, in the order of the network's outputs
    mirror      pairs of points that a mirrored picture exchanges, [] for none: those in no pair
                are their own mirror. Or all points in the order in which the mirrored picture
                shows them
    normalizer  two points whose distance divides errors, or `box`: sqrt(width * height) of the
                box, which also serves where one of the two points is hidden
    areas       a name -> some of the points; may be left out, as all below
    origin      the coordinates of the first pixel's centre: 0, or 1 of files that count from 1
    box         what crops are cut around: `points`, the tight box of the visible points, or
                `annotated`, a box beside the points
    test_share  share of the images that are held out to test on where the files do not say
"""

from typing import NamedTuple

import yaml

from study.datasets.index import Problem
from study.landmarks import SCHEMES, Scheme

FILE = "scheme.yaml"
BOXES = ("points", "annotated")
REQUIRED = ("name", "points", "mirror", "normalizer")
OPTIONAL = {"areas": {}, "origin": 0, "box": "points", "test_share": 0.2}
KEYS = (*REQUIRED, *OPTIONAL)


class Settings(NamedTuple):
    """What scheme.yaml says; attributes as its keys."""

    scheme: Scheme
    origin: int
    box: str
    test_share: float


class _Wrong(ValueError):
    """A key whose value cannot be."""


def read(root):
    """The scheme of a folder.

    Args:
        root: Path of the folder.

    Returns:
        (Settings or None, problems): a Problem for each thing that is wrong, with its line.
    """
    values, lines, problems = _load(root / FILE)
    if problems:
        return None, problems
    unknown, missing = set(values) - set(KEYS), [key for key in REQUIRED if key not in values]
    wrong = {key: f"no such key: {key}; there are {', '.join(KEYS)}" for key in unknown}
    found = _found({**OPTIONAL, **values}, wrong)
    problems = [Problem(f"{FILE}, line {lines[key]}", wrong[key]) for key in sorted(wrong, key=str)]
    problems += [Problem(FILE, f"no key {key!r}") for key in missing]
    if problems:
        return None, problems
    scheme = Scheme(
        count=len(found["points"]),
        mirror=found["mirror"],
        areas=found["areas"],
        names=found["points"],
        eye_corners=found["normalizer"],
        name=found["name"],
    )
    known = SCHEMES.get(scheme.name, scheme)
    if (known.count, known.mirror) != (scheme.count, scheme.mirror):
        place = f"{FILE}, line {lines['name']}"
        return None, [Problem(place, f"name: {scheme.name!r} has {known.count} other points here")]
    return Settings(scheme, *(found[key] for key in ("origin", "box", "test_share"))), []


def write(root, scheme):
    """Writes scheme.yaml as `read` reads it, what may be left out at its defaults."""
    names = scheme.names
    pairs = [[names[n], names[m]] for n, m in enumerate(scheme.mirror) if n < m]
    values = {
        "name": scheme.name,
        "points": list(names),
        "mirror": pairs,
        "normalizer": [names[n] for n in scheme.eye_corners] if scheme.eye_corners else "box",
        "areas": {area: [names[n] for n in index] for area, index in scheme.areas.items()},
    }
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=98)
    (root / FILE).write_text(text, encoding="utf-8")


def _load(file):
    """(values, key -> its line, problems) of a YAML file that holds a mapping."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        node, values = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except OSError:
        return {}, {}, [Problem(FILE, "no such file; it holds the landmark scheme")]
    except UnicodeDecodeError:
        return {}, {}, [Problem(FILE, "not a text file")]
    except yaml.YAMLError as error:
        return {}, {}, [Problem(*_placed(error))]
    if not isinstance(values, dict):
        return {}, {}, [Problem(FILE, "no mapping of keys to values")]
    lines, twice = {}, []
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            twice.append(Problem(f"{FILE}, line {line}", f"a second key {key.value!r}"))
        lines[key.value] = line
    return {str(key): value for key, value in values.items()}, lines, twice


def _placed(error):
    """(file and line, cause) of what the YAML reader says."""
    mark = getattr(error, "problem_mark", None)
    where = f"{FILE}, line {mark.line + 1}" if mark else FILE
    return where, " ".join(str(getattr(error, "problem", None) or error).split())


def _found(values, wrong):
    """Key -> what it means; a key that cannot be goes to `wrong`, key -> cause, as all do."""
    found = {}
    for key, check in CHECKS.items():
        if key not in values or (key in NAMED and "points" not in found):
            continue  # what names points cannot be judged without them
        try:
            found[key] = check(values[key], found.get("points"))
        except _Wrong as error:
            wrong[key] = f"{key}: {error}"
    return found


def _name(value, _):
    if not isinstance(value, str) or not value.strip():
        raise _Wrong(f"{value!r} is no text")
    return value


def _points(value, _):
    if not isinstance(value, list) or not value:
        raise _Wrong(f"{value!r} is no list of names")
    for name in value:
        if not isinstance(name, str) or name != name.strip() or not name:
            raise _Wrong(f"{name!r} is no text; put it in quotes")
    twice = sorted({name for name in value if value.count(name) > 1})
    if twice:
        raise _Wrong(f"named twice: {', '.join(twice)}")
    return tuple(value)


def _indices(names, points):
    """Indices of some names among the points."""
    if not isinstance(names, list):
        raise _Wrong(f"{names!r} is no list of names")
    unknown = [str(name) for name in names if name not in points]
    if unknown:
        raise _Wrong(f"no such point: {', '.join(unknown)}")
    return tuple(points.index(name) for name in names)


def _mirror(value, points):
    if not isinstance(value, list):
        raise _Wrong(f"{value!r} is no list of pairs, nor one of all points")
    if all(isinstance(pair, list) for pair in value):
        return _of_pairs([_indices(pair, points) for pair in value], points)
    order = _indices(value, points)
    if sorted(order) != list(range(len(points))):
        raise _Wrong(f"names {len(set(order))} of {len(points)} points; each must stand there once")
    for here, there in enumerate(order):
        if order[there] != here:
            a, b, c = (points[n] for n in (here, there, order[there]))
            raise _Wrong(f"the mirror of {a!r} is {b!r}, but that of {b!r} is {c!r}")
    return order


def _of_pairs(pairs, points):
    """The mirror order of pairs of indices."""
    order = list(range(len(points)))
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1]:
            raise _Wrong(f"{[points[n] for n in pair]} is no pair of two points")
        for here, there in (pair, pair[::-1]):
            if order[here] != here:
                raise _Wrong(f"{points[here]!r} is in two pairs")
            order[here] = there
    return tuple(order)


def _normalizer(value, points):
    if value == "box":
        return None
    pair = _indices(value, points)
    if len(pair) != 2 or pair[0] == pair[1]:
        raise _Wrong(f"{value!r} is neither two points nor `box`")
    return pair


def _areas(value, points):
    if not isinstance(value, dict):
        raise _Wrong(f"{value!r} is no mapping of names to points")
    return {str(name): _indices(names, points) for name, names in value.items()}


def _origin(value, _):
    if value not in (0, 1) or isinstance(value, bool):
        raise _Wrong(f"{value!r} is neither 0 nor 1")
    return int(value)


def _box(value, _):
    if value not in BOXES:
        raise _Wrong(f"{value!r}: there are {' and '.join(BOXES)}")
    return value


def _test_share(value, _):
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise _Wrong(f"{value!r} is no number in [0, 1)")
    return float(value)


CHECKS = {
    **{"name": _name, "points": _points, "mirror": _mirror, "normalizer": _normalizer},
    **{"areas": _areas, "origin": _origin, "box": _box, "test_share": _test_share},
}
NAMED = ("mirror", "normalizer", "areas")
