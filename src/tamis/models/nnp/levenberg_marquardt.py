"""Levenberg-Marquardt on random parts of the rows of a large least-squares problem, with averaged parameters.

With fewer rows than parameters a step is found in the space of the rows, where it is the same and costs less.
Levenberg, Q. Appl. Math. 2, 164 (1944); Marquardt, J. Soc. Ind. Appl. Math. 11, 431 (1963). A step is judged on rows
that it was made from. Parameters chase the current random subset; their running mean averages this out and
is what is kept. The farther they have come, the more rows they need to tell the next step from noise, so that the
number of rows grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas

from tamis.models.nnp.problem import Evaluation, NetworkProblem
from tamis.models.normal_equations import solve_definite

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

FIRST_DAMPING, SMALLEST_DAMPING, LARGEST_DAMPING = 1e-2, 1e-9, 1e6
GOOD_GAIN, POOR_GAIN = 0.75, 0.25
LESS, MORE, MUCH_MORE = 0.4, 3.0, 10.0
"""Factors of the damping after a good step, a poor one, and one that could not be computed."""
MEMORY = 0.9
"""Of the running mean of the parameters."""
BEFORE_AVERAGING = 10
"""Iterations, after which the running mean starts."""

Rows = Callable[[int], float]
"""Force rows per parameter that an iteration draws."""


@dataclass
class Minimisation:
    """A minimisation that can be continued: the one mutable thing in a training.

    parameters, mean: (P,) now, and their running mean. best, best_score: the mean that ``judge`` liked best.
    iteration, best_iteration: iterations so far; iteration of ``best``.
    """

    parameters: Array
    mean: Array
    best: Array
    rng: np.random.Generator
    best_score: float = np.inf
    best_iteration: int = 0
    iteration: int = 0
    damping: float = FIRST_DAMPING

    @classmethod
    def start(cls, parameters: Array, rng: np.random.Generator) -> Minimisation:
        """Begin from ``parameters``."""
        return cls(parameters.copy(), parameters.copy(), parameters.copy(), rng)

    def last(self) -> Minimisation:
        """A new minimisation from the best parameters, with the damping that this one has come to."""
        return replace(Minimisation.start(self.best, self.rng), damping=self.damping)

    def advance(
        self,
        problem: NetworkProblem,
        ridge: float,
        rows: Rows,
        judge: Callable[[Array], float],
        until: int,
        patience: int,
        check_every: int,
    ) -> None:
        """Iterate up to iteration ``until``, or until ``patience`` iterations brought no improvement.

        ridge: factor of |parameters|² in the loss. rows: how many to draw. judge: a score of the mean parameters, low
        is good, computed every ``check_every`` iterations.
        """
        here = problem.evaluate(self.parameters)
        while self.iteration < until and self.iteration - self.best_iteration < patience:
            here = self._step(problem, ridge, here, problem.draw(self.rng, rows(self.iteration)))
            self.iteration += 1
            if self.iteration % check_every == 0 or self.iteration == until:
                score = judge(self.mean)
                if score < self.best_score:
                    self.best, self.best_score = self.mean.copy(), score
                    self.best_iteration = self.iteration

    def _step(self, problem: NetworkProblem, ridge: float, here: Evaluation, part: Integers) -> Evaluation:
        """Step from ``here``, the present parameters, and return where that leads."""
        by_rows = problem.n_rows(part) < len(self.parameters)
        try:
            loss, gradient, step = (_step_by_rows if by_rows else _step_by_parameters)(
                problem, here, self.parameters, part, ridge, self.damping
            )
        except LinAlgError:  # single-precision rows can leave the matrix slightly indefinite
            self._damp(MUCH_MORE)
            return here
        new = self.parameters + step
        there = problem.evaluate(new)
        new_loss = problem.loss(there, part) + ridge * float(new @ new)
        promised = float(step @ (self.damping * step - gradient))
        gain = (loss - new_loss) / promised if promised > 0 and np.isfinite(new_loss) else -1.0
        if gain > 0.0:
            self.parameters, here = new, there
        if gain > GOOD_GAIN:
            self._damp(LESS)
        elif gain < POOR_GAIN:
            self._damp(MORE)
        memory = MEMORY if self.iteration >= BEFORE_AVERAGING else 0.0
        self.mean = memory * self.mean + (1.0 - memory) * self.parameters
        return here

    def _damp(self, factor: float) -> None:
        self.damping = float(np.clip(self.damping * factor, SMALLEST_DAMPING, LARGEST_DAMPING))


def _step_by_parameters(
    problem: NetworkProblem, at: Evaluation, parameters: Array, part: Integers, ridge: float, damping: float
) -> tuple[float, Array, Array]:
    """Loss with the ridge, half its gradient g, and the step -(J'J + (ridge + damping) I)^-1 g."""
    loss, gram, moment = problem.normal_equations(at, part)
    gradient = moment + ridge * parameters
    gram[np.diag_indices_from(gram)] += ridge + damping
    step = -solve_definite(gram.T, gradient, lower=True)
    return loss + ridge * float(parameters @ parameters), gradient, step


def _step_by_rows(
    problem: NetworkProblem, at: Evaluation, parameters: Array, part: Integers, ridge: float, damping: float
) -> tuple[float, Array, Array]:
    """The same from a matrix of the rows' size: with m = ridge + damping and g = J'r + ridge p,

    (J'J + m I)^-1 g = J' (J J' + m I)^-1 (r - ridge / m J p) + ridge / m p.
    """
    jacobian, residuals = problem.jacobian(at, part)
    single = parameters.astype(np.float32)
    part_of_ridge = ridge / (ridge + damping)
    gram = blas.ssyrk(1.0, jacobian.T, trans=1).astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge + damping
    solution = solve_definite(gram, residuals - part_of_ridge * (jacobian @ single))
    step = -(solution.astype(np.float32) @ jacobian) - part_of_ridge * parameters
    gradient = residuals.astype(np.float32) @ jacobian + ridge * parameters
    return float(residuals @ residuals) + ridge * float(parameters @ parameters), gradient, step
