"""Square face crops, cached as one memory-mapped array.

A detector sees `size` px of the square around a face's ground-truth points, `scale` times the
longer side of their tight box (in AFLW of the annotated box). The cache holds more than that on
both counts: a wider picture (`context` times the box), so that batches can be rotated, scaled and
shifted without running out of picture, and more pixels (`oversample`), so that they stay sharp
when they are.

Three systems of coordinates meet here, all 0-based:

    image px   pixel centres at integers; an image, or a frame of a video as `video.frames` gives
               it, spans [-0.5, width - 0.5]
    crop px    the same for the cached crop of S px: image = a * crop + (b_x, b_y), one face's row
               (a, b_x, b_y) of `affine`
    Pillow     pixel i spans [i, i + 1]: image px + 0.5. Only `cut` knows this one.
"""

import json
import math
import os
import shutil
import threading
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from study.datasets import video
from study.datasets.formats import decode_image, file_sha256, sha256
from study.datasets.index import DatasetError, Problem, cause_of

VERSION = 2  # raise it when the same images and parameters give other crops or other files
# Columns of the index that are kept as they are.
TEXTS = ("id", "split", "subset", "image", "photograph", "video")
NUMBERS = {"face_size": np.float64, "frame": np.int64}
LEFTOVER_AGE = 3600  # seconds after which the unfinished cache of a killed process is removed


@dataclass(frozen=True)
class Crops:
    """Cached crops of B faces with N landmarks, S px wide.

    Attributes:
        faces: (B, 3, S, S) uint8 RGB, memory-mapped, read-only.
        points: (B, N, 2) float64, crop px; NaN where a landmark is not visible.
        affine: (B, 3) float64 rows (a, b_x, b_y): image px = a * crop px + (b_x, b_y).
        table: B rows; columns id, split, subset, image, photograph, video ("" for stills), frame
            (-1 for stills), face_size (image px), and visible, (N,) bool each.
        meta: dict of the parameters, VERSION, resolution (S), faces (B), landmarks (N), the
            fingerprint of the data and, of one's own data, the scheme as a dict.
    """

    faces: np.ndarray
    points: np.ndarray
    affine: np.ndarray
    table: pd.DataFrame
    meta: dict

    def to_image(self, points, rows):
        """Maps points of crops to their image files.

        Args:
            points: (n, N, 2) crop px.
            rows: (n,) which crop each of the n is from: integers or a (B,) bool mask.

        Returns:
            (n, N, 2) float64 image px.
        """
        return to_image(points, self.affine[rows])


def to_image(points, affine):
    """Image px (..., N, 2) of crop px (..., N, 2), for affine rows (..., 3)."""
    affine = np.asarray(affine)[..., None, :]
    return affine[..., :1] * np.asarray(points, dtype=np.float64) + affine[..., 1:]


def to_crop(points, affine):
    """Crop px (..., N, 2) of image px (..., N, 2), for affine rows (..., 3)."""
    affine = np.asarray(affine)[..., None, :]
    return (np.asarray(points, dtype=np.float64) - affine[..., 1:]) / affine[..., :1]


def resolution(size, scale, context, oversample):
    """S, the side of a cached crop in px.

    Args:
        size: F, the side of a detector's input in px.
        scale, context: sides of the detector's and of the cached square, in sides of the face.
        oversample: pixels of the cache for each pixel of the detector's input.

    Raises:
        ValueError: a cache narrower than the detector's square, or values that are not positive.
    """
    if not (size > 0 and oversample > 0 and 0 < scale <= context):
        raise ValueError(
            f"size {size}, scale {scale}, context {context}, oversample {oversample}: all must be "
            "positive, and context at least scale"
        )
    return round(size * oversample * context / scale)


def square(box, context, side):
    """The affine row of the square crop around a face's box.

    Args:
        box: (4,) x1, y1, x2, y2 in image px.
        context: side of the square in longer sides of the box.
        side: S, side of the crop in px.

    Returns:
        (3,) float64 (a, b_x, b_y): image px = a * crop px + (b_x, b_y).
    """
    low, high = np.asarray(box[:2], dtype=np.float64), np.asarray(box[2:], dtype=np.float64)
    length = context * (high - low).max()  # image px
    step = length / side  # image px in one crop px
    # Crop px -0.5 is the square's left edge.
    first = (low + high) / 2 - length / 2 + 0.5 * step
    return np.array([step, *first])


def cut(image, affine, side):
    """Resamples one square of an image.

    Lanczos over the footprint of an output pixel, thus antialiased where the crop shrinks the
    image. Outside the image its edge pixels repeat: a black margin would be an edge that no face
    has, at a place that depends on the face.

    Args:
        image: PIL image of mode RGB.
        affine: (3,) as `square` gives it; the square must overlap the image.
        side: S, px.

    Returns:
        (S, S, 3) uint8.
    """
    step, *first = affine
    support = math.ceil(3 * max(step, 1.0)) + 1  # Lanczos reaches three (output) pixels out
    edges = np.array([b - 0.5 * step + 0.5 for b in first])  # of the square, Pillow's px
    low = np.floor(edges).astype(int) - support
    high = np.ceil(edges + side * step).astype(int) + support
    inside_low = np.clip(low, 0, image.size)
    inside_high = np.clip(high, 0, image.size)
    if (inside_high <= inside_low).any():
        raise ValueError(f"the square at {edges.round(1)} does not overlap the image {image.size}")
    window = image.crop((*inside_low, *inside_high))
    before, after = inside_low - low, high - inside_high
    if before.any() or after.any():
        margin = [(before[1], after[1]), (before[0], after[0]), (0, 0)]
        window = Image.fromarray(np.pad(np.asarray(window), margin, mode="edge"))
    left, top = edges - low
    box = (left, top, left + side * step, top + side * step)
    return np.asarray(window.resize((side, side), Image.Resampling.LANCZOS, box=box))


def build(
    index,
    root,
    folder,
    *,
    size,
    scale=1.25,
    context=2.0,
    oversample=1.25,
    jobs=2,
    progress=True,
    scheme=None,
):
    """Crops of all faces of an index, from the cache or made now.

    The cache is a folder of faces.npy, points.npy, index.npz and meta.json, the same bytes
    wherever it is made. It is used again where version, parameters, index and images are the
    same. Whether an image is the same is judged by size and time of modification, noted in a
    hidden file beside the folder; an image where these differ is read and hashed again.
    The folder appears when it is complete, so that a killed process leaves none.

    A video is decoded once, as a stream, up to the last frame that the index names, and each frame
    that it names is cut as it passes: frame k is the k-th, from 1.

    Args:
        index: table of `datasets.load`, B rows, of stills or of frames of video files.
        root: folder that the index's images are under.
        folder: the cache's folder.
        size: F, side of a detector's input, px.
        scale, context, oversample: see `resolution`.
        jobs: threads that decode and resample, each an image or a video at a time.
        progress: whether to show a progress bar.
        scheme: a `study.landmarks.Scheme` that the cache keeps, as `meta["scheme"]`; a cache of
            another one is made anew. None of data sets whose scheme never changes.

    Returns:
        Crops, rows in the index's order.

    Raises:
        DatasetError: lists all images and videos that cannot be read or decoded, and videos that
            end before the last frame that the index names; no cache is left.
        ValueError: parameters that cannot be, or an empty index.
    """
    side = resolution(size, scale, context, oversample)
    if len(index) == 0:
        raise ValueError("the index holds no face")
    parameters = {
        "version": VERSION,
        "size": size,
        "scale": scale,
        "context": context,
        "oversample": oversample,
        "resolution": side,
        "faces": len(index),
        "landmarks": len(index["points"].iloc[0]),
    }
    if scheme is not None:
        parameters["scheme"] = scheme.as_dict()
    root, folder = Path(root), Path(folder)
    cached = _cached(index, root, folder, parameters)
    if cached is not None:
        return cached
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    part = _unfinished(folder)
    part.mkdir()
    try:
        stamps = _fill(part, index, root, parameters, jobs, progress)
        _put(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _write_json(_stamp_file(folder), stamps)
    return read(folder)


def read(folder):
    """Crops of a finished cache, as `build` left it; needs no images.

    Raises:
        ValueError: a cache of another version.
        FileNotFoundError: no cache there.
    """
    folder = Path(folder)
    meta = json.loads((folder / "meta.json").read_text())
    if meta.get("version") != VERSION:
        raise ValueError(f"{folder}: version {meta.get('version')}, this study reads {VERSION}")
    with np.load(folder / "index.npz") as columns:
        table = pd.DataFrame({name: columns[name].astype(object) for name in TEXTS}).astype("str")
        for name in NUMBERS:
            table[name] = columns[name]
        table["visible"] = list(columns["visible"])
        affine = columns["affine"]
    faces = np.load(folder / "faces.npy", mmap_mode="r")
    return Crops(faces, np.load(folder / "points.npy"), affine, table, meta)


def validation_split(table, share=0.1, *, seed):
    """Which training faces are held out, by photograph.

    Faces of one photograph fall on one side. Photographs are ranked by a hash of seed and name,
    so that the choice depends neither on the rows' order nor on a machine, and changes little
    when the set grows.

    Args:
        table: columns split and photograph, B rows.
        share: of the training photographs, in (0, 1); at least one is held out.
        seed: another seed, another choice.

    Returns:
        (B,) bool, True only where split is "train".

    Raises:
        ValueError: share is not in (0, 1), or there are fewer than two training photographs.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}, not between 0 and 1")
    training = (table["split"] == "train").to_numpy()
    names = _ranked(table["photograph"][training], seed)
    if len(names) < 2:
        raise ValueError(f"{len(names)} training photographs cannot be split")
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    return training & table["photograph"].isin(names[:count]).to_numpy()


def folds(table, count, *, seed):
    """The fold of each training face in a cross-validation, by photograph.

    Photographs are ranked as in `validation_split` and dealt out in turn, so that folds hold
    equally many of them, and faces of one photograph share a fold.

    Args:
        table: columns split and photograph, B rows.
        count: of the folds, 2 or more.
        seed: another seed, other folds.

    Returns:
        (B,) int: 0 to count - 1, and -1 where split is not "train".

    Raises:
        ValueError: there are fewer training photographs than folds.
    """
    training = (table["split"] == "train").to_numpy()
    names = _ranked(table["photograph"][training], seed)
    if not 2 <= count <= len(names):
        raise ValueError(f"{len(names)} training photographs cannot be split into {count} folds")
    dealt = {name: number % count for number, name in enumerate(names)}
    fold = table["photograph"].map(dealt).fillna(-1).to_numpy(dtype=int)
    return np.where(training, fold, -1)


def _ranked(photographs, seed):
    """Distinct photographs by a hash of seed and name."""
    return sorted(set(photographs), key=lambda name: sha256(f"{seed} {name}".encode()))


def for_each(function, items, *, jobs, progress, label, total=None, unit="image"):
    """[function(item, done) for item in items] in threads, with a progress bar.

    Threads and not processes: decoding, resampling and hashing release the interpreter's lock.

    Args:
        function: gets an item and `done`, which it calls whenever a step is done.
        items: what to go through.
        jobs: threads.
        progress: whether to show the bar.
        label, unit: of the bar; the unit is what a step is.
        total: steps in all; None means one an item.
    """
    items, lock = list(items), threading.Lock()
    total = len(items) if total is None else total
    with (
        ThreadPoolExecutor(max_workers=jobs) as pool,
        tqdm(desc=label, total=total, unit=unit, disable=not progress) as bar,
    ):

        def done():
            with lock:
                bar.update()

        try:
            return list(pool.map(lambda item: function(item, done), items))
        except BaseException:  # an interrupt should not wait for all videos that are left
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fill(part, index, root, parameters, jobs, progress):
    """Writes a whole cache into an empty folder; returns the stamps of its images."""
    count, side = parameters["faces"], parameters["resolution"]
    shape = (count, 3, side, side)
    needed = math.prod(shape)  # bytes; a full disk would kill the process that writes the array
    if shutil.disk_usage(part).free < needed:
        raise OSError(f"{part.parent}: no space for {needed} bytes of crops")
    faces = np.lib.format.open_memmap(part / "faces.npy", mode="w+", dtype=np.uint8, shape=shape)
    affine = np.stack([square(box, parameters["context"], side) for box in index["box"]])
    stamps = _cut_all(faces, affine, index, root, jobs, progress)
    faces.flush()
    points = np.stack(list(index["points"]))  # (B, N, 2) image px
    np.save(part / "points.npy", to_crop(points, affine))
    np.savez(part / "index.npz", affine=affine, **_columns(index))
    fingerprint = _fingerprint(index, stamps)
    _write_json(part / "meta.json", {**parameters, "fingerprint": fingerprint})
    return stamps


def _cut_all(faces, affine, index, root, jobs, progress):
    """Fills `faces`, (B, 3, S, S), image by image; returns a dict from image to its stamp."""
    rows = {}  # image -> its rows
    for row, image in enumerate(index["image"]):
        rows.setdefault(image, []).append(row)

    def crop(image, done):
        def put(row, picture):
            faces[row] = cut(picture, affine[row], faces.shape[-1]).transpose(2, 0, 1)
            done()

        path = root / image
        try:
            if video.is_video(image):
                return _crop_video(path, index["frame"].iloc[rows[image]], put, rows[image])
            return _crop_still(path, put, rows[image])
        except (OSError, ValueError) as error:
            return Problem(image, cause_of(error, path))

    unit = "frame" if any(map(video.is_video, rows)) else "image"
    settings = dict(jobs=jobs, progress=progress, label="crops", total=len(faces), unit=unit)
    results = for_each(crop, rows, **settings)
    problems = [result for result in results if isinstance(result, Problem)]
    if problems:
        raise DatasetError(f"crops of {root}", problems)
    return dict(zip(rows, results, strict=True))


def _crop_still(path, put, rows):
    """Cuts the faces of one image; returns the image's stamp.

    Args:
        path: the file.
        put: function(row, picture) that cuts and keeps the face of a row.
        rows: of the faces.
    """
    stat, data = path.stat(), path.read_bytes()
    picture = decode_image(data, path)
    for row in rows:
        put(row, picture)
    return _stamp(stat, sha256(data))


def _crop_video(path, numbers, put, rows):
    """Cuts the faces of one video as its frames pass; returns the video's stamp.

    Args:
        path: the file.
        numbers: the frame that each of the rows is from, counted from 1.
        put, rows: as for `_crop_still`.
    """
    stamp = _current(path, None)
    wanted = {}  # frame -> rows
    for number, row in zip(numbers, rows, strict=True):
        wanted.setdefault(number, []).append(row)
    with closing(video.frames(path)) as frames:
        for number, rgb in enumerate(frames, start=1):
            for row in wanted.pop(number, ()):
                put(row, Image.fromarray(rgb))
            if not wanted:
                return stamp
    raise ValueError(f"{number} frames; the index has faces of frame {max(wanted)}")


def _columns(index):
    """The columns of an index that the cache keeps, as arrays."""
    columns = {name: index[name].to_numpy(dtype=str) for name in TEXTS}
    columns |= {name: index[name].to_numpy(dtype=kind) for name, kind in NUMBERS.items()}
    columns["visible"] = np.stack(list(index["visible"]))
    return columns


def _cached(index, root, folder, parameters):
    """The cache, if it was made from this index, these images and these parameters; else None."""
    try:
        crops = read(folder)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none that can be read
        return None
    if {**crops.meta, **parameters} != crops.meta:
        return None
    kept, wanted = _columns(crops.table), _columns(index)
    if not all(np.array_equal(kept[name], wanted[name]) for name in wanted):
        return None
    noted = _read_json(_stamp_file(folder))
    try:
        images = index["image"].unique()
        stamps = {image: _current(root / image, noted.get(image)) for image in images}
    except OSError:  # an image is gone: building names it, and all others that are
        return None
    if _fingerprint(index, stamps) != crops.meta["fingerprint"]:
        return None
    if stamps != noted:
        _write_json(_stamp_file(folder), stamps)
    return crops


def _fingerprint(index, stamps):
    """sha256 over the sorted (id, sha256 of the image's bytes, points), machine independent.

    For a frame of a video, the bytes are those of the whole video. Where the index has hidden
    points, its boxes are annotated apart from them, and belong to what is hashed. Records of
    trainings hold this: that of the same faces must never change.
    """
    boxed = not all(visible.all() for visible in index["visible"])
    faces = zip(index["id"], index["image"], index["points"], index["box"], strict=True)
    parts = [
        f"{id}\0{stamps[image][2]}\0".encode()
        + np.asarray(points, dtype="<f8").tobytes()
        + np.asarray(box, dtype="<f8").tobytes() * boxed
        for id, image, points, box in sorted(faces, key=lambda face: face[0])
    ]
    return sha256(b"".join(parts))


def _stamp(stat, digest):
    """What is noted of a file: bytes, time of modification in ns, sha256."""
    return [stat.st_size, stat.st_mtime_ns, digest]


def _current(path, noted):
    """The stamp of a file now; it is hashed only where it differs from the noted one."""
    stat = path.stat()
    if noted and noted[:2] == [stat.st_size, stat.st_mtime_ns]:
        return noted
    return _stamp(stat, file_sha256(path) if video.is_video(path) else sha256(path.read_bytes()))


def _stamp_file(folder):
    """Beside the cache, not in it: times differ between machines, the cache does not."""
    return folder.parent / f".{folder.name}.stamps.json"


def _put(part, folder):
    """Puts a finished folder in its place."""
    if folder.exists():
        old = _unfinished(folder)
        os.rename(folder, old)
        os.rename(part, folder)
        shutil.rmtree(old)
    else:
        os.rename(part, folder)


def _unfinished(folder):
    """A new name beside the folder, for what is not, or no longer, the cache."""
    return folder.parent / f".{folder.name}.{uuid.uuid4().hex}.part"


def _remove_leftovers(folder):
    """Removes what processes that were killed while building left behind."""
    for part in folder.parent.glob(f".{folder.name}.*.part"):
        if time.time() - part.stat().st_mtime > LEFTOVER_AGE:
            shutil.rmtree(part, ignore_errors=True)


def _write_json(path, value):
    """Writes a file that is there wholly or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(json.dumps(value, indent=0, sort_keys=True) + "\n")
    os.replace(part, path)


def _read_json(path):
    """A JSON file's dict; empty where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
