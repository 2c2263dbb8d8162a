"""A comparison as one HTML file that needs nothing else: tables, plots, and every question.

Reads results of schema 1 as `memsvc compare` and `memsvc bench` write them. Knows no server.
"""

from __future__ import annotations

from memsvc_client.report.page import render
from memsvc_client.report.reading import ReportError, load_results

__all__ = ["ReportError", "load_results", "render"]
