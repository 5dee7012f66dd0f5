"""Tables of facial areas and of rivals in videos as the page shows them."""

import markupsafe
import pandas as pd

from study import paper
from study.page import views
from study.page.verdicts import badge
from study.page.views import because, general, html_table, interval, number, right
from study.tables import annotations, areas, temporal, video_rivals

TEXT, WHOLE, TWO = general, number(0), number(2)


def shown_tables(made):
    """These tables as HTML, by name; "" where there is nothing to show.

    Args:
        made: name -> table, of `report.make_tables`.
    """
    return {
        "table4": _published(made["table4_300vw"], "Table 4, 300VW"),
        "table5": _published(made["table5_talking_face"], "Table 5, Talking Face"),
        "video_rivals": _gains(made["video_rivals_gain"]),
        "stabilisation": _motion(made["video_rivals_motion"]),
        "facial_areas": _areas(made["facial_areas"]),
        "variances": _variances(made["variances"]),
        "contour": _contour(made["variances_contour"]),
        "aflw": _annotated(*(made.get(name) for name in annotations.NAMES)),
    }


def _annotated(rounding, visibility, halves, spread):
    """What AFLW's annotations say, four tables; "" where they have not been read."""
    if any(table is None for table in (rounding, visibility, halves, spread)):
        return ""
    cost = rounding.pivot_table(index=["subset", "faces"], columns=["rule", "length"],
                                values="nrmse_percent")
    cost.columns = [f"{rule}, L={length}" for rule, length in cost.columns]
    shown = {"subset": ("subset", TEXT), "faces": ("faces", WHOLE)}
    shown |= {column: (column, number(3)) for column in cost.columns}
    label = rounding["data"].iloc[0]
    caption = f"{label}: NRMSE (%) that rounding alone causes on visible points, F=256"
    return markupsafe.Markup("").join(
        [
            html_table(cost.reset_index(), shown, caption),
            _seen(visibility, "turn", f"{label}: visible landmarks (%) by how far the head turns"),
            _seen(halves, "seen", f"{label}: visible landmarks (%) by the half that is seen"),
            _variances(spread),
        ]
    )


def _seen(table, column, caption):
    columns = {column: (column, TEXT), "faces": ("faces", WHOLE)}
    columns |= {"visible_percent": ("all landmarks", number(1))}
    columns |= {"all_visible_percent": ("faces with all visible", number(1))}
    columns |= {area: (area, number(1)) for area in video_rivals.AREAS}
    return html_table(table, columns, caption)


def _html(value):
    """A cell that is HTML already; nothing where there is none."""
    return value if isinstance(value, str) else ""


def published_view(table):
    """Table 4 or 5 as the paper prints it, a row a method, ours beside: a data frame."""
    rows = {}
    for row in table.to_dict("records"):
        at = rows.setdefault(row["method"], {"method": row["method"], "note": "", "why": ""})
        short = row["subset"].split()[-1]
        at[f"{short} paper"] = right(row["nrmse_percent"])
        bounds = (row["ours_percent"], row["ours_low"], row["ours_high"])
        at[f"{short} ours"] = interval(*bounds)
        if pd.notna(row["ours_percent"]):
            at |= {"note": row["note"], "seeds": row["seeds"]}
        elif not at["why"]:
            at["why"] = because(row["reason"])
    view = pd.DataFrame(rows.values())
    empty = [c for c in view if c.endswith(" ours") and not view[c].astype(str).str.len().any()]
    return view.drop(columns=empty)


def _published(table, name):
    view = published_view(table)
    columns = {"method": ("method", TEXT)}
    for column in view:
        if column.endswith((" paper", " ours")):
            columns[column] = (column.replace(" ", ", "), _html)
    if "seeds" in view:
        columns["seeds"] = ("seeds", WHOLE)
    columns["what"] = ("ours is", _html)
    caption = (
        f"{name}: NRMSE (%), ours as the mean over frames [95 % interval over videos]; the paper: "
        f"F={paper.SIZE}; ours: {_on(table)}"
    )
    return html_table(view.assign(what=views.either(view)), columns, caption)


def _on(table):
    return ", ".join(filter(None, dict.fromkeys(table["data"]))) or "nothing recorded yet"


def _gains(table):
    rows = table[(table["landmarks"] == "all") & (table["subset"] != temporal.ALL)]
    rows = rows[rows["decrease_percent"].notna()]
    if rows.empty:
        return ""
    shown = views.shown(rows, ("decrease_percent", "low", "high"))
    columns = {
        **{"comparison": ("comparison", TEXT), "subset": ("subset", TEXT)},
        **{"before_percent": ("before, %", TWO), "after_percent": ("after, %", TWO)},
        **{"shown": ("decrease, %", _html), "paper_percent": ("the paper's, %", TWO)},
        **{"verdict": ("verdict", badge), "seeds": ("seeds", WHOLE), "videos": ("videos", WHOLE)},
    }
    caption = "Relative decrease of NRMSE between two systems [95 % interval], paired over videos"
    return html_table(rows.assign(shown=shown), columns, f"{caption}; {_on(rows)}")


def _motion(table):
    rows = table[table["percent"].notna()].sort_values("subset", kind="stable")
    if rows.empty:
        return ""
    shown = views.shown(rows, ("percent", "low", "high"))
    columns = {
        **{"subset": ("subset", TEXT), "system": ("system", TEXT), "shown": ("NRMSE, %", _html)},
        **{"jitter_percent": ("jitter", TWO), "jitter_true_percent": ("the truth's", TWO)},
        **{"delay_frames": ("delay, frames", TWO), "seeds": ("seeds", WHOLE)},
    }
    caption = "NRMSE (%) [95 % interval], jitter (% of the eyes' distance) and delay"
    return html_table(rows.assign(shown=shown), columns, f"{caption}; {_on(rows)}")


def _areas(table):
    rows = table[(table["subset"] == temporal.ALL) & table["percent"].notna()]
    if rows.empty:
        return ""
    cells = rows.assign(shown=views.shown(rows, ("percent", "low", "high")))
    view = cells.pivot(index="system", columns="area", values="shown")
    names = list(dict.fromkeys(rows["system"]))
    view = view.loc[names].reset_index()
    columns = {"system": ("system", TEXT)}
    columns |= {area: (area, _html) for area in ("all", *video_rivals.AREAS)}
    caption = f"NRMSE (%) by facial area, {temporal.ALL} [95 % interval over videos]; {_on(rows)}"
    return html_table(view, columns, caption)


def _named(rows):
    """Which faces, and which of them: a column for readers."""
    return [
        data if subset == areas.WHOLE else f"{data}, {subset}"
        for data, subset in zip(rows["data"], rows["subset"], strict=True)
    ]


def _variances(table):
    if table is None:
        return ""
    rows = table.assign(shown=[interval(*c) for c in table[["variance", "low", "high"]].values])
    rows = rows.assign(faces_of=_named(rows))
    keys = ["faces_of", "coordinates", "axis", "unit"]
    view = rows.pivot(index=[*keys, "faces"], columns="area", values="shown").reset_index()
    order = {key: n for n, key in enumerate(dict.fromkeys(rows["faces_of"]))}
    read = {key: n for n, key in enumerate(areas.READINGS)}
    view = view.assign(by=view["faces_of"].map(order) * 10 + view["coordinates"].map(read))
    view = view.sort_values(["by", "axis"], kind="stable")
    columns = {
        **{"faces_of": ("faces", TEXT), "coordinates": ("in", TEXT), "axis": ("of", TEXT)},
        **{area: (area, _html) for area in video_rivals.AREAS},
        **{"unit": ("", TEXT), "faces": ("how many", WHOLE)},
    }
    caption = (
        f"Variance of the true landmarks' coordinates, mean over each area [95 % interval over "
        f"photographs or videos]: {'; '.join(f'{k}, {v}' for k, v in areas.READINGS.items())}"
    )
    return html_table(view.reindex(columns=list(columns)), columns, caption)


def _contour(table):
    if table is None:
        return ""
    shown = [interval(*cells) for cells in table[["more_percent", "low", "high"]].values]
    rows = table.assign(shown=shown, faces_of=_named(table))
    columns = {
        **{"faces_of": ("faces", TEXT), "coordinates": ("in", TEXT), "axis": ("of", TEXT)},
        **{"contour": ("contour", TWO), "next": ("next", TWO), "next_area": ("which is", TEXT)},
        **{"unit": ("", TEXT), "shown": ("above it by, %", _html), "verdict": ("verdict", badge)},
    }
    caption = "Whether the contour's variance is the largest [95 % interval], reading by reading"
    return html_table(rows, columns, caption)


def missing(made):
    """What Tables 4 and 5 have no number of ours for, and why: a list of (what, why)."""
    lines = []
    for key, name in (("table4_300vw", "Table 4"), ("table5_talking_face", "Table 5")):
        table = made[key]
        rows = table[table["reason"] != ""]
        for reason, there in rows.groupby("reason", sort=False):
            lines.append((f"{name}: {', '.join(dict.fromkeys(there['method']))}", reason))
    return lines
