"""The published numbers of the paper that this study re-makes, copied as facts from its tables.

They stand in CSV files in `published/`, percent and px as printed; nothing else in the study
holds a published number.
"""

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).with_name("published")
SIZE = 256  # F, px, in all of the paper's experiments (Section 5.1)
EXAMPLE = (142.84, 188.72)  # px, the landmark whose quantization error Section 3 works out


def _read(name):
    return pd.read_csv(FOLDER / f"{name}.csv", keep_default_na=False, na_values=[""])


def table1():
    """Table 1: method, length (L), length_over_input (L/F), subset, nrmse_percent, note."""
    table = _read("table1_resolution")
    return table.assign(note=table["note"].fillna(""))


def table2():
    """Table 2: subset, lam (λ), nrmse_percent of the tracker."""
    return _read("table2_temporal_refinement")


def table3():
    """Table 3: method, subset, nrmse_percent on 300W and AFLW."""
    return _read("table3_image_datasets")


def table4():
    """Table 4: method, subset, nrmse_percent on 300VW."""
    return _read("table4_300vw")


def table5():
    """Table 5: method, subset, nrmse_percent on Talking Face."""
    return _read("table5_talking_face")


def claims():
    """The paper's claims: id, claim, subset, paper_value (str), unit; "idem" is spelt out."""
    table = _read("claims").astype(str)
    texts = []
    for text in table["claim"]:
        same, _, more = text.partition("idem")
        if not same:  # "idem", or "idem, ..." in place of what follows the colon above
            text = texts[-1].split(":")[0] + more if more else texts[-1]
        texts.append(text)
    return table.assign(claim=texts)


def card():
    """GiB of the card that Table 1's 2D systems did not fit at L = F."""
    table = claims()
    return int(table.loc[table["id"] == "memory-2d", "paper_value"].item())


def nrmse(method, length, subset):
    """One number of Table 1 in percent; NaN where the paper ran out of memory.

    Raises:
        KeyError: Table 1 has no such row.
    """
    table = table1()
    row = table[
        (table["method"] == method) & (table["length"] == length) & (table["subset"] == subset)
    ]
    if row.empty:
        raise KeyError(f"Table 1 has no {method} at L={length} on {subset}")
    return float(row["nrmse_percent"].iloc[0])


def decrease(before, after, subset):
    """Relative decrease between two rows of Table 1, in percent of the first (Section 5.2).

    Args:
        before, after: (method, length) each.
        subset: as Table 1 names it, e.g. "300W com".
    """
    return 100 * (1 - nrmse(*after, subset) / nrmse(*before, subset))
