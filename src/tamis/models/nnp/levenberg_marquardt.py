"""Levenberg-Marquardt on random parts of the rows of a large least-squares problem, with averaged parameters.

With fewer rows than parameters a step is found in the space of the rows, where it is the same and costs less.
Levenberg, Q. Appl. Math. 2, 164 (1944); Marquardt, J. Soc. Ind. Appl. Math. 11, 431 (1963). A step is judged on rows
that it was made from. Parameters follow the part that was drawn; their running mean does not, and is what counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas, lapack

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Part = TypeVar("Part")

FIRST_DAMPING, SMALLEST_DAMPING, LARGEST_DAMPING = 1e-2, 1e-9, 1e6
GOOD_GAIN, POOR_GAIN = 0.75, 0.25
LESS, MORE, MUCH_MORE = 0.4, 3.0, 10.0
"""Factors of the damping after a good step, a poor one, and one that could not be computed."""
MEMORY = 0.9
"""Of the running mean of the parameters."""
BEFORE_AVERAGING = 10
"""Iterations, after which the running mean starts."""


class Problem(Protocol[Part]):
    """Rows r(p) with a random choice among them; the loss is |r|²."""

    def draw(self, rng: np.random.Generator) -> Part:
        """Choose the rows of one iteration."""

    def loss(self, parameters: Array, part: Part) -> float:
        """|r|² of the chosen rows."""

    def n_rows(self, part: Part) -> int:
        """How many rows these are."""

    def normal_equations(self, parameters: Array, part: Part) -> tuple[float, Array, Array]:
        """|r|², J'J (P, P; upper triangle) and J'r (P,) of the chosen rows."""

    def jacobian(self, parameters: Array, part: Part) -> tuple[Single, Array]:
        """J (n_rows, P), single precision, and r (n_rows,) of the chosen rows."""


@dataclass
class Run(Generic[Part]):
    """A minimisation that can be continued: the one mutable thing in a training.

    parameters, mean: (P,) now, and their running mean. best, best_score: the mean that ``judge`` liked best.
    iteration, best_iteration: how far it came, and when that was.
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
    def start(cls, parameters: Array, rng: np.random.Generator) -> Run[Part]:
        """Begin from ``parameters``."""
        return cls(parameters.copy(), parameters.copy(), parameters.copy(), rng)

    def advance(
        self,
        problem: Problem[Part],
        ridge: float,
        judge: Callable[[Array], float],
        until: int,
        patience: int,
        check_every: int,
    ) -> None:
        """Iterate up to iteration ``until``, or until ``patience`` iterations brought nothing better.

        ridge: factor of |parameters|² in the loss. judge: what is to be small, looked at every ``check_every``
        iterations, of the mean parameters.
        """
        while self.iteration < until and self.iteration - self.best_iteration < patience:
            self._step(problem, ridge)
            self.iteration += 1
            if self.iteration % check_every == 0 or self.iteration == until:
                score = judge(self.mean)
                if score < self.best_score:
                    self.best, self.best_score = self.mean.copy(), score
                    self.best_iteration = self.iteration

    def _step(self, problem: Problem[Part], ridge: float) -> None:
        part = problem.draw(self.rng)
        by_rows = problem.n_rows(part) < len(self.parameters)
        try:
            loss, gradient, step = (_step_by_rows if by_rows else _step_by_parameters)(
                problem, self.parameters, part, ridge, self.damping
            )
        except LinAlgError:  # single-precision rows can leave the matrix slightly indefinite
            self._damp(MUCH_MORE)
            return
        new = self.parameters + step
        new_loss = problem.loss(new, part) + ridge * float(new @ new)
        promised = float(step @ (self.damping * step - gradient))
        gain = (loss - new_loss) / promised if promised > 0 and np.isfinite(new_loss) else -1.0
        if gain > 0.0:
            self.parameters = new
        if gain > GOOD_GAIN:
            self._damp(LESS)
        elif gain < POOR_GAIN:
            self._damp(MORE)
        memory = MEMORY if self.iteration >= BEFORE_AVERAGING else 0.0
        self.mean = memory * self.mean + (1.0 - memory) * self.parameters

    def _damp(self, factor: float) -> None:
        self.damping = float(np.clip(self.damping * factor, SMALLEST_DAMPING, LARGEST_DAMPING))


def _step_by_parameters(
    problem: Problem[Part], parameters: Array, part: Part, ridge: float, damping: float
) -> tuple[float, Array, Array]:
    """Loss with the ridge, half its gradient g, and the step -(J'J + (ridge + damping) I)^-1 g."""
    loss, gram, moment = problem.normal_equations(parameters, part)
    gradient = moment + ridge * parameters
    gram[np.diag_indices_from(gram)] += ridge + damping
    step = -_solve(gram.T, gradient, lower=1)
    return loss + ridge * float(parameters @ parameters), gradient, step


def _step_by_rows(
    problem: Problem[Part], parameters: Array, part: Part, ridge: float, damping: float
) -> tuple[float, Array, Array]:
    """The same from a matrix of the rows' size: with m = ridge + damping and g = J'r + ridge p,

    (J'J + m I)^-1 g = J' (J J' + m I)^-1 (r - ridge / m J p) + ridge / m p.
    """
    jacobian, residuals = problem.jacobian(parameters, part)
    single = parameters.astype(np.float32)
    part_of_ridge = ridge / (ridge + damping)
    gram = blas.ssyrk(1.0, jacobian.T, trans=1).astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge + damping
    solution = _solve(gram, residuals - part_of_ridge * (jacobian @ single), lower=0)
    step = -(solution.astype(np.float32) @ jacobian) - part_of_ridge * parameters
    gradient = residuals.astype(np.float32) @ jacobian + ridge * parameters
    return float(residuals @ residuals) + ridge * float(parameters @ parameters), gradient, step


def _solve(matrix: Array, target: Array, lower: int) -> Array:
    """Solution with a symmetric matrix in Fortran order, of which a triangle is used, and overwritten.

    Raises
    ------
    LinAlgError : not positive definite to rounding.
    """
    factor, info = lapack.dpotrf(matrix, lower=lower, clean=0, overwrite_a=1)
    if info != 0:
        raise LinAlgError("the damped matrix is not positive definite")
    return np.asarray(lapack.dpotrs(factor, target, lower=lower)[0])
