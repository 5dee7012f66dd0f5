"""Points of one's own in COCO's format: `annotations.json`, or `train.json` and `test.json`.

    {"images": [{"id": 1, "file_name": "photos/a.jpg", "split": "train"}],
     "categories": [{"id": 1, "name": "face", "keypoints": ["left eye", "nose tip"]}],
     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 25, 60, 70],
                      "keypoints": [31.5, 40.25, 2, 0, 0, 0]}]}

A category's keypoints are the points of scheme.yaml, in any order. v of a keypoint (x, y, v) is 0
where it is not labelled: it is hidden then; 1, labelled and covered, and 2, labelled and seen, both
keep their point. `split` and `group` of an image are no part of COCO and may be missing; in
train.json and test.json the file says the split. Left out, and counted: crowds, annotations
without a labelled keypoint, and those of categories that have no keypoints.

COCO counts pixels from 0. Its keypoints are read as they stand, px with centres at whole numbers:
annotators clicked on pixels, and it is so that Detectron2 reads them before it adds half a px for
its own corners. Its boxes [x, y, width, height] are measured from the picture's corner, which is
half a px before the first centre: x1 = x - 0.5, x2 = x + width - 0.5. Some tools write keypoints
that are measured from the corner, too. Half a px is 0.5 % of a face of 100 px.
"""

import json

import numpy as np

from study.datasets.index import Problem
from study.datasets.own.entries import Entry, Wrong, number, side

FILES = {"annotations.json": "", "train.json": "train", "test.json": "test"}  # name -> split
LISTS = ("images", "annotations", "categories")


def files(root):
    """Names of the COCO files that a folder holds."""
    return [name for name in FILES if (root / name).is_file()]


def read(root, settings):
    """Faces of a folder's COCO files.

    Args:
        root: Path of the folder.
        settings: `scheme.Settings`.

    Returns:
        (entries, problems, left_out): left_out counts the annotations that are left out.
    """
    entries, problems, left_out = [], [], 0
    for name in files(root):
        held, causes = _load(root / name)
        if causes:
            problems += [Problem(name, cause) for cause in causes]
            continue
        found, bad, count = _faces(name, held, settings)
        entries, problems, left_out = entries + found, problems + bad, left_out + count
    return entries, problems, left_out


def write(root, scheme, rows):
    """Writes annotations.json as `read` reads it; the same bytes for the same rows.

    Args:
        root: Path of the folder.
        scheme: the `study.landmarks.Scheme`.
        rows: (image, split, points (N, 2) px with NaN where hidden) of each face.
    """
    ids = {image: number for number, image in enumerate(dict.fromkeys(r[0] for r in rows), start=1)}
    sides = {image: split for image, split, _ in rows}
    held = {
        "images": [{"id": id, "file_name": i, "split": sides[i]} for i, id in ids.items()],
        "categories": [{"id": 1, "name": "face", "keypoints": list(scheme.names)}],
        "annotations": [
            {"id": number, "image_id": ids[image], "category_id": 1, **_written(points)}
            for number, (image, _, points) in enumerate(rows, start=1)
        ],
    }
    (root / "annotations.json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def _written(points):
    """keypoints and bbox of an annotation."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    seen = ~np.isnan(points).any(axis=1)
    triples = np.where(seen[:, None], np.column_stack([points, np.full(len(points), 2)]), 0)
    return {
        "keypoints": [round(float(value), 3) for value in triples.ravel()],
        "num_keypoints": int(seen.sum()),
        "bbox": [round(float(value), 3) for value in (*(low + 0.5), *(high - low))],
    }


def _load(file):
    """(the file's lists, causes)."""
    try:
        held = json.loads(file.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        return {}, [f"line {error.lineno}: {error.msg}"]
    except (OSError, UnicodeDecodeError):
        return {}, ["not a text file that can be read"]
    if not isinstance(held, dict):
        return {}, [f"no object with {', '.join(LISTS)}"]
    causes = [
        f"no list {name!r} of objects with an id"
        for name in LISTS
        if not isinstance(held.get(name), list)
        or not all(isinstance(one, dict) and "id" in one for one in held[name])
    ]
    return held, causes


def _faces(name, held, settings):
    """Entries, problems and how many annotations are left out, of one file."""
    orders, bad = _orders(name, held["categories"], settings.scheme.names)
    images = {}
    for image in held["images"]:
        if image["id"] in images:
            bad.append(Problem(f"{name}, image {image['id']}", "a second image of this id"))
        if not isinstance(image.get("file_name"), str) or not image["file_name"]:
            bad.append(Problem(f"{name}, image {image['id']}", "no file_name"))
        images[image["id"]] = image
    entries, left_out = [], 0
    for annotation in held["annotations"]:
        place = f"{name}, annotation {annotation['id']}"
        category = annotation.get("category_id")
        if category in orders and orders[category] is None:
            continue  # its names do not match, which is said once
        if annotation.get("iscrowd") or category not in orders:
            left_out += 1
            continue
        try:
            image = _image(annotation, images)
            entry = _entry(place, annotation, image, orders[category], settings, FILES[name])
        except Wrong as error:
            bad.append(Problem(place, str(error)))
            continue
        if np.isnan(entry.points).all():
            left_out += 1
        else:
            entries.append(entry)
    return entries, bad, left_out


def _orders(name, categories, points):
    """Category id -> where its keypoints name each point, or None; and problems."""
    orders, problems = {}, []
    for category in categories:
        names = category.get("keypoints")
        if not names:
            continue
        place = f"{name}, category {category['id']}"
        names = names if isinstance(names, list) else [names]
        causes = [f"{n!r} is no point of the scheme" for n in names if n not in points]
        causes += [f"no keypoint {n!r}" for n in points if n not in names]
        if not causes and len(names) > len(points):
            causes = ["keypoints name a point twice"]
        problems += [Problem(place, cause) for cause in causes]
        orders[category["id"]] = None if causes else [names.index(n) for n in points]
    if not orders:
        problems.append(Problem(name, "no category has keypoints"))
    return orders, problems


def _image(annotation, images):
    """The image of an annotation."""
    found = images.get(annotation.get("image_id"))
    if found is None:
        raise Wrong(f"no image {annotation.get('image_id')!r} in the file")
    if not isinstance(found.get("file_name"), str) or not found["file_name"]:
        raise Wrong("its image has no file_name")
    return found


def _entry(place, annotation, image, order, settings, split):
    points = _points(annotation.get("keypoints"), len(order))[order] - settings.origin
    box = _box(annotation.get("bbox")) if settings.box == "annotated" else None
    return Entry(
        place,
        image["file_name"],
        split or side(image.get("split")),
        str(image.get("group") or ""),
        points,
        box,
    )


def _points(values, count):
    """(N, 2) px of the file's keypoints, NaN where v is 0."""
    if not isinstance(values, list) or len(values) != 3 * count:
        length = len(values) if isinstance(values, list) else "no list of"
        raise Wrong(f"keypoints are {length} numbers, not 3 times {count}")
    triples = np.array([number(value, "a keypoint's number") for value in values]).reshape(-1, 3)
    if not np.isin(triples[:, 2], (0, 1, 2)).all():
        raise Wrong("v of a keypoint is 0, 1 or 2")
    return np.where(triples[:, 2:] > 0, triples[:, :2], np.nan)


def _box(values):
    """(4,) x1, y1, x2, y2 of [x, y, width, height] from the picture's corner."""
    if not isinstance(values, list) or len(values) != 4:
        raise Wrong(f"bbox is {values!r}, no list of four numbers")
    x, y, width, height = (number(value, "a number of bbox") for value in values)
    return np.array([x, y, x + width, y + height]) - 0.5
