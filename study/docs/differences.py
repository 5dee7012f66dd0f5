"""What our departures from the paper change, as measured: sentences from a profile's tables."""

import math

from study import paths, tables

COM = "300W com"


def change(row):
    """A change of NRMSE with its interval: "2.5 % higher (1.4 to 3.4 %; the paper: 12.3 % lower)".

    Args:
        row: mapping with decrease_percent and, where they are known, low, high and paper_percent,
            as tables of gains have them.
    """
    down = row["decrease_percent"] >= 0
    ends = [row.get(key, math.nan) for key in ("low", "high")]
    notes = []
    if not any(map(math.isnan, ends)):
        low, high = ends if down else (-ends[1], -ends[0])
        notes.append(f"{low:z.1f} to {high:z.1f} %")
    printed = row.get("paper_percent", math.nan)
    if not math.isnan(printed):
        notes.append(f"the paper: {_moved(printed)}")
    text = _moved(row["decrease_percent"])
    return f"{text} ({'; '.join(notes)})" if notes else text


def _moved(decrease):
    return f"{abs(decrease):.1f} % {'lower' if decrease >= 0 else 'higher'}"


def text(name, profile):
    """What MEASURED[name] says of a profile.

    Raises:
        ValueError: a table or a row that it needs is missing; names both.
    """
    try:
        return MEASURED[name](profile)
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{name}: not in the tables of {profile}: {error!r}") from error


def _row(profile, table, **values):
    """The first row of a table with these values, as a dict."""
    rows = tables.read(table, profile)
    for key, value in values.items():
        rows = rows[rows[key] == value]
    return rows.iloc[0].to_dict()


def _part(profile, part):
    return _row(profile, "gain_split", part=part, subset=COM)


def _points(row):
    points = f"{row['points']:+z.2f} ({row['low']:+z.2f} to {row['high']:+z.2f}) points"
    return f"{points} by the best decoder"


def _rounding(profile):
    coarse, fine = (
        _part(profile, part) for part in ("rounding to centres, not down", "and rounded down")
    )
    return (
        f"rounded down, NRMSE is {coarse['before_percent']:.2f} in place of "
        f"{coarse['after_percent']:.2f} % at L/F=0.25, and {fine['after_percent']:.2f} in place of "
        f"{fine['before_percent']:.2f} % at L/F=3"
    )


def _gain_of(part):
    return lambda profile: _points(_part(profile, part))


def _sigma(profile):
    narrow = _row(profile, "gain_lengths", name="bins_L192", decoder="argmax")
    ours = _row(profile, "gain_lengths", name="detector1d_L192", decoder="argmax")
    wide = _part(profile, "narrower targets")
    return (
        f"at L/F=3: σ {narrow['sigma_px']:.1f} px in place of {ours['sigma_px']:.1f} px gives "
        f"{narrow['percent']:.2f} in place of {ours['percent']:.2f} %; the σ of L/F=0.25 costs "
        f"{wide['points']:.2f} points by the best decoder"
    )


def _readings(profile):
    names = ("positions", "rows", "pooled")
    rows = [_row(profile, "coattention_controls", fusion=name, subset=COM) for name in names]
    return "against γ=0: " + "; ".join(f"{row['reading']}, {change(row)}" for row in rows)


def _head(profile):
    gained = _gain_of("a head as large")(profile)
    return f"a 1D head of the long heatmaps' size at L/F=0.25: {gained}"


def _occlusion(profile):
    without, with_it = (
        _row(profile, "tuning", name=f"search_1d_{name}") for name in ("sigma25", "occluded")
    )
    return (
        f"with occluding rectangles {with_it['percent']:.2f} %, without {without['percent']:.2f} % "
        "(one short training each, validation faces)"
    )


def _measures(profile):
    row = _row(
        profile, "resolution_decoders", name="detector1d_L192", decoder="argmax", subset="common"
    )
    return (
        f"the same errors are {row['percent']:.2f} % so, {row['rms_percent']:.2f} % as root mean "
        f"square, {row['pupil_percent']:.2f} % over the distance of the pupils"
    )


def _without_past(profile):
    texts = []
    for how in ("each trained", "tested with 0"):
        rows = [
            _row(
                profile,
                "temporal_gain",
                comparison=f"λ 0 to 0.3, {how}",
                landmarks="all",
                subset=f"300VW S{n}",
            )
            for n in (1, 2, 3)
        ]
        found = ", ".join(f"{row['decrease_percent']:z.1f}" for row in rows)
        texts.append(f"{how}: {found} % lower on S1, S2, S3")
    return "; ".join(texts)


def _size(profile):
    apart = tables.read("gain_order", profile)
    apart = apart[apart["shown"] == "argmax"].set_index("by")["apart_percent"]
    same = _row(
        profile, "resolution_gain", comparison="1D, L 64 to 768", subset=COM, decoder="argmax"
    )
    return (
        f"from L=64 to 768, whose bins are as large a part of the face as the paper's: "
        f"{change(same)}; crops of two sizes differ by {apart['L/F']:.1f} % at equal L/F and by "
        f"{apart['L']:.1f} % at equal L"
    )


def _decoders(profile):
    row = _row(
        profile,
        "resolution_gain",
        comparison="1D, L/F 0.25 to 3",
        subset=COM,
        decoder="best on validation",
    )
    return (
        f"by the best decoder, NRMSE goes from {row['before_percent']:.2f} to "
        f"{row['after_percent']:.2f} % where L/F goes from 0.25 to 3: {change(row)}"
    )


def _memory(profile):
    ledger = tables.read("memory", profile)
    rows = ledger[(ledger["length_over_input"] == 1) & ledger["system"].str.startswith("2D")]
    found = "; ".join(
        f"{row['system']}, {row['peak_gib']:.1f} GiB" for row in rows.to_dict("records")
    )
    return f"at L=F, of a card of {ledger['card_gib'].iloc[0]:g} GiB: {found}"


def _summed(profile):
    rows = tables.read("temporal_gain", profile)
    names = rows["comparison"].astype(str)
    rows = rows[names.str.startswith("detector to its summed") & names.str.contains("best on")]
    rows = rows[(rows["landmarks"] == "all") & rows["decrease_percent"].notna()]
    found = "; ".join(f"{row['subset']}, {change(row)}" for row in rows.to_dict("records"))
    lam = names[rows.index[0]].split(", ")[1]
    return f"heatmaps summed over the past, nothing learnt, {lam}: {found}"


def _folds(profile):
    texts = [
        f"{symbol}={row['chosen']:g} is chosen (the folds one by one: {row['lowest']:g} to "
        f"{row['highest']:g}), by the paper {row['paper']:g}"
        for weight, symbol in (("gamma", "γ"), ("lam", "λ"))
        for row in [_row(profile, "cross_validation", weight=weight)]
    ]
    return "; ".join(texts)


def _boundaries(profile):
    row = _row(profile, "rivals_gain", comparison="LAB to Ours+LAB", subset=COM)
    return f"boundaries in 1D in place of 2D: {change(row)}"


def _fractional(profile):
    row = _row(profile, "rivals_gain", comparison="FHR to Ours", subset=COM)
    return f"from it to ours by argmax: {change(row)}"


def _box(profile):
    texts = []
    for subset in ("S1", "S2", "S3"):
        rows = tables.read("temporal_motion", profile)
        rows = rows[(rows["subset"] == subset) & rows["percent"].notna()].set_index("system")
        name = next(name for name in rows.index if name.endswith("box by the frame before"))
        own = name.removesuffix(", box by the frame before")
        texts.append(f"{rows.loc[own, 'percent']:.2f} and {rows.loc[name, 'percent']:.2f}")
    return f"NRMSE by true boxes and by the frame before, S1 to S3: {'; '.join(texts)} %"


def _data(profile):
    rows = tables.read("data", profile)
    train, test = (rows[rows["split"] == split] for split in ("train", "test"))
    held = train["held_out"].sum()
    return (
        f"{train['found'].sum():,} of {train['official'].sum():,} training images, {held} of them "
        f"held out; {test['found'].sum()} of {test['official'].sum()} test images"
    )


def _clips(profile):
    rows = tables.read("videos", profile)
    test = rows[rows["split"] == "test"] if "split" in rows else rows[rows["subset"] != "train"]
    return f"{test['videos'].sum()} clips of {test['data'].iloc[0]} in place of 300VW's test videos"


def _looks(profile):
    lines = (paths.reports(profile) / "test_looks.csv").read_text().splitlines()[1:]
    runs = {line.split(",")[2] for line in lines}
    return f"{len(lines)} looks by {len(runs)} trainings"


MEASURED = {
    "rounding": _rounding,
    "below-the-bin": _decoders,
    "longer": _gain_of("longer heatmaps"),
    "sigma": _sigma,
    "readings": _readings,
    "head": _head,
    "occlusion": _occlusion,
    "measures": _measures,
    "without-past": _without_past,
    "size": _size,
    "memory": _memory,
    "summed": _summed,
    "folds": _folds,
    "boundaries": _boundaries,
    "fractional": _fractional,
    "box": _box,
    "data": _data,
    "clips": _clips,
    "looks": _looks,
}
