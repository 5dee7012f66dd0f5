"""The page of a profile as HTML: one file that needs nothing else, filled from `sections`."""

import re
from pathlib import Path

import jinja2
import markupsafe

from study import paper, results, runs
from study.page import (
    ablation_views,
    area_views,
    captions,
    failure_views,
    headlines,
    pictures,
    sections,
    shipped_views,
    verdicts,
    views,
)
from study.tables import temporal

TEMPLATE = "template.html.j2"


def html(found, made):
    """The page as HTML, with every figure inside it.

    Args:
        found: `results.Results`.
        made: name -> table, of `report.make_tables`.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(strong=verdicts.strong, minutes=minutes)
    profile, newest, tables = found.profile, found.newest, shown_tables(found, made)
    tracker = temporal.shown(profile)
    tracked = tracker is not None and bool(found.recorded(tracker.name))
    text = environment.get_template(TEMPLATE).render(
        profile=profile,
        found=found,
        record=newest,
        measured_on=results.describe(newest) if newest else "",
        tracked_on=temporal.describe(found, tracker) if tracked else "",
        banners=banners(profile),
        in_short=headlines.in_short(made),
        titles={section.id: section.short for section in sections.SECTIONS},
        figure=lambda name: picture(profile, name),
        counts=verdicts.counts(made["claims"]),
        judged=verdicts.judged(made["claims"]),
        not_run=verdicts.not_run(made["claims"]),
        badge=verdicts.badge,
        sections=filled(found, made, tables),
        tables=tables,
        shows_faces=shows_faces(profile),
        has_video=profile.video is not None,
        staged=staged(profile),
        missing=missing(found, made),
        looks=views.looks(found),
        versions=versions(found),
        seeds=sorted({record["seed"] for record in found.records.values()}),
        recorded=days(found),
        paper_gain=paper.decrease(("detector-1d", 64), ("detector-1d", 768), "300W com"),
        paper_temporal=temporal.published_gains(),
    )
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"


def shown_tables(found, made):
    """All tables of the page as HTML, by name; "" where there is nothing to show."""
    return (
        views.shown_tables(found, made)
        | ablation_views.shown_tables(made)
        | area_views.shown_tables(made)
        | failure_views.shown_tables(made)
        | shipped_views.shown_tables(made)
    )


# --- sections ----------------------------------------------------------------------------------


def filled(found, made, tables):
    """The page's sections with all that is there: a list of dicts for the template.

    Args:
        tables: `shown_tables`.

    Returns:
        dicts of id, short, question, on, answer and full (texts), blocks (HTML) and measured.
    """
    return [
        {
            **{"id": one.id, "short": one.short, "question": one.question, "on": one.on},
            "answer": one.answer(found, made),
            "full": one.full(found, made) if one.full else "",
            "blocks": _blocks(one, found, made, tables),
            "measured": headlines.measured_on(*(made[name] for name in one.measured)),
        }
        for one in sections.SECTIONS
        if one.shown is None or one.shown(found, made)
    ]


def _blocks(section, found, made, tables):
    """The blocks of a section as HTML; a heading that nothing follows is left out."""
    shown, heading = [], None
    for block in section.blocks:
        if isinstance(block, sections.Heading):
            heading = block
            continue
        text = _block(block, found, made, tables)
        if text and heading is not None:
            shown.append(markupsafe.Markup("<h3>{}</h3>").format(heading.words))
            heading = None
        shown += [text] if text else []
    return shown


def _block(block, found, made, tables):
    """One block as HTML; "" where there is nothing to show."""
    if isinstance(block, sections.Text):
        words = block.words(found, made) if callable(block.words) else block.words
        return markupsafe.Markup("<p>{}</p>").format(verdicts.strong(words)) if words else ""
    if isinstance(block, sections.Figure):
        return _figure(block, found, made)
    text = tables.get(block.name, "")
    if not text:
        return markupsafe.Markup("<p>{}</p>").format(block.otherwise) if block.otherwise else ""
    return folded(block.folded, text, block.long) if block.folded else text


def _figure(block, found, made):
    """A figure, where it is of these records."""
    table = None if block.of is None else made[block.of]
    if block.of is not None and (table is None or not has_numbers(table)):
        return ""
    return picture(found.profile, block.name)


def picture(profile, name):
    """A figure as HTML; "" where it has not been made, or shows faces that are licensed."""
    if name in captions.WITH_FACES and not shows_faces(profile):
        return ""
    return pictures.figure(profile.name, name)


def shows_faces(profile):
    """Whether a profile's faces may be seen: all of them are rendered."""
    return profile.data.standin is not None and staged(profile) != "motion" and not (
        profile.video is not None and profile.video.real
    )


def has_numbers(table):
    """Whether a table holds anything that was measured."""
    for column in ("percent", "decrease_percent", "points", "ours_percent"):
        if column in table:
            return bool(table[column].notna().any())
    return len(table) > 0


def folded(summary, text, long=False):
    """HTML that a click unfolds; long ones are not printed on paper."""
    kind = markupsafe.Markup(' class="long"') if long else ""
    html = "<details{}><summary>{}</summary>{}</details>"
    return markupsafe.Markup(html).format(kind, summary, text)


# --- what the numbers are ----------------------------------------------------------------------


def staged(profile):
    """What stands in for videos of a camera: "rendered", "motion", or "" where nothing does."""
    if profile.video is None or profile.video.real:
        return ""
    return "motion" if profile.video.motion else "rendered"


def banners(profile):
    """What no reader may miss about stills and clips: STILLS or CLIPS -> (name, words), if any."""
    found, kind = {}, staged(profile)
    if profile.data.standin is not None:
        words = "our numbers here were measured on rendered faces, not photographs"
        found[sections.STILLS] = ("Stand-ins", words)
    if kind == "motion":
        words = "our numbers on videos here were measured on photographs that we set in motion, "
        found[sections.CLIPS] = ("Stills in motion", f"{words}not on videos of people")
    elif kind:
        words = "our numbers on videos here were measured on rendered videos, not on videos of "
        found[sections.CLIPS] = ("Stand-ins", f"{words}people")
    return found


def minutes(seconds):
    """A duration in words of a useful size."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def days(found):
    """The first and the last day on which trainings were finished, one where they are the same."""
    finished = sorted(record["finished"][:10] for record in found.records.values())
    return list(dict.fromkeys([*finished[:1], *finished[-1:]]))


def missing(found, made):
    """What is not there and why: a list of (what, why)."""
    lines = _missing_of_table1(made["table1_resolution"])
    lines += _missing_of_table2(made["table2_temporal_refinement"])
    lines += area_views.missing(made)
    lines += [(f"training {id}", reason) for id, reason in found.reasons.items()]
    if made["quantization"] is None:
        lines.append(("the cost of rounding", "no data on this machine, and no table of it here"))
    if made["variances"] is None:
        lines.append(("the variances of landmarks", "no data on this machine, and no table here"))
    if made["videos"] is None and found.profile.video:
        lines.append(("the counts of videos", "no data on this machine, and no table of it here"))
    lines += [
        (f"the record {name}", "not listed in the profile, so nothing reads it")
        for name in runs.unlisted(found.profile)
    ]
    return lines


def _missing_of_table1(table):
    empty = table[table["reason"] != ""]
    kind = empty["method"].str.split("-").str[0]
    return [
        (f"Table 1, {', '.join(dict.fromkeys(rows['method']))}: {_places(rows)}", reason)
        for (_, reason), rows in empty.groupby([kind, "reason"], sort=False)
    ]


def _missing_of_table2(table):
    """The gaps of the λ curve; those of one tracker are not listed subset by subset."""
    rows = table[(table["reason"] != "") & (table["reading"] == temporal.TRAINED)]
    lines = []
    for (reason, lams), subsets in _alike(rows):
        listed = ", ".join(f"{lam:g}" for lam in lams)
        lines.append((f"Table 2: {', '.join(subsets)} at λ {listed}", reason))
    return lines


def _alike(rows):
    """Subsets that lack the same λ for the same reason: ((reason, λ), subsets) pairs."""
    found = {}
    for (subset, reason), there in rows.groupby(["subset", "reason"], sort=False):
        found.setdefault((reason, tuple(sorted(there["lam"]))), []).append(subset)
    return found.items()


def _places(rows):
    """Subsets and L/F of some rows of Table 1, in few words."""
    shares = sorted(set(rows["length_over_input"]))
    listed = ", ".join(f"{share:g}" for share in shares)
    return f"{', '.join(dict.fromkeys(rows['subset']))} at L/F {listed}"


def versions(found):
    """What made the records: name -> all distinct values."""
    records = found.records.values()
    collected = {
        "commit": {record["commit"] or "outside git" for record in records},
        "source (sha256)": {record["source"] for record in records},
        "data (sha256)": {record["data"]["fingerprint"][:16] for record in records},
        "device": {f"{record['device']}, {record['threads']} threads" for record in records},
    }
    for record in records:
        model = record["config"]["model"]
        collected.setdefault(f"recipe of {model}", set()).add(str(record["recipe"]))
        for name, version in record["versions"].items():
            collected.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(values)) for name, values in collected.items()}
