"""Tables of errors by area and of the worst faces as the page shows them."""

from study.page.views import general, html_table, interval, number
from study.tables import failures

TEXT, WHOLE, ONE, TWO = general, number(0), number(1), number(2)


def shown_tables(made):
    """These tables as HTML, by name; "" where there is nothing to show.

    Args:
        made: name -> table, of `report.make_tables`.
    """
    return {
        "failure_areas": _areas(made["failure_areas"]),
        "failures": _worst(made["failures"]),
    }


def _areas(table):
    if table.empty:
        return ""
    columns = {
        **{"area": ("area", TEXT), "landmarks": ("landmarks", WHOLE)},
        "shown": ("NRMSE, %", lambda cell: cell),
        "failed_percent": (f"faces above {100 * failures.LIMIT:.0f} %, %", ONE),
        "worst_tenth_percent": ("NRMSE of the worst tenth, %", TWO),
        "worst_percent": ("errs most there, % of the worst tenth", WHOLE),
        "seeds": ("seeds", WHOLE),
    }
    caption = (
        f"Which facial areas err: NRMSE (%) by argmax over {table['faces'].iloc[0]} test faces "
        f"[95 % interval over faces and seeds]; {table['data'].iloc[0]}"
    )
    bounds = table[["percent", "low", "high"]].values
    rows = table.assign(shown=[interval(*cells) for cells in bounds])
    return html_table(rows, columns, caption)


def _worst(table):
    if table.empty:
        return ""
    columns = {
        **{"place": ("", WHOLE), "id": ("file", TEXT), "subset": ("subset", TEXT)},
        **{"nrmse_percent": ("NRMSE, %", TWO), "area": ("errs most in", TEXT)},
        "area_percent": ("there, %", TWO),
    }
    caption = f"The {table['place'].max()} worst test faces; {table['data'].iloc[0]}"
    return html_table(worst_view(table), columns, caption)


def worst_view(table):
    """The worst faces, a row each, with the area that errs most: a data frame.

    Args:
        table: `failures.worst`.
    """
    face = ["place", "id", "subset", "nrmse_percent"]
    errors = table.groupby([*face, "area"], sort=False)["percent"].mean()
    errors = errors.rename("area_percent").reset_index()
    most = errors.groupby("place")["area_percent"].idxmax()
    return errors.loc[most].sort_values("place", ignore_index=True)
