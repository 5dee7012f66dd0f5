"""Tidy tables of what the gain of long 1D heatmaps is made of (Section 5.2).

The profile's flagship is changed in one thing at a time. A detector is found by its configuration,
not by its name. Fractions become percent here; parts of a gain are in points of it.
"""

import dataclasses
import math

import numpy as np

from study import metrics, results, tables
from study.tables import stills

PART = ("part", "subset", "before", "after", "before_percent", "after_percent", "points")
PART += ("low", "high", "seeds", "faces", "data", "reason")
IN_ALL = "in all"
IN_ALL_CENTRED = "in all, rounded to centres"
OWN, TWO_D, FLOORED, ONE_HEAD = "1D", "2D", "1D, rounded down", "1D, head of one size"
IN_BINS, BY_ROOT, SMALL = "1D, σ fixed in bins", "1D, σ of sqrt(L/4) bins", "1D, smaller crop"
SERIES = (OWN, TWO_D, FLOORED, ONE_HEAD, IN_BINS, BY_ROOT, SMALL)


def base(profile):
    """The configuration of the profile's flagship, that all others here are variants of."""
    return profile.run(f"{profile.flagship}-s0").config


def variant(profile, **changes):
    """The profile's tested detector that is the flagship but for these settings, or None."""
    wanted = dataclasses.replace(base(profile), **changes)
    for group in ("resolution", "ablation", "coattention"):
        for run in stills.lines(profile, group):
            if run.config == wanted:
                return run
    return None


# --- the gain, part by part --------------------------------------------------------------------


def states(profile):
    """The way from L/F = 0.25 to 3, one change a step: (part, settings, decoder) triples.

    It begins and ends with the paper's own rounding (Eq. 3, 4, 7). In between, both ends are read
    below the bin, so that what is left is no matter of rounding; what the long heatmaps still
    lose by it is given back at the end. Another order of the steps would give other parts.
    """
    reference = base(profile)
    short, long = (round(share * reference.size) for share in (stills.LOWEST, stills.HIGHEST))
    # Targets as wide in px as those of the short heatmaps, which are one bin wide at least.
    as_wide = {"length": long, "sigma": max(reference.sigma, 1 / short)}
    return [
        ("", {"length": short, "rule": "floor"}, "argmax"),
        ("rounding to centres, not down", {"length": short}, "argmax"),
        ("decoding below the bin", {"length": short}, stills.BEST),
        ("a head as large", {"length": short, "head_length": long}, stills.BEST),
        ("longer heatmaps", as_wide, stills.BEST),
        ("narrower targets", {"length": long}, stills.BEST),
        ("long heatmaps read by argmax", {"length": long}, "argmax"),
        ("and rounded down", {"length": long, "rule": "floor"}, "argmax"),
    ]


def split(found):
    """The gain from L/F = 0.25 to 3 in parts that add up to it, paired over faces.

    Args:
        found: `results.Results`.

    Returns:
        part, subset, before, after (names and decoders), before_percent, after_percent, points
        (before - after, positive where it helps) with 95 % interval low, high over faces and
        seeds, seeds, faces, data, reason. Behind the parts `IN_ALL`, from the first state to the
        last, and `IN_ALL_CENTRED`, the same without the paper's rounding down.
    """
    ways = states(found.profile)
    steps = [(after[0], before, after) for before, after in zip(ways, ways[1:], strict=False)]
    steps += [(IN_ALL, ways[0], ways[-1]), (IN_ALL_CENTRED, ways[1], ways[-2])]
    rows = [_part(found, *step, subset) for subset in tables.SUBSETS for step in steps]
    return tables.tidy(rows, PART)


def _part(found, part, before, after, named):
    runs = [variant(found.profile, **settings) for _, settings, _ in (before, after)]
    row, subset = {"part": part, "subset": named}, tables.SUBSETS[named]
    reasons = [stills.why_empty(found, run, subset) for run in runs]
    row["reason"] = next(filter(None, reasons), "")
    if row["reason"]:
        return row
    errors, shown = [], []
    for run, (_, _, decoder) in zip(runs, (before, after), strict=True):
        used = stills.best_decoder(found, run) if decoder == stills.BEST else decoder
        errors.append(found.by_seed(run.name, used, subset))
        shown.append(f"{run.name}, {used}")
    paired = runs[0] == runs[1]  # one network, read in two ways
    points, low, high = tables.percent(metrics.bootstrap_difference(*errors, paired=paired))
    row |= {"before": shown[0], "after": shown[1], "points": points, "low": low, "high": high}
    row |= {"before_percent": 100 * errors[0].mean(), "after_percent": 100 * errors[1].mean()}
    row |= {"seeds": min(map(len, errors)), "faces": errors[0].shape[1]}
    return row | {"data": results.describe(found.first(runs[1].name))}


# --- every length ------------------------------------------------------------------------------


def lengths(found, subset="common"):
    """NRMSE over L of every series of detectors, by argmax and by what is best on validation.

    Args:
        found: `results.Results`.
        subset: of the test faces.

    Returns:
        series (of `SERIES`), name, size (F), length (L), length_over_input, sigma_bins, sigma_px
        (of the crop), parameters, decoder, shown ("argmax" or "best on validation"),
        validation_percent, percent with 95 % interval low, high, seeds, faces, data, reason.
    """
    rows = []
    for name in SERIES:
        for run in _members(found.profile, name):
            rows += [_long(found, name, run, shown, subset) for shown in ("argmax", stills.BEST)]
    columns = ["series", "name", "size", "length", "length_over_input", "sigma_bins", "sigma_px"]
    columns += ["parameters", "decoder", "shown", "validation_percent", "percent", "low", "high"]
    return tables.tidy(rows, [*columns, "seeds", "faces", "data", "reason"])


def _members(profile, series):
    """The runs of a series, L rising."""
    both = (*stills.lines(profile), *stills.lines(profile, "ablation"))
    runs = [run for run in both if series in _series(profile, run.config)]
    return sorted(runs, key=lambda run: run.config.length)


def _series(profile, settings):
    """The series that a configuration belongs to: it differs in L and in one thing more."""
    reference, found = base(profile), set()
    if settings.model == "detector2d":
        return {TWO_D}
    if settings.model != reference.model:
        return found
    fields = (field.name for field in dataclasses.fields(settings))
    changed = {key for key in fields if getattr(settings, key) != getattr(reference, key)}
    changed -= {"length"}
    named = {(): OWN, ("rule",): FLOORED, ("head_length",): ONE_HEAD, ("size",): SMALL}
    if tuple(changed) in named:
        found.add(named[tuple(changed)])
    if changed <= {"sigma"}:
        # As many bins as at L = F, and as many as grow with the root of L.
        same = reference.sigma * reference.size
        if math.isclose(settings.target_sigma, same, rel_tol=1e-3):
            found.add(IN_BINS)
        if math.isclose(settings.target_sigma, math.sqrt(settings.length / 4), rel_tol=0.05):
            found.add(BY_ROOT)
    if tuple(changed) == () and reference.head_length in (0, settings.length):
        # The longest head is the one whose bins the shorter heatmaps are means of.
        if any(r.config.head_length == settings.length for r in stills.lines(profile, "ablation")):
            found.add(ONE_HEAD)
    return found


def _long(found, series, run, shown, subset):
    settings = run.config
    row = {"series": series, "name": run.name, "size": settings.size, "length": settings.length}
    row |= {"length_over_input": stills.ratio(settings), "shown": shown}
    row |= {"sigma_bins": settings.target_sigma}
    row |= {"sigma_px": settings.target_sigma * settings.size / settings.length}
    row["reason"] = stills.why_empty(found, run, subset)
    if row["reason"]:
        return row
    used = stills.best_decoder(found, run) if shown == stills.BEST else shown
    errors = found.by_seed(run.name, used, subset)
    mean, low, high = tables.percent(metrics.bootstrap_mean(errors))
    first = found.first(run.name)
    row |= {"decoder": used, "percent": mean, "low": low, "high": high}
    row |= {"validation_percent": 100 * found.validation(run.name)[used]}
    row |= {"parameters": first["parameters"], "seeds": errors.shape[0]}
    return row | {"faces": errors.shape[1], "data": results.describe(first)}


# --- L/F or bins a face ------------------------------------------------------------------------


def order(table):
    """Whether L/F or L orders the errors of two sizes of the crop alike.

    The error of each size relative to its lowest is a curve over L; where two sizes share an L/F,
    or an L, their curves are compared there.

    Args:
        table: `lengths`.

    Returns:
        by ("L/F" or "L"), shown, places (compared), apart_percent (mean of by how much the higher
        of the two relative errors exceeds the lower); no rows where there is one size alone.
    """
    rows = []
    measured = table[table["series"].isin([OWN, SMALL]) & table["percent"].notna()]
    for shown, there in measured.groupby("shown", sort=False):
        curves = {
            name: one.assign(relative=one["percent"] / one["percent"].min())
            for name, one in there.groupby("series", sort=False)
        }
        if len(curves) < 2:
            continue
        for by, column in (("L/F", "length_over_input"), ("L", "length")):
            sides = [curve.set_index(column)["relative"] for curve in curves.values()]
            both = sides[0].index.intersection(sides[1].index)
            apart = np.abs(np.log(sides[0].loc[both] / sides[1].loc[both]))
            apart = 100 * math.expm1(apart.mean()) if len(both) else math.nan
            rows.append({"by": by, "shown": shown, "places": len(both), "apart_percent": apart})
    return tables.tidy(rows, ["by", "shown", "places", "apart_percent"])
