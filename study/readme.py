"""The README's results at a glance, written from a profile's tables and never by hand."""

from study import answers, area_answers, claims, paths, tables

START = "<!-- results: written by `python -m study readme`, from reports/cpu -->"
END = "<!-- end of results -->"
PROFILE = "cpu"


def update():
    """Writes the block between the two marks of README.md anew; returns the file's path."""
    file = paths.ROOT / "README.md"
    before, rest = file.read_text().split(START)
    _, after = rest.split(END)
    file.write_text(f"{before}{START}\n{block()}\n{END}{after}")
    return file


def block(profile=PROFILE):
    """The block's text: the answer, Table 1's common rows beside the paper's, and the figure."""
    folder = paths.reports(profile).relative_to(paths.ROOT).as_posix()
    gains = tables.read("resolution_gain", profile)
    decoders = tables.read("resolution_decoders", profile)
    lines = [
        answers.resolution(gains, decoders),
        "",
        *_rows(tables.read("table1_resolution", profile), decoders),
        "",
        f"![NRMSE against heatmap resolution, 1D and 2D]({folder}/figures/resolution.png)",
        "",
        *_gain(profile, folder),
        *_rivals(profile),
        *_memory(profile),
        *_attention(profile),
        *_folds(profile),
        *_videos(profile),
        *_rivals_in_videos(profile),
        *_areas(profile, folder),
        f"All tables, figures and runs, and what is missing: [the page]({folder}/index.html).",
    ]
    return "\n".join(lines)


def _gain(profile, folder):
    """What the gain of long heatmaps is made of, where its parts have been measured."""
    split, order = tables.read("gain_split", profile), tables.read("gain_order", profile)
    if split is None or split["points"].isna().all():
        return []
    picture = f"![The gain of long heatmaps, part by part]({folder}/figures/gain_split.png)"
    return [f"**What the gain is made of.** {answers.parts(split, order)}", "", picture, ""]


def _rivals(profile):
    """Who is best on the same backbone, and what it costs, where rivals have been measured."""
    side, gains = tables.read("rivals", profile), tables.read("rivals_gain", profile)
    if gains is None or gains["seeds"].isna().all():
        return []
    return [f"**Rivals.** {answers.rivals(side, gains)} {answers.cost(side)}", ""]


def _memory(profile):
    """Why Table 1 has no 2D detector at L = F, where the ledger has been made."""
    ledger = tables.read("memory", profile)
    if ledger is None:
        return []
    return [f"**Memory.** {answers.memory(claims.memory(ledger), ledger)}", ""]


def _folds(profile):
    """What cross-validation chose, where it has been run."""
    choices = tables.read("cross_validation", profile)
    if choices is None or choices["chosen"].isna().all():
        return []
    return [f"**Cross-validation.** {answers.cross_validation(choices)}", ""]


def _attention(profile):
    """What the weight of co-attention changes, where it has been measured."""
    gains, curve = (tables.read(f"coattention{end}", profile) for end in ("_gain", ""))
    if gains is None or gains["seeds"].isna().all():
        return []
    return [f"**Co-attention.** {answers.coattention(gains, curve)}", ""]


def _videos(profile):
    """What the trackers say, where they have been measured, and on how many seeds so far."""
    gains, motion = (tables.read(f"temporal_{name}", profile) for name in ("gain", "motion"))
    if gains is None or gains["seeds"].isna().all():
        return []
    trained = gains[answers.is_trained(gains)]["seeds"].min()
    seeds = f"{trained} seed{'s' if trained > 1 else ''}"
    return [f"**In videos** ({seeds}). {answers.temporal(gains, motion)}", ""]


def _rivals_in_videos(profile):
    """Tables 4 and 5 and Fig. 4, where trackers have been measured."""
    gains = tables.read("video_rivals_gain", profile)
    if gains is None or gains["seeds"].isna().all():
        return []
    texts = [area_answers.in_videos(gains), area_answers.facial_areas(gains)]
    return [f"**Rivals in videos.** {texts[0]} {texts[1]}", ""]


def _areas(profile, folder):
    """Fig. 5, where the variances of true landmarks have been measured."""
    largest = tables.read("variances_contour", profile)
    if largest is None:
        return []
    picture = f"![Mean face, and how far each landmark spreads]({folder}/figures/mean_face.png)"
    return [f"**Where landmarks spread.** {area_answers.variances(largest)}", "", picture, ""]


def _rows(table1, decoders):
    """Markdown rows of Table 1 on 300W common that were measured."""
    yield "| 300W common, NRMSE % | L/F | the paper, F=256 | ours, argmax | ours, below the bin |"
    yield "|---|---|---|---|---|"
    here = table1[(table1["subset"] == "300W com") & table1["ours_percent"].notna()]
    for row in here.to_dict("records"):
        kind = "2D" if row["method"] == "detector-2d" else "1D"
        published = row["note"] or f"{row['nrmse_percent']:.2f}"
        ours = f"{row['ours_percent']:.2f} ({row['ours_low']:.2f} to {row['ours_high']:.2f})"
        seeds = f"{row['seeds']:.0f} seed{'s' if row['seeds'] > 1 else ''}"
        yield (
            f"| {kind}, L={row['ours_length']:.0f}, {seeds} "
            f"| {row['length_over_input']:g} | {published} | {ours} "
            f"| {_below_the_bin(decoders, row)} |"
        )


def _below_the_bin(decoders, row):
    """The decoder that is best on validation, and what it scores."""
    model = row["method"].replace("-", "")
    there = decoders[
        (decoders["model"] == model)
        & (decoders["length"] == row["ours_length"])
        & (decoders["subset"] == "common")
    ].dropna(subset=["percent"])
    best = there.loc[there["validation_percent"].idxmin()]
    return f"{best['percent']:.2f} ({best['decoder']})"
