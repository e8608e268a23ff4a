"""The laws of descriptors, for one that is not in tamis."""

import pytest
from radial_moments import RadialMoments

from tamis import testing


@pytest.mark.parametrize("law", testing.DESCRIPTOR_LAWS, ids=lambda law: law.__name__)
def test_law(law):
    law(lambda *elements: RadialMoments(elements=tuple(sorted(elements)), r_cut=5.0))
