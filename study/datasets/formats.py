"""Readers and writers of the file formats that the official data sets come in.

This is the one module that knows that `.pts` files are 1-based. Everything that leaves it is
0-based, with pixel centres at integers.
"""

import hashlib
import io
import math
import struct
from pathlib import Path

import numpy as np
from PIL import Image

# What Pillow raises for a damaged file, depending on the format and on where the damage is.
DAMAGE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


def read_pts(path):
    """Points of a `.pts` file, as 300W and 300VW distribute them.

    Args:
        path: the file. Windows line ends, `version: 1.0`, blank lines, further header lines,
            padding spaces and a missing last newline are accepted.

    Returns:
        (n, 2) float64 points (x, y) in px: 0-based, so that the file's (1, 1) is (0, 0).

    Raises:
        ValueError: the file is empty, has no `n_points` or no braces, holds another number of
            points than it says, or a point that is not two finite numbers. The message names
            the file and, where there is one, the line.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise ValueError(f"{path}: empty file")
    header, body = _between_braces(lines, path)
    points = [_point(line, number, path) for number, line in body]
    count = _declared_count(header, path)
    if len(points) != count:
        raise ValueError(f"{path}: n_points says {count}, the file has {len(points)} points")
    return np.array(points, dtype=np.float64).reshape(-1, 2) - 1.0


def write_pts(path, points):
    """Writes points in 300W's `.pts` layout, to six decimals.

    Args:
        path: the file to write.
        points: (n, 2) points (x, y) in px, 0-based; the file gets them 1-based.

    Raises:
        ValueError: points are not (n, 2) or not finite.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{path}: points are {points.shape}, not (n, 2)")
    if not np.isfinite(points).all():
        raise ValueError(f"{path}: points are not finite")
    rows = [f"{x:.6f} {y:.6f}" for x, y in points + 1.0]
    lines = ["version: 1", f"n_points:  {len(points)}", "{", *rows, "}", ""]
    Path(path).write_text("\n".join(lines), encoding="ascii", newline="\n")


def image_size(path):
    """Width and height of an image file in px, from its header alone.

    Raises:
        ValueError: the file is empty or no image. A file that is cut off further down passes:
            only decoding, `decode_image`, finds that.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: empty file")
    try:
        with Image.open(path) as image:
            return image.size
    except DAMAGE as error:
        raise ValueError(f"{path}: {cause(error)}") from error


def read_image(path):
    """An image file, fully decoded: `decode_image` of its bytes, with the same errors."""
    return decode_image(Path(path).read_bytes(), path)


def decode_image(data, path):
    """An image of any colour mode, decoded to the last byte.

    An orientation tag is not applied: annotations of 300W refer to the pixels as stored (none of
    the 300W images that we have seen carries the tag). Transparency is dropped.

    Args:
        data: the file's bytes.
        path: the file's name, for the message.

    Returns:
        PIL.Image.Image of mode RGB, 8 bits a channel.

    Raises:
        ValueError: the bytes are no image, are cut off or damaged, or hold more than 8 bits a
            channel.
    """
    if not data:
        raise ValueError(f"{path}: empty file")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith(("I", "F")):  # Pillow would clip these to white
                raise ValueError(f"more than 8 bits a channel (mode {image.mode})")
            return image.convert("RGB")
    except DAMAGE as error:
        raise ValueError(f"{path}: {cause(error)}") from error


def sha256(data):
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path):
    """Hex digest of a file's bytes, read in pieces: videos may be larger than the memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cause(error):
    """A damaged image's error in words that do not name the file again."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image, or a damaged one"
    return str(error) or type(error).__name__


def _between_braces(lines, path):
    """Splits numbered lines into those before `{` and those between `{` and `}`."""
    texts = [line for _, line in lines]
    if "{" not in texts:
        raise ValueError(f"{path}: no opening brace")
    start = texts.index("{")
    if "}" not in texts[start:]:
        raise ValueError(f"{path}: no closing brace")
    stop = texts.index("}", start)
    if stop != len(texts) - 1:
        raise ValueError(f"{path}: line {lines[stop + 1][0]} stands after the closing brace")
    return lines[:start], lines[start + 1 : stop]


def _declared_count(header, path):
    """The number after `n_points:`."""
    for number, line in header:
        name, _, value = line.partition(":")
        if name.strip().lower() == "n_points":
            try:
                return int(value)
            except ValueError:
                raise ValueError(
                    f"{path}: line {number}: n_points is {value.strip()!r}, not a whole number"
                ) from None
    raise ValueError(f"{path}: no n_points line")


def _point(line, number, path):
    """One line `x y` as two floats."""
    fields = line.split()
    if len(fields) != 2:
        raise ValueError(f"{path}: line {number}: {len(fields)} values, not two")
    try:
        point = [float(field) for field in fields]
    except ValueError:
        raise ValueError(f"{path}: line {number}: {line!r} is not two numbers") from None
    if not all(map(math.isfinite, point)):
        raise ValueError(f"{path}: line {number}: {line!r} is not finite")
    return point
