"""A step is the same whether it is found in the space of the parameters or in that of the rows."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tamis.models.nnp.levenberg_marquardt import Run, _step_by_parameters, _step_by_rows


@dataclass
class Linear:
    """r = J p - y with all rows in each iteration; says which form was asked for."""

    rows: np.ndarray
    target: np.ndarray
    asked: list[str] = field(default_factory=list)

    def draw(self, rng):
        return None

    def n_rows(self, part):
        return len(self.rows)

    def loss(self, parameters, part):
        return float(np.sum((self.rows @ parameters - self.target) ** 2))

    def normal_equations(self, parameters, part):
        self.asked.append("parameters")
        residuals = self.rows @ parameters - self.target
        rows = self.rows.astype(float)
        return float(residuals @ residuals), rows.T @ rows, rows.T @ residuals

    def jacobian(self, parameters, part):
        self.asked.append("rows")
        return self.rows, self.rows @ parameters - self.target


def linear(n_rows, n_parameters):
    rng = np.random.default_rng(0)
    return Linear(rng.normal(size=(n_rows, n_parameters)).astype(np.float32), rng.normal(size=n_rows))


@pytest.mark.parametrize("n_rows", [1, 8, 20])
@pytest.mark.parametrize(("ridge", "damping"), [(0.0, 1e-2), (1e-3, 1e-2), (1e-2, 1e-9)])
def test_both_forms_give_the_same_step(n_rows, ridge, damping):
    problem, parameters = linear(n_rows, 30), np.random.default_rng(1).normal(size=30)
    ways = [way(problem, parameters, None, ridge, damping) for way in (_step_by_parameters, _step_by_rows)]
    (loss, gradient, step), (other_loss, other_gradient, other_step) = ways
    assert other_loss == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other_step, step, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("n_rows", "form"), [(29, "rows"), (30, "parameters"), (90, "parameters")])
def test_the_smaller_form_is_taken_and_finds_the_minimum(n_rows, form):
    problem, ridge = linear(n_rows, 30), 1e-2
    run = Run.start(np.ones(30), np.random.default_rng(0))
    run.advance(problem, ridge, lambda p: problem.loss(p, None) + ridge * float(p @ p), 12, 12, 1)
    assert set(problem.asked) == {form}
    rows = problem.rows.astype(float)
    expected = np.linalg.solve(rows.T @ rows + ridge * np.eye(30), rows.T @ problem.target)
    np.testing.assert_allclose(run.best, expected, atol=1e-3)
