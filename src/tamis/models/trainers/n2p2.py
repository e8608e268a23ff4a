"""n2p2, the trainer of Behler-Parrinello networks: Singraber et al., J. Chem. Theory Comput. 15, 3075 (2019).

Its input.nn and input.data are written in eV and Å: n2p2 has no units of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tamis.bases.acsf.basis import AcsfBasis
from tamis.bases.acsf.table import SymmetryFunction
from tamis.core.errors import TamisError
from tamis.core.fields import Between, OneOf, Whole
from tamis.data.dataset import Dataset
from tamis.models.judging import Judges, judges_by_folds
from tamis.models.nnp.files import SCALING, SETTINGS, hdnnp_lines, settings_text, weight_file
from tamis.models.nnp.network import ACTIVATIONS
from tamis.models.nnp.potential import read_n2p2
from tamis.models.nnp.scaling import KEYWORDS
from tamis.models.trainers.base import (
    FilePotential,
    Trainer,
    draw_seed,
    periodic_or_free,
    reference_energies,
    refuse_missing_forces,
    refuse_weights,
)
from tamis.models.trainers.programs import Program, Workshop

Array = NDArray[np.float64]

N2P2 = Program("upstream_n2p2", "build nnp-scaling and nnp-train of CompPhysVienna/n2p2, tag v2.3.0")
STRUCTURES, CURVE = "input.data", "learning-curve.out"
HISTOGRAM_BINS = "100"
"""Argument of nnp-scaling, whose histograms are not used."""
CONSTANT = 1e-9
"""A symmetry function whose values spread less than this part of its largest is constant: n2p2 would divide by zero."""


@dataclass(frozen=True)
class N2p2(Trainer):
    """A Behler-Parrinello network of n2p2, trained on energies and forces by its Kalman filter.

    The epoch is chosen on a part of the kept structures that n2p2 does not train on. Symmetry functions that are
    constant in the kept structures are left out, since n2p2 cannot scale them.

    basis: the symmetry functions, of atoms of every element.
    hidden_nodes: nodes of each hidden layer. activation: their letter in n2p2 (t tanh, p softplus, s logistic ...).
    scaling: of the inputs: none, minmax, center, minmax_center or sigma.
    normalisation: none, ref or force (n2p2's normalize_data_set): of energies and forces before the training.
    epochs: passes over the energies. energy_fraction: part of the energies that is used for updates in an epoch.
    forces_per_energy: updates by a force component for each by an energy. force_weight: of their errors.
    rmse_threshold_trials: candidates that are drawn for an update until one's error is large enough.
    energy_threshold, force_threshold: how large, in units of the RMSE.
    kalman_epsilon ... kalman_qmin: n2p2's settings of the standard filter, kalman_qtau and kalman_etatau per epoch.
    validation_fraction: part of the kept structures that the epoch is chosen on.
    reference_energies: element -> energy of a free atom, eV; None: of isolated atoms, else what fits the kept energies.
    scaling_program, train_program: nnp-scaling and nnp-train, as names or paths.
    """

    basis: AcsfBasis
    hidden_nodes: Annotated[tuple[int, ...], Whole(1)]
    activation: Annotated[str, OneOf(*ACTIVATIONS)]
    scaling: Annotated[str, OneOf(*KEYWORDS)]
    normalisation: Annotated[str, OneOf("none", "ref", "force")]
    epochs: Annotated[int, Whole(1)]
    energy_fraction: float
    forces_per_energy: float
    force_weight: float
    rmse_threshold_trials: Annotated[int, Whole(1)]
    energy_threshold: float
    force_threshold: float
    kalman_epsilon: float
    kalman_eta: float
    kalman_etatau: float
    kalman_etamax: float
    kalman_q0: float
    kalman_qtau: float
    kalman_qmin: float
    validation_fraction: Annotated[float, Between(0.0, 1.0, say=0.1, above=True, below=True)]
    reference_energies: Mapping[str, float] | None
    scaling_program: Annotated[str, N2P2]
    train_program: Annotated[str, N2P2]

    def train(self, kept: Dataset, shop: Workshop, rng: np.random.Generator) -> FilePotential:
        """Run nnp-scaling and nnp-train; take the epoch that is best on the held-out frames."""
        refuse_missing_forces(kept, "nnp-train")
        refuse_weights(kept, "nnp-train")
        judges = choose_validation(kept, self.validation_fraction, rng)
        held_out = judges.folds == 0
        functions = self.varying_functions(kept)
        offsets = reference_energies(kept, self.elements, self.reference_energies)
        (shop.folder / SETTINGS).write_text(self.settings(functions, offsets, draw_seed(rng)))
        write_structures(shop.folder / STRUCTURES, kept, held_out, self.basis.r_cut)
        shop.run(self.scaling_program, HISTOGRAM_BINS, makes=(SCALING,))
        weights = [weight_file(element).removesuffix(".data") for element in self.elements]
        shop.run(self.train_program, makes=(CURVE, *(f"{name}.*.out" for name in weights)))
        epoch = best_epoch(read_curve(shop.folder / CURVE), shop.folder, weights, judges)
        for name in weights:
            (shop.folder / f"{name}.data").write_bytes((shop.folder / f"{name}.{epoch:06d}.out").read_bytes())
        return FilePotential(
            files=shop.read(SETTINGS, SCALING, *(f"{name}.data" for name in weights)),
            logs=shop.logs | shop.read(CURVE),
            reader=read_network,
            pair_lines=partial(hdnnp_lines, r_cut=self.basis.r_cut, elements=self.elements),
            diagnostics=shop.figures
            | {
                "epoch": float(epoch),
                "n_held_out": float(held_out.sum()),
                "n_functions": float(len(functions)),
                **judges.report,
            },
            problem=judges.problem,
        )

    def varying_functions(self, kept: Dataset) -> tuple[SymmetryFunction, ...]:
        """The symmetry functions that are not constant over the kept atoms of their element, in n2p2's order.

        Raises
        ------
        TamisError : none is left for an element.
        """
        table = self.basis.table
        blocks = [table.values(atoms) for atoms in kept.structures]
        symbols = np.array([s for atoms in kept.structures for s in atoms.get_chemical_symbols()])
        values = np.concatenate(blocks)
        varying = []
        for element in self.elements:
            own = values[symbols == element]
            spread, largest = np.ptp(own, axis=0), np.abs(own).max(axis=0)
            found = [
                f
                for f, width, top in zip(table.functions, spread, largest, strict=True)
                if f.central == element and width > CONSTANT * max(top, CONSTANT)
            ]
            if not found:
                raise TamisError(
                    f"every symmetry function of {element} is the same for all its kept atoms: there is nothing to "
                    "train a network on; raise the budget"
                )
            varying += found
        return tuple(varying)

    def settings(
        self, functions: tuple[SymmetryFunction, ...], offsets: Mapping[str, float], seed: int
    ) -> str:
        """Text of input.nn."""
        more = [
            *([] if self.normalisation == "none" else [f"normalize_data_set {self.normalisation}"]),
            f"random_seed {seed}",
            f"epochs {self.epochs}",
            "test_fraction 0.0",  # every frame says which set it is in
            "use_short_forces",
            f"force_weight {self.force_weight!r}",
            f"short_energy_fraction {self.energy_fraction!r}",
            f"force_energy_ratio {self.forces_per_energy!r}",
            "updater_type 1",
            "parallel_mode 0",
            "jacobian_mode 1",
            "update_strategy 0",
            "selection_mode 2",
            "task_batch_size_energy 1",
            "task_batch_size_force 1",
            "memorize_symfunc_results",
            f"rmse_threshold_trials {self.rmse_threshold_trials}",
            f"short_energy_error_threshold {self.energy_threshold!r}",
            f"short_force_error_threshold {self.force_threshold!r}",
            "weights_min -1.0",
            "weights_max 1.0",
            "nguyen_widrow_weights_short",
            "main_error_metric RMSEpa",
            "write_weights_epoch 1",
            "kalman_type 0",
            *(
                f"kalman_{name} {getattr(self, f'kalman_{name}')!r}"
                for name in ("epsilon", "q0", "qtau", "qmin", "eta", "etatau", "etamax")
            ),
        ]
        return settings_text(
            replace(self.basis.table, functions=functions),
            offsets,
            [*KEYWORDS[self.scaling], "scale_min_short 0.0", "scale_max_short 1.0"],
            self.hidden_nodes,
            self.activation * len(self.hidden_nodes) + "l",
            more,
        )


def read_network(folder: Path) -> Calculator:
    """Our compiled calculator of n2p2's files."""
    return read_n2p2(folder).calculator()


def choose_validation(kept: Dataset, fraction: float, rng: np.random.Generator) -> Judges:
    """Judges of the epoch: fold 0 of the kept structures by group; all of them where they are copies of one."""
    return judges_by_folds(kept, max(2, round(1.0 / fraction)), rng, n_used=1)


def write_structures(path: Path, kept: Dataset, held_out: NDArray[np.bool_], r_cut: float) -> None:
    """input.data: Å, eV, eV/Å; held-out frames are n2p2's test set."""
    with path.open("w") as file:
        for i, atoms in enumerate(kept.structures):
            frame = periodic_or_free(atoms, r_cut)
            file.write(f"begin set={'test' if held_out[i] else 'train'}\ncomment {kept.ids[i]}\n")
            for vector in frame.cell.array if atoms.pbc.any() else ():
                file.write(f"lattice {numbers(vector)}\n")
            for symbol, position, force in zip(frame.symbols, frame.positions, kept.forces[i], strict=True):
                file.write(f"atom {numbers(position)} {symbol} 0.0 0.0 {numbers(force)}\n")
            file.write(f"energy {float(kept.energies[i])!r}\ncharge 0.0\nend\n")


def numbers(values: Array) -> str:
    """``values`` with all their digits, separated by blanks."""
    return " ".join(repr(float(x)) for x in values)


def read_curve(path: Path) -> dict[int, tuple[float, float, float, float]]:
    """Epoch -> RMSE of energies per atom on training and held-out frames, of forces on the same, from n2p2's table.

    The columns are found by their names, which all versions have in the line before the numbers.
    """
    wanted = ("epoch", "RMSEpa_Etrain_pu", "RMSEpa_Etest_pu", "RMSE_Ftrain_pu", "RMSE_Ftest_pu")
    heads = [line.lstrip("# ").split() for line in path.read_text().splitlines() if line.startswith("#")]
    names = next((words for words in reversed(heads) if set(wanted) <= set(words)), None)
    if names is None:
        raise TamisError(f"{path.name} of nnp-train has no table with the columns {', '.join(wanted)}")
    rows = np.loadtxt(path, usecols=[names.index(name) for name in wanted], ndmin=2).tolist()
    return {
        int(epoch): (e_train, e_test, f_train, f_test) for epoch, e_train, e_test, f_train, f_test in rows
    }


def best_epoch(
    curve: Mapping[int, tuple[float, float, float, float]],
    folder: Path,
    weights: list[str],
    judges: Judges,
) -> int:
    """The epoch with the least log(energy RMSE) + log(force RMSE) on held-out frames, else on training frames.

    Forces count where there are some to judge by. Only epochs count whose errors are numbers, and which have weights
    for every element.

    Raises
    ------
    TamisError : no such epoch.
    """
    held_out = int(judges.n_folds > 0)
    scores = {
        epoch: float(
            judges.score(
                np.array([errors[held_out] ** 2, errors[2 + held_out] ** 2, 0.0]), np.array([1.0, 1.0, 0.0])
            )
        )
        for epoch, errors in curve.items()
        if all((folder / f"{name}.{epoch:06d}.out").is_file() for name in weights)
    }
    finite = {epoch: score for epoch, score in scores.items() if np.isfinite(score)}
    if not finite:
        raise TamisError(
            f"nnp-train has no epoch with weights and finite errors (epochs in its table: {len(curve)}, with weights: "
            f"{len(scores)}); the training diverged: try another normalisation or a smaller kalman_eta"
        )
    return min(finite, key=finite.__getitem__)
