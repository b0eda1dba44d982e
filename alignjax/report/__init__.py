"""`report.html` of a run folder, or of a pipeline's: one file, nothing fetched,
no script."""

from alignjax.report.pipeline import write_pipeline_report
from alignjax.report.write import write_report

__all__ = ["write_pipeline_report", "write_report"]
