"""Slices for other programs: ParaView, Blender, printers, pandas, xarray."""
