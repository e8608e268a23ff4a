"""What n2p2 and chimes_lsq are told: files in meaning equal to those that the real programs were given."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_numbers
from tests.training import built, fit, program, rattled_silicon, stand_ins

from tamis.bases.acsf.table import SymmetryFunction
from tamis.bases.chimes.basis import ChimesBasis
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.models.judging import Judges
from tamis.models.nnp.files import function_line
from tamis.models.trainers import chimes_lsq, n2p2

KCAL_PER_MOL = 23.060547830619026
"""In one eV (golden/chimes/NOTES.md, section 7), as the other numbers of the parsers below."""
KCAL_PER_MOL_PER_A = 627.50960803 * 1.889725989
"""In one Hartree/Bohr."""
GPA = 6.9476955
"""In one kcal/mol/Å³."""

SHORT = ("model.basis.order_2b=3", "model.basis.order_3b=0", "model.basis.order_4b=0")


def dataset(structures, energies, forces, stresses) -> Dataset:
    n = len(structures)
    return Dataset(
        structures=tuple(structures),
        energies=np.array(energies),
        forces=tuple(forces),
        stresses=np.array(stresses),
        groups=tuple("AB"[i % 2] for i in range(n)),
        blocks=("one",) * n,
        ids=tuple(f"frame {i}" for i in range(n)),
        is_test=np.zeros(n, dtype=bool),
    )


# ---- chimes_lsq


def read_xyzf(path: Path) -> Dataset:
    """Frames of a .xyzf file in eV and Å."""
    lines = iter(path.read_text().splitlines())
    structures, energies, forces, stresses = [], [], [], []
    for line in lines:
        kind, *words = next(lines).split()
        header = np.array(words, dtype=float)
        assert kind == "NON_ORTHO" and len(header) == 16
        rows = [next(lines).split() for _ in range(int(line))]
        numbers = np.array([row[1:] for row in rows], dtype=float)
        structures.append(
            Atoms([row[0] for row in rows], numbers[:, :3], cell=header[:9].reshape(3, 3), pbc=True)
        )
        xx, yy, zz, xy, xz, yz = header[9:15]
        stresses.append(-np.array([xx, yy, zz, yz, xz, xy]) / GPA / KCAL_PER_MOL)
        energies.append(header[15] / KCAL_PER_MOL)
        forces.append(numbers[:, 3:] * KCAL_PER_MOL_PER_A / KCAL_PER_MOL)
    return dataset(structures, energies, forces, stresses)


def unordered(pair: str) -> str:
    """SiGe as GeSi: the name of a pair of two-letter elements in alphabetical order."""
    return "".join(sorted((pair[:2], pair[2:])))


def read_setup(path: Path) -> dict[str, object]:
    """Meaning of a fm_setup.in: values by key, tables and special cutoffs as numbers, pairs as sets."""
    lines = [line.split() for line in path.read_text().splitlines() if line.split()]
    found: dict[str, object] = {}
    types, pairs, special = {}, {}, {}
    for i, words in enumerate(lines):
        if words[0] == "#" and len(words) == 3:
            found[words[1]] = lines[i + 1] if lines[i + 1 :] else []
        elif words[0].isdigit() and len(words) == 4:
            types[words[1]] = [float(x) for x in words[2:]]
        elif words[0].isdigit() and len(words) == 11:
            pairs[frozenset(words[1:3])] = [float(words[j]) for j in (3, 4, 6)]
        elif words[0] == "SPECIAL" and words[3] == "SPECIFIC":
            for row in lines[i + 1 : i + 1 + int(words[4])]:
                n = (len(row) - 1) // 2
                slots = sorted(zip(map(unordered, row[1 : n + 1]), map(float, row[n + 1 :]), strict=True))
                assert len(row[0]) == 4 * n  # two letters an atom
                special[words[1], words[2], tuple(name for name, _ in slots)] = [x for _, x in slots]
    found.pop("ENDFILE")
    return {"keys": found, "types": types, "pairs": pairs, "special": special}


@pytest.fixture(scope="module")
def sige(shared) -> tuple[Path, ChimesBasis]:
    """The golden two-element fit, and its functions as a basis of ours."""
    special = [
        {"atoms": ["Ge", "Ge"], "s_min": [2.0], "s_max": [5.0], "morse_lambda": 2.45},
        {"atoms": ["Si", "Si"], "s_max": [4.8], "morse_lambda": 2.35},
        {"atoms": ["Ge", "Si"], "s_max": [4.9], "morse_lambda": 2.4},
        {"atoms": ["Ge", "Ge", "Ge"], "s_max": [4.3, 4.3, 4.3]},
        {"atoms": ["Ge", "Si", "Si"], "s_min": [1.85, 1.85, 1.95], "s_max": [4.2, 4.2, 4.4]},
    ]
    basis = ChimesBasis(
        elements=("Si", "Ge"), r_cut=5.0, r_cut_3b=5.0, r_cut_4b=5.0, s_min=1.9, morse_lambda=2.4, order_2b=6,
        order_3b=3, order_4b=0, cutoff="cubic", cutoff_fraction=0.5, special=special,
    )  # fmt: skip
    return shared / "golden" / "chimes" / "sige_2b3b", basis


def test_the_setup_of_chimes_lsq_means_what_the_golden_one_means(sige, tmp_path):
    folder, basis = sige
    (tmp_path / "fm_setup.in").write_text(chimes_lsq.setup_text(basis, 6))
    ours, golden = read_setup(tmp_path / "fm_setup.in"), read_setup(folder / "fm_setup.in")
    golden["keys"]["TRJFILE"] = [chimes_lsq.STRUCTURES]
    assert ours["keys"] == golden["keys"]
    assert ours["pairs"] == golden["pairs"]
    assert ours["types"]["Si"] == pytest.approx(golden["types"]["Si"], rel=1e-4)
    assert ours["types"]["Ge"] == pytest.approx(golden["types"]["Ge"], rel=1e-4)
    assert len(golden["special"]) == 3
    for cluster, limits in golden["special"].items():
        assert ours["special"][cluster] == limits
    assert chimes_lsq.setup_text(basis, 6).endswith("# ENDFILE #\n")


@pytest.mark.parametrize("case", ["sige_2b3b", "si_2b3b", "si_smallcell"])
def test_structures_for_chimes_lsq_are_the_golden_ones_repeated_where_small(shared, case, tmp_path):
    golden = read_xyzf(shared / "golden" / "chimes" / case / "train.xyzf")
    chimes_lsq.write_structures(tmp_path / "x.xyzf", golden, 5.0)
    written = read_xyzf(tmp_path / "x.xyzf")
    for i, (atoms, repeated) in enumerate(zip(golden.structures, written.structures, strict=True)):
        copies = len(repeated) // len(atoms)
        spacings = 1 / np.linalg.norm(repeated.cell.reciprocal().array, axis=1)
        assert spacings.min() > 5.3
        assert copies == np.prod([round(x) for x in repeated.cell.lengths() / atoms.cell.lengths()])
        assert written.energies[i] == pytest.approx(copies * golden.energies[i], rel=1e-12)
        np.testing.assert_allclose(written.forces[i], np.tile(golden.forces[i], (copies, 1)), atol=1e-12)
        np.testing.assert_allclose(written.stresses[i], golden.stresses[i], atol=1e-10)
        np.testing.assert_allclose(repeated.positions[: len(atoms)], atoms.positions, atol=1e-11)
    if case == "si_smallcell":
        assert max(len(b) / len(a) for a, b in zip(golden.structures, written.structures, strict=True)) > 1


def test_rows_are_weighted_in_the_order_of_the_real_target_and_give_the_loss(shared):
    """b.txt of the golden fit, weighted by ours, has the square of the loss on it."""
    folder = shared / "golden" / "chimes" / "si_2b3b"
    kept = read_xyzf(folder / "train.xyzf")
    target = np.loadtxt(folder / "b.txt")
    weights = chimes_lsq.row_weights(kept, 7.0, 3.0, 2.0)
    assert len(weights) == len(target)
    energies = kept.energies / kept.n_atoms
    strain = kept.stresses * kept.volumes[:, None] / kept.n_atoms[:, None]
    loss = 49.0 * np.mean(energies**2) + np.mean(np.concatenate(kept.forces) ** 2) + 9.0 * np.mean(strain**2)
    assert np.sum((weights * target) ** 2) == pytest.approx(loss, rel=1e-6)


def test_repeating_a_structure_does_not_change_what_it_weighs(tmp_path):
    kept = rattled_silicon().subset([0, 1])
    large = chimes_lsq.row_weights(kept, 7.0, 3.0, 8.0)
    small = chimes_lsq.row_weights(kept, 7.0, 3.0, 2.0)
    assert len(large) > len(small)
    for cutoff in (2.0, 8.0):
        chimes_lsq.write_structures(tmp_path / "x.xyzf", kept, cutoff)
        written = read_xyzf(tmp_path / "x.xyzf")
        weights = iter(chimes_lsq.row_weights(kept, 7.0, 3.0, cutoff))
        total = 0.0
        for i in range(len(written)):
            rows = [
                *written.forces[i].ravel(),
                *written.stresses[i][list(chimes_lsq.STRESS_ROWS)],
                *[written.energies[i]] * 3,
            ]
            total += sum((next(weights) * row * KCAL_PER_MOL) ** 2 for row in rows)
        strain = kept.stresses * kept.volumes[:, None] / kept.n_atoms[:, None]
        loss = 49 * np.mean((kept.energies / kept.n_atoms) ** 2) + 9 * np.mean(strain**2)
        assert total == pytest.approx(loss + np.mean(np.concatenate(kept.forces) ** 2), rel=1e-9)


def test_a_stress_without_a_label_weighs_nothing():
    kept = rattled_silicon().subset([0, 6])
    rows = chimes_lsq.row_weights(kept, 1.0, 1.0, 3.0)
    n_last = 3 * len(kept.structures[1])
    assert (rows[-12:-3] == 0.0).all() and (rows[-12 - n_last : -12] > 0.0).all()


def fake_chimes(tmp_path: Path, matrix: str, solve: str) -> list[str]:
    return [
        f"model.matrix_program={program(tmp_path, matrix, 'chimes_lsq')}",
        f"model.solve_program={program(tmp_path, solve, 'chimes_lsq.py')}",
    ]


MATRIX = (
    "[pathlib.Path(n).write_text('1.0 2.0') for n in ('A.txt', 'b.txt', 'params.header', 'ff_groups.map')]"
)


def test_chimes_lsq_that_stops_with_status_0_has_failed(tmp_path):
    model = built("upstream_chimes_lsq", *SHORT, *fake_chimes(tmp_path, "print('bad binning')", ""))
    with pytest.raises(TamisError, match=r"status 0 without writing A\.txt(?s:.*)bad binning"):
        fit(model, rattled_silicon(), tmp_path)


def test_a_parameter_file_that_is_cut_off_has_failed(tmp_path):
    model = built("upstream_chimes_lsq", *SHORT, *fake_chimes(tmp_path, MATRIX, "print('ATOM TYPES: 1')"))
    with pytest.raises(TamisError, match=r"ended before its params\.txt did(?s:.*)ATOM TYPES"):
        fit(model, rattled_silicon(), tmp_path)


def test_a_solver_that_fails_says_why(tmp_path):
    fails = "print('! Date'); sys.stderr.write('SVD algorithm failed'); sys.exit(1)"
    model = built("upstream_chimes_lsq", *SHORT, *fake_chimes(tmp_path, MATRIX, fails))
    with pytest.raises(TamisError, match="SVD algorithm failed"):
        fit(model, rattled_silicon(), tmp_path)


def test_svd_of_too_many_rows_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(chimes_lsq, "ROWS_FOR_SVD", 100)
    model = built(
        "upstream_chimes_lsq", *stand_ins("upstream_chimes_lsq", tmp_path), *SHORT, "model.solver=svd"
    )
    with pytest.raises(TamisError, match="fast_svd"):
        fit(model, rattled_silicon(), tmp_path)


def test_solvers_that_ignore_weights_get_weighted_rows(tmp_path):
    (tmp_path / "A.txt").write_text("1.0 2.0\n3.0 -4.0\n")
    chimes_lsq.multiply_rows(tmp_path / "A.txt", np.array([10.0, 0.5]))
    np.testing.assert_allclose(np.loadtxt(tmp_path / "A.txt"), [[10.0, 20.0], [1.5, -2.0]])


# ---- n2p2


def read_settings(path: Path) -> tuple[dict[str, list[str]], list[SymmetryFunction]]:
    """Keywords of an input.nn, and its symmetry functions."""
    keywords, functions = {}, []
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if words and words[0] == "symfunction_short":
            central, kind, *rest = words[1:]
            n = 1 if kind == "2" else 2
            others, numbers = tuple(rest[:n]), [float(x) for x in rest[n:]]
            if n == 1:
                functions.append(SymmetryFunction(central, 2, others, *numbers))
            else:
                eta, lambda_, zeta, r_cut, *r_s = numbers
                functions.append(
                    SymmetryFunction(central, int(kind), others, eta, sum(r_s), r_cut, lambda_, zeta)
                )
        elif words:
            keywords.setdefault(words[0], words[1:])
    return keywords, functions


def read_data(path: Path) -> tuple[Dataset, list[str]]:
    """Frames of an input.data, and the sets that they are in."""
    structures, energies, forces, sets = [], [], [], []
    for frame in path.read_text().split("begin")[1:]:
        lines = [line.split() for line in frame.splitlines()]
        sets.append(lines[0][0] if lines[0] else "")
        rows = [words[1:] for words in lines if words and words[0] == "atom"]
        cell = [words[1:] for words in lines if words and words[0] == "lattice"]
        structures.append(
            Atoms(
                [row[3] for row in rows],
                np.array([row[:3] for row in rows], dtype=float),
                cell=np.array(cell, dtype=float) if cell else None,
                pbc=bool(cell),
            )
        )
        forces.append(np.array([row[6:9] for row in rows], dtype=float))
        [energy] = [float(words[1]) for words in lines if words and words[0] == "energy"]
        energies.append(energy)
    return dataset(structures, energies, forces, np.full((len(sets), 6), np.nan)), sets


@pytest.mark.parametrize("case", ["sige", "si"])
def test_symmetry_functions_are_written_as_the_golden_ones_read(shared, case, tmp_path):
    """Also shifted angular ones, zeta that are not whole, and several cutoffs."""
    _, golden = read_settings(shared / "golden" / "n2p2" / case / "input.nn")
    (tmp_path / "input.nn").write_text("\n".join(map(function_line, golden)))
    assert read_settings(tmp_path / "input.nn")[1] == golden


def test_settings_are_the_golden_ones_where_they_are_told_the_same(shared, tmp_path):
    """si_norm was trained with the settings that upstream_n2p2.yaml has."""
    golden, _ = read_settings(shared / "golden" / "n2p2" / "si_norm" / "input.nn")
    model = built("upstream_n2p2", *stand_ins("upstream_n2p2", tmp_path))
    text = model.settings(model.basis.table.functions, {"Si": -4.0}, 123456)
    (tmp_path / "input.nn").write_text(text)
    ours, functions = read_settings(tmp_path / "input.nn")
    assert functions == list(model.basis.table.functions)
    assert ours["atom_energy"] == ["Si", "-4.0"]
    logs = {"write_trainpoints", "write_trainforces", "write_neuronstats"}
    made_by_training = {"mean_energy", "conv_energy", "conv_length"}
    assert set(golden) - set(ours) == logs | made_by_training
    assert set(ours) - set(golden) == {"atom_energy"}

    def meaning(words: list[str]) -> list[object]:
        return [float(w) if w[0].isdigit() or w[0] == "-" else w for w in words]

    for key in set(ours) & set(golden) - {"cutoff_type"}:
        assert meaning(ours[key]) == meaning(golden[key]), key
    assert meaning(ours["cutoff_type"]) == [1.0, 0.0]  # alpha 0 is what n2p2 takes where it is not given


def test_elements_go_by_atomic_number_and_each_has_its_energy(tmp_path):
    model = built("upstream_n2p2", *stand_ins("upstream_n2p2", tmp_path), "dataset.elements=[Ge,Si]")
    text = model.settings(model.basis.table.functions, {"Ge": -5.0, "Si": -4.0}, 1)
    assert "\nelements Si Ge\n" in text and "atom_energy Ge -5.0" in text and "atom_energy Si -4.0" in text


def test_structures_for_n2p2_are_the_golden_ones(shared, tmp_path):
    golden, _ = read_data(shared / "golden" / "n2p2" / "sige" / "input.data")
    held_out = np.arange(len(golden)) % 3 == 0
    n2p2.write_structures(tmp_path / "input.data", golden, held_out, 6.0)
    written, sets = read_data(tmp_path / "input.data")
    assert sets == ["set=test" if out else "set=train" for out in held_out]
    assert any(not atoms.pbc.any() for atoms in golden.structures)
    assert written.fingerprint == golden.fingerprint


def test_functions_that_are_constant_in_the_kept_structures_are_left_out(tmp_path):
    rattled = rattled_silicon().subset([0])
    model = built("upstream_n2p2", *stand_ins("upstream_n2p2", tmp_path))
    crystal = Atoms("Si2", [[0, 0, 0], [1.3575, 1.3575, 1.3575]], cell=5.43 / 2 * (1 - np.eye(3)), pbc=True)
    same = dataset([crystal], [-8.0], [np.zeros((2, 3))], [np.zeros(6)])
    with pytest.raises(TamisError, match="every symmetry function of Si is the same"):
        model.varying_functions(same)
    far = Atoms("Si2", [[0, 0, 0], [2.5, 0, 0]]), Atoms("Si2", [[0, 0, 0], [2.6, 0, 0]])
    dimers = dataset(far, [-8.0, -8.0], [np.zeros((2, 3))] * 2, [np.full(6, np.nan)] * 2)
    assert {f.kind for f in model.varying_functions(dimers)} == {2}  # a dimer has no angle
    assert len(model.varying_functions(rattled)) > len(model.varying_functions(dimers))


# ---- which epoch of n2p2


def curve(folder: Path, rows: dict[int, tuple[float, float, float, float]], names: list[str]) -> Path:
    """A learning-curve.out as nnp-train writes it, with its columns in another order than ours."""
    head = "##########\n# Learning curves\n# Col  Name  Description\n##########\n# " + " ".join(names) + "\n"
    values = {"epoch": 0}
    lines = []
    for epoch, errors in rows.items():
        values = dict(
            zip(
                ("RMSEpa_Etrain_pu", "RMSEpa_Etest_pu", "RMSE_Ftrain_pu", "RMSE_Ftest_pu"),
                errors,
                strict=True,
            )
        )
        lines.append(" ".join(str({"epoch": epoch, "other": 7.0, **values}[name]) for name in names))
        for z in ("014", "032"):
            (folder / f"weights.{z}.{epoch:06d}.out").write_text("1.0")
    path = folder / "learning-curve.out"
    path.write_text(head + "\n".join(lines) + "\n")
    return path


NAMES = ["epoch", "RMSE_Ftest_pu", "RMSEpa_Etrain_pu", "RMSEpa_Etest_pu", "other", "RMSE_Ftrain_pu"]
ERRORS = {
    0: (0.9, 0.9, 0.9, 0.9),
    1: (0.02, 0.02, 0.2, 0.20),
    2: (0.01, 0.01, 0.1, 0.21),  # best product on held-out frames
    3: (0.001, 0.03, 0.01, 0.15),  # best on training frames
}


def judges(n: int, kinds=(True, True, False)) -> Judges:
    """Of ``n`` structures, the first of them held out; of one, none."""
    folds = np.minimum(np.arange(n), 1) if n > 1 else np.full(1, -1)
    return Judges(folds, np.array([1, 1, 0]), np.array(kinds), 1e-6, ())


def test_the_epoch_is_chosen_on_held_out_frames(tmp_path):
    table = n2p2.read_curve(curve(tmp_path, ERRORS, NAMES))
    assert table == ERRORS
    assert n2p2.best_epoch(table, tmp_path, ["weights.014"], judges(9)) == 2
    assert n2p2.best_epoch(table, tmp_path, ["weights.014"], judges(1)) == 3  # nothing was held out


def test_forces_that_are_zero_choose_no_epoch(tmp_path):
    """Held-out frames without forces: the errors of these are rounding, least in the worst epoch."""
    rounding = {1: 1e-16, 2: 1e-8, 3: 1e-7}
    table = {
        epoch: (e_train, e_test, f_train, rounding.get(epoch, 1e-8))
        for epoch, (e_train, e_test, f_train, _) in n2p2.read_curve(curve(tmp_path, ERRORS, NAMES)).items()
    }
    no_forces = judges(9, (True, False, False))
    assert n2p2.best_epoch(table, tmp_path, ["weights.014"], no_forces) == 2


def test_epochs_without_weights_of_every_element_or_with_nan_are_no_choice(tmp_path):
    table = n2p2.read_curve(curve(tmp_path, ERRORS, NAMES))
    (tmp_path / "weights.032.000002.out").unlink()
    assert n2p2.best_epoch(table, tmp_path, ["weights.014"], judges(9)) == 2
    assert n2p2.best_epoch(table, tmp_path, ["weights.014", "weights.032"], judges(9)) == 1
    table[1] = (np.nan, np.nan, np.nan, np.nan)
    assert n2p2.best_epoch(table, tmp_path, ["weights.014", "weights.032"], judges(9)) == 3
    with pytest.raises(TamisError, match="diverged"):
        n2p2.best_epoch({1: (np.nan,) * 4}, tmp_path, ["weights.014"], judges(9))


def test_a_table_without_the_columns_is_a_reason(tmp_path):
    with pytest.raises(TamisError, match="RMSE_Ftest_pu"):
        n2p2.read_curve(curve(tmp_path, ERRORS, NAMES[:2]))


def test_held_out_frames_are_some_of_each_group_and_none_of_one_structure(rattled):
    rng = np.random.default_rng(0)
    groups = np.array(rattled.groups)
    held_out = n2p2.choose_validation(rattled, 0.2, rng).folds == 0
    assert {sum(held_out[groups == group]) for group in set(groups)} <= {2, 3}
    assert (n2p2.choose_validation(rattled.subset([0, 1]), 0.1, rng).folds == 0).sum() == 1
    assert (n2p2.choose_validation(rattled.subset([0, 0, 0]), 0.1, rng).folds == 0).sum() == 0


def test_the_trainer_of_n2p2_takes_the_weights_of_the_best_epoch(tmp_path):
    """Stand-ins that write what nnp-scaling and nnp-train would; the potential is that of epoch 2."""
    names, rows = NAMES, ERRORS
    scale = """
    lines = [line.split() for line in open('input.nn')]
    n = sum(words[0] == 'symfunction_short' for words in lines if words)
    pathlib.Path('scaling.data').write_text(''.join(f'1 {i + 1} 0.0 1.0 0.5 0.25\\n' for i in range(n)))
    """
    train = f"""
    names, rows = {names!r}, {rows!r}
    lines = [line.split() for line in open('input.nn')]
    n = sum(words[0] == 'symfunction_short' for words in lines if words)
    with open('learning-curve.out', 'w') as file:
        file.write('# ' + ' '.join(names) + '\\n')
        for epoch, errors in rows.items():
            keys = ('RMSEpa_Etrain_pu', 'RMSEpa_Etest_pu', 'RMSE_Ftrain_pu', 'RMSE_Ftest_pu')
            row = dict(zip(keys, errors), epoch=epoch, other=0.0)
            file.write(' '.join(str(row[name]) for name in names) + '\\n')
            n_weights = 2 * n + 2 + 2 + 1  # one hidden layer of 2 nodes
            weights = [0.0] * (n_weights - 1) + [float(epoch)]
            pathlib.Path(f'weights.014.{{epoch:06d}}.out').write_text('\\n'.join(map(str, weights)))
    """
    model = built(
        "upstream_n2p2",
        f"model.scaling_program={program(tmp_path, scale, 'nnp-scaling')}",
        f"model.train_program={program(tmp_path, train, 'nnp-train')}",
        "model.hidden_nodes=[2]",
        "model.reference_energies={Si: -4.0}",
    )
    kept = rattled_silicon()
    potential = fit(model, kept, tmp_path)
    assert potential.diagnostics["epoch"] == 2
    assert potential.diagnostics["n_held_out"] >= 1
    energy = potential.calculator().get_property("energy", kept.structures[0])
    assert energy == pytest.approx(len(kept.structures[0]) * (2.0 - 4.0))  # the last bias is the epoch
    assert {path.name for path in potential.write(tmp_path / "out")} >= {
        "input.nn",
        "scaling.data",
        f"weights.{atomic_numbers['Si']:03d}.data",
        "learning-curve.out",
    }


@pytest.mark.parametrize("family", ["snap", "ace", "gap", "nnp", "chimes"])
def test_in_potential_says_which_type_is_which_element(tmp_path, family):
    """Whatever lines the family has; they name the elements in the same order."""
    from tamis.core.elements import types_of_elements
    from tamis.models.files import write_potential

    class Lines:
        def write(self, folder):
            return []

        def lammps(self, folder):
            return None if family == "chimes" else (f"pair_style {family}", "pair_coeff * * file Au Cu")

    write_potential(Lines(), ("Au", "Cu"), tmp_path / "potential")
    lines = (tmp_path / "potential" / "in.potential").read_text().splitlines()
    assert lines[1] == "# LAMMPS atom types: 1 = Au, 2 = Cu" == f"# {types_of_elements(['Au', 'Cu'])}"
    assert len(lines) == (2 if family == "chimes" else 4)
