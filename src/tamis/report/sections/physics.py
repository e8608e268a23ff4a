"""Properties against the whole pool's and references, stability of MD, and what low errors say about either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tamis.analysis.arms import Curve, Ground
from tamis.analysis.whole_pool import less_whole_pool
from tamis.core.names import in_figure
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table
from tamis.report.sections.physics_matrix import STABLE, Measured, property_matrices, stability_matrices
from tamis.report.style import colour, label, legend, log_axes, panel
from tamis.report.words import number

FORCE = "test/force_mae_eV_per_A"
DYNAMICS = (
    STABLE,
    "md/failures",
    "md/nve_drift_meV_per_atom_per_ps",
    "md/diffusion_error_percent",
    "md/volume_error_percent",
    "md/outside_kept_common_space_fraction",
)


def section(context: Context) -> Section:
    """Of each data set, where anything of it was measured."""
    everything = context.study.curves
    if not _having(everything, "properties/") and not _having(everything, "md/"):
        nothing = "No trial measured properties or MD (evaluation=quick or full does)."
        return Section("Properties and stability", [Paragraph(nothing)])
    parts: list[Part] = []
    for ground in context.study.grounds:
        curves = context.study.at(ground)
        parts += _properties(ground, _having(curves, "properties/"))
        parts += _dynamics(ground, _having(curves, "md/"), context)
    return Section("Properties and stability", parts)


def _having(curves: Sequence[Curve], beginning: str) -> list[Measured]:
    return [(c, p) for c in curves for p in c.points if any(name.startswith(beginning) for name in p)]


def _properties(ground: Ground, measured: Sequence[Measured]) -> Iterator[Part]:
    """Differences to the potential of the whole pool first: pruning made these. Then errors against references."""
    if not measured:
        yield Paragraph(f"{ground.name}: properties were not measured.")
        return
    if pruned := less_whole_pool(measured):
        yield from _property_table(
            pruned,
            title=f"{ground.name}: properties less those of the potential trained on the whole pool",
            name=file_name("properties-less-whole-pool", ground.name),
            notes="Of the same model and split, medians over splits: what pruning changed, whatever the model is "
            "worth; empty: could not be measured of one of the two.",
        )
    else:
        yield Paragraph(
            f"{ground.name}: no potential of a smaller set has one of the whole pool beside it, of the same model and "
            "split, with properties (pruner=keep_all makes it)."
        )
    if not _errors_of(measured):
        yield Paragraph(f"{ground.name}: properties were measured, but no reference is known for them.")
        return
    yield from _property_table(
        measured,
        title=f"{ground.name}: errors of properties",
        name=file_name("properties", ground.name),
        notes="Medians over splits of value less reference; empty: could not be measured (see problems).",
    )
    if pictures := list(property_matrices(ground, measured)):
        yield Pictures(pictures)


def _errors_of(measured: Sequence[Measured]) -> list[str]:
    return sorted({n for _, p in measured for n in p if n.startswith("properties/") and "_error_" in n})


def _property_table(measured: Sequence[Measured], title: str, name: str, notes: str) -> Iterator[Part]:
    names = _errors_of(measured)
    shown = (_short(n) for n in names)
    yield Table(
        name=name,
        title=title,
        columns=["model", "chosen with", "pruner", "% of atoms", *shown, "mean size, %", "splits"],
        rows=list(_rows(measured, names, mean_of=[n for n in names if n.endswith("_percent")])),
        notes=notes,
    )


def _dynamics(ground: Ground, measured: Sequence[Measured], context: Context) -> Iterator[Part]:
    names = [name for name in DYNAMICS if any(name in p for _, p in measured)]
    if not names:
        yield Paragraph(f"{ground.name}: stability in MD was not measured.")
        return
    yield Table(
        name=file_name("dynamics", ground.name),
        title=f"{ground.name}: molecular dynamics",
        columns=[
            "model",
            "chosen with",
            "pruner",
            "% of atoms",
            *(n.removeprefix("md/") for n in names),
            "splits",
        ],
        rows=list(_rows(measured, names)),
        notes="Medians over splits. Thresholds of stability come from the full pool, never from what was "
        "kept.",
    )
    yield Pictures([*stability_matrices(ground, measured), *_trade_off(ground, measured, context)])


def _rows(measured: Sequence[Measured], names: Sequence[str], mean_of: Sequence[str] = ()) -> Iterator[Row]:
    """A row for each model, arm, pruner and budget (to the percent of the pool's atoms)."""
    groups: dict[tuple[str, str, str, int], list[Measured]] = {}
    for curve, point in measured:
        kept = round(100 * point["kept/fraction_of_atoms"])
        groups.setdefault((curve.model, curve.arm, curve.pruner, kept), []).append((curve, point))
    for (model, arm, pruner, kept), mine in sorted(groups.items()):
        values = [[p[n] for _, p in mine if n in p] for n in names]
        cells: list[Cell | str] = [number(float(np.median(v)) if v else np.nan) for v in values]
        if mean_of:
            sizes = [abs(p[n]) for _, p in mine for n in mean_of if n in p]
            cells.append(number(float(np.mean(sizes)) if sizes else np.nan))
        yield [model, Cell(arm, mark=mine[0][0].own), pruner, str(kept), *cells, str(len(mine))]


def _short(name: str) -> str:
    return name.removeprefix("properties/").replace("_error_percent", ", %").replace("_error_", ", ")


def _trade_off(ground: Ground, measured: Sequence[Measured], context: Context) -> Iterator[Picture]:
    for model in sorted({curve.model for curve, _ in measured}):
        mine = [(c, p) for c, p in measured if c.model == model and STABLE in p and FORCE in p]
        if not mine:
            continue
        figure, ax = panel(f"{model}, {ground.name}")
        for arm in sorted({c.arm for c, _ in mine}):
            some = [(p[FORCE], p[STABLE]) for c, p in mine if c.arm == arm]
            tint = colour(arm, context.colours())
            ax.plot(*np.transpose(some), "o", ms=5, alpha=0.8, color=tint, label=in_figure(arm))
        log_axes(ax, "x")
        ax.set_ylim(-0.03, 1.03)
        label(ax, "test force MAE (eV/Å)", "survived part of the MD steps")
        legend(ax)
        yield Picture(
            file_name("trade-off", model, ground.name),
            f"{model} on {ground.name}: stability in MD against test force error, a point a trial.",
            figure,
        )
