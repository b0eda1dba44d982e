"""What a run says where a checkpoint could not be written."""

import errno
import re

LONG = 250  # characters; errors of libraries go on for lines

# What is found in an error's text → the remedy. Arrays are written by
# libraries that keep only the text of an error of the system.
REMEDIES = {
  errno.ENOSPC: (
    "No space left",
    "Free space there, or lower checkpoint.keep.",
  ),
  errno.EDQUOT: (
    "quota exceeded",
    "Raise the quota, or lower checkpoint.keep.",
  ),
  errno.EROFS: ("Read-only file system", "Mount it for writing."),
  errno.EACCES: ("Permission denied", "Allow writing there."),
  errno.ENOENT: ("No such file", "Mount the disk again, or make the folder."),
}


def lost(where: str, error: Exception, good: int | None) -> str:
  """The message of a save that failed; `good` is the last step that did not."""
  text = " ".join(str(error).split())
  short, remedy = text[:LONG], "Look at the disk."
  for number, (words, what) in REMEDIES.items():
    if getattr(error, "errno", None) == number or words.lower() in text.lower():
      host = re.match(r"Host \d+: |", text)[0]
      short, remedy = text if len(text) <= LONG else host + words, what
      break
  return "\n".join(
    (
      f"{where} was not saved: {short.rstrip('.')}.",
      "No checkpoint is saved yet."
      if good is None
      else f"The last good checkpoint is step {good}.",
      f"{remedy} The same command then continues; checkpoint.on_error="
      "continue trains on without.",
    )
  )
