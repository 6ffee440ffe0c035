"""The interactive page: records in, one HTML file out that needs no network."""

from surfaceviz.render.report.page import page, save_page
from surfaceviz.render.report.payload import payload

__all__ = ["page", "payload", "save_page"]
