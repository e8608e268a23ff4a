"""The look of figures: ticks that have room, no strips of panels, tips under the pointer, curves in their picture."""

import re
import struct
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests import report_folders

from tamis.analysis.matrix import METRIC
from tamis.core.figures import NEAREST, LogTicks
from tamis.core.metrics import ENERGY_MAE, ENERGY_PER_ATOM, TEST, error
from tamis.evaluation.properties.lattice import Lattice
from tamis.report.curves import MOST_COLUMNS, SIZE, draw_curves
from tamis.report.document import Picture


@pytest.mark.parametrize("low", [3e-5, 0.0437, 0.9, 1.0, 206.0, 12345.0])
@pytest.mark.parametrize("factor", [1.003, 1.05, 1.4, 2.0, 3.2, 10.0, 47.0, 1e3, 1e7])
def test_logarithmic_ticks_are_within_and_have_room(low, factor):
    ticks = LogTicks().tick_values(low, low * factor)
    assert len(ticks) >= 2 and ticks[0] >= low * (1 - 1e-6) and ticks[-1] <= low * factor * (1 + 1e-6)
    places = np.log(ticks) / np.log(factor)
    assert min(b - a for a, b in pairwise(places)) >= NEAREST * (1 - 1e-9)


def test_five_models_are_no_strip(tmp_path):
    metrics = {METRIC: 0.1, error(TEST, ENERGY_MAE): 2.0, "kept/atoms": 40.0}
    models = ("snap", "ace", "chimes", "gap", "nnp")
    draw_curves([report_folders.point(m, "ace", 0, metrics) for m in models], tmp_path / "errors.png")
    width, height = struct.unpack(">II", (tmp_path / "errors.png").read_bytes()[16:24])
    assert width <= MOST_COLUMNS * SIZE[0] * 150 + 1 and height > 0.7 * width


def test_each_mark_has_its_own_tip():
    figure = Figure()
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], "o", gid="tips-b")
    ax.plot([0, 0.5, 1], [1, 0.5, 0], "s", gid="tips-a")
    svg = Picture("p", "c", figure, {"tips-a": ["one", "two <", "three"], "tips-b": ["four", "five"]}).svg
    found = re.findall(r'<use [^>]*x="([\d.]+)"[^>]*><title>([^<]*)</title></use>', svg)
    assert [text for _, text in found] == ["four", "five", "one", "two &lt;", "three"]
    x = [float(place) for place, _ in found]
    assert x[0] == x[2] < x[3] < x[4] == x[1], "tips belong to other marks"


def test_a_bottomless_curve_shows_the_crystal():
    lattice = Lattice(low=0.5, high=1.5, n_points=11)
    energies = [-3e4, -3e2, 5.0, 0.0, -3.0, -4.0, -3.5, -3.0, -2.0, -1.0, 0.0]
    ax = Figure().subplots()
    lattice.draw(
        ax,
        {"nearest_distance_A": np.linspace(1.2, 3.6, 11).tolist(), ENERGY_PER_ATOM: energies},
        {},
        "potential",
    )
    low, high = ax.get_ylim()
    assert low < -4.0 and high > 5.0 and high - low < 20.0
