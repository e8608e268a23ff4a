"""Networks of one element, side by side, with their scalings and whitening."""

import numpy as np
import pytest

from tamis.core.errors import TamisError
from tamis.models.nnp.network import ACTIVATIONS, Network, energy_and_gradient, mean_of, n_parameters
from tamis.models.nnp.scaling import KEYWORDS, Scaling
from tamis.models.nnp.whitening import Whitening


def network(*sizes, letters=None, seed=0) -> Network:
    rng = np.random.default_rng(seed)
    letters = letters or "t" * (len(sizes) - 2) + "l"
    return Network(sizes, letters, rng.normal(scale=0.5, size=n_parameters(sizes)))


def energy(net: Network, x: np.ndarray) -> float:
    return energy_and_gradient(*net.compiled, x, np.empty(len(x)))


@pytest.mark.parametrize("letter", ACTIVATIONS)
def test_gradient_of_every_activation(letter):
    net = network(3, 4, 2, 1, letters=f"{letter}tl")
    x, gradient = np.array([0.3, -0.7, 0.2]), np.empty(3)
    energy_and_gradient(*net.compiled, x, gradient)
    for i in range(3):
        step = 1e-6 * np.eye(3)[i]
        assert gradient[i] == pytest.approx((energy(net, x + step) - energy(net, x - step)) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("shape", [(3, 1), (3, 4, 1), (3, 4, 5, 1), (3, 4, 2, 3, 1)])
def test_mean_of_networks(shape):
    nets = [network(*shape, seed=seed) for seed in range(3)]
    merged = mean_of(nets)
    x = np.array([0.3, -0.7, 0.2])
    assert energy(merged, x) == pytest.approx(np.mean([energy(net, x) for net in nets]), abs=1e-14)


def test_networks_that_do_not_fit_their_shape_are_refused():
    with pytest.raises(TamisError, match="identity"):
        network(3, 4, 1, letters="tt").scaled(2.0)
    with pytest.raises(TamisError, match="unknown"):
        network(3, 4, 1, letters="xl")
    with pytest.raises(TamisError, match="one neuron at the end"):
        network(3, 4, 2, letters="tl")
    with pytest.raises(TamisError, match="weights and biases"):
        Network((3, 4, 1), "tl", np.zeros(5))


@pytest.mark.parametrize("kind", KEYWORDS)
def test_scalings_map_as_their_name_says(kind):
    values = np.random.default_rng(0).normal(size=(50, 2))
    low, high, mean, sigma = values.min(0), values.max(0), values.mean(0), values.std(0, ddof=1)
    shift, factor, base = Scaling(kind, low, high, mean, sigma, -1.0, 1.0).affine()
    scaled = (values - shift) * factor + base
    if kind == "minmax":
        np.testing.assert_allclose([scaled.min(0), scaled.max(0)], [[-1, -1], [1, 1]])
    elif kind == "sigma":
        np.testing.assert_allclose([scaled.mean(0), scaled.std(0, ddof=1)], [[-1, -1], [2, 2]])
    elif kind == "minmax_center":
        np.testing.assert_allclose([scaled.mean(0), np.ptp(scaled, 0)], [[-1, -1], [2, 2]])
    elif kind == "center":
        np.testing.assert_allclose(scaled, values - mean)
    else:
        np.testing.assert_array_equal(scaled, values)


def test_a_function_without_spread_is_refused_by_scaling():
    with pytest.raises(TamisError, match="symmetry function 2 has a spread of 0"):
        Scaling("minmax", np.zeros(2), np.array([1.0, 0.0]), np.zeros(2), np.ones(2))


def test_whitening_decorrelates_and_folds():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 5)) + [1, 2, 3, 4, 5]  # rank 3
    values[:, 4] = 7.0
    whitening = Whitening.of(values)
    inputs = whitening.inputs(values).astype(float)
    covariance = inputs.T @ inputs / len(inputs)
    variances = np.diag(covariance)
    np.testing.assert_allclose(covariance, np.diag(variances), atol=1e-4)
    assert np.sum(np.abs(variances - 1.0) < 1e-2) == 3
    net = network(5, 4, 1)
    shift, factor, base = whitening.scaling.affine()
    scaled = (values[7] - shift) * factor + base
    assert energy(whitening.fold(net), scaled) == pytest.approx(energy(net, inputs[7]), abs=1e-5)
    moved = scaled.copy()
    moved[4] += 1.0  # the constant function has no say, whatever it becomes
    assert energy(whitening.fold(net), moved) == pytest.approx(energy(whitening.fold(net), scaled))
