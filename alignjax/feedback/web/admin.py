"""What those who run a study see: how far it is, and what the votes say."""

from datetime import UTC, datetime

from starlette.responses import Response

from alignjax.feedback import report, votes
from alignjax.feedback.choices import KEPT, REASONS
from alignjax.feedback.web.pages import Asked, Pages

EVERY = 30  # seconds between two pictures of a page that is left open
COMMENTS = 50  # the latest, that are shown

HEADS = ("Left", "Ties", "Both bad", "Gold", "Itself", "Others", "Longer")


class Admin:
  """The page with the numbers; it changes nothing."""

  def __init__(self, pages: Pages):
    self.pages = pages

  def show(self, asked: Asked) -> Response:
    """The numbers now; with intervals, and again and again, if asked to."""
    query = asked.request.query_params
    spread, live = "intervals" in query, "live" in query
    store = self.pages.store
    found = report.report(store, spread=spread)
    response = self.pages.render(
      "admin.html",
      asked,
      found=found,
      flagged=sum(bool(row.flags) for row in found.raters),
      agreement=_agreement(found),
      raters=[
        (row, _cells(row.numbers))
        for row in found.raters
        if row.rater.role == "rater"
      ],
      heads=HEADS,
      said=votes.comments(store, COMMENTS),
      latest=COMMENTS,
      kinds=REASONS,
      choices=KEPT,
      share=report.share,
      estimate=report.estimate,
      moment=_moment,
      at=_moment(store.now()),
      every=EVERY,
      spread=spread,
      live=live,
    )
    if live:
      response.headers["Refresh"] = str(EVERY)
    return response


def _agreement(found: report.Report) -> list[tuple]:
  """(name, what it is of, estimate) of each measure."""
  a = found.agreement
  return [
    ("Krippendorff’s α, nominal", "which answer wins", a.nominal),
    ("Krippendorff’s α, ordinal", "five steps, without both bad", a.ordinal),
    (
      "Fleiss’ κ",
      f"which answer wins, of pairs with {a.raters} votes",
      a.fleiss,
    ),
    ("Raw agreement", "two votes with the same winner", a.raw),
  ]


def _cells(n: report.Numbers) -> list[str]:
  """A rater's shares, in the order of `HEADS`."""
  return [
    *map(report.share, (n.left, n.ties, n.both_bad, n.gold, n.itself)),
    report.estimate(n.others),
    report.share(n.longer),
  ]


def _moment(at: float) -> str:
  return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
