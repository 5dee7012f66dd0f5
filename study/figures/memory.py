"""The figure of the memory that a training step needs; it reads no file."""

from matplotlib import ticker

from study.figures import BLACK, BLUE, ORANGE, VERMILION, axes_of, floats, name_powers, plain


def memory(table, ax=None):
    """What a training step needs over L, and the card that it has to fit.

    Args:
        table: `memory.table`.
    """
    ax = axes_of(ax, height=4.2)
    looks = zip(table["system"].unique(), "sDo", (VERMILION, ORANGE, BLUE), strict=False)
    for system, marker, color in looks:
        rows, options = table[table["system"] == system], dict(color=color, marker=marker)
        places = floats(rows["length"])
        ax.plot(places, rows["peak_gib"], label=system, **options)
        ax.plot(places, rows["activations_gib"], ":", markerfacecolor="white", **options)
    for style, label in (("-", "peak of the step"), (":", "saved activations alone")):
        ax.plot([], [], style, color=BLACK, label=label)
    card, one = table["card_gib"].iloc[0], table.iloc[0]
    ax.axhline(card, color=BLACK, linestyle="--", linewidth=1.2)
    ax.annotate(
        f"the card: {card:g} GiB",
        (1, card),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
    )
    name_powers(ax, sorted(table["length"].unique()))
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(plain))
    ax.set(xlabel="L, bins across the face crop", ylabel="GiB of a training step")
    ax.set_title(f"F={one['size']} px, batch {one['batch']}, {one['precision']}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return ax
