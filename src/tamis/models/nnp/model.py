"""Behler-Parrinello networks, trained by Levenberg-Marquardt on stored symmetry functions and derivatives.

Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from tamis.bases.acsf.basis import AcsfBasis
from tamis.core.fields import Above, Whole
from tamis.core.memory import Memory, keep_freed_memory
from tamis.core.units import MEV_PER_EV
from tamis.data.dataset import Dataset
from tamis.models.free_atoms import free_atom_energies
from tamis.models.grids import GridPoint, Losses, choose
from tamis.models.judging import ENERGY, FORCE, Judges, judges_by_folds, judges_by_tuning
from tamis.models.nnp.data import Array, Integers, TrainingData, gather
from tamis.models.nnp.levenberg_marquardt import Minimisation, Rows
from tamis.models.nnp.network import Network, mean_of, n_parameters
from tamis.models.nnp.potential import NnpPotential
from tamis.models.nnp.problem import ROWS_AT_ONCE, NetworkProblem, first_parameters
from tamis.models.nnp.tie import tied
from tamis.models.nnp.whitening import Whitening
from tamis.models.tuning import Setting, WeightedModel
from tamis.store import Store

STRUCTURES_PER_FOLD = 3
"""Where there are enough: an error on fewer held-out structures says little."""

STILL = 1e-4
"""eV²/Å², mean square force below which structures tell no scale of forces."""

LUCK = 0.005
"""Å; energy errors per atom below this times the force error are luck, as of one held-out structure."""

TRIES = 4
"""Iterations that the last step may take: one that raises the loss is tried again, shorter."""

LAYERS_HELD = 6
"""Copies of the values of all layers that are held at once on the way through a network and back."""

RESIDUALS_HELD = 200
"""Bytes for each atom: residuals, targets and factors of its force, and their copies."""


@dataclass(frozen=True)
class NnpModel(WeightedModel):
    """Networks of one shape per element; the potential is the mean of a few of them.

    Each network holds out a different fold of the kept structures, which stops its training and judges the setting.
    One last iteration takes all kept structures, those held out included.

    ridges: factors of the sum of squared weights in the loss, in units of the mean square force of the kept structures:
        the same number then means the same for soft lithium and for stiff molybdenum.
    basis: the symmetry functions.
    hidden: neurons of the hidden layers, with tanh.
    n_networks: how many are averaged.
    first_rows_per_parameter, rows_per_parameter: force rows drawn in an iteration, for each parameter: in the first
        one, and at ``max_iterations``; they grow by a constant factor.
    tuning_iterations: iterations with every setting; then the best one is continued.
    max_iterations: all iterations of that one. patience: stop after so many without a better result.
    check_every: iterations between looks at the held-out structures.
    final_iterations: more iterations with all force rows, from the best result, to get rid of the noise of random rows.
    """

    basis: AcsfBasis
    hidden: Annotated[tuple[int, ...], Whole(1)]
    n_networks: Annotated[int, Whole(1)]
    first_rows_per_parameter: Annotated[float, Above(0.0, say=0.25)]
    rows_per_parameter: Annotated[float, Above(0.0, say=4)]
    tuning_iterations: Annotated[int, Whole(1)]
    max_iterations: Annotated[int, Whole(1)]
    patience: Annotated[int, Whole(1)]
    check_every: Annotated[int, Whole(1)]
    final_iterations: Annotated[int, Whole(0)]

    def prepare(self, dataset: Dataset, store: Store) -> None:
        """Compute symmetry functions and derivatives of every structure into the store."""
        store.prepare(self.basis, dataset.structures)

    def fit(self, kept: Dataset, tuning: Dataset, store: Store, rng: np.random.Generator) -> NnpPotential:
        """Try every setting for a while, continue the best one, average the networks."""
        keep_freed_memory()
        offsets = free_atom_energies(kept, self.basis.elements)
        with store.memory.holding():
            self._reserve_work(store.memory, kept, tuning)
            data = gather(kept, self.basis, store, offsets)
            if self.needs_tuning_set:
                judged = gather(tuning, self.basis, store, offsets, data.whitenings)
                judges = judges_by_tuning(kept, tuning)
                folds = [(np.arange(len(kept)), np.arange(len(tuning)))] * self.n_networks
            else:
                judged = data
                judges = judges_by_folds(
                    kept,
                    self.n_folds,
                    rng,
                    at_least=max(2, self.n_networks),
                    per_fold=STRUCTURES_PER_FOLD,
                    n_used=self.n_networks,
                )
                folds = self._folds(judges)
            seed, unit = int(rng.integers(2**62)), _mean_square_force(kept)
            tried: dict[GridPoint, list[Training]] = {}

            def losses(points: Sequence[GridPoint]) -> Losses:
                for point in points:
                    tried[point] = [
                        self._training(Setting(*point), unit, data, judged, judges, fold, (seed, member))
                        for member, fold in enumerate(folds)
                    ]
                    for training in tried[point]:
                        until = min(self.tuning_iterations, self.max_iterations)
                        training.advance(self._rows, until, self.patience, self.check_every)
                return _losses([tried[point] for point in points])

            choice = choose(self.axes, self.widenings, losses) if judges.counts[ENERGY] else None
            if choice is None:
                losses([self.most_cautious])
            chosen = tried[self.most_cautious if choice is None else choice.point]
            for training in chosen:
                training.advance(self._rows, self.max_iterations, self.patience, self.check_every)
            finished = [training.finish(self.final_iterations) for training in chosen]
            how = self.tuning_report(choice, judges, kept, tuning)
            potential = self._potential(chosen, finished, data.whitenings, offsets, judges, how)
            return tied(potential, data, self.free_energies_of(kept))

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self.basis.n_per_element, *self.hidden, 1

    def _rows(self, iteration: int) -> float:
        """Force rows per parameter in an iteration."""
        growth = self.rows_per_parameter / self.first_rows_per_parameter
        return self.first_rows_per_parameter * growth ** (iteration / self.max_iterations)

    def _reserve_work(self, memory: Memory, kept: Dataset, tuning: Dataset) -> None:
        """What one iteration of one network takes: normal equations, layers of all atoms, residuals, energy rows."""
        n_atoms = max(int(kept.n_atoms.sum()), int(tuning.n_atoms.sum()))
        n_all = n_parameters(self._sizes) * len(self.basis.elements)
        # fewer rows than weights are held all at once, and it is their products that are factorised
        n_rows = 3 * n_atoms + 7 * len(kept)
        n_together = min(n_all, n_rows)
        # products in double precision, of a piece of rows in single precision, and the copy that is factorised
        n_bytes = (8 + 4 + 8) * n_together**2 + 4 * n_all * max(n_together, min(n_rows, ROWS_AT_ONCE))
        memory.reserve(n_bytes, f"normal equations of {n_all} weights of networks")
        memory.reserve(
            n_atoms * (4 * LAYERS_HELD * sum(self._sizes) + RESIDUALS_HELD) + 4 * n_all * len(kept),
            f"layers and rows of networks for {n_atoms} atoms",
        )

    def _folds(self, judges: Judges) -> list[tuple[Integers, Integers]]:
        """Structures to train on and to judge by, for each network; the same where nothing can be held out."""
        if judges.n_folds == 0:
            everything = np.arange(len(judges.folds))
            return [(everything, everything)] * self.n_networks
        fold_of_each = [k % judges.n_folds for k in range(self.n_networks)]
        return [(np.flatnonzero(judges.folds != k), np.flatnonzero(judges.folds == k)) for k in fold_of_each]

    def _training(
        self,
        setting: Setting,
        unit: float,
        data: TrainingData,
        judged: TrainingData,
        judges: Judges,
        fold: tuple[Integers, Integers],
        seed: tuple[int, int],
    ) -> Training:
        """A network of every element before its first iteration; every setting begins from the same ones."""
        sizes = self._sizes
        rng = np.random.default_rng(seed)
        first = [first_parameters(sizes, rng) for _ in self.basis.elements]
        problem = NetworkProblem(sizes, data, fold[0], setting.weights)
        whole = NetworkProblem(sizes, data, np.arange(len(data.energies)), setting.weights)
        judge = NetworkProblem(sizes, judged, fold[1], setting.weights)
        run = Minimisation.start(np.concatenate(first), rng)
        return Training(setting, setting.ridge * unit, problem, whole, judge, judges, run)

    def _potential(
        self,
        trainings: Sequence[Training],
        finished: Sequence[Array],
        whitenings: Sequence[Whitening],
        offsets: Array,
        judges: Judges,
        how: Mapping[str, float],
    ) -> NnpPotential:
        """Unfold the whitening, and put the networks of each element side by side; finished: their parameters."""
        members = tuple(
            tuple(
                whitening.fold(Network(self._sizes, "t" * len(self.hidden) + "l", parameters))
                for whitening, parameters in zip(whitenings, own.reshape(len(whitenings), -1), strict=True)
            )
            for own in finished
        )
        squares, rows = _pooled(trainings)
        rmse = np.sqrt(squares / np.where(rows > 0.0, rows, 1.0))
        report = {
            **trainings[0].setting.report,
            "n_networks": float(len(members)),
            "n_parameters": float(trainings[0].problem.n_parameters),
            "iterations": float(np.mean([training.run.iteration for training in trainings])),
            "best_iteration": float(np.mean([training.run.best_iteration for training in trainings])),
            "held_out_energy_rmse_meV_per_atom": float(rmse[0]) * MEV_PER_EV,
            **({"held_out_force_rmse_eV_per_A": float(rmse[1])} if judges.kinds[FORCE] else {}),
            **how,
        }
        return NnpPotential(
            table=self.basis.table,
            scalings=tuple(whitening.scaling for whitening in whitenings),
            networks=tuple(mean_of([networks[e] for networks in members]) for e in range(len(offsets))),
            offsets=offsets,
            diagnostics=report,
            problem=judges.problem,
        )


@dataclass(frozen=True, eq=False)
class Training:
    """One network with one setting: its ridge (eV²/Å²), its problem, what judges it, and how far it has come.

    whole: the problem with all kept structures, those held out included.
    """

    setting: Setting
    ridge: float
    problem: NetworkProblem
    whole: NetworkProblem
    judge: NetworkProblem
    judges: Judges
    run: Minimisation

    def advance(self, rows: Rows, until: int, patience: int, check_every: int) -> None:
        """Iterate further (see ``Minimisation.advance``)."""
        judge = self._force_error if self.judges.kinds[FORCE] else self._held_out_score
        self.run.advance(self.problem, self.ridge, rows, judge, until, patience, check_every)

    def finish(self, iterations: int) -> Array:
        """Iterate on all force rows from the best result, and return the parameters.

        Iterations are few, so that no mean is taken. What was held out has then done its work: one more iteration
        takes it in. It is not judged, and ``run.best`` stays what the held-out structures speak of.
        """
        last = self.run.last()
        last.advance(
            self.problem, self.ridge, lambda _: np.inf, self._held_out_score, iterations, iterations, 1
        )
        self.run.best = last.best
        if len(self.whole.structures) == len(self.problem.structures):
            return last.best
        taken = last.last()
        while taken.iteration < TRIES and np.array_equal(taken.parameters, last.best):
            until = taken.iteration + 1
            taken.advance(self.whole, self.ridge, lambda _: np.inf, lambda _: 0.0, until, until, 1)
        return taken.parameters

    def mean_squares(self, parameters: Array) -> tuple[Array, Array]:
        """Sums of squares and numbers of rows of energies, forces and stresses of the held-out structures."""
        return self.judge.mean_squares(parameters)

    def _force_error(self, parameters: Array) -> float:
        """While force rows are drawn at random, energies swing between iterations; they settle in ``finish``."""
        squares, rows = self.mean_squares(parameters)
        return float(squares[1] / rows[1])

    def _held_out_score(self, parameters: Array) -> float:
        return float(_log_errors(self.judges, *self.mean_squares(parameters)))


def _pooled(trainings: Sequence[Training]) -> tuple[Array, Array]:
    squares, rows = zip(*(training.mean_squares(training.run.best) for training in trainings), strict=True)
    return np.sum(squares, axis=0), np.sum(rows, axis=0)


def _losses(settings: Sequence[Sequence[Training]]) -> Losses:
    """Squared errors of each network's held-out structures, setting by setting."""
    found = [[training.mean_squares(training.run.best) for training in members] for members in settings]
    sums = np.array([[squares for squares, _ in members] for members in found])
    rows = np.array([rows for _, rows in found[0]])
    return Losses(sums.transpose(1, 2, 0), rows, functools.partial(_log_errors, settings[0][0].judges))


def _log_errors(judges: Judges, squares: Array, rows: Array) -> Array:
    """As for linear models, see ``Judges.score``; but the energy error is floored at LUCK times the force error."""
    lucky = squares.copy()
    lucky[ENERGY] += rows[ENERGY] * LUCK**2 * squares[FORCE] / (rows[FORCE] or 1.0)
    return judges.score(lucky, rows)


def _mean_square_force(dataset: Dataset) -> float:
    """Of all components, eV²/Å², at least STILL: nearly static crystals alone set no force scale."""
    weights = dataset.label_weights[:, FORCE]
    used = np.flatnonzero(weights > 0.0)
    if len(used) == 0:
        return STILL
    squares = np.concatenate([dataset.forces[i].ravel() for i in used]) ** 2
    of_rows = np.repeat(weights[used], 3 * dataset.n_atoms[used])
    return max(float(np.average(squares, weights=of_rows)), STILL)
