"""What a profile's runs are made from: faces of stills, frames of videos, and who is held out."""

import dataclasses
import hashlib
import json

import numpy as np
import torch

from study import config as configs, datasets, paths, training
from study.datasets import crops as crop_cache
from study.landmarks import Scheme


class RunError(RuntimeError):
    """A run that cannot start; the message says why and what to do."""


def folder(profile, run):
    """Where the record of a run is."""
    return paths.runs(profile.name) / run.id


def weights_file(profile, run):
    """Where the weights of a run are cached."""
    return paths.build(profile.name) / "weights" / f"{run.id}.pt"


def checkpoint_file(profile, run):
    """Where an interrupted run goes on from."""
    return paths.build(profile.name) / "checkpoints" / f"{run.id}.pt"


# --- cached crops -----------------------------------------------------------------------------


def open_crops(profile, name=None):
    """The cached crops of one of a profile's data sets, or None where there are none here.

    Crops that were cut with other parameters than the profile's are none.

    Args:
        name: of the data set, or of its larger crops; None is the profile's stills.
    """
    name = name or profile.data.name
    where = paths.crops(profile.name, name)
    if not (where / "meta.json").exists():
        return None
    try:
        crops = crop_cache.read(where)
    except ValueError:  # made by another version of the study
        return None
    wanted = dataclasses.asdict(profile.settings_of(name))
    return crops if {key: crops.meta[key] for key in wanted} == wanted else None


def require_crops(profile, name=None):
    """The cached crops of one of a profile's data sets.

    Raises:
        RunError: they have not been made on this machine; says how to.
    """
    crops = open_crops(profile, name)
    if crops is None:
        where = paths.crops(profile.name, name or profile.data.name).relative_to(paths.ROOT)
        raise RunError(
            f"{where} holds no crops of this profile: "
            f"run `python -m study prepare --profile {profile.name}` first"
        )
    return crops


def needed(profile, run):
    """Names of the cached crops that a run is trained or measured on, the stills first."""
    videos = profile.videos if run.group in configs.ON_VIDEO else ()
    return (profile.cache_of(run), *(data.name for data in videos))


def fingerprint(profile, crops):
    """What runs are trained on, as one hash: the faces, how they are cut, who is held out.

    Args:
        crops: the `Crops` of the stills, or a list of those of all data sets of `needed`.
    """
    crops = crops if isinstance(crops, list) else [crops]
    parts = [one.meta["fingerprint"] for one in crops]
    settings = dataclasses.replace(profile.crops, size=crops[0].meta["size"])
    parts += [dataclasses.asdict(part) for part in (settings, profile.validation)]
    parts += [one.meta["scheme"] for one in crops if "scheme" in one.meta]
    if len(crops) > 1 and profile.video.apart:
        parts.append(profile.video.apart)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint_here(profile, run):
    """`fingerprint` of a run's data sets; None where one of them has no crops here."""
    crops = [open_crops(profile, name) for name in needed(profile, run)]
    return None if any(one is None for one in crops) else fingerprint(profile, crops)


# --- stills -----------------------------------------------------------------------------------


def faces_of(profile, crops, rows, data=None):
    """`training.Faces` of some rows of cached crops.

    Args:
        rows: a bool mask or indices.
        data: the `config.Data` that the crops are of; None is one with the stills' landmarks.
    """
    data = data or profile.data
    scheme = scheme_of(data, crops)
    rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
    pictures = torch.from_numpy(np.ascontiguousarray(crops.faces[rows]))
    return training.Faces(
        pictures=pictures,
        points=torch.from_numpy(np.ascontiguousarray(crops.points[rows])),
        share=profile.crops.scale / profile.crops.context,
        order=scheme.mirror,
        sizes=None if has_eyes(data) else _sizes(scheme, crops, rows),
        hides=not all(visible.all() for visible in crops.table["visible"]),
    )


def scheme_of(data, crops=None):
    """The landmark scheme of a `config.Data`: that of its crops, where these keep one.

    Args:
        crops: its `Crops`; None reads the scheme from the data's folder.

    Raises:
        datasets.DatasetError: what is wrong with the scheme.yaml of one's own data.
    """
    if crops is not None and "scheme" in crops.meta:
        return Scheme.from_dict(crops.meta["scheme"])
    return datasets.scheme(data.name, paths.ROOT / data.root)


def has_eyes(data):
    """Whether errors on a data set are divided by the distance of 68 points' outer eye corners."""
    return not data.own and datasets.reader(data.name).SCHEME.eye_corners is not None


def normalizers(scheme, crops, rows):
    """What errors are divided by where `has_eyes` is not so, (n,) float64 px of the image.

    The distance of the two points that the scheme names; the face's size where it names none, or
    where one of the two is hidden.
    """
    size = crops.table["face_size"].to_numpy()[rows]
    if scheme.eye_corners is None:
        return size
    left, right = crops.points[rows][:, list(scheme.eye_corners)].transpose(1, 0, 2)
    apart = np.linalg.norm(left - right, axis=1) * crops.affine[rows, 0]  # px of the image
    return np.where(np.isnan(apart), size, apart)


def _sizes(scheme, crops, rows):
    """`normalizers` in px of the cached crops, a tensor."""
    return torch.from_numpy(normalizers(scheme, crops, rows) / crops.affine[rows, 0])


def together(first, second):
    """Two `training.Faces` with eye corners as one; both are cut alike."""
    return dataclasses.replace(
        first,
        pictures=torch.cat([first.pictures, second.pictures]),
        points=torch.cat([first.points, second.points]),
    )


def split(profile, crops):
    """Bool masks (B,) of the faces to train on, to validate on, and to test on."""
    return split_table(profile, crops.table)


def split_table(profile, table):
    """`split` of an index or of the table of its crops, B rows."""
    held = crop_cache.validation_split(
        table, profile.validation.share, seed=profile.validation.seed
    )
    train = (table["split"] == "train").to_numpy()
    return train & ~held, held, (table["split"] == "test").to_numpy()


def in_folds(profile, table, mask, run):
    """Bool masks of the masked faces that a run of a cross-validation trains and validates on.

    Args:
        table: of all faces or frames, B rows.
        mask: (B,) bool, those that there are folds of; training faces alone.
        run: with its `fold` and `folds`.
    """
    seed = f"{profile.validation.seed} folds"
    fold = np.full(len(table), -1)
    fold[mask] = crop_cache.folds(table[mask], run.folds, seed=seed)
    held = fold == run.fold
    return mask & ~held, held


# --- videos -----------------------------------------------------------------------------------


def split_videos(profile, stills, videos):
    """Bool masks (R,) of the frames to train on, to validate on, and to test on.

    Videos are held out whole. A still set in motion is held out where its photograph is, so that
    no face is trained on as a still and validated on as a video; real videos by a hash of theirs.

    Args:
        stills: `Crops` of the stills.
        videos: `Crops` of the videos, R frames.
    """
    train = (videos.table["split"] == "train").to_numpy()
    if profile.video.motion:
        _, held_stills, _ = split(profile, stills)
        photographs = set(stills.table["photograph"][held_stills])
        held = train & videos.table["photograph"].isin(photographs).to_numpy()
    else:
        held = crop_cache.validation_split(
            videos.table, profile.validation.share, seed=profile.validation.seed
        )
    return train & ~held, held, (videos.table["split"] == "test").to_numpy()


def kept_apart(profile, videos, train):
    """Bool mask (R,) of the training frames that detectors inside trackers never see.

    Videos are kept apart whole, and those of one photograph together.

    Args:
        videos: `Crops` of the videos, R frames.
        train: (R,) bool, the frames to train on.
    """
    if not profile.video.apart:
        return np.zeros_like(train)
    seed = f"{profile.validation.seed} apart"
    apart = np.zeros_like(train)
    apart[train] = crop_cache.validation_split(
        videos.table[train], profile.video.apart, seed=seed
    )
    return apart


def by_video(crops, mask):
    """Rows of each video among the masked frames, in the order of the frames: a list of arrays."""
    table = crops.table[mask].sort_values(["video", "frame"], kind="stable")
    return [there.index.to_numpy() for _, there in table.groupby("video", sort=True)]


def every(crops, mask, step):
    """Rows of every so many-th frame of each of the masked videos, the first included."""
    return np.concatenate([np.empty(0, int), *(rows[::step] for rows in by_video(crops, mask))])


# --- what a record says -----------------------------------------------------------------------


def describe_data(profile, crops, train, held, data=None):
    """What a run on stills was trained and measured on, for its record.

    Args:
        train, held: faces trained on and validated on.
        data: the `config.Data` that the crops are of; None is the profile's stills.
    """
    data = data or profile.data
    _, _, test = split(profile, crops)
    subsets = crops.table["subset"][test]
    reader = datasets.reader(data.name)
    tested = dict.fromkeys(f.subset for f in reader.FOLDERS if f.split == "test")
    return {
        "name": data.name,
        "label": data.label,
        "standin": data.standin is not None,
        "fingerprint": fingerprint(profile, crops),
        "train": train,
        "validation": held,
        "official_train": _official(reader),
        "test": {name: int((subsets == name).sum()) for name in tested},
    }


def _official(reader):
    """Faces of the official training folders; None of one's own data, which has no such number."""
    counts = [folder.official for folder in reader.FOLDERS if folder.split == "train"]
    return None if None in counts else sum(counts)


def describe_videos(profile, stills, videos, trained, train, held):
    """What a run on videos was trained and measured on, for its record.

    Args:
        stills: `Crops` of the stills.
        videos: list of the `Crops` of the profile's video data sets.
        trained: (R,) bool, the frames of the first of them that it was trained on.
        train, held: faces trained on and validated on.
    """
    tests = [crops.table[crops.table["split"] == "test"] for crops in videos]
    counts = [there["subset"].value_counts(sort=False).to_dict() for there in tests]
    clips = [there.groupby("subset")["video"].nunique().to_dict() for there in tests]
    return {
        "name": profile.video.name,
        "label": profile.video.label,
        "standin": not profile.video.real,
        "fingerprint": fingerprint(profile, [stills, *videos]),
        "train": int(train),
        "validation": int(held),
        "train_videos": int(videos[0].table["video"][trained].nunique()),
        "test": {name: int(n) for found in counts for name, n in found.items()},
        "test_videos": {name: int(n) for found in clips for name, n in found.items()},
    }
