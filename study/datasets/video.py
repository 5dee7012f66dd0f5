"""Video files: what one holds, its frames one at a time, and new ones.

A frame is (H, W, 3) uint8 RGB, upright: a rotation or mirroring that the file asks players for is
applied. Pixels are otherwise as stored: not stretched where they are not square (annotations
count stored pixels), and not repeated or dropped where the file's frames are not evenly spaced.
Neither reading nor writing holds more than a few frames in memory, and both use one thread, so
that a file gives the same pixels, and pixels the same file, each time.
"""

import math
import os
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

CONTAINERS = {".avi": ("avi", "mjpeg"), ".mp4": ("mp4", "libx264")}  # suffix -> format, its codec
FPS = 25.0  # of a file that does not say; only the speed at which it plays depends on it

# Conversions between RGB and YUV that give the same values on every processor, and do not darken
# (FFmpeg's fast ones take 1 to 2 of 255 off a face).
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_TO_RGB = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | _EXACT
_TO_YUV = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INP | _EXACT
_LAMBDA = 118  # FFmpeg's global quality is its quantizer times this
_BT709 = 1  # FFmpeg's number for the matrix, the primaries and the transfer curve


class VideoError(ValueError):
    """A video that cannot be read or written; the message names the file and the cause."""


@dataclass(frozen=True)
class Video:
    """What a video file says of itself.

    Attributes:
        width, height: of a frame as `frames` gives it, px.
        fps: frames a second on average.
        frames: how many it declares, or None where it does not say. A file may hold fewer.
    """

    width: int
    height: int
    fps: float
    frames: int | None


def is_video(path):
    """Whether a file's name is that of a video that this study writes, and not of a still."""
    return Path(path).suffix.lower() in CONTAINERS


def probe(path):
    """What a video file says of itself; its first frame is decoded, and no other.

    Returns:
        Video.

    Raises:
        VideoError: as `frames`, but for damage further down.
    """
    path = Path(path)
    with _opened(path) as (container, stream):
        first = next(_decoded(path, container, stream))
        stored = np.empty((first.height, first.width), dtype=bool)
        height, width = _upright(stored, _orientation(first)).shape
        rate = stream.average_rate or stream.guessed_rate or FPS
        return Video(width, height, float(rate), stream.frames or None)


def frames(path):
    """The frames of a video file, one at a time, in the order in which they are shown.

    Args:
        path: the file; every format that FFmpeg decodes.

    Yields:
        (H, W, 3) uint8 RGB, an array of its own each.

    Raises:
        VideoError: when it is iterated: no such file, an empty one, no video or none that can be
            decoded; or "damaged after N frames", once the N frames before were yielded: data that
            the decoder refuses or has to invent, or a file that is cut off. A cut that falls
            between two frames is noticed where the format says how long the file should be
            (AVI); damage inside a JPEG is not noticed.
    """
    path = Path(path)
    reformatter, orientation = VideoReformatter(), None
    with _opened(path) as (container, stream):
        for frame in _decoded(path, container, stream):
            if orientation is None:  # the file's: one for all frames
                orientation = _orientation(frame)
            rgb = reformatter.reformat(frame, format="rgb24", interpolation=_TO_RGB, threads=1)
            yield _upright(rgb.to_ndarray(), orientation).copy()


class Writer:
    """Writes a video file frame by frame: `with Writer(...) as writer: writer.write(rgb)`.

    The file appears under its name when the block is left without an error; until then it has a
    hidden name beside it, which an error removes. The same frames give the same bytes.

    Args:
        path: .avi or .mp4; a file of that name is replaced.
        fps: frames a second.
        width, height: of the frames, px.
        codec: a key of CODECS; None takes "mjpeg" for .avi and "libx264" for .mp4. mjpeg keeps
            every size and full colour, for data; libx264 is small and plays everywhere.
            Differs from what is asked: libx264's colours are halved in both directions, so an
            odd width or height is made even by repeating the last column or row.

    Raises:
        VideoError: another suffix or codec, a size or rate that is not positive, frames of
            another size, no frame at all, or a file that cannot be written.
    """

    def __init__(self, path, fps, width, height, codec=None):
        self.path = Path(path)
        if not is_video(path):
            raise VideoError(f"{path}: the name must end in one of {', '.join(CONTAINERS)}")
        self._format, usual = CONTAINERS[self.path.suffix.lower()]
        self.codec = codec or usual
        if self.codec not in CODECS:
            raise VideoError(f"{path}: no codec {codec!r}; there are {', '.join(CODECS)}")
        if not (width > 0 and height > 0 and fps > 0 and math.isfinite(fps)):
            raise VideoError(f"{path}: {width}x{height} px at {fps} frames a second")
        self.width, self.height = int(width), int(height)
        if not self.path.parent.is_dir():
            raise VideoError(f"{path}: no folder to write it to")
        self.rate = Fraction(fps).limit_denominator(10_000)  # 29.97 is 30000/1001
        self.count = 0  # frames written
        self._part = self.path.with_name(f".{self.path.stem}.{uuid.uuid4().hex}.part")
        self._container = self._stream = None

    def __enter__(self):
        try:
            with self._refusals():
                options = {"fflags": "+bitexact"}  # no version, no date
                self._container = av.open(f"file:{self._part}", "w", self._format, options)
                self._stream = CODECS[self.codec].add(self._container, self)
        except BaseException:
            self._discard()
            raise
        self._reformatter = VideoReformatter()
        return self

    def write(self, rgb):
        """Appends a frame.

        Args:
            rgb: (height, width, 3) uint8.
        """
        rgb = np.asarray(rgb)
        wanted = (self.height, self.width, 3)
        if rgb.shape != wanted or rgb.dtype != np.uint8:
            raise VideoError(f"{self.path}: a frame is {rgb.shape} {rgb.dtype}, not {wanted} uint8")
        with self._refusals():
            frame = CODECS[self.codec].convert(rgb, self._reformatter)
            frame.pts = self.count
            self._container.mux(self._stream.encode(frame))
        self.count += 1

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._finish()
        finally:
            self._discard()

    def _finish(self):
        if not self.count:
            raise VideoError(f"{self.path}: no frame was written")
        with self._refusals():
            self._container.mux(self._stream.encode(None))
            self._container.close()
            os.replace(self._part, self.path)

    def _discard(self):
        """Removes what is unfinished; nothing where all went well."""
        with suppress(av.FFmpegError, OSError):  # of a full disk, which has been told of
            if self._container is not None:
                self._container.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    @contextmanager
    def _refusals(self):
        """What FFmpeg and the file system refuse, in a message that names the file."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self.path}: cannot be written: {error.strerror}") from error


@dataclass(frozen=True)
class _Codec:
    """How RGB frames become those of one codec.

    Attributes:
        pixels: FFmpeg's name of the pixel format.
        matrix, span: of the conversion to YUV.
        even: whether width and height must be even.
        options: of the encoder.
        quantizer: fixed for all frames, from 1 (best) to 31; None leaves it to the encoder.
        tag: FFmpeg's number for primaries, curve and matrix, so that players convert back alike;
            None where the format itself says.
    """

    pixels: str
    matrix: Colorspace
    span: ColorRange
    even: bool = False
    options: tuple = ()
    quantizer: int | None = None
    tag: int | None = None

    def size(self, width, height):
        """(width, height) of the stored frames."""
        return (width + width % 2, height + height % 2) if self.even else (width, height)

    def add(self, container, writer):
        """A stream of this codec in a new container."""
        width, height = self.size(writer.width, writer.height)
        stream = container.add_stream(
            writer.codec, writer.rate, dict(self.options), width=width, height=height
        )
        context = stream.codec_context
        context.pix_fmt, context.color_range = self.pixels, self.span
        context.thread_count = 1
        context.flags |= Flags.bitexact
        if self.quantizer is not None:
            context.qscale, context.global_quality = True, self.quantizer * _LAMBDA
        if self.tag is not None:
            context.colorspace = context.color_primaries = context.color_trc = self.tag
        return stream

    def convert(self, rgb, reformatter):
        """A frame of this codec's pixels from (H, W, 3) uint8 RGB."""
        height, width = rgb.shape[:2]
        stored_width, stored_height = self.size(width, height)
        margin = [(0, stored_height - height), (0, stored_width - width), (0, 0)]
        rgb = np.ascontiguousarray(np.pad(rgb, margin, mode="edge"))
        return reformatter.reformat(
            av.VideoFrame.from_ndarray(rgb, format="rgb24"),
            format=self.pixels,
            dst_colorspace=self.matrix,
            dst_color_range=self.span,
            interpolation=_TO_YUV,
            threads=1,
        )


CODECS = {
    "mjpeg": _Codec("yuv444p", Colorspace.ITU601, ColorRange.JPEG, quantizer=2),
    "libx264": _Codec(
        *("yuv420p", Colorspace.ITU709, ColorRange.MPEG),
        even=True,
        options=(("preset", "veryfast"), ("crf", "18")),
        tag=_BT709,
    ),
}


@contextmanager
def _opened(path):
    """(container, video stream) of a file, closed afterwards."""
    if path.is_dir():
        raise VideoError(f"{path}: a folder, not a video")
    if not path.exists():
        raise VideoError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: empty file")
    try:
        # "file:", else a colon in the name would be read as a protocol.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except (av.InvalidDataError, av.EOFError) as error:
        raise VideoError(f"{path}: not a video, or a damaged one") from error
    except av.FFmpegError as error:
        raise VideoError(f"{path}: {error.strerror}") from error
    with container:
        yield container, _stream(path, container)


def _stream(path, container):
    """The video stream of an open file; the cover of a piece of music is none."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError(f"{path}: no video stream in it")
    if streams[0].codec_context is None:
        raise VideoError(f"{path}: no decoder for its video stream")
    streams[0].thread_count = 1
    return streams[0]


def _decoded(path, container, stream):
    """The frames of an open stream as FFmpeg decodes them; see `frames` for what raises."""
    count = 0
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise VideoError(f"{path}: damaged after {count} frames: data is missing")
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise VideoError(f"{path}: damaged after {count} frames: cannot be decoded")
                yield frame
                count += 1
    except av.FFmpegError as error:
        raise VideoError(f"{path}: damaged after {count} frames: {error.strerror}") from error
    if count < stream.frames and _is_short(path):
        raise VideoError(
            f"{path}: damaged after {count} frames: cut off, it says that it has {stream.frames}"
        )
    if not count:
        raise VideoError(f"{path}: no frame in it")


def _is_short(path):
    """Whether an AVI file ends before its header says."""
    with open(path, "rb") as file:
        head = file.read(12)
    declared = int.from_bytes(head[4:8], "little") + 8
    return head[:4] == b"RIFF" and path.stat().st_size < declared


def _orientation(frame):
    """(a, b, c, d) of a frame's display matrix: (p, q) is shown at (a p + c q, b p + d q).

    p and q count along x and y, both from the picture's centre. A frame that was asked is in a
    cycle with its side data, and memory holds it until Python looks for cycles: ask one, not all.
    """
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # FFmpeg knows more kinds of side data than PyAV
        angle = math.radians(frame.rotation)  # counterclockwise, y pointing down
        return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(data, dtype=np.int32)[:5].tolist()
    return a, b, c, d


def _upright(picture, orientation):
    """A view of a picture (H, W, ...) as it is to be shown: by quarter turns and mirroring."""
    a, b, c, d = orientation
    if abs(b) > abs(a):  # a quarter turn: what ran along x runs along y
        picture = picture.swapaxes(0, 1)
        across, down = c, b
    else:
        across, down = a, d
    return picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
