"""Files of the reference code of Li et al. (tomgoldstein/loss-landscape), in and out.

A surface file has ``xcoordinates`` (nx), ``ycoordinates`` (ny), and metrics of shape (nx, ny) that are numbered as
``numpy.meshgrid(x, y)`` numbers points: the k-th lies at (x[k % nx], y[k // nx]), whatever the shape says. Missing
values are -1; those of ``min_eig`` 1. Accuracies are in per cent. A direction file has the groups ``xdirection`` and
``ydirection`` of data sets "0", "1", ..., in the order of ``parameters()`` or of ``state_dict()``; a projection file
has ``proj_xcoord`` and ``proj_ycoord``. None has attributes.

Source: its scheduler.py, plot_surface.py, plot_hessian_eigen.py, net_plotter.py, h5_util.py.
"""

from surfaceviz.reference_format.directions import (
    direction_shapes,
    holds_directions,
    read_direction_file,
    write_direction_file,
)
from surfaceviz.reference_format.reading import read_reference
from surfaceviz.reference_format.writing import companions, write_reference

__all__ = [
    "companions", "direction_shapes", "holds_directions", "read_direction_file", "read_reference",
    "write_direction_file", "write_reference",
]  # fmt: skip
