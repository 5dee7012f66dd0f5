"""The answers of 12: facial areas, and the systems of others in videos. No number is typed here."""

import math

from study import claims
from study.tables import areas, temporal, video_rivals

IN = {
    areas.CROP: "px of the crop",
    areas.EYES: "% of the eyes' distance from the eyes' middle",
    areas.ALIGNED: "px of the crop after faces are aligned to their mean shape",
    areas.IMAGE: "px of the image",
}


def variances(largest):
    """Fig. 5: is the contour's variance the largest, and does that depend on the coordinates?

    Args:
        largest: `areas.contour_largest`.
    """
    texts = [_on_axis(largest, axis) for axis in areas.AXES]
    row = claims.claimed(largest).iloc[0]
    kind = "" if row["real"] == "yes" else "; no photographs, so no verdict gets further"
    data = f"{row['faces']:,} faces ({row['data']}{kind})"
    return (
        f"{' '.join(texts)} Our crop is cut around the contour, which it so holds still, and the "
        f"paper does not say around what it cuts its own. Measured on the true landmarks of {data}."
    )


def _on_axis(largest, axis):
    """One axis in every reading, with the verdict of the claim."""
    rows = claims.claimed(largest)
    rows = rows[rows["axis"] == axis].set_index("coordinates")
    made = "; ".join(f"in {IN[name]} {_more(rows.loc[name])}" for name in areas.READINGS)
    verdict = claims.contour_variance(largest, axis)["verdict"]
    lead = f"The contour's variance of {axis} is, against the largest of the others,"
    return f"{lead} {made}: **{verdict}**."


def _more(row):
    """By how much the contour's variance is above or below the largest of the others."""
    word = "above" if row["more_percent"] >= 0 else "below"
    text = f"{abs(row['more_percent']):.0f} % {word} ({row['next_area']}"
    if math.isnan(row["low"]):
        return f"{text}; no interval)"
    return f"{text}; {row['low']:.0f} to {row['high']:.0f} %)"


def facial_areas(gained):
    """Fig. 4: what each area gains from GAN to ours, or from others where there is no GAN.

    Args:
        gained: `video_rivals.gains`.
    """
    here = gained[(gained["subset"] == temporal.ALL) & (gained["landmarks"] != "all")]
    measured = here[here["decrease_percent"].notna()]
    against = measured[measured["comparison"] == claims.AGAINST_GAN]
    if not against.empty:
        most = against.loc[against["decrease_percent"].idxmax(), "landmarks"]
        printed = against.set_index("landmarks").loc["contour", "paper_percent"]
        verdict = claims.areas_below_gan(gained)["verdict"]
        text = (
            f"{_by_area(against)}, most in the {most}; the paper: in every area, most in the "
            f"contour, {printed:.2f} %: **{verdict}**."
        )
        return f"{text} {_measured_on(against)}"
    reason = here.loc[here["comparison"] == claims.AGAINST_GAN, "reason"].iloc[0]
    texts = [f"The paper's comparison with GAN is not answered yet: {reason}."]
    to_ours = measured["comparison"].str.endswith(f" to {video_rivals.OURS}")
    for _, rows in measured[to_ours].groupby("comparison", sort=False):
        texts.append(f"{_by_area(rows)}.")
    return " ".join([*texts, _measured_on(measured[to_ours])]).strip()


def _by_area(rows):
    found = "; ".join(f"{row['landmarks']}, {_lower(row)}" for row in rows.to_dict("records"))
    return f"From {rows['comparison'].iloc[0]}, NRMSE by facial area is: {found}"


def in_videos(gained):
    """Tables 4 and 5: every rebuilt system against another, on all landmarks.

    Args:
        gained: `video_rivals.gains`.
    """
    rows = gained[(gained["landmarks"] == "all") & (gained["subset"] != temporal.ALL)]
    texts = []
    for name in dict.fromkeys(rows["comparison"]):
        there = rows[rows["comparison"].eq(name) & rows["decrease_percent"].notna()]
        if not there.empty:
            found = "; ".join(_judged(row) for row in there.to_dict("records"))
            texts.append(f"From {name}, NRMSE is {found}.")
    against = rows[rows["comparison"] == claims.AGAINST_GAN]
    if against["decrease_percent"].isna().all():
        reason = against["reason"].iloc[0]
        texts.insert(0, f"The paper's comparison with GAN is not answered yet: {reason}.")
    return " ".join([*texts, _measured_on(rows)]).strip()


def _judged(row):
    """One subset's change, with the paper's and the verdict where it prints one."""
    text = f"{_lower(row)} on {row['subset']}"
    if math.isnan(row["paper_percent"]):
        return text
    return f"{text} (the paper: {row['paper_percent']:.2f} %): **{row['verdict']}**"


def _lower(row):
    word = "lower" if row["decrease_percent"] >= 0 else "higher"
    text = f"{abs(row['decrease_percent']):.1f} % {word}"
    if math.isnan(row["low"]):
        return f"{text} (one video, no interval)"
    return f"{text} ({row['low']:.2f} to {row['high']:.2f} %)"


def _measured_on(rows):
    """What was measured on what, and with how many seeds; nothing where nothing was."""
    rows = rows[rows["decrease_percent"].notna()]
    if rows.empty:
        return ""
    seeds = sorted({int(rows["seeds"].min()), int(rows["seeds"].max())})
    words = "1 seed" if seeds == [1] else f"{' to '.join(map(str, seeds))} seeds"
    return f"Measured with {words} on {', '.join(dict.fromkeys(rows['data']))}."
