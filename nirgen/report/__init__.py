"""A dataset, or a translation folder, on one HTML page that needs no other file and no network."""

from nirgen.report.options import ReportOptions
from nirgen.report.writing import Written, write_report

__all__ = ["ReportOptions", "Written", "write_report"]
