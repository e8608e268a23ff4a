"""Coverage and entropy of the kept sets in one common space, and maps of the latent spaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tamis.analysis.arms import NO_DESCRIPTOR, Curve, Point, Seeds
from tamis.analysis.coverage import Map, map_key
from tamis.core.figures import GREY, PALETTE
from tamis.core.metrics import FORCE_MAE, TEST, error, of_group
from tamis.core.names import in_figure
from tamis.report.context import Context, at_target, file_name
from tamis.report.document import Paragraph, Part, Picture, Pictures, Row, Table, count, number
from tamis.report.style import INK, draw_curve, label, legend, log_axes, look, panel

MEASURES = {
    "coverage": "part of the pool's environments within reach",
    "distance": "mean distance to kept environments",
    "entropy": "entropy of the kept environments, nats",
}
ERROR = error(TEST, FORCE_MAE)
Measured = tuple[Curve, list[Mapping[str, float]]]


def coverage(
    curves: Sequence[Curve], arms: Sequence[str], fraction: float, name: str, context: Context
) -> Iterator[Part]:
    """Numbers at one size, and their curves. arms : in the order of tables."""
    measured = {arm: _measured([c for c in curves if c.arm == arm], context) for arm in arms}
    if not any(measured.values()):
        yield Paragraph(f"{name}: coverage of the kept sets was not worked out.")
        return
    rows: list[Row] = []
    for arm, some in measured.items():
        found = [
            v
            for c, values in some
            for p, v in zip(c.points, values, strict=True)
            if p is at_target(c, fraction)
        ]
        if found:
            means = [number(float(np.mean([one[m] for one in found]))) for m in MEASURES]
            rows.append([arm, *means, str(len(found))])
    space = context.kept_sets.spaces.get(curves[0].trial.dataset.fingerprint, "the ruler")
    yield Table(
        name=file_name("coverage", name),
        title=f"{name}: the kept sets in one space, the same for all, at the budget nearest to "
        f"{100 * fraction:.0f} % of the atoms",
        columns=["chosen with", "coverage", "distance", "entropy, nats", "splits"],
        rows=rows,
        notes=f"Means over splits, in the space of {space}, in which sets chosen with it have the advantage. Coverage: "
        "part of the pool's environments that have a kept one within reach, the 99th percentile of distances between "
        "neighbours in different structures of the data set. Distance: mean distance of the pool's environments to the "
        "nearest kept one, in mean distances between neighbours. Entropy: exp of it counts environments.",
    )
    if any(len(values) > 1 for some in measured.values() for _, values in some):
        yield Pictures([_curves(measured, m, name, context) for m in ("distance", "entropy")])


def maps(
    curves: Sequence[Curve],
    arms: Sequence[str],
    fraction: float,
    groups: Mapping[str, str],
    name: str,
    context: Context,
) -> Iterator[Pictures]:
    """The pool in two dimensions of each latent space, with what was kept."""
    pictures: dict[str, Picture] = {}
    for curve in curves:
        plane = context.kept_sets.maps.get(map_key(curve.trial))
        found = at_target(curve, fraction)
        if curve.descriptor != NO_DESCRIPTOR and curve.arm not in pictures and plane and found:
            pictures[curve.arm] = _map(plane, found, groups, name)
    if pictures:
        yield Pictures([pictures[arm] for arm in arms if arm in pictures])


def _measured(curves: Sequence[Curve], context: Context) -> list[Measured]:
    """One curve a seed (what is kept does not depend on the model), with the measures of its points."""
    found: dict[Seeds, Measured] = {}
    for curve in curves:
        by_point = [(context.kept_sets.measures.get(p.trial.folder, {}), p.number) for p in curve.points]
        if curve.seeds not in found and all(i < len(one.get(m, ())) for one, i in by_point for m in MEASURES):
            found[curve.seeds] = (curve, [{m: one[m][i] for m in MEASURES} for one, i in by_point])
    return list(found.values())


def _curves(measured: Mapping[str, list[Measured]], measure: str, name: str, context: Context) -> Picture:
    """A measure against the atoms kept; points of the same number within their curves are averaged."""
    splits = count(max(map(len, measured.values())), "split")
    figure, ax = panel(f"{name}: {measure}\nmeans over {splits}")
    for arm, some in measured.items():
        for usual, _ in Counter(len(values) for _, values in some).most_common(1):
            alike = [(curve, values) for curve, values in some if len(values) == usual]
            atoms = np.mean([curve.atoms for curve, _ in alike], axis=0)
            means = np.mean([[one[measure] for one in values] for _, values in alike], axis=0)
            draw_curve(ax, arm, arm, look(arm, context.arms()), atoms, means)
    log_axes(ax, "x")
    label(ax, "atoms kept", MEASURES[measure])
    legend(ax)
    caption = f"{name}: {MEASURES[measure]}, in the common space, against the atoms kept; means over splits."
    return Picture(file_name(measure, name), caption, figure)


def _map(plane: Map, point: Point, groups: Mapping[str, str], name: str) -> Picture:
    """Groups have colours, kept structures a ring; the pointer shows what a structure is."""
    arm, kept = point.arm, {one: k + 1 for k, one in enumerate(point.kept)}
    figure, ax = panel(f"{name}: {len(kept)} of {len(plane.ids)} structures, {point.pruner} in {arm}")
    x, y = np.array(plane.x), np.array(plane.y)
    kinds, tips = np.array([groups.get(i, "") for i in plane.ids]), {}
    shown = sorted(set(kinds))
    for n, kind in enumerate(shown):
        mine, gid = np.flatnonzero(kinds == kind).tolist(), f"tips-{file_name(name, arm)}-{n}"
        tint = PALETTE[n % len(PALETTE)] if len(shown) <= 2 * len(PALETTE) else GREY
        mark = "os"[n // len(PALETTE) % 2]
        ax.plot(
            x[mine],
            y[mine],
            mark,
            ms=4.5,
            color=tint,
            alpha=0.7,
            mew=0,
            label=in_figure(kind) or "pool",
            gid=gid,
        )
        tips[gid] = [_tip(plane.ids[i], kind, kept, point) for i in mine]
    rings = np.isin(plane.ids, list(kept))
    ax.plot(x[rings], y[rings], "o", ms=8, mfc="none", mec=INK, mew=1.1, label="kept")
    label(ax, "first principal axis", "second principal axis")
    legend(ax)
    caption = (
        f"{name}: the pool of one split in the latent space of {arm}; {len(kept)} of {len(plane.ids)} structures kept "
        "(rings). Point at one for its id, its group and the group's test error. The plane holds "
        f"{100 * plane.variance:.0f} % of the variance."
    )
    return Picture(file_name("map", arm, name), caption, figure, tips)


def _tip(name: str, kind: str, kept: Mapping[str, int], point: Point) -> str:
    """Id, group, place in the order of choice, and the test error of the group, since no trial has one of the pool."""
    place = f"kept, chosen as number {kept[name]}" if name in kept else "not kept"
    error = point.metrics.get(of_group(ERROR, kind))
    found = "" if error is None else f"\ntest force MAE of {kind} with {point.model}: {number(error)} eV/Å"
    return f"{name}\n{kind}, {place}{found}"
