"""What a data set's folder holds, against the official numbers, and what is broken."""

from dataclasses import dataclass
from pathlib import Path

from study.datasets import reader
from study.datasets.crops import for_each
from study.datasets.formats import read_image
from study.datasets.index import Problem, listed


@dataclass(frozen=True)
class Report:
    """Result of `check`; its text is what a person reads.

    Attributes:
        name: of the data set.
        root: its folder.
        folders: one dict an official folder: path, subset, official (faces), found (faces with
            readable points; None where the folder is absent), whole (whose image decodes too).
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
        """Lines that say which official images are not there."""
        lines = []
        for folder in self.folders:
            found, official = folder["found"], folder["official"]
            if found is None:
                lines.append(f"{folder['path']}: the folder, all {official} faces")
            elif found < official:
                lines.append(f"{folder['path']}: {official - found} of {official} faces")
        return lines

    def __str__(self):
        lines = [f"{self.name} at {self.root}", ""]
        lines.append(f"{'folder':<18}{'subset':<14}{'official':>9}{'found':>8}{'whole':>8}")
        for f in self.folders:
            found = "-" if f["found"] is None else f["found"]
            row = f"{f['path']:<18}{f['subset']:<14}{f['official']:>9}{found:>8}{f['whole']:>8}"
            more = (f["found"] or 0) - f["official"]
            lines.append(row + (f"  {more} more than the official set" if more > 0 else ""))
        lines.append("")
        for subset, (whole, official) in self.counts.items():
            lines.append(f"{subset:<18}{whole:>5} of {official} faces")
        lines += ["", "missing, and no obstacle:" if self.missing else "missing: nothing"]
        lines += [f"  {line}" for line in self.missing]
        lines += ["", f"broken: {len(self.problems) or 'nothing'}", *listed(self.problems)]
        return "\n".join(lines)


def check(name, root, *, jobs=2, progress=True):
    """Counts a data set's faces and decodes each image.

    Args:
        name: of the data set, as for `datasets.load`.
        root: its official folder.
        jobs: threads that decode.
        progress: whether to show a progress bar.

    Returns:
        Report.

    Raises:
        ValueError: an unknown name. All that is wrong with the folder itself is in the report.
    """
    source = reader(name)
    root = Path(root)
    faces, problems = source.scan(root)

    def damage(face):
        path = root / face["image"]
        try:
            read_image(path)
        except (ValueError, OSError) as error:
            return Problem(face["image"], str(error).removeprefix(f"{path}: "))
        return None

    causes = for_each(damage, faces, jobs=jobs, progress=progress, label=f"check {name}")
    folders = [_folder(root, folder, faces, causes) for folder in source.FOLDERS]
    return Report(name, str(root), folders, problems + [cause for cause in causes if cause])


def _folder(root, folder, faces, causes):
    """The counts of one official folder."""
    here = [
        cause
        for face, cause in zip(faces, causes, strict=True)
        if face["id"].rpartition("/")[0] == folder.path
    ]
    return {
        "path": folder.path,
        "subset": folder.subset,
        "official": folder.official,
        "found": len(here) if (root / folder.path).is_dir() else None,
        "whole": sum(cause is None for cause in here),
    }
