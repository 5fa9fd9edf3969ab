"""The report: one HTML file that shows what a store holds, and says what is missing. It loads nothing from anywhere."""

from wmsd_core.bench.report.page import Written, write_report

__all__ = ["Written", "write_report"]
