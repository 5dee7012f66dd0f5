"""The page of a profile: one self-contained file of all tables and figures, made from records."""

import base64
import json
import re
from pathlib import Path

import jinja2
import markupsafe
import pandas as pd

from study import claims, figures, paper, paths, results, runs, tables

TEMPLATE = "report.html.j2"

LONG = 44  # letters of a cell that may wrap

# What each figure shows, for those who cannot see it.
ALT = {
    "fig1_quantization": "A drawn eye three times: with a landmark, with the landmark rounded to "
    "one of 8 coarse bins, and rounded to one of 96 fine bins, where it hardly moves.",
    "quantization_floor": "NRMSE that rounding alone causes, falling as one over L; the paper's "
    "detector lies above it and falls far less.",
    "resolution": "NRMSE of 1D and 2D heatmaps over L/F on the left and over L on the right, with "
    "95 % intervals, the paper's values in a lighter colour, and the cost of rounding below.",
    "cumulative_errors": "Share of the test faces at or below each NRMSE, one line a system.",
    "detector_history": "Training loss and validation NRMSE over the epochs.",
    "affinity": "Affinity matrices of co-attention along x and y: the mean of many faces, and one.",
    "contact_sheet": "Faces with their 68 landmarks.",
    "augmented": "The same faces rotated, scaled, shifted, mirrored, recoloured and occluded.",
    "marginal_heatmaps": "Predicted 1D heatmaps of some landmarks of one face.",
    "predictions": "Test faces with true and predicted landmarks.",
}
WITH_FACES = ("contact_sheet", "augmented", "marginal_heatmaps", "predictions")


def make(profile):
    """Makes all tables and figures that the records allow, metrics.json and the page.

    Needs neither data nor weights: what only they can give is read back from reports/<profile>
    where it is. The same records give the same bytes.

    Args:
        profile: a `config.Profile`.

    Returns:
        path of reports/<profile>/index.html.
    """
    found = results.load(profile)
    made = make_tables(found)
    make_figures(found, made)
    folder = paths.reports(profile.name)
    text = json.dumps(key_numbers(found, made), indent=1) + "\n"
    _write(folder / "metrics.json", text)
    _write(folder / "index.html", page(found, made))
    return folder / "index.html"


def make_tables(found):
    """All tables, saved and read back: name -> table; None where data or records are missing."""
    name = found.profile.name
    gains = tables.gains(found)
    made = {
        "table1_resolution": tables.table1(found),
        "resolution_decoders": tables.decoders(found),
        "resolution_gain": gains,
        "tuning": tables.tuning(found),
        "cumulative_errors": tables.cumulative(found),
        "claims": claims.table(gains, tables.worked_example()),
        "trainings": tables.trainings(found),
    }
    flagship = found.recorded(found.profile.flagship)
    if flagship:
        made["detector"] = tables.detector(found, found.profile.run(flagship[0]))
        made["detector_history"] = tables.histories(found, found.profile.flagship)
    saved = {key: tables.save(table, key, name) for key, table in made.items()}
    kept = {key: tables.read(key, name) for key in ("data", "quantization", "detector", "affinity")}
    return kept | {"detector_history": None} | saved


def make_figures(found, made):
    """All figures that the tables give, saved."""
    name, cost = found.profile.name, made["quantization"]
    figures.save(figures.fig1_quantization(), "fig1_quantization", name)
    figures.save(figures.resolution(made["resolution_decoders"], cost), "resolution", name)
    curves = figures.cumulative_errors(made["cumulative_errors"])
    figures.save(curves, "cumulative_errors", name)
    if cost is not None:
        figures.save(figures.quantization_floor(cost), "quantization_floor", name)
    if made["detector_history"] is not None:
        drawn = figures.detector_history(made["detector_history"])
        figures.save(drawn, "detector_history", name)
    if made["affinity"] is not None:
        figures.save(figures.affinity(made["affinity"]), "affinity", name)


def key_numbers(found, made):
    """The numbers that `dvc metrics` compares: percent, counts and seconds; None where missing."""
    rows = made["resolution_decoders"]
    flagship = rows[rows["name"] == found.profile.flagship]
    gain = claims.row_of(made["resolution_gain"], "1D, L/F 0.25 to 3", "300W com")
    return {
        "runs_recorded": len(found.records),
        "runs_listed": len(found.profile.runs),
        "looks_at_test_set": len(found.looks),
        "training_seconds": round(found.seconds, 1),
        "flagship_nrmse_percent": _by_subset(flagship),
        "best_2d_nrmse_percent": _by_subset(rows[rows["model"] == "detector2d"]),
        "gain_percent_common": _number(gain["decrease_percent"]),
        "gain_percent_common_low": _number(gain["low"]),
        "gain_percent_common_high": _number(gain["high"]),
    }


def _by_subset(rows):
    """Per subset: NRMSE by argmax at its lowest, and by what is best on validation."""
    found = {}
    for subset, there in rows.dropna(subset=["percent"]).groupby("subset", sort=False):
        plain = there[there["decoder"] == "argmax"]["percent"].min()
        best = there.loc[there["validation_percent"].idxmin(), "percent"]
        found[subset] = {"argmax": _number(plain), "best_on_validation": _number(best)}
    return found


def _number(value):
    return None if pd.isna(value) else round(float(value), 4)


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- the page ----------------------------------------------------------------------------------


def page(found, made):
    """The page as HTML, with every figure inside it."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(strong=strong, minutes=minutes)
    profile, newest = found.profile, found.newest
    text = environment.get_template(TEMPLATE).render(
        profile=profile,
        record=newest,
        standin=profile.data.standin is not None,
        found=found,
        measured_on=results.describe(newest) if newest else "",
        answer=claims.resolution(made["resolution_gain"], made["resolution_decoders"]),
        rounding=claims.rounding(made["quantization"]) if made["quantization"] is not None else "",
        tables=_shown_tables(found, made),
        figure=lambda name: figure(profile.name, name),
        shows_faces=profile.data.standin is not None,
        missing=missing(found, made),
        looks=looks(found),
        versions=versions(found),
        paper_size=paper.SIZE,
        paper_gain=paper.decrease(("detector-1d", 64), ("detector-1d", 768), "300W com"),
    )
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"


def strong(text):
    """Text for HTML in which **words** stand out."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped))


def minutes(seconds):
    """A duration in words of a useful size."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def figure(profile, name):
    """An <img> with the whole picture inside it; empty where the figure has not been made."""
    faces = name in WITH_FACES
    file = figures.folder(profile, faces) / f"{name}.{'png' if faces else 'svg'}"
    if not file.exists():
        return markupsafe.Markup("")
    data, kind = file.read_bytes(), "svg+xml"
    if faces:
        data, kind = figures.shrink(data, 1100), "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    html = '<figure id="figure-{}"><img src="{}" alt="{}"></figure>'
    return markupsafe.Markup(html).format(name, markupsafe.Markup(source), ALT[name])


def missing(found, made):
    """What is not there and why: a list of (what, why)."""
    table = made["table1_resolution"]
    empty = table[table["reason"] != ""]
    rows = [
        (f"Table 1, {', '.join(dict.fromkeys(rows['method']))}", rows, reason)
        for reason, rows in empty.groupby("reason", sort=False)
    ]
    lines = [(f"{what}: {_places(there)}", reason) for what, there, reason in rows]
    lines += [(f"training {id}", reason) for id, reason in found.reasons.items()]
    if made["quantization"] is None:
        lines.append(("the cost of rounding", "no data on this machine, and no table of it here"))
    lines += [
        (f"the record {name}", "not listed in the profile, so nothing reads it")
        for name in runs.unlisted(found.profile)
    ]
    return lines


def _places(rows):
    """Subsets and L/F of some rows of Table 1, in few words."""
    shares = sorted(set(rows["length_over_input"]))
    listed = ", ".join(f"{share:g}" for share in shares)
    return f"{', '.join(dict.fromkeys(rows['subset']))} at L/F {listed}"


def looks(found):
    """The looks at the test set by date and commit: date, commit, runs, looks."""
    grouped = found.looks.groupby(["date", "commit"], sort=True, dropna=False)
    rows = [(*key, there["run"].nunique(), len(there)) for key, there in grouped]
    return pd.DataFrame(rows, columns=["date", "commit", "runs", "looks"])


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


# --- tables as HTML ----------------------------------------------------------------------------


def number(digits):
    """A formatter of numbers; nothing where there is none."""
    return lambda value: "" if pd.isna(value) else f"{value:,.{digits}f}"


def general(value):
    """Numbers as short as they are, texts as they are, nothing where there is nothing."""
    if pd.isna(value):
        return ""
    return value if isinstance(value, str) else f"{value:g}"


def html_table(table, columns, caption):
    """A table in a box of its own that scrolls where the screen is too narrow.

    Args:
        table: data frame.
        columns: column -> (header, formatter); others are left out.
        caption: what the table holds.
    """
    rows = [
        [(form(row[column]), _kind(row[column])) for column, (_, form) in columns.items()]
        for row in table.to_dict("records")
    ]
    template = jinja2.Environment(autoescape=True).from_string(
        '<p class="caption">{{ caption }}</p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="{{ caption }}"><table>'
        '<thead><tr>{% for header in headers %}<th scope="col">{{ header }}</th>{% endfor %}</tr>'
        "</thead><tbody>{% for row in rows %}<tr>{% for text, kind in row %}"
        "<td{{ kind }}>{{ text }}</td>{% endfor %}</tr>{% endfor %}"
        "</tbody></table></div>"
    )
    headers = [header for header, _ in columns.values()]
    return markupsafe.Markup(template.render(caption=caption, headers=headers, rows=rows))


def _kind(value):
    """The class of a cell: numbers stand right, long texts wrap."""
    if not isinstance(value, str) or isinstance(value, markupsafe.Markup):
        return markupsafe.Markup(" class=n")
    return markupsafe.Markup(" class=wrap") if len(value) > LONG else ""


def interval(mean, low, high):
    """A number with its interval in small print, kept on one line."""
    if pd.isna(mean):
        return ""
    html = "{} <small>[{}, {}]</small>"
    return markupsafe.Markup(html).format(f"{mean:.2f}", f"{low:.2f}", f"{high:.2f}")


def right(value):
    """A number in percent that stands right in its column like the intervals beside it."""
    return markupsafe.Markup(number(2)(value))


def because(reason):
    """A reason in the place of a number."""
    return markupsafe.Markup("<small>{}</small>").format(reason)


def _plain(value):
    return value


def table1_view(table):
    """Table 1 as the paper prints it, a row a method and L/F, ours beside: a data frame."""
    table = table[table["method"].isin(tables.METHODS)]
    rows = {}
    for row in table.to_dict("records"):
        at = rows.setdefault(
            (row["method"], row["length_over_input"]),
            {"method": row["method"], "share": row["length_over_input"], "paper_L": row["length"]},
        )
        short = row["subset"].split()[1]
        at[f"{short} paper"] = right(row["nrmse_percent"]) or because(row["note"])
        shown = interval(row["ours_percent"], row["ours_low"], row["ours_high"])
        at[f"{short} ours"] = shown or because(row["reason"])
        if not pd.isna(row["ours_length"]):
            at |= {"ours_L": row["ours_length"], "seeds": row["seeds"]}
    return pd.DataFrame(rows.values()).reindex(
        columns=["method", "share", "paper_L", "ours_L", "seeds"]
        + [f"{short} {whose}" for short in ("com", "cha", "full") for whose in ("paper", "ours")]
    )


def decoders_view(table, subset="common"):
    """NRMSE of each system by each decoder on one subset; the best on validation stands out."""
    rows = []
    for name, there in table[table["subset"] == subset].groupby("name", sort=False):
        first = there.iloc[0]
        row = {"name": name, "share": first["length_over_input"], "length": first["length"]}
        row |= {"sigma": first["sigma_bins"], "reason": first["reason"], "seeds": first["seeds"]}
        best = there["validation_percent"].min()
        for line in there.to_dict("records"):
            text = number(2)(line["percent"])
            chosen = line["validation_percent"] == best
            html = "<strong>{}</strong>" if chosen else "{}"
            row[line["decoder"]] = markupsafe.Markup(html).format(text)
            if chosen:
                row |= {"held": best, "rms": line["rms_percent"]}
                row |= {"pupil": line["pupil_percent"]}
        rows.append(row)
    columns = ["name", "share", "length", "sigma", *tables.DECODERS, "held", "rms", "pupil"]
    return pd.DataFrame(rows, columns=[*columns, "seeds", "reason"])


def gains_view(table):
    """The gains by argmax, and by the best decoder where there are some."""
    best = (table["decoder"] == tables.BEST) & table["decrease_percent"].notna()
    rows = table[(table["decoder"] == "argmax") | best]
    cells = zip(rows["decrease_percent"], rows["low"], rows["high"], rows["reason"], strict=True)
    return rows.assign(ours=[interval(*cell[:3]) or because(cell[3]) for cell in cells])


def _shown_tables(found, made):
    """All tables of the page as HTML, by name."""
    data = results.describe(found.newest) if found.newest else "nothing recorded yet"
    subsets = {
        f"{short} {whose}": (f"{short}, {whose}", _plain)
        for short in ("com", "cha", "full")
        for whose in ("paper", "ours")
    }
    text, whole = general, number(0)
    shown = {
        "table1": html_table(
            table1_view(made["table1_resolution"]),
            {
                **{"method": ("method", text), "share": ("L/F", text)},
                **{"paper_L": ("L, paper", whole), "ours_L": ("L, ours", whole)},
                **{"seeds": ("seeds", whole), **subsets},
            },
            f"Table 1, NRMSE (%) by argmax; the paper: F={paper.SIZE}; ours: {data}",
        ),
        "gains": html_table(
            gains_view(made["resolution_gain"]),
            {
                **{"comparison": ("comparison", text), "subset": ("subset", text)},
                **{"decoder": ("decoder", text), "before_percent": ("before, %", number(2))},
                **{"after_percent": ("after, %", number(2)), "ours": ("decrease, %", _plain)},
                **{"paper_percent": ("the paper's, %", number(2)), "verdict": ("verdict", text)},
            },
            f"Relative decrease of NRMSE [95 % interval]; {data}",
        ),
        "decoders": html_table(
            decoders_view(made["resolution_decoders"]),
            {
                **{"name": ("system", text), "share": ("L/F", text), "length": ("L", whole)},
                "sigma": ("σ, bins", number(2)),
                **{decoder: (decoder, _plain) for decoder in tables.DECODERS},
                **{"held": ("validation", number(2)), "rms": ("RMS", number(2))},
                "pupil": ("over pupils", number(2)),
                **{"seeds": ("seeds", whole), "reason": ("", text)},
            },
            f"NRMSE (%) on common test faces by decoder; {data}",
        ),
        "tuning": html_table(
            made["tuning"],
            {
                **{"name": ("candidate", text), "model": ("model", text)},
                **{"length": ("L", whole), "epochs": ("epochs", whole), "varied": ("varied", text)},
                **{decoder: (decoder, number(2)) for decoder in tables.DECODERS},
                **{"chosen": ("chosen", text), "reason": ("", text)},
            },
            "Candidates: NRMSE (%) on held-out training faces, best first; no test face",
        ),
        "trainings": html_table(
            made["trainings"],
            {
                **{"run": ("run", text), "epochs": ("epochs", whole)},
                **{"parameters": ("parameters", whole), "train": ("trained on", whole)},
                **{"validation": ("held out", whole), "test": ("tested on", whole)},
                **{"minutes": ("minutes", number(1)), "samples_per_second": ("faces/s", whole)},
                **{"peak_memory_mib": ("peak MiB", whole), "finished": ("finished (UTC)", text)},
                **{"commit": ("commit", text), "reason": ("", text)},
            },
            "Every training that the profile lists",
        ),
        "looks": html_table(
            looks(found),
            {key: (key, text) for key in ("date", "commit", "runs", "looks")},
            "Looks at the test set",
        ),
        "claims": html_table(
            _claims_view(made["claims"]),
            {
                **{"claim": ("claim", text), "subset": ("subset", text)},
                **{"paper_value": ("the paper", text), "unit": ("unit", text)},
                **{"shown": ("ours", _plain), "verdict": ("verdict", text)},
                **{"data": ("measured on", text)},
            },
            "The paper's claims that this study has reached",
        ),
    }
    shown |= {"data": "", "quantization": ""}
    if made["data"] is not None:
        shown["data"] = html_table(
            made["data"],
            {
                **{"folder": ("folder", text), "subset": ("subset", text)},
                **{"official": ("official faces", whole), "found": ("here", whole)},
                **{"held_out": ("held out", whole), "photographs": ("photographs", whole)},
            },
            f"Faces in the official folders; {made['data']['data'].iloc[0]}",
        )
    if made["quantization"] is not None:
        cost = made["quantization"]
        shown["quantization"] = html_table(
            cost.assign(
                shown=[interval(*c) for c in cost[["nrmse_percent", "low", "high"]].values]
            ),
            {
                **{"subset": ("faces", text), "rule": ("rule", text), "length": ("L", whole)},
                **{"length_over_input": ("L/F", text), "shown": ("NRMSE, %", _plain)},
            },
            f"NRMSE (%) that rounding alone causes [95 % interval]; {cost['data'].iloc[0]}",
        )
    return shown


def _claims_view(table):
    """The claims with a verdict or a place in this study; the rest are counted on the page."""
    rows = table[table["reason"] != claims.NOT_YET]
    cells = []
    for row in rows.to_dict("records"):
        exact = pd.isna(row["ours_low"]) and not pd.isna(row["ours"])
        shown = f"{row['ours']:.2f}" if exact else interval(*map(row.get, OURS))
        cells.append(shown or because(row["reason"]))
    return rows.assign(shown=cells)


OURS = ("ours", "ours_low", "ours_high")
