"""A dataset, or a translation folder, on one HTML page that needs no other file and no network."""

from nirgen.report.gallery import ReportOptions
from nirgen.report.page import Written, write_report

__all__ = ["ReportOptions", "Written", "write_report"]
