"""Tidy tables of the data at hand: faces and videos, against the official sets."""

import numpy as np
import pandas as pd

from study import (
    datasets,
    material,
)


def data(folders, crops, held, label):
    """Counts of the faces at hand against the official set, a row an official folder.

    Args:
        folders: `datasets.w300.FOLDERS`, or those of another set.
        crops: the `Crops` of the faces at hand.
        held: (B,) bool, the faces held out for validation.
        label: what the faces are.

    Returns:
        folder, split, subset, official, found, held_out, photographs, data.
    """
    where = crops.table["id"].str.rsplit("/", n=1).str[0]
    rows = []
    for folder in folders:
        here = (where == folder.path).to_numpy()
        row = dict(folder=folder.path, split=folder.split, subset=folder.subset)
        row |= dict(official=folder.official, found=int(here.sum()))
        row |= dict(held_out=int((here & held).sum()))
        row |= dict(photographs=crops.table["photograph"][here].nunique(), data=label)
        rows.append(row)
    return pd.DataFrame(rows)


def aflw(profile, index, crops):
    """What there is of AFLW, a row a side of its split; a sentence in `data` where there is none.

    Args:
        index, crops: of `prepare.prepare_aflw`, or None.

    Returns:
        subset, official, found (faces), held_out, images, shared_images (with faces of the other
        side, too), visible_percent (of the landmarks), all_visible (faces), data.
    """
    columns = ["subset", "official", "found", "held_out", "images", "shared_images"]
    columns += ["visible_percent", "all_visible", "data"]
    if profile.aflw is None:
        return pd.DataFrame([{"data": "no AFLW in this profile"}], columns=columns)
    _, held, _ = material.split(profile, crops)
    sides = index.groupby("photograph")["split"].nunique()
    rows = []
    for folder in datasets.reader(profile.aflw.name).FOLDERS:
        here = (index["split"] == folder.split).to_numpy()
        seen, images = np.stack(list(index["visible"][here])), index["photograph"][here].unique()
        row = dict(subset=folder.subset, official=folder.official, found=int(here.sum()))
        row |= dict(held_out=int((here & held).sum()), images=len(images))
        row |= dict(shared_images=int((sides[images] > 1).sum()))
        row |= dict(visible_percent=100 * seen.mean(), all_visible=int(seen.all(axis=1).sum()))
        rows.append(row | dict(data=profile.aflw.label))
    return pd.DataFrame(rows, columns=columns)


def videos(profile, crops, held, apart):
    """Videos and frames at hand against the official sets, a row a subset.

    Args:
        profile: a `config.Profile`.
        crops: data set -> its `Crops`.
        held, apart: (R,) bool, the frames of the first data set that are held out for validation,
            and those that trackers are trained on and their detectors never see.

    Returns:
        dataset, subset, official_videos, official_frames, videos, frames, held_out and apart
        (videos), data.
    """
    rows = []
    for data in profile.videos:
        table = crops[data.name].table
        first = data.name == profile.video.name
        official = {part.subset: part for part in datasets.reader(data.name).FOLDERS}
        for subset, there in table.groupby("subset", sort=True):
            row = dict(dataset=data.name, subset=subset)
            row |= dict(official_videos=getattr(official[subset], "videos", 1))
            row |= dict(official_frames=official[subset].official)
            row |= dict(videos=there["video"].nunique(), frames=len(there))
            for name, mask in (("held_out", held), ("apart", apart)):
                row[name] = there["video"][mask[there.index]].nunique() if first else 0
            rows.append(row | dict(data=data.label))
    return pd.DataFrame(rows)
