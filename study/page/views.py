"""Tables as the page shows them: rows and cells arranged for readers, then HTML."""

import jinja2
import markupsafe
import pandas as pd

from study import paper, results
from study.page.verdicts import badge
from study.tables import stills, temporal

# Table 2's two readings in few words; the page explains them.
READING = {temporal.TRAINED: "training and test", temporal.TESTED: "test alone"}
LONG = 44  # letters of a cell that may wrap
HEADER = 14  # letters of a header that needs room
OURS = ("ours", "ours_low", "ours_high")
SHORT = tuple(name.split()[-1] for name in temporal.SUBSETS)  # S1, S2, S3, TF


def number(digits):
    """A formatter of numbers; nothing where there is none."""
    # Adding 0 takes the sign off a rounded -0.
    return lambda value: "" if pd.isna(value) else f"{round(float(value), digits) + 0:,.{digits}f}"


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
        "<thead><tr>{% for header, kind in headers %}"
        '<th scope="col"{{ kind }}>{{ header }}</th>{% endfor %}</tr>'
        "</thead><tbody>{% for row in rows %}<tr>{% for text, kind in row %}"
        "<td{{ kind }}>{{ text }}</td>{% endfor %}</tr>{% endfor %}"
        "</tbody></table></div>"
    )
    headers = [(header, _wide(header)) for header, _ in columns.values()]
    return markupsafe.Markup(template.render(caption=caption, headers=headers, rows=rows))


def _wide(header):
    """The class of a header: a long one wraps, but not to a word a line."""
    return markupsafe.Markup(" class=wide") if len(header) > HEADER else ""


def _kind(value):
    """The class of a cell: numbers stand right, long texts wrap."""
    if not isinstance(value, str) or isinstance(value, markupsafe.Markup):
        return markupsafe.Markup(" class=n")
    return markupsafe.Markup(" class=wrap") if len(value) > LONG else ""


def interval(mean, low, high):
    """A number with its interval, where it has one, in small print, kept on one line."""
    if pd.isna(mean):
        return ""
    if pd.isna(low):
        return right(mean)
    html = "{} <small>[{}, {}]</small>"
    return markupsafe.Markup(html).format(*(number(2)(end) for end in (mean, low, high)))


def right(value):
    """A number in percent that stands right in its column like the intervals beside it."""
    return markupsafe.Markup(number(2)(value))


def because(reason):
    """A reason in the place of a number."""
    return markupsafe.Markup("<small class=why>{}</small>").format(reason)


def _plain(value):
    return value


def either(view):
    """What a method of ours is, or why there is none, of all rows: a list."""
    return [note or why for note, why in zip(view["note"], view["why"], strict=True)]


def shown(table, columns):
    """Numbers with intervals, or reasons, of all rows: a list.

    Args:
        columns: of the number and both ends of its interval.
    """
    cells = zip(*(table[column] for column in columns), table["reason"], strict=True)
    return [interval(*bounds) or because(reason) for *bounds, reason in cells]


def _on(table):
    """What the numbers of a table were measured on."""
    labels = ", ".join(filter(None, dict.fromkeys(table["data"])))
    return labels or "nothing recorded yet"


# --- stills ------------------------------------------------------------------------------------


def table1_view(table, methods):
    """Table 1 as the paper prints it, a row a method and L/F, ours beside: a data frame.

    Args:
        table: `stills.table1`.
        methods: whose half of it.
    """
    table = table[table["method"].isin(methods)]
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
    shorts = dict.fromkeys(name.split()[1] for name in table["subset"])
    return pd.DataFrame(rows.values()).reindex(
        columns=["method", "share", "paper_L", "ours_L", "seeds", *_sides(shorts)]
    )


def _sides(subsets):
    """Column -> (header, formatter) of the paper's numbers and ours on each subset."""
    return {
        f"{short} {whose}": (f"{short}, {whose}", _plain)
        for short in subsets
        for whose in ("paper", "ours")
    }


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
    columns = ["name", "share", "length", "sigma", *stills.DECODERS, "held", "rms", "pupil"]
    return pd.DataFrame(rows, columns=[*columns, "seeds", "reason"])


def gains_view(table):
    """The gains by argmax, and by the best decoder where there are some."""
    best = (table["decoder"] == stills.BEST) & table["decrease_percent"].notna()
    rows = table[(table["decoder"] == "argmax") | best]
    return rows.assign(ours=shown(rows, ("decrease_percent", "low", "high")))


def looks(found):
    """The looks at the test set by date and commit: date, commit, runs, looks."""
    grouped = found.looks.groupby(["date", "commit"], sort=True, dropna=False)
    rows = [(*key, there["run"].nunique(), len(there)) for key, there in grouped]
    return pd.DataFrame(rows, columns=["date", "commit", "runs", "looks"])


# --- videos ------------------------------------------------------------------------------------


def table2_view(table, score="ours"):
    """Table 2 with the rest of the λ curve, a row a λ and reading: a data frame.

    Args:
        table: `temporal.table2`.
        score: "ours", the mean over frames, or "ours_video", over the videos' means.

    Where anything was measured, there is no column of ours for subsets where nothing was.
    """
    rows, measured = {}, _measured(table, f"{score}_percent")["subset"]
    for row in table.to_dict("records"):
        at = rows.setdefault((row["lam"], row["reading"]), {})
        at |= {"lam": row["lam"], "reading": READING[row["reading"]]}
        short = row["subset"].split()[-1]
        at[f"{short} paper"] = right(row["nrmse_percent"])
        shown = interval(*(row[f"{score}_{part}"] for part in ("percent", "low", "high")))
        at[f"{short} ours"] = shown or because(row["reason"])
        if not pd.isna(row["seeds"]):
            at["seeds"] = row["seeds"]
    kept = {name.split()[-1] for name in measured} or set(SHORT)
    columns = [c for c in _sides(SHORT) if c.endswith("paper") or c.split()[0] in kept]
    view = pd.DataFrame(rows.values(), columns=["lam", "reading", "seeds", *columns])
    by = ["lam", "reading"]
    return view.sort_values(by, ascending=[True, False], kind="stable", ignore_index=True)


def _measured(table, column):
    """The rows of those subsets on which something of this column was measured."""
    subsets = table["subset"][table[column].notna()]
    return table[table["subset"].isin(set(subsets))]


def motion_view(table):
    """Systems by subset: `temporal.motion` without subsets on which nothing was measured."""
    rows = _measured(table, "percent").sort_values("subset", kind="stable")
    return rows.assign(shown=shown(rows, ("percent", "low", "high")))


def temporal_gains_view(table):
    """`temporal.gains`, a row a comparison and subset, landmarks beside each other: a data frame.

    Subsets on which nothing was measured are left out.
    """
    table, rows = _measured(table, "decrease_percent"), {}
    for row in table.to_dict("records"):
        at = rows.setdefault((row["comparison"], row["subset"]), {})
        shown = interval(row["decrease_percent"], row["low"], row["high"])
        if row["landmarks"] == "all":
            at |= row | {"all": shown or because(row["reason"])}
        else:
            at[row["landmarks"]] = shown
    return pd.DataFrame(rows.values(), columns=[*table.columns, *temporal.PLACES])


# --- all of them -------------------------------------------------------------------------------


def shown_tables(found, made):
    """All tables of the page as HTML, by name; "" where there is nothing to show.

    Args:
        found: `results.Results`.
        made: name -> table, of `report.make_tables`.
    """
    return _of_resolution(found, made) | _of_runs(found, made) | _of_data(made) | _of_videos(made)


def _of_resolution(found, made):
    text, whole = general, number(0)
    data = results.describe(found.newest) if found.newest else "nothing recorded yet"
    table1, trackers = made["table1_resolution"], temporal.METHODS
    half, tracker = table1[table1["method"].isin(trackers)], temporal.shown(found.profile)
    lam = "" if tracker is None else f", ours with λ={tracker.config.lam:g}"
    first = {
        **{"method": ("method", text), "share": ("L/F", text)},
        **{"paper_L": ("L, paper", whole), "ours_L": ("L, ours", whole), "seeds": ("seeds", whole)},
    }
    return {
        "table1": html_table(
            table1_view(table1, stills.METHODS),
            first | _sides(("com", "cha", "full")),
            f"Table 1, detectors on 300W: NRMSE (%) by argmax; the paper: F={paper.SIZE}; "
            f"ours: {data}",
        ),
        "table1_trackers": html_table(
            table1_view(table1, trackers),
            first | _sides(("S1", "S2", "S3")),
            f"Table 1, trackers on 300VW{lam}: NRMSE (%) by argmax, mean over frames; the paper: "
            f"F={paper.SIZE}; ours: {_on(half)}",
        ),
        "gains": _gains_table(made["resolution_gain"], data),
        "coattention_gains": _gains_table(made["coattention_gain"], data),
        "decoders": html_table(
            decoders_view(made["resolution_decoders"]),
            {
                **{"name": ("system", text), "share": ("L/F", text), "length": ("L", whole)},
                "sigma": ("σ, bins", number(2)),
                **{decoder: (decoder, _plain) for decoder in stills.DECODERS},
                **{"held": ("validation", number(2)), "rms": ("RMS", number(2))},
                "pupil": ("over pupils", number(2)),
                **{"seeds": ("seeds", whole), "reason": ("", text)},
            },
            f"NRMSE (%) on common test faces by decoder; {data}",
        ),
    }


def _gains_table(gains, data):
    text = general
    return html_table(
        gains_view(gains),
        {
            **{"comparison": ("comparison", text), "subset": ("subset", text)},
            **{"decoder": ("decoder", text), "before_percent": ("before, %", number(2))},
            **{"after_percent": ("after, %", number(2)), "ours": ("decrease, %", _plain)},
            **{"paper_percent": ("the paper's, %", number(2)), "verdict": ("verdict", badge)},
        },
        f"Relative decrease of NRMSE [95 % interval]; {data}",
    )


def _of_runs(found, made):
    text, whole = general, number(0)
    return {
        "tuning": html_table(
            made["tuning"],
            {
                **{"name": ("candidate", text), "model": ("model", text)},
                **{"length": ("L", whole), "epochs": ("epochs", whole), "varied": ("varied", text)},
                **{decoder: (decoder, number(2)) for decoder in stills.DECODERS},
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
            "Every training that the profile lists; of trackers and their detectors, faces are "
            "frames",
        ),
        "looks": html_table(
            looks(found),
            {key: (key, text) for key in ("date", "commit", "runs", "looks")},
            "Looks at the test set",
        ),
    }


def _of_data(made):
    text, whole = general, number(0)
    faces, videos, cost = made["data"], made["videos"], made["quantization"]
    shown = {"data": "", "videos": "", "quantization": ""}
    if faces is not None:
        shown["data"] = html_table(
            faces,
            {
                **{"folder": ("folder", text), "subset": ("subset", text)},
                **{"official": ("official faces", whole), "found": ("here", whole)},
                **{"held_out": ("held out", whole), "photographs": ("photographs", whole)},
            },
            f"Faces in the official folders; {_on(faces)}",
        )
    if videos is not None:
        shown["videos"] = html_table(
            videos,
            {
                **{"dataset": ("data set", text), "subset": ("subset", text)},
                "official_videos": ("official videos", whole),
                "official_frames": ("official frames", whole),
                **{"videos": ("videos here", whole), "frames": ("frames here", whole)},
                **{"held_out": ("videos held out", whole), "data": ("what they are", text)},
            },
            "Videos in the official layouts",
        )
    if cost is not None:
        bounds = cost[["nrmse_percent", "low", "high"]].values
        shown["quantization"] = html_table(
            cost.assign(shown=[interval(*cells) for cells in bounds]),
            {
                **{"subset": ("faces", text), "rule": ("rule", text), "length": ("L", whole)},
                **{"length_over_input": ("L/F", text), "shown": ("NRMSE, %", _plain)},
            },
            f"NRMSE (%) that rounding alone causes [95 % interval]; {_on(cost)}",
        )
    return shown


def _columns_of_table2(view):
    sides = {column: head for column, head in _sides(SHORT).items() if column in view}
    first = {"lam": ("λ", number(1)), "reading": ("λ in", general), "seeds": ("seeds", number(0))}
    return first | sides


def _of_videos(made):
    text, percent = general, number(2)
    table2 = made["table2_temporal_refinement"]
    shown = {
        "table2": html_table(
            table2_view(table2),
            _columns_of_table2(table2_view(table2)),
            f"Table 2, NRMSE (%) by argmax, mean over frames [95 % interval over videos]; the "
            f"paper: F={paper.SIZE}; ours: {_on(table2)}",
        ),
        "table2_videos": html_table(
            table2_view(table2, "ours_video"),
            _columns_of_table2(table2_view(table2, "ours_video")),
            f"The same as the mean of the videos' means; ours: {_on(table2)}",
        ),
    }
    moving, gained = made["temporal_motion"], made["temporal_gain"]
    if moving["percent"].notna().any():
        shown["motion"] = html_table(
            motion_view(moving),
            {
                **{"subset": ("subset", text), "system": ("system", text)},
                **{"shown": ("NRMSE, %", _plain), "video_percent": ("over videos", percent)},
                **{"occluded_percent": ("occluded", percent)},
                **{"visible_percent": ("visible", percent), "jitter_percent": ("jitter", percent)},
                "jitter_true_percent": ("the truth's", percent),
                "delay_frames": ("delay", percent),
            },
            "NRMSE (%) as the mean over frames [95 % interval over videos], over videos, and on "
            "landmarks that something occludes and the others; jitter (%) and delay (frames); "
            + _on(moving),
        )
    if gained["decrease_percent"].notna().any():
        shown["temporal_gains"] = html_table(
            temporal_gains_view(gained),
            {
                **{"comparison": ("comparison", text), "subset": ("subset", text)},
                **{"before_percent": ("before", percent), "after_percent": ("after", percent)},
                **{"all": ("decrease", _plain), "paper_percent": ("the paper's", percent)},
                "verdict": ("verdict", badge),
                "occluded": ("occluded", _plain),
            },
            "NRMSE (%) before and after, and its relative decrease (%) [95 % interval], paired "
            "over videos: of all landmarks, and of those that something occludes; "
            + _on(gained),
        )
    return {"motion": "", "temporal_gains": ""} | shown
