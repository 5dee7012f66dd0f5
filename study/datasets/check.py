"""What a data set's folder holds, against the official numbers, and what is broken."""

import math
from dataclasses import dataclass
from pathlib import Path

from study.datasets import own, reader, video
from study.datasets.crops import for_each
from study.datasets.formats import read_image
from study.datasets.index import Problem, cause_of, listed

NAMED = 20  # missing videos or frames that a line names


@dataclass(frozen=True)
class Report:
    """Result of `check`; its text is what a person reads.

    Attributes:
        name: of the data set.
        root: its folder.
        folders: one dict an official folder: path, subset, official (faces), found (faces with
            readable points; None where the folder is absent), whole (whose image decodes too),
            and absent, the names of what is missing, where they are known.
            Of video files, a folder is an official list and a face a frame; then also
            official_videos, videos (found; None as above) and left_out, the frames of videos that
            are here that `load` leaves out, which are not among those found.
        problems: every broken file, a Problem each.
    """

    name: str
    root: str
    folders: list
    problems: list

    @property
    def ok(self):
        """Whether nothing is broken. Official images that are merely absent break nothing."""
        return not self.problems

    @property
    def counts(self):
        """Subset -> (whole faces, official faces); "full" is the sum of the test subsets."""
        subsets = list(dict.fromkeys(folder["subset"] for folder in self.folders))
        counts = {s: self._count(lambda f, s=s: f["subset"] == s) for s in subsets}
        counts["full"] = self._count(lambda f: f["subset"] != "train")
        return counts

    def _count(self, chosen):
        folders = [folder for folder in self.folders if chosen(folder)]
        return sum(f["whole"] for f in folders), sum(f["official"] for f in folders)

    @property
    def missing(self):
        """Lines that say which official images, frames or videos are not there."""
        lines = []
        for folder in self.folders:
            found, official, noun = self._of(folder)
            if found is None:
                what = "" if self._videos else "the folder, "
                lines.append(f"{folder['path']}: {what}all {official} {noun}")
            elif found < official:
                names = _named(folder["absent"])
                lines.append(f"{folder['path']}: {official - found} of {official} {noun}{names}")
        return lines

    @property
    def _videos(self):
        return any("videos" in folder for folder in self.folders)

    def _of(self, folder):
        """(found, official, what they are) of what a folder is made of: videos, or faces."""
        if self._videos:
            return folder["videos"], folder["official_videos"], "videos"
        return folder["found"], folder["official"], "faces"

    def __str__(self):
        lines = [f"{self.name} at {self.root}", ""]
        lines += _video_table(self.folders) if self._videos else _table(self.folders)
        lines.append("")
        noun = "frames" if self._videos else "faces"
        for subset, (whole, official) in self.counts.items():
            lines.append(f"{subset:<18}{whole:>5} of {official} {noun}")
        lines += ["", "missing, and no obstacle:" if self.missing else "missing: nothing"]
        lines += [f"  {line}" for line in self.missing]
        lines += ["", f"broken: {len(self.problems) or 'nothing'}", *listed(self.problems)]
        return "\n".join(lines)


@dataclass(frozen=True)
class OwnReport:
    """Result of `check` of one's own data; its text is what a person reads.

    Attributes:
        root: the folder.
        found: `own.Inspection`.
        problems: every fault, a Problem each, images that do not decode among them.
    """

    root: str
    found: own.Inspection
    problems: list

    @property
    def ok(self):
        """Whether nothing is broken."""
        return not self.problems

    def __str__(self):
        lines = [f"{own.NAME} at {self.root}", ""]
        if self.found.settings:
            lines.append(_described(self.found.settings))
        lines += [self._side(side) for side in ("train", "test")]
        lines.append(f"left out, without a point: {self.found.left_out}")
        lines.append(f"images with no face: {len(self.found.unused)}{_named(self.found.unused)}")
        lines += ["", f"broken: {len(self.problems) or 'nothing'}", *listed(self.problems)]
        return "\n".join(lines)

    def _side(self, side):
        faces = [face for face in self.found.faces if face["split"] == side]
        images = len({face["image"] for face in faces})
        hidden = sum(int((~face["visible"]).sum()) for face in faces)
        return f"{side:<6}{len(faces):>6} faces in {images} images, {hidden} points hidden"


def _described(settings):
    """A line about a scheme."""
    scheme = settings.scheme
    pair = [scheme.names[n] for n in scheme.eye_corners or ()]
    by = f"the distance of {' and '.join(pair)}" if pair else "the box, sqrt(width * height)"
    return f"scheme {scheme.name}: {scheme.count} points; errors are divided by {by}"


def _check_own(root, jobs, progress):
    """`OwnReport` of a folder."""
    found = own.inspect(root)
    images = dict.fromkeys(face["image"] for face in found.faces)

    def decode(image, done):
        return _decode_still(root, image, done)[1]

    settings = dict(jobs=jobs, progress=progress, label=f"check {own.NAME}")
    broken = [problem for problem in for_each(decode, images, **settings) if problem]
    return OwnReport(str(root), found, found.problems + broken)


def check(name, root, *, jobs=2, progress=True):
    """Counts a data set's faces and decodes each image, and each video to its end.

    Args:
        name: of the data set, as for `datasets.load`.
        root: its official folder.
        jobs: threads that decode.
        progress: whether to show a progress bar.

    Returns:
        Report; OwnReport of one's own data.

    Raises:
        ValueError: an unknown name. All that is wrong with the folder itself is in the report.
    """
    source = reader(name)
    root = Path(root)
    if source is own:
        return _check_own(root, jobs, progress)
    faces, problems = source.scan(root)
    images = {}  # image -> its faces
    for face in faces:
        images.setdefault(face["image"], []).append(face)
    streams = [image for image in images if video.is_video(image)]
    annotated = {image: _annotated(source, root, images[image]) for image in streams}

    def decode(image, done):
        if video.is_video(image):
            return _decode_video(root, image, annotated[image], done)
        return _decode_still(root, image, done)

    settings = dict(jobs=jobs, progress=progress, label=f"check {name}")
    if streams:
        settings |= dict(total=sum(annotated.values()), unit="frame")
    results = for_each(decode, images, **settings)
    whole = {image: last for image, (last, _) in zip(images, results, strict=True)}
    absent = source.absent(root)
    folders = [_folder(source, root, f, faces, whole, absent[f.path]) for f in source.FOLDERS]
    problems = problems + [problem for _, problem in results if problem]
    return Report(name, str(root), folders, problems)


def _named(names):
    """A list of names as `: 3, 5, 7 and 9 more`; nothing for none."""
    rest = len(names) - NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f": {', '.join(names[:NAMED])}{more}" if names else ""


def _annotated(source, root, faces):
    """How many frames of a video have an annotation, those included that are left out."""
    files, _ = source.annotations(root, faces[0]["video"])
    return len(files)


def _decode_still(root, image, done):
    """(the last frame that is whole, Problem or None) of an image: all of its faces, or none."""
    try:
        read_image(root / image)
    except (ValueError, OSError) as error:
        return -math.inf, Problem(image, cause_of(error, root / image))
    finally:
        done()
    return math.inf, None


def _decode_video(root, image, annotated, done):
    """(the last frame that is whole, Problem or None) of a video, decoded to its end."""
    count = 0
    try:
        for _ in video.frames(root / image):
            count += 1
            done()
    except (ValueError, OSError) as error:
        return count, Problem(image, cause_of(error, root / image))
    if count != annotated:
        return count, Problem(image, f"decodes to {count} frames, but {annotated} are annotated")
    return count, None


def _folder(source, root, folder, faces, whole, absent):
    """The counts of one official folder."""
    here = [face for face in faces if source.folder_of(face) == folder.path]
    counts = {
        "path": folder.path,
        "subset": folder.subset,
        "official": folder.official,
        "found": None if absent is None else len(here),
        "whole": sum(face["frame"] <= whole[face["image"]] for face in here),
        "absent": absent or [],
    }
    if hasattr(folder, "videos"):
        there = [] if absent is None else source.videos(root).items()
        names = [name for name, subset in there if subset == folder.subset]
        counts["official_videos"] = folder.videos
        counts["videos"] = None if absent is None else len(names)
        counts["left_out"] = sum(_left_out(source, root, name) for name in names)
    return counts


def _left_out(source, root, name):
    """How many annotations of a video are left out."""
    skipped = source.left_out(root).get(name, frozenset())
    return len(skipped.intersection(source.annotations(root, name)[0])) if skipped else 0


def _table(folders):
    """Lines of the table of folders of stills."""
    lines = [f"{'folder':<18}{'subset':<14}{'official':>9}{'found':>8}{'whole':>8}"]
    for f in folders:
        found = "-" if f["found"] is None else f["found"]
        row = f"{f['path']:<18}{f['subset']:<14}{f['official']:>9}{found:>8}{f['whole']:>8}"
        lines.append(row + _surplus(f["found"], f["official"]))
    return lines


def _video_table(folders):
    """Lines of the table of lists of videos."""
    lines = [
        f"{'':<10}{'videos':>16}{'frames':>16}",
        f"{'list':<10}{'official':>9}{'found':>7}{'official':>9}{'found':>7}{'whole':>7}"
        f"{'left out':>10}",
    ]
    for f in folders:
        videos, found = ("-" if f[key] is None else f[key] for key in ("videos", "found"))
        row = f"{f['path']:<10}{f['official_videos']:>9}{videos:>7}{f['official']:>9}{found:>7}"
        row += f"{f['whole']:>7}{f['left_out']:>10}"
        lines.append(row + _surplus(f["videos"], f["official_videos"]))
    return lines


def _surplus(found, official):
    more = (found or 0) - official
    return f"  {more} more than the official set" if more > 0 else ""
