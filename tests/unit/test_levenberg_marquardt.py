"""Steps in the space of the parameters and in that of the rows, and runs that have to stop or recover."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tamis.models.nnp.levenberg_marquardt import Minimisation, _step_by_parameters, _step_by_rows


def any_number(iteration):
    """Rows per parameter; the problem here always draws all."""
    return 1.0


@dataclass
class Linear:
    """r = J p - y with all rows in each iteration; says which form was asked for."""

    rows: np.ndarray
    target: np.ndarray
    asked: list[str] = field(default_factory=list)

    def evaluate(self, parameters):
        return parameters

    def draw(self, rng, rows_per_parameter):
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
    ways = [
        way(problem, parameters, parameters, None, ridge, damping)
        for way in (_step_by_parameters, _step_by_rows)
    ]
    (loss, gradient, step), (other_loss, other_gradient, other_step) = ways
    assert other_loss == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other_step, step, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("n_rows", "form"), [(29, "rows"), (30, "parameters"), (90, "parameters")])
def test_the_smaller_form_is_taken_and_finds_the_minimum(n_rows, form):
    problem, ridge = linear(n_rows, 30), 1e-2
    run = Minimisation.start(np.ones(30), np.random.default_rng(0))
    run.advance(problem, ridge, any_number, lambda p: problem.loss(p, None) + ridge * float(p @ p), 12, 12, 1)
    assert set(problem.asked) == {form}
    rows = problem.rows.astype(float)
    expected = np.linalg.solve(rows.T @ rows + ridge * np.eye(30), rows.T @ problem.target)
    np.testing.assert_allclose(run.best, expected, atol=1e-3)


def test_a_run_without_improvement_ends():
    run = Minimisation.start(np.zeros(30), np.random.default_rng(0))
    run.advance(linear(90, 30), 1e-2, any_number, lambda p: 1.0, until=300, patience=7, check_every=1)
    assert run.iteration == 8  # the first score is the best one


def test_an_indefinite_matrix_is_damped():
    class Broken(Linear):
        def normal_equations(self, parameters, part):
            loss, gram, moment = super().normal_equations(parameters, part)
            return loss, gram - 30.0 * np.eye(30), moment

    sound = linear(90, 30)
    problem, run = (
        Broken(sound.rows, sound.target),
        Minimisation.start(np.zeros(30), np.random.default_rng(0)),
    )
    run.advance(problem, 1e-2, any_number, lambda p: problem.loss(p, None), 400, 400, 1)
    expected = np.linalg.lstsq(sound.rows.astype(float), sound.target)[0]
    np.testing.assert_allclose(run.best, expected, atol=1e-2)
