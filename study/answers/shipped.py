"""What is said of the shipped detector; every number comes from its tables."""

from study.figures import shipped as shipped_figures


def scores(table, subset="300W com"):
    """How well the shipped detector marks faces, with each kind of box.

    Args:
        table: `shipped_tables.scores`.
        subset: the printed name.
    """
    rows = table[table["subset"] == subset]
    if rows.empty:
        return f"Nothing has been measured on {subset}."
    parts = [_score(row) for row in rows.to_dict("records")]
    first = rows.iloc[0]
    return (
        f"On {first['faces']} faces of {subset} ({first['data']}), NRMSE is {'; '.join(parts)}. "
        f"The test set was looked at {_times(first['looks'])} with shipped weights."
    )


def _score(row):
    if row["missed"] == row["faces"]:
        return f"with {shipped_figures.SAYS[row['boxes']]}, all {row['faces']} missed"
    text = f"{row['percent']:.2f} % ({row['low']:.2f} to {row['high']:.2f} %)"
    text += f" with {shipped_figures.SAYS[row['boxes']]}"
    if row["boxes"] == "annotated":
        return text
    more = f"{row['worse']:+.2f} points on the same faces"
    missed = f", {row['missed']} missed" if row["missed"] else ""
    return f"{text} ({more}{missed})"


def _times(count):
    return "once" if count == 1 else f"{count} times"


def reliability(table):
    """Whether confidences mean what they say: the mean distance from the diagonal.

    Args:
        table: `shipped_tables.reliability`.
    """
    parts = []
    for kind, rows in table.groupby("boxes", sort=False):
        off = (rows["confidence"] - rows["share"]).abs()
        mean = 100 * (off * rows["landmarks"]).sum() / rows["landmarks"].sum()
        parts.append(f"{mean:.1f} with {shipped_figures.SAYS[kind]}")
    within = table["within"].iloc[0]
    return (
        f"A landmark's confidence is the probability that it lies within {within:.0%} of the "
        "distance of the outer eye corners. It was fitted on held-out training faces; on test "
        f"faces it is off by {', '.join(parts)} points on average ({table['data'].iloc[0]})."
    )


def choices(table):
    """What was chosen on held-out faces, and what it gains.

    Args:
        table: `shipped_tables.choices`; without rows where nothing was chosen on these faces.
    """
    if table.empty:
        return "Decoder, mirroring and looks were chosen by the profile that trained the weights."
    means = table.groupby(["decoder", "mirror", "passes"], sort=False)["percent"].mean()
    (decoder, mirror, passes), best = means.idxmin(), means.min()
    plain = means[("argmax", False, 1)]
    faces = table["faces"].iloc[0]
    how = f"{decoder}{', averaged with the mirrored crop' if mirror else ''}"
    how += ", cropped again by its own points" if passes > 1 else ""
    return (
        f"Best on {faces} held-out training faces, as a mean over the kinds of boxes: {how}, "
        f"{best:.2f} %; argmax, one crop, {plain:.2f} %."
    )
