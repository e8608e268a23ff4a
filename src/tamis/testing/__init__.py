"""Laws that descriptors obey, as functions that the tests of a plug-in call (docs/extending.md).

Each law raises AssertionError where it does not hold, and returns where it says nothing of the class at hand::

    @pytest.mark.parametrize("law", testing.DESCRIPTOR_LAWS)
    def test_descriptor(law):
        law(lambda *elements: Mine(elements=elements, r_cut=5.0))
"""

from tamis.testing.descriptors import BLOCK_LAWS, DESCRIPTOR_LAWS, NEIGHBOUR_LAWS, Make
from tamis.testing.linear import LINEAR_LAWS, MakeLinear

__all__ = [
    "BLOCK_LAWS",
    "DESCRIPTOR_LAWS",
    "LINEAR_LAWS",
    "NEIGHBOUR_LAWS",
    "Make",
    "MakeLinear",
]
