"""Whether a descriptor is the model's own is decided by the numbers that both give."""

import pytest
from omegaconf import OmegaConf
from tests.composing import composed

from tamis.parts import build_part
from tamis.trial import is_own

OWN = {
    **{"snap": "snap", "ace": "ace", "chimes": "chimes", "gap": "soap", "nnp": "acsf", "nnp_quick": "acsf"},
    "upstream_gap_fit": "soap",
}


def own(model: str, descriptor: str, *more: str) -> bool:
    config = OmegaConf.to_container(
        composed(f"model={model}", f"descriptor={descriptor}", *more), resolve=False
    )
    whole = OmegaConf.create({key: config[key] for key in ("dataset", "descriptor", "model")})
    parts = OmegaConf.to_container(whole, resolve=True)
    return is_own(*(build_part(name, parts[name]) for name in ("descriptor", "model")))


@pytest.mark.parametrize(("model", "descriptor"), OWN.items())
def test_each_model_has_one_own_descriptor(model, descriptor):
    assert own(model, descriptor)
    assert not own(model, "snap" if descriptor != "snap" else "soap")


def test_another_cutoff_is_another_descriptor_and_another_spelling_is_not():
    assert not own("snap", "snap", "descriptor.r_cut=4.0")
    assert own("snap", "snap", "descriptor.r_cut=4", "model.basis.r_cut=4.0")
