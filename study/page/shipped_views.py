"""Tables of the shipped detector as the page shows them; a table that is not there is left out."""

from study.figures import shipped as shipped_figures
from study.page.views import general, html_table, interval, number

TEXT, WHOLE, TWO = general, number(0), number(2)


def shown_tables(made):
    """These tables as HTML, by name; "" where there is nothing to show.

    Args:
        made: name -> table or None, of `report.make_tables`.
    """
    views = {
        "shipped": _scores,
        "shipped_areas": _by("area", "facial area"),
        "shipped_turns": _by("turn", "head turned"),
        "reliability": _reliability,
        "shipped_choices": _choices,
    }
    there = {name: made[name] for name in views if made[name] is not None and len(made[name])}
    return {name: views[name](there[name]) if name in there else "" for name in views}


def _boxes(kind):
    return shipped_figures.SAYS.get(kind, kind)


def _intervals(table, *columns):
    return [interval(*bounds) for bounds in table[list(columns)].values]


def _scores(table):
    rows = table.assign(
        shown=_intervals(table, "percent", "low", "high"),
        more=_intervals(table, "worse", "worse_low", "worse_high"),
    )
    columns = {
        **{"subset": ("subset", TEXT), "boxes": ("boxes", _boxes)},
        **{"shown": ("NRMSE, %", _plain), "more": ("worse by, points", _plain)},
        **{"median_percent": ("median, %", TWO), "failures_percent": ("failures, %", TWO)},
        **{"faces": ("faces", WHOLE), "missed": ("missed", WHOLE), "looks": ("looks", WHOLE)},
    }
    caption = (
        "The shipped detector by whose boxes cut the crops: NRMSE (%) [95 % interval over faces], "
        "and by how much it is worse than with annotated boxes on the same faces; a missed face "
        f"counts as a failure; {table['data'].iloc[0]}"
    )
    return html_table(rows, columns, caption)


def _by(column, header):
    """A view of NRMSE by a column, one column of numbers for each kind of box."""

    def view(table):
        cells = table.assign(shown=_intervals(table, "percent", "low", "high"))
        kinds = list(dict.fromkeys(table["boxes"]))
        keys = ["subset", column]
        rows = cells.groupby(keys, sort=False)["faces"].max().reset_index()
        for kind in kinds:
            one = cells[cells["boxes"] == kind].set_index(keys)["shown"].rename(kind)
            rows = rows.join(one, on=keys)
        columns = {"subset": ("subset", TEXT), column: (header, TEXT), "faces": ("faces", WHOLE)}
        columns |= {kind: (_boxes(kind), _plain) for kind in kinds}
        caption = f"NRMSE (%) by {header} and box; {table['data'].iloc[0]}"
        return html_table(rows, columns, f"{caption}")

    return view


def _reliability(table):
    shown = [interval(*(100 * bounds)) for bounds in table[["share", "low", "high"]].values]
    columns = {
        **{"boxes": ("boxes", _boxes), "bin": ("part", WHOLE)},
        **{"said": ("confidence, %", number(1)), "shown": ("came true, %", _plain)},
        "landmarks": ("landmarks", WHOLE),
    }
    caption = (
        "Confidence and what came true: the share of landmarks within "
        f"{table['within'].iloc[0]:.0%} of the distance of the outer eye corners [95 % interval "
        f"over faces]; {table['data'].iloc[0]}"
    )
    return html_table(table.assign(said=100 * table["confidence"], shown=shown), columns, caption)


def _choices(table):
    columns = {
        **{"decoder": ("decoder", TEXT), "mirror": ("with its mirror image", _yes)},
        **{"passes": ("looks", WHOLE), "boxes": ("boxes", _boxes)},
        **{"percent": ("NRMSE, %", TWO), "faces": ("faces", WHOLE), "missed": ("missed", WHOLE)},
        "chosen": ("", lambda cell: "chosen" if cell else ""),
    }
    caption = f"Ways to read the heatmaps, on held-out training faces; {table['data'].iloc[0]}"
    return html_table(table, columns, caption)


def _yes(value):
    return "yes" if value else "no"


def _plain(value):
    return value
