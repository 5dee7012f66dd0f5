"""Tidy tables from results and landmarks, and the one place that writes them.

Fractions become percent here. A row that has no number of ours says why in `reason`.
"""

import numpy as np
import pandas as pd
import torch

from study import paths

SUBSETS = {"300W com": "common", "300W cha": "challenging", "300W full": "full"}
TEXTS = ("reason", "note", "data", "verdict", "varied")  # columns that are empty, not missing
COUNTS = ("size", "length", "ours_length", "seeds", "faces", "epochs", "parameters", "train")
COUNTS += ("validation", "test", "threads", "recipe", "videos", "folds")  # of whole numbers


def save(table, name, profile):
    """Writes a table to reports/<profile>/tables/<name>.csv.

    Returns:
        the table as every later reader of the file finds it, so that a figure drawn now and one
        drawn from the file are the same.
    """
    file = paths.reports(profile) / "tables" / f"{name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False, float_format="%.6g", lineterminator="\n")
    return read(name, profile)


def read(name, profile):
    """A saved table, or None where there is none."""
    file = paths.reports(profile) / "tables" / f"{name}.csv"
    if not file.exists():
        return None
    kinds = dict.fromkeys(TEXTS, str)
    table = pd.read_csv(file, dtype=kinds, keep_default_na=False, na_values=[""])
    texts = [column for column in TEXTS if column in table]
    table = table.assign(**{column: table[column].fillna("") for column in texts})
    return table.astype({column: "Int64" for column in COUNTS if column in table})


def tidy(rows, columns):
    """A data frame with these columns; counts stay whole numbers where some are missing."""
    table = pd.DataFrame(rows, columns=list(columns))
    return table.astype({column: "Int64" for column in COUNTS if column in table})


def as_tensor(values):
    """Numbers as a float64 tensor."""
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def percent(values):
    """Fractions as percent."""
    return tuple(100 * value for value in values)
