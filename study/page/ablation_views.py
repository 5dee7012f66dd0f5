"""Tables of rivals, ablations, cross-validations and memory as the page shows them."""

import markupsafe
import pandas as pd

from study import claims, paper
from study.config import AFLW
from study.page import views
from study.page.verdicts import badge
from study.page.views import because, general, html_table, interval, number, right
from study.tables import ablation, folds

TEXT, WHOLE, TWO = general, number(0), number(2)


def shown_tables(made):
    """These tables as HTML, by name; "" where there is nothing to show.

    Args:
        made: name -> table, of `report.make_tables`.
    """
    return {
        "table3": _table3(made["table3_image_datasets"]),
        "rivals": _rivals(made["rivals"]),
        "rivals_gains": _gains(made["rivals_gain"]),
        "controls": _controls(
            *(made[f"coattention_{name}"] for name in ("controls", "conditions", "poses"))
        ),
        "gain_split": _split(made["gain_split"]),
        "gain_lengths": _lengths(made["gain_lengths"]),
        "cross_validation": _folds(made["cross_validation"], made["cross_validation_scores"]),
        "memory": _memory(made["memory"]),
    }


def plain(value):
    """A cell that is HTML already."""
    return value


def _on(table):
    labels = ", ".join(dict.fromkeys(label for label in table["data"] if label))
    return labels or "nothing recorded yet"


def table3_view(table):
    """Table 3 as the paper prints it, a row a method, ours beside: a data frame."""
    rows = {}
    for row in table.to_dict("records"):
        at = rows.setdefault(row["method"], {"method": row["method"], "note": "", "why": ""})
        short = row["subset"].split()[-1]
        at[f"{short} paper"] = right(row["nrmse_percent"])
        shown = interval(row["ours_percent"], row["ours_low"], row["ours_high"])
        at[f"{short} ours"] = shown
        if shown:
            at |= {"note": row["note"], "seeds": row["seeds"]}
        elif short == "com":
            at["why"] = because(row["reason"])
        elif at["note"]:
            at[f"{short} ours"] = because(row["reason"])
    return pd.DataFrame(rows.values())


def _table3(table):
    view = table3_view(table)
    columns, away = {"method": ("method", TEXT)}, ""
    if table.loc[table["subset"] == AFLW, "ours_percent"].isna().all():
        away = f". {AFLW} has no number of ours: {_why_not_on_aflw(table)}"
    for short in ("com", "cha", "full", AFLW):
        columns[f"{short} paper"] = (f"{short}, paper", _or_nothing)
        if short != AFLW or not away:
            columns[f"{short} ours"] = (f"{short}, ours", _or_nothing)
    columns |= {"seeds": ("seeds", WHOLE), "what": ("ours is", plain)}
    caption = (
        f"Table 3, NRMSE (%) on 300W and AFLW [95 % interval]; the paper's numbers, of which only "
        f"those with one of ours beside them were measured again; the paper: F={paper.SIZE}; "
        f"ours: {_on(table)}{away}"
    )
    view = view.assign(what=views.either(view))
    return html_table(view.reindex(columns=list(columns)), columns, caption)


def _why_not_on_aflw(table):
    """Why the row "Ours" has no number on AFLW."""
    row = table[(table["method"] == "Ours") & (table["subset"] == AFLW)].iloc[0]
    return "its images are not available" if row["reason"] == claims.NO_AFLW else row["reason"]


def _or_nothing(value):
    return "" if not isinstance(value, str) else value


def _rivals(table, subset="common"):
    rows = table[table["subset"] == subset]
    shown = views.shown(rows, ("percent", "low", "high"))
    columns = {
        **{"system": ("system", TEXT), "length": ("L", WHOLE), "decoder": ("decoder", TEXT)},
        **{"chosen": ("decoder is", TEXT), "validation_percent": ("validation, %", TWO)},
        **{"shown": (f"{subset}, %", plain), "seeds": ("seeds", WHOLE)},
        **{"parameters": ("parameters", WHOLE), "megaflops": ("MFLOP a face", WHOLE)},
        "step_mib": ("MiB a step", WHOLE),
        "samples_per_second": ("faces/s, training", WHOLE),
    }
    caption = (
        "The systems on one backbone, on the same faces for as many epochs: NRMSE (%) "
        f"[95 % interval] and cost; {_on(rows)}"
    )
    return html_table(rows.assign(shown=shown), columns, caption)


def _gains(table):
    rows = table[table["decrease_percent"].notna() | table["paper_percent"].notna()]
    shown = views.shown(rows, ("decrease_percent", "low", "high"))
    columns = {
        **{"comparison": ("comparison", TEXT), "subset": ("subset", TEXT)},
        **{"before": ("before", TEXT), "before_percent": ("before, %", TWO)},
        **{"after": ("after", TEXT), "after_percent": ("after, %", TWO)},
        **{"shown": ("decrease, %", plain), "paper_percent": ("the paper's, %", TWO)},
        "verdict": ("verdict", badge),
    }
    caption = "Relative decrease of NRMSE from a rival to the 1D detector [95 % interval]"
    return html_table(rows.assign(shown=shown), columns, caption)


def _controls(controls, conditions, poses):
    parts = [
        controls.assign(what="way to join the axes", name=controls["reading"]),
        conditions.assign(what="another detector", name=conditions["condition"]),
    ]
    if poses is not None:
        parts.append(poses.assign(what="by how far the head turns", name=poses["third"]))
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[rows["decrease_percent"].notna()]
    if rows.empty:
        return ""
    shown = views.shown(rows, ("decrease_percent", "low", "high"))
    columns = {
        **{"what": ("", TEXT), "name": ("", TEXT), "subset": ("subset", TEXT)},
        **{"before_percent": ("γ=0, %", TWO), "after_percent": ("with it, %", TWO)},
        **{"shown": ("decrease, %", plain), "seeds": ("seeds", WHOLE)},
        "epochs": ("epochs", WHOLE),
    }
    caption = f"Relative decrease of NRMSE from γ=0 by argmax [95 % interval]; {_on(rows)}"
    return html_table(rows.assign(shown=shown), columns, caption)


def _split(table):
    rows = table[table["points"].notna()]
    if rows.empty:
        return ""
    shown = [interval(*bounds) for bounds in rows[["points", "low", "high"]].values]
    total = rows["part"].isin([ablation.IN_ALL, ablation.IN_ALL_CENTRED])
    names = [
        markupsafe.Markup("<strong>{}</strong>").format(name) if whole else name
        for name, whole in zip(rows["part"], total, strict=True)
    ]
    columns = {
        **{"name": ("part", plain), "subset": ("subset", TEXT), "before": ("before", TEXT)},
        **{"before_percent": ("%", TWO), "after": ("after", TEXT), "after_percent": ("%", TWO)},
        **{"shown": ("points", plain), "seeds": ("seeds", WHOLE)},
    }
    caption = f"The gain from L/F=0.25 to 3, in points of NRMSE [95 % interval]; {_on(rows)}"
    return html_table(rows.assign(shown=shown, name=names), columns, caption)


def _lengths(table):
    rows = table[table["percent"].notna()]
    if rows.empty:
        return ""
    shown = views.shown(rows, ("percent", "low", "high"))
    columns = {
        **{"series": ("series", TEXT), "size": ("F", WHOLE), "length": ("L", WHOLE)},
        **{"length_over_input": ("L/F", TEXT), "sigma_bins": ("σ, bins", TWO)},
        **{"sigma_px": ("σ, px", TWO), "decoder": ("decoder", TEXT)},
        **{"validation_percent": ("validation, %", TWO), "shown": ("common, %", plain)},
        **{"parameters": ("parameters", WHOLE), "seeds": ("seeds", WHOLE)},
    }
    caption = f"NRMSE (%) over L on common test faces [95 % interval]; {_on(rows)}"
    return html_table(rows.assign(shown=shown), columns, caption)


def _folds(choices, scores):
    measured = scores[scores["percent"].notna()]
    if measured.empty:
        return ""
    spread = measured.groupby(["weight", "value"], sort=False).agg(
        percent=("percent", "mean"),
        lowest=("percent", "min"),
        highest=("percent", "max"),
        folds=("fold", "nunique"),
        data=("data", "first"),
    )
    rows = spread.reset_index()
    chosen = choices.set_index("weight")["chosen"]
    rows["symbol"] = [folds.SYMBOL[weight] for weight in rows["weight"]]
    rows["is"] = [
        "chosen" if chosen[weight] == value else ""
        for weight, value in zip(rows["weight"], rows["value"], strict=True)
    ]
    columns = {
        **{"symbol": ("weight", TEXT), "value": ("value", TEXT), "percent": ("mean, %", TWO)},
        **{"lowest": ("lowest fold", TWO), "highest": ("highest fold", TWO)},
        **{"folds": ("folds", WHOLE), "is": ("", TEXT), "data": ("on", TEXT)},
    }
    return html_table(rows, columns, "NRMSE (%) on held-out folds of training faces, no test face")


def _memory(table):
    if table is None:
        return ""
    rows = table.assign(
        card=["fits" if fits else "does not fit" for fits in table["fits"].astype(bool)]
    )
    first = rows.iloc[0]
    columns = {
        **{"system": ("system", TEXT), "length": ("L", WHOLE), "length_over_input": ("L/F", TEXT)},
        **{"activations_gib": ("saved activations, GiB", TWO), "peak_gib": ("peak, GiB", TWO)},
        **{"parameters_m": ("parameters, M", number(1)), "card": ("the card", TEXT)},
        "largest_batch": ("largest batch", WHOLE),
    }
    caption = (
        f"A training step at F={first['size']}, batch {first['batch']}, {first['precision']}, and "
        f"a card of {first['card_gib']:g} GiB: counted, not measured"
    )
    return html_table(rows, columns, caption)
