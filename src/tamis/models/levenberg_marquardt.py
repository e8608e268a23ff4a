"""Levenberg-Marquardt on random parts of the rows of a large least-squares problem, with averaged parameters.

Levenberg, Q. Appl. Math. 2, 164 (1944); Marquardt, J. Soc. Ind. Appl. Math. 11, 431 (1963). A step is judged on rows
that it was made from. Parameters follow the part that was drawn; their running mean does not, and is what counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

Array = NDArray[np.float64]
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

    def normal_equations(self, parameters: Array, part: Part) -> tuple[float, Array, Array]:
        """|r|², J'J (P, P; upper triangle) and J'r (P,) of the chosen rows."""


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
        loss, gram, moment = problem.normal_equations(self.parameters, part)
        loss += ridge * float(self.parameters @ self.parameters)
        gradient = moment + ridge * self.parameters
        gram[np.diag_indices_from(gram)] += ridge + self.damping
        try:
            step = -cho_solve(cho_factor(gram, lower=False, overwrite_a=True), gradient)
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
