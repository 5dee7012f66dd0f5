"""What docs/model_card.md says of the shipped weights: from their file and their tables."""

from study import tables, weights
from study.answers import shipped as shipped_answers
from study.figures import shipped as shipped_figures
from study.landmarks import SCHEMES

SUBSET = "300W com"


def facts():
    """What the file of weights says of itself: a list."""
    model, meta = weights.load()
    scheme, size = SCHEMES[meta.scheme], weights.SHIPPED.stat().st_size
    parameters = sum(one.numel() for one in model.parameters())
    config = meta.config
    return _lines(
        f"- Network: the study's 1D detector, F={config.size} px, L={config.length}, "
        f"{config.channels} channels, γ={config.gamma:g}; {parameters:,} parameters, "
        f"{size / 2**20:.1f} MiB in 16 bits.",
        f"- Landmarks: {scheme.count}, scheme `{meta.scheme}`; read by `{config.decoder}`.",
        f"- Crop: a square of {meta.scale:g} times the longer side of the landmarks' tight box.",
        f"- Training: {config.epochs} epochs; {meta.about['data']}. Run: {meta.about['run']}.",
        f"- Confidence: within {meta.calibration.within:.0%} of the distance of the outer eye "
        "corners, fitted on held-out training faces.",
    )


def scores(profile):
    """How well they mark test faces, by kind of box: a table and a sentence."""
    table = tables.read("shipped", profile)
    rows = ["| Test faces | Box | NRMSE, 95 % interval | worse by | missed | failures |"]
    rows += ["|---|---|---|---|---|---|"]
    rows += [_score(row) for row in table.to_dict("records")]
    return _lines(*rows, "", shipped_answers.scores(table, SUBSET))


def photo(profile):
    """What a user may expect of a photograph, in a sentence."""
    table = tables.read("shipped", profile)
    rows = table[table["subset"] == SUBSET].set_index("boxes")
    found = rows.loc["found"]
    return _lines(
        f"On {found['faces']} test faces of {SUBSET} that the built-in face detector crops, NRMSE "
        f"is {_interval(found)}, {found['missed']} missed; with annotated boxes, as in benchmarks, "
        f"{_interval(rows.loc['annotated'])}."
    )


def _score(row):
    worse = "" if row["boxes"] == "annotated" else f"{row['worse']:+.2f} points"
    return (
        f"| {row['faces']} of {row['subset']} | {shipped_figures.SAYS[row['boxes']]} | "
        f"{_interval(row)} | {worse} | {row['missed']} | {row['failures_percent']:.1f} % |"
    )


def _interval(row):
    return f"{row['percent']:.2f} % ({row['low']:.2f} to {row['high']:.2f})"


def by(profile, name, column, heading):
    """A saved table of one subset, a row a value of a column and a column a kind of box.

    Args:
        name: of the table. column: of it. heading: what the card calls the column.
    """
    table = tables.read(name, profile)
    table = table[table["subset"] == SUBSET]
    kinds = list(dict.fromkeys(table["boxes"]))
    said = " | ".join(shipped_figures.SAYS[kind] for kind in kinds)
    rows = [f"| {heading} | faces | {said} |", "|---|---|" + "---|" * len(kinds)]
    for value, here in table.groupby(column, sort=False):
        cells = here.set_index("boxes").loc[kinds]
        values = " | ".join(_interval(cell) for cell in cells.to_dict("records"))
        rows.append(f"| {value} | {cells['faces'].max()} | {values} |")
    return _lines(*rows)


def confidence(profile):
    """Whether confidences mean what they say."""
    return _lines(shipped_answers.reliability(tables.read("reliability", profile)))


def choices(profile):
    """What was chosen on validation."""
    return _lines(shipped_answers.choices(tables.read("shipped_choices", profile)))


def _lines(*lines):
    return "\n".join(["", *lines, ""])
