"""What README.md and docs/ say of results and code: written from tables and docstrings.

Text between `<!-- made: NAME -->` and `<!-- end -->` is that of MAKERS[NAME], never typed.
"""

import functools
import math
import re

from study import claims, paths, tables
from study.docs import differences, equations, model_card
from study.docs.differences import change

PROFILE = "cpu"
MADE = re.compile(r"(<!-- made: ([\w-]+) -->)(.*?)(<!-- end -->)", re.DOTALL)
SUBSET = "300W com"
# The claims of the paper that the README shows; the page has all.
HEADLINES = (
    *("resolution-300w-com", "1d-below-2d-com", "memory-2d", "gamma-300w-com"),
    *("ours-below-fhr-com", "ours-lab-below-lab-com", "gan-300vw-s1"),
    *(f"lambda-300vw-s{n}" for n in (1, 2, 3)),
)


def files():
    """README.md and the pages under docs/."""
    return [paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md"))]


def update():
    """Writes all that is made in README.md and docs/ anew; returns the names of the files."""
    for file in files():
        file.write_text(filled(file.read_text(), file.name))
    return ", ".join(file.relative_to(paths.ROOT).as_posix() for file in files())


def filled(text, name="the text"):
    """A text with all that stands between marks made anew.

    Raises:
        ValueError: a mark that nothing makes; names the text and what there is.
    """

    def made(match):
        if match[2] not in MAKERS:
            known = ", ".join(MAKERS)
            raise ValueError(f"{name}: nothing makes {match[2]!r}; there are {known}")
        return f"{match[1]}{MAKERS[match[2]]()}{match[4]}"

    return MADE.sub(made, text)


# --- the results at a glance -------------------------------------------------------------------


def results(profile=PROFILE):
    """The answer, the paper's main claims and the ends of Table 1 beside it, and one figure."""
    folder = paths.reports(profile).relative_to(paths.ROOT).as_posix()
    table = tables.read("claims", profile)
    lines = [
        *(f"- {sentence}" for sentence in answer(profile)),
        "",
        f"{counted(table)} ([how to read a verdict](docs/verdicts.md)). {measured_on(profile)} "
        "Where a claim names L, ours is at the same L/F.",
        "",
        *claimed(table),
        "",
        *ends(tables.read("table1_resolution", profile)),
        "",
        f"![NRMSE against heatmap resolution, 1D and 2D]({folder}/figures/resolution.png)",
        "",
        "All claims, tables and figures, what the gain is made of, rivals, videos and what is "
        f"missing: [the page]({folder}/index.html).",
    ]
    return "\n".join(["", *lines, ""])


def answer(profile=PROFILE):
    """What was found, in a sentence each: of all that has been measured."""
    sentences = _resolution(tables.read("resolution_gain", profile))
    sentences += _attention(tables.read("coattention_gain", profile))
    return sentences + _refinement(tables.read("temporal_gain", profile))


def _measured(gains, comparison, subset=SUBSET, decoder="argmax"):
    """A row of a table of gains as a dict, or None where it has no number of ours."""
    if gains is None or comparison not in set(gains["comparison"]):
        return None
    if "landmarks" in gains:
        gains = gains[gains["landmarks"] == "all"]
    row = claims.row_of(gains, comparison, subset, decoder)
    return None if math.isnan(row["decrease_percent"]) else row


def _resolution(gains):
    longer, best = (
        _measured(gains, "1D, L/F 0.25 to 3", decoder=name)
        for name in ("argmax", "best on validation")
    )
    if longer is None:
        return ["Whether longer heatmaps help has not been measured yet."]
    before, after = longer["before_percent"], longer["after_percent"]
    same = _measured(gains, "1D, L 64 to 768")
    sentences = [
        f"**Longer 1D heatmaps, L/F from 0.25 to 3: {longer['verdict']}.** With the highest bin "
        f"taken for the landmark, as in the paper, NRMSE goes from {before:.2f} to {after:.2f} %, "
        f"{change(longer)}."
        + (f" At the paper's own L, 64 to 768, it is {_alone(same)}." if same else "")
    ]
    if best is not None:
        left, whole = best["before_percent"] - best["after_percent"], before - after
        share = "Most" if left < whole / 2 else "A part"
        sentences.append(
            f"**{share} of that gain is in the reading.** Decoded below the bin, the same heatmaps "
            f"give {best['before_percent']:.2f} and {best['after_percent']:.2f} %: {left:.2f} of "
            f"the {whole:.2f} points are left."
        )
    return sentences + _rival(gains)


def _rival(gains):
    plain, best = (
        _measured(gains, "2D at L/F 0.5 to 1D at L/F 3", decoder=name)
        for name in ("argmax", "best on validation")
    )
    if plain is None:
        return []
    text = f"**2D at L/F=0.5 to 1D at L/F=3: {plain['verdict']}.** {_sentence(plain)}"
    if best is not None:
        text += f" Each read by its best decoder, 1D is {change(best)}."
    return [text]


def _alone(row):
    """A change without the paper's, which is of another L/F."""
    return change({**row, "paper_percent": math.nan})


def _sentence(row):
    return f"NRMSE is {change(row)}."


def _attention(gains):
    row = _measured(gains, "γ 0 to 0.4")
    return (
        []
        if row is None
        else [f"**Co-attention, γ from 0 to 0.4: {row['verdict']}.** {_sentence(row)}"]
    )


def _refinement(gains):
    name = "λ 0 to 0.3, each trained"
    rows = [_measured(gains, name, f"300VW S{n}") for n in (1, 2, 3)]
    rows = [row for row in rows if row is not None]
    if not rows:
        return []
    verdicts = " or ".join(dict.fromkeys(row["verdict"] for row in rows))
    found = "; ".join(f"{row['subset'].split()[-1]} {change(row)}" for row in rows)
    return [
        f"**Temporal refinement, λ from 0 to 0.3: {verdicts}**, on {_where(rows[0])}. "
        f"NRMSE, by difficulty: {found}."
    ]


def _where(row):
    """What a number was measured on, in short: its data set alone."""
    return row["data"].split(",")[0]


def measured_on(profile=PROFILE):
    """What the numbers on photographs were measured on."""
    row = _measured(tables.read("resolution_gain", profile), "1D, L/F 0.25 to 3")
    if row is None:
        return ""
    seeds = f"{row['seeds']:.0f} seed{'s' if row['seeds'] > 1 else ''}"
    return (
        f"Measured on {row['faces']:.0f} faces with {seeds}: {row['data']}. NRMSE is the mean "
        "distance of the landmarks from the truth, over that of the outer eye corners."
    )


def counted(table):
    """How many of the paper's claims got which verdict."""
    counts = table["verdict"].value_counts()
    order = (claims.REPRODUCED, claims.CONTRADICTED, claims.INCONCLUSIVE, claims.NOT_RUN)
    found = ", ".join(f"{counts.get(name, 0)} {name}" for name in order)
    return f"Of {len(table)} claims of the paper: {found}"


def claimed(table):
    """Markdown rows of the paper's main claims beside ours."""
    heads = "the paper's claim", "lower by, the paper", "lower by, ours (95 % interval)"
    yield f"| {' | '.join((*heads, 'verdict', 'measured on'))} |"
    yield "|---|---|---|---|---|"
    rows = table.set_index("id").loc[list(HEADLINES)]
    for row in rows.astype(object).where(rows.notna(), "").to_dict("records"):
        yield (
            f"| {_claim(row)} | {_quantity(row, row['paper_value'])} | {_ours(row)} "
            f"| {row['verdict']} | {_where(row) or row['reason']} |"
        )


def _claim(row):
    """A claim as printed, without what it says in brackets, and where it was made."""
    text = row["claim"].split(" (")[0].replace("->", " to ")
    text = text.replace("gamma", "γ").replace("lambda", "λ").replace("0.0 ", "0 ")
    return text if row["subset"] == "-" else f"{text}, {row['subset']}"


def _quantity(row, value):
    return f"{float(value):g} %" if "percent" in row["unit"] else f"{value} {row['unit']}"


def _ours(row):
    """Our value with its interval, or what was counted, or nothing."""
    if row["data"].startswith("counted"):
        return row["data"].split(": ", 1)[1]
    if row["ours"] == "":
        return ""
    return f"{row['ours']:.2f} ({row['ours_low']:.2f} to {row['ours_high']:.2f}) %"


def ends(table1):
    """Markdown rows of Table 1, of 2D and 1D: the first and the last L/F that the paper scores."""
    yield f"| Table 1, {SUBSET}, NRMSE % | L/F | the paper, F=256 | ours, by the highest bin |"
    yield "|---|---|---|---|"
    here = table1[(table1["subset"] == SUBSET) & table1["nrmse_percent"].notna()]
    for method, kind in (("detector-2d", "2D"), ("detector-1d", "1D")):
        rows = here[here["method"] == method].sort_values("length_over_input")
        for row in rows.iloc[[0, -1]].to_dict("records"):
            ours, *ends = (row[f"ours_{key}"] for key in ("percent", "low", "high"))
            span = f"{ours:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"
            if math.isnan(ours):
                span = row["reason"]
            yield f"| {kind} | {row['length_over_input']:g} | {row['nrmse_percent']:.2f} | {span} |"


MAKERS = {
    "results": results,
    "equations": equations.table,
    "every-equation": equations.index,
    "unnumbered": equations.unnumbered,
    "photo": functools.partial(model_card.photo, PROFILE),
    "card-facts": model_card.facts,
    "card-scores": functools.partial(model_card.scores, PROFILE),
    "card-areas": functools.partial(model_card.by, PROFILE, "shipped_areas", "area", "area"),
    "card-turns": functools.partial(model_card.by, PROFILE, "shipped_turns", "turn", "turned"),
    "card-confidence": functools.partial(model_card.confidence, PROFILE),
    "card-choices": functools.partial(model_card.choices, PROFILE),
    **{name: functools.partial(differences.text, name, PROFILE) for name in differences.MEASURED},
}
