"""The table and the picture of what is in a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tamis.core.names import in_figure
from tamis.data.overview import OfGroup, Overview, Range
from tamis.report.document import Picture, Row, Table, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 7
"""Groups with a colour of their own; the others share grey."""
LISTED = 30
"""Groups in the table."""
BINS = 60


def group_table(overview: Overview) -> Table:
    """A row for each group, and one for all."""
    groups = overview.groups()
    rows = [_row(group) for group in groups[:LISTED]]
    if len(groups) > 1:
        rows.append(_row(overview.whole()))
    energy = "energy less a sum over elements, eV/atom" if overview.by_element else "energy, eV/atom"
    columns = [
        *(
            "group",
            "structures",
            "atoms",
            "atoms each",
            energy,
            "volume, Å³/atom",
            "force rms, eV/Å",
            "longest force",
        ),
        *("stress, GPa", "without"),
    ]
    more = f"and {len(groups) - LISTED} more groups" if len(groups) > LISTED else ""
    return Table("groups", "", columns, rows, notes=more, breaks=(len(rows) - 1,) if len(groups) > 1 else ())


def _row(group: OfGroup) -> Row:
    missing = [
        f"{count} {what}"
        for what, count in (("forces", group.without_forces), ("stress", group.without_stress))
        if count
    ]
    return [
        group.name,
        f"{group.structures:,}",
        f"{group.atoms:,}",
        _ends(group.sizes, 6),
        _ends(group.energy, 4),
        _ends(group.volume, 3),
        number(group.force),
        number(group.largest_force),
        number(group.stress) if group.without_stress < group.structures else "",
        ", ".join(missing),
    ]


def _ends(ends: Range, digits: int) -> str:
    low, high = (number(end, digits) for end in ends)
    return low if low == high else f"{low} to {high}"


def picture(overview: Overview) -> Picture:
    """Energy per atom against the volume that an atom fills, and how forces are spread, by group."""
    from tamis.report.style import legend, panels  # takes long

    names = [group.name for group in overview.groups()]
    figure, ((left, right),) = panels([["energy and volume", "forces"]], (5.0, 3.7))
    _scatter(left, overview, names)
    _histogram(right, overview, names)
    legend(left, columns=4)
    return Picture(
        "overview", "Energy per atom against volume per atom, and lengths of forces, by group.", figure
    )


def _shown(overview: Overview, names: Sequence[str]) -> list[tuple[str, str, list[int]]]:
    """Label, colour and structures of each group; those without a colour of their own first, below the others."""
    from tamis.core.figures import GREY, PALETTE

    own = names if len(names) <= SHOWN else names[: SHOWN - 1]
    found = [(name, PALETTE[k], overview.members(name).tolist()) for k, name in enumerate(own)]
    rest = [i for name in names[len(own) :] for i in overview.members(name).tolist()]
    return [(f"{len(names) - len(own)} other groups", GREY, rest), *found] if rest else found


def _scatter(ax: Axes, overview: Overview, names: Sequence[str]) -> None:
    from tamis.report.style import label

    n = len(overview.energies)
    size, alpha = (16.0, 0.75) if n < 2000 else (5.0, 0.4)
    for name, tint, members in _shown(overview, names):
        x, y = overview.volumes[members], overview.energies[members]
        ax.scatter(x, y, s=size, alpha=alpha, color=tint, lw=0, rasterized=n > 5000)
        ax.scatter([], [], s=16.0, color=tint, lw=0, label=in_figure(name))  # a mark that the legend can show
    what = "energy less the best sum over its elements" if overview.by_element else "energy"
    label(ax, "volume that an atom fills (Å³)", f"{what} (eV/atom)")


def _histogram(ax: Axes, overview: Overview, names: Sequence[str]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    from tamis.report.style import INK, label

    lengths = np.concatenate([*overview.forces, np.empty(0)])
    positive = lengths[lengths > 0.0]
    if not len(positive):
        ax.text(0.5, 0.5, "no forces", transform=ax.transAxes, ha="center")
        return
    low = max(float(np.quantile(positive, 0.001)), float(positive.max()) * 1e-6)
    edges = np.geomspace(low, float(positive.max()) * 1.0001, BINS)
    for _, tint, members in _shown(overview, names):
        mine = np.concatenate([*(overview.forces[i] for i in members), np.empty(0)])
        ax.stairs(np.histogram(mine, edges)[0], edges, color=tint, lw=1.5)
    if still := int((lengths < low).sum()):
        ax.set_title(f"forces ({still:,} of {len(lengths):,} below {low:.1g} eV/Å)", fontsize=11, color=INK)
    ax.set(xscale="log", yscale="log")
    wide = edges[-1] > 300.0 * edges[0]
    for axis, subs in ((ax.xaxis, (1,) if wide else (1, 2, 5)), (ax.yaxis, (1,))):
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    ax.set_ylim(bottom=0.7)
    label(ax, "force on an atom (eV/Å)", "atoms")
