"""Inverses of triangles, beside those of NumPy."""

import numpy as np
import pytest

from tamis.core.packed import inverse_of_triangle


@pytest.mark.parametrize("size", [1, 2, 64, 65, 131, 257])
def test_the_inverse_of_a_triangle(size):
    rng = np.random.default_rng(size)
    matrix = rng.normal(size=(2 * size, size))
    triangle = np.asfortranarray(np.linalg.cholesky(matrix.T @ matrix).T)
    before = triangle.copy()
    inverse = inverse_of_triangle(triangle)
    np.testing.assert_allclose(inverse @ triangle, np.eye(size), atol=1e-10)
    assert np.all(np.tril(inverse, -1) == 0.0)
    np.testing.assert_array_equal(triangle, before)
