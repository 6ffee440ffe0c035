"""Maps of the weights that keep a network's function: rescalings, and the gauge that removes them."""

from surfaceviz.symmetry.gauge import Gauge, gauged_model, to_gauge
from surfaceviz.symmetry.rescale import KINDS, Rescaling, rescalings

__all__ = ["KINDS", "Gauge", "Rescaling", "gauged_model", "rescalings", "to_gauge"]
