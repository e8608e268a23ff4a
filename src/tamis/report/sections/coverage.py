"""What the kept sets hold of the pool: coverage and entropy in one common space, and maps of the latent spaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.arms import BASELINES, NO_DESCRIPTOR, Curve
from tamis.analysis.kept_sets import COMMAND, Map, map_key
from tamis.core.names import in_figure
from tamis.report.context import Context, at_target, file_name
from tamis.report.document import Paragraph, Part, Picture, Pictures, Row, Table
from tamis.report.style import INK, colour, label, legend, log_axes, panel
from tamis.report.words import number

Array = NDArray[np.float64]
MEASURES = {
    "coverage": "part of the pool's environments within reach",
    "distance": "mean distance to kept environments",
    "entropy": "entropy of the kept environments, nats",
}
MD_SPACE = "md/outside_kept_common_space_fraction"
OF_GROUPS = ("#4a90d9", "#e0713e", "#4fa36a", "#b065b8", "#c2a02e", "#d15c86", "#6d7f92", "#8a6a4f")
"""Colours of groups of structures; arms have theirs."""


def coverage(
    curves: Sequence[Curve], arms: Sequence[str], fraction: float, name: str, context: Context
) -> Iterator[Part]:
    """Numbers at one size, and their curves. arms : in the order of tables."""
    measured = {arm: _measured([c for c in curves if c.arm == arm], context) for arm in arms}
    if not any(measured.values()):
        yield Paragraph(
            f"{name}: coverage of the kept sets in a common space is not known; {COMMAND} with the folder of the "
            "trials works it out, and the next report shows it."
        )
        return
    rows: list[Row] = []
    for arm, some in measured.items():
        found = [near for curve, values in some if (near := _near(curve, values, fraction))]
        if found:
            rows.append(
                [arm, *(number(float(np.mean([f[m] for f in found]))) for m in MEASURES), str(len(found))]
            )
    fingerprint = curves[0].source[0][0].dataset.fingerprint
    yield Table(
        name=file_name("coverage", name),
        title=f"{name}: the kept sets in one space, the same for all, at the budget nearest to "
        f"{100 * fraction:.0f} % of the atoms",
        columns=["chosen with", *(_short(m) for m in MEASURES), "splits"],
        rows=rows,
        notes=f"Means over splits, in the space of {context.kept_sets.spaces.get(fingerprint, 'the ruler')}, in "
        "which sets chosen with it have the advantage. Coverage: part of the pool's environments that have a kept one "
        "within reach, the 99th percentile of distances between neighbours in different structures of the data set. "
        "Distance: mean distance of the pool's environments to the nearest kept one, in mean distances "
        "between neighbours. Entropy: exp of it counts the environments that differ.",
    )
    pictures = [_curves(measured, m, name, context) for m in ("distance", "entropy")]
    yield Pictures(pictures)


def maps(
    curves: Sequence[Curve],
    arms: Sequence[str],
    fraction: float,
    groups: Mapping[str, str],
    name: str,
    context: Context,
) -> Iterator[Part]:
    """The pool in two dimensions of each latent space, with what was kept."""
    pictures = []
    for arm in arms:
        mine = (c for c in curves if c.arm == arm and c.descriptor != NO_DESCRIPTOR)
        for curve in mine:
            plane = context.kept_sets.maps.get(map_key(curve.source[0][0]))
            found = at_target(curve, fraction) if plane is not None else None
            if plane is not None and found is not None:
                trial, i = curve.source[found[0]]
                pictures.append(_map(plane, trial.kept(i), groups, arm, name))
                break
    if pictures:
        yield Pictures(pictures)


def outside_in_md(curves: Sequence[Curve], arms: Sequence[str], name: str) -> Iterator[Part]:
    """How often MD left what was kept, in the same space; nothing where no MD was run."""
    rows: list[Row] = []
    for arm in arms:
        values = [p[MD_SPACE] for c in curves if c.arm == arm for p in c.points if MD_SPACE in p]
        if values:
            rows.append([arm, number(float(np.mean(values))), str(len(values))])
    if rows:
        yield Table(
            name=file_name("outside", name),
            title=f"{name}: part of the environments in MD that lie outside the kept ones, in the common space",
            columns=["chosen with", MD_SPACE.removeprefix("md/"), "runs"],
            rows=rows,
            notes="Means over all models, splits and budgets at which it was measured.",
        )


Measured = tuple[Curve, list[Mapping[str, float]]]


def _measured(curves: Sequence[Curve], context: Context) -> list[Measured]:
    """One curve a seed (what is kept does not depend on the model), with the measures of its points."""
    found: dict[tuple[int, int, int], Measured] = {}
    for curve in curves:
        by_trial = [context.kept_sets.measures.get(trial.folder) for trial, _ in curve.source]
        values: list[Mapping[str, float]] = [
            {m: one[m][i] for m in MEASURES}
            for one, (_, i) in zip(by_trial, curve.source, strict=True)
            if one and all(i < len(one.get(m, ())) for m in MEASURES)
        ]
        if curve.seeds not in found and len(values) == len(by_trial):
            found[curve.seeds] = (curve, values)
    return list(found.values())


def _near(curve: Curve, values: Sequence[Mapping[str, float]], fraction: float) -> Mapping[str, float] | None:
    found = at_target(curve, fraction)
    return None if found is None else values[found[0]]


def _short(measure: str) -> str:
    return f"{measure}, nats" if measure == "entropy" else measure


def _curves(measured: Mapping[str, list[Measured]], measure: str, name: str, context: Context) -> Picture:
    """A measure against the atoms kept; points of the same number within their curves are averaged."""
    figure, ax = panel(f"{name}: {measure}")
    for arm, some in measured.items():
        lengths = Counter(len(values) for _, values in some)
        if not lengths:
            continue
        usual = lengths.most_common(1)[0][0]
        alike = [(curve, values) for curve, values in some if len(values) == usual]
        atoms = np.mean([curve.atoms for curve, _ in alike], axis=0)
        means = np.mean([[one[measure] for one in values] for _, values in alike], axis=0)
        dashes = "--" if arm in BASELINES else "-"
        ax.plot(
            atoms,
            means,
            dashes,
            marker=".",
            color=colour(arm, context.colours()),
            label=in_figure(arm),
            lw=1.4,
        )
    log_axes(ax, "x")
    label(ax, "atoms kept", MEASURES[measure])
    legend(ax)
    caption = f"{name}: {MEASURES[measure]}, in the common space, against the atoms kept; means over splits."
    return Picture(file_name(measure, name), caption, figure)


def _map(plane: Map, kept: Sequence[str], groups: Mapping[str, str], arm: str, name: str) -> Picture:
    figure, ax = panel(f"{arm}, {name}")
    x, y = np.array(plane.x), np.array(plane.y)
    is_kept = np.isin(plane.ids, list(kept))
    kinds = sorted({groups.get(i, "") for i in plane.ids})
    for n, kind in enumerate(kinds):
        mine = np.array([groups.get(i, "") == kind for i in plane.ids])
        tint = OF_GROUPS[n % len(OF_GROUPS)]
        ax.plot(x[mine], y[mine], "o", ms=5, color=tint, alpha=0.55, mew=0, label=in_figure(kind) or "pool")
    ax.plot(x[is_kept], y[is_kept], "o", ms=8, mfc="none", mec=INK, mew=1.3, label="kept")
    label(ax, "first principal axis", "second principal axis")
    legend(ax)
    caption = (
        f"{name}: the pool of one split in the latent space of {arm}; {int(is_kept.sum())} of {len(plane.ids)} "
        f"structures kept (rings). The plane holds {100 * plane.variance:.0f} % of the variance."
    )
    return Picture(file_name("map", arm, name), caption, figure)
