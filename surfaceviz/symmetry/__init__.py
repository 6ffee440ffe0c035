"""Maps of the weights that keep a network's function: rescalings, and the gauge that removes them."""

from surfaceviz.symmetry.rescale import KINDS, Rescaling, rescalings

__all__ = ["KINDS", "Rescaling", "rescalings"]
