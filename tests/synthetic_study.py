"""Made-up studies built like real ones: splits of one pool, nested curves, test structures that all share."""

from dataclasses import dataclass

import numpy as np

from tamis.analysis.endpoint import Range, area_weights
from tamis.analysis.hypothesis import Arm
from tamis.analysis.resampling import Curves, cells, draw_counts

FRACTIONS = np.array([0.03, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0])


@dataclass(frozen=True)
class World:
    """n_models models, each with a descriptor of its own, on a pool of n_pool structures in n_blocks blocks.

    gain : by how much the own descriptor lowers log(error) on top of what its choice does.
    taste : how much descriptors prefer some blocks and structures, always the same ones; 0: they draw at random.
    worth : how much models differ in what a structure is worth to them. With tastes this makes
        lasting differences between descriptors on this pool, which have nothing to do with being own.
    """

    gain: float = 0.0
    taste: float = 1.0
    worth: float = 0.2
    n_models: int = 5
    n_seeds: int = 6
    n_pool: int = 200
    n_blocks: int = 12
    n_test: int = 25

    @property
    def arms(self) -> list[Arm]:
        names = [f"family{i}" for i in range(self.n_models)]
        return [Arm(model, descriptor, model == descriptor) for model in names for descriptor in names]

    def curves(self, rng: np.random.Generator) -> Curves:
        """One draw of a pool, its test set, the descriptors' tastes, the seeds' splits and fits."""
        m, r, p = self.n_models, self.n_seeds, len(FRACTIONS)
        share = rng.dirichlet(np.full(self.n_blocks, 2.0))
        pool_block = rng.choice(self.n_blocks, self.n_pool, p=share)
        n_atoms = rng.choice([24, 36, 54, 64], self.n_pool)
        test_block = rng.choice(self.n_blocks, self.n_test, p=share)
        kept, atoms, worth = self._kept(
            rng, pool_block, n_atoms
        )  # (D, R, P, blocks), (D, R, P), (M, D, R, P)

        difficulty = rng.normal(-2.0, 0.8, self.n_blocks)[test_block]
        hunger = np.abs(rng.normal(0.15, 0.1, (m, self.n_blocks)))[:, test_block]  # (M, S)
        known = np.log1p(kept)[..., test_block]  # (D, R, P, S)
        logs = difficulty - hunger[:, None, None, None] * known - 0.1 * np.log(atoms)[..., None]
        logs -= self.worth * worth[..., None]
        logs += rng.normal(0.0, 0.05, (1, 1, r, 1, 1))  # easy and hard splits, the same for everyone
        logs += rng.normal(0.0, 0.04, (m, m, r, 1, 1))  # each fit
        logs += rng.normal(0.0, 0.03, (m, m, r, p, 1))
        logs += rng.normal(0.0, 0.05, (m, m, r, p, self.n_test))
        logs -= self.gain * np.eye(m)[:, :, None, None, None]

        span = Range(float(atoms[..., 0].max()), float(atoms[..., 5].min()))
        weights = np.array([area_weights(curve, span) for curve in atoms.reshape(-1, p)])
        arms, seeds = np.divmod(np.arange(m * m * r), r)
        return Curves(
            errors=np.exp(logs).reshape(-1, p, self.n_test),
            point_weights=np.tile(weights, (m, 1)),
            structure_weights=rng.choice([24.0, 54.0, 64.0], self.n_test),
            blocks=np.unique(test_block, return_inverse=True)[1],
            arms=arms,
            seeds=seeds,
        )

    def _kept(self, rng, pool_block, n_atoms):
        """What descriptors keep, by seed and point: structures of each block, atoms, mean worth to each model."""
        shape = (self.n_models, self.n_seeds, self.n_pool)
        fixed = rng.normal(size=(self.n_models, self.n_pool))
        fixed += 0.5 * rng.normal(size=(self.n_models, self.n_blocks))[:, pool_block]
        score = self.taste * fixed[:, None] + (1.0 - self.taste) * rng.normal(size=shape)
        available = rng.random((self.n_seeds, self.n_pool)).argsort(axis=1) >= self.n_pool // 10
        order = np.argsort(np.where(available, -score, np.inf), axis=2)[..., : int(available[0].sum())]
        total = np.cumsum(n_atoms[order], axis=2).astype(float)
        n_kept = (total[..., None, :] <= FRACTIONS[:, None] * total[..., -1:, None]).sum(axis=-1)  # (D, R, P)
        rank = np.arange(order.shape[2]) < n_kept[..., None]
        member = np.eye(self.n_blocks)[pool_block[order]]  # (D, R, n, blocks)
        kept = np.einsum("drpn,drnb->drpb", rank.astype(float), member)
        worth = rng.normal(size=(self.n_models, self.n_pool))[:, order]  # (M, D, R, n)
        mean_worth = np.einsum("drpn,mdrn->mdrp", rank.astype(float), worth) / n_kept
        return kept, np.take_along_axis(total, n_kept - 1, axis=2), mean_worth


def resampled(curves: Curves, rng: np.random.Generator, n_draws: int):
    """Cells (A, R, B) and counts of seeds (B, R)."""
    blocks = draw_counts(int(curves.blocks.max()) + 1, n_draws, rng)
    return cells(curves, blocks), draw_counts(curves.n_seeds, n_draws, rng)
