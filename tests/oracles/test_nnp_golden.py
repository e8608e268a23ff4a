"""Our reading of n2p2's files and our networks against n2p2's own energies and forces, and against published errors."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.oracles.test_acsf import BOHR, GOLDEN, read_frames

from tamis.data.sources.mlearn import Mlearn
from tamis.evaluation.errors import Residuals, error_metrics
from tamis.models.nnp.potential import read_n2p2

HARTREE = 27.211386245988
CASES = ["si", "si_norm", "sige"]
if (GOLDEN / "variants").is_dir():
    CASES += sorted(f"variants/{folder.name}" for folder in (GOLDEN / "variants").iterdir())


def table(path: Path) -> np.ndarray:
    """The numbers of an output file; its columns are named in the last comment lines."""
    lines = path.read_text().splitlines()
    return np.array([[float(x) for x in line.split()] for line in lines if line and line[0] != "#"])


@pytest.mark.parametrize("case", CASES)
def test_energies_and_forces_equal_those_of_n2p2(case, tmp_path):
    folder = GOLDEN / case
    if not folder.is_dir():
        pytest.skip(f"no golden data in {folder}")
    length, energy = (BOHR, HARTREE) if case in ("si", "si_norm") else (1.0, 1.0)
    potential = read_n2p2(folder, length, energy)
    potential.write(tmp_path)
    energies, forces = table(folder / "energy.out")[:, 3], table(folder / "nnforces.out")
    again = read_n2p2(tmp_path).calculator()
    calculator = potential.calculator()
    for number, atoms in enumerate(read_frames(folder / "input.data", length)):
        of_frame = forces[forces[:, 0] == number + 1][:, 5:8]
        scale = max(1.0, np.abs(of_frame).max())
        for one in (calculator, again):
            assert one.get_property("energy", atoms) / energy == pytest.approx(energies[number], rel=1e-10)
            ours = one.get_property("forces", atoms) * length / energy
            np.testing.assert_allclose(ours, of_frame, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("element", ["Si", "Mo"])
def test_published_potentials_give_the_published_errors(shared, element):
    source = Mlearn(
        elements=(element,), atom_spacing=2.7, element=element, root=str(shared / "mlearn"), base_url=""
    )
    dataset = source.load()
    test = dataset.subset(np.flatnonzero(dataset.is_test))
    potential = read_n2p2(shared / "golden" / "published" / element / "nnp", BOHR, HARTREE)
    metrics = error_metrics(Residuals.of(potential.predict(test, None), test), test, "test", False)
    reference = yaml.safe_load((shared / "reference" / "zuo2020.yaml").read_text())
    for kind in ("mae", "rmse"):
        energy, force = reference[f"test_{kind}"][element]["NNP"]
        assert metrics[f"test/energy_{kind}_meV_per_atom"] == pytest.approx(energy, abs=0.006)
        assert metrics[f"test/force_{kind}_eV_per_A"] == pytest.approx(force, abs=0.0007)
