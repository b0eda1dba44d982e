"""`report.html` of a run folder: one file, nothing fetched, no script."""

from alignjax.report.write import write_report

__all__ = ["write_report"]
