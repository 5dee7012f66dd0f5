"""Photographs as people have them: which files they are, and how each becomes upright RGB."""

import contextlib
import os
import re
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from study.datasets.formats import DAMAGE, cause

# Names that are looked for in folders; a file that is named itself may have any.
SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .jfif .jp2 .jpe .jpeg .jpg .mpo .pbm .pgm .png .pnm .ppm .tga "
    ".tif .tiff .webp".split()
)
# A picture of more px is refused. To decode one takes up to 10 bytes a px for a moment, 3 of which
# stay. Pillow's own limit, 179 million, is an error that does not say what to do.
LIMIT = 200_000_000
BACKGROUND = (255, 255, 255)  # behind what is transparent


class PhotoError(ValueError):
    """A photograph that cannot be read; the message names the file and the cause."""


# --- which files ------------------------------------------------------------------------------


def natural(path):
    """A key that sorts names as people count: photo2 before photo10, folders by their names."""
    return [_counted(part) for part in Path(path).parts]


def _counted(name):
    pieces = re.split(r"(\d+)", name.casefold())
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in pieces], name


def in_folder(folder, without=None):
    """Photographs in a folder and all below it, in natural order.

    Those are the files with a name in SUFFIXES. What begins with a dot is left out; links to
    folders are followed, each folder once.

    Args:
        folder: where to look.
        without: a folder below it that is left out, or None.

    Returns:
        list of Path, and a list of what could not be looked into, one line each.
    """
    found, troubles, seen = [], [], set()

    def fail(error):
        troubles.append(f"{error.filename}: {error.strerror}")

    for here, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        place = Path(here).resolve()
        again = place in seen or (without is not None and place == Path(without).resolve())
        seen.add(place)
        if again:
            folders.clear()
        else:
            found += [Path(here, name) for name in files if _is_photograph(name)]
    return sorted(found, key=natural), troubles


def _is_photograph(name):
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


# --- reading ----------------------------------------------------------------------------------


def read(path):
    """A photograph as it is to be looked at: upright, in RGB.

    Turned as its orientation tag says; the first picture of several; what is transparent lies on
    white; of 16 bits a channel, grey or not, the upper eight.

    Args:
        path: of any format that Pillow reads, of at most LIMIT px.

    Returns:
        (H, W, 3) uint8.

    Raises:
        PhotoError: no such file, no image, a damaged or a too large one.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # to open a pipe is to wait for ever
            raise PhotoError(f"{path}: {'a folder' if stat.S_ISDIR(mode) else 'not a file'}")
        if not path.stat().st_size:
            raise PhotoError(f"{path}: empty file")
        with _ours_alone(), Image.open(path) as image:
            _require_size(path, image)
            return to_rgb(image)
    except PhotoError:
        raise
    except FileNotFoundError:
        raise PhotoError(f"{path}: no such file") from None
    except MemoryError:
        raise PhotoError(f"{path}: more than the memory holds") from None
    except UnidentifiedImageError as error:
        heif = path.suffix.lower() in (".heic", ".heif")
        what = "HEIF, which is not read: save it as JPEG" if heif else cause(error)
        raise PhotoError(f"{path}: {what}") from error
    except (*DAMAGE, RuntimeError) as error:  # the latter of AVIF
        raise PhotoError(f"{path}: {_one_line(error)}") from error


def to_rgb(image):
    """A Pillow image as `read` gives it: (H, W, 3) uint8.

    Raises:
        ValueError: a mode that has no colours of 8 or 16 bits.
        OSError: a lazily opened image that is damaged.
    """
    image.load()
    image = _upright(image)
    if image.mode.startswith("I"):
        return _of_sixteen_bits(np.asarray(image))
    if image.mode == "F":
        raise ValueError("floating-point levels, whose range is not known (mode F)")
    if image.has_transparency_data:
        image = _on_background(image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _on_background(image):
    behind = Image.new("RGB", image.size, BACKGROUND)
    behind.paste(image, mask=image.getchannel("A"))
    return behind


def _upright(image):
    """The image turned as its tag says; one whose tags are damaged stays as it is."""
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image  # no copy, which may be large
    except DAMAGE:
        return image


def _of_sixteen_bits(levels):
    """(H, W) whole numbers from 0 to 65535 as (H, W, 3) uint8."""
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(f"levels from {levels.min()} to {levels.max()}: more than 16 bits")
    grey = (levels // 256).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _require_size(path, image):
    width, height = image.size
    if width * height > LIMIT:
        raise PhotoError(
            f"{path}: {width}x{height} are {width * height / 1e6:.0f} million px; "
            f"at most {LIMIT / 1e6:.0f} million are read"
        )


@contextlib.contextmanager
def _ours_alone():
    """Pillow without its own limit of px, as ours is checked before anything is decoded.

    And without its warnings, which are of odd tags and name no file.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _one_line(error):
    known = isinstance(error, OSError) and error.strerror
    return " ".join((known or cause(error)).split())
