import pytest

from alignjax.checkpoint import differing, refuse

FOUND = {"model": "tiny", "seed": 0, "mesh": [1, 2], "steps": 9, "rows": 4}


def test_what_differs_is_named():
  wanted = {"model": "tiny", "mesh": (1, 2), "seed": 1, "loss": "sft"}
  assert differing(FOUND, wanted) == [
    "seed = 0; the config says 1",
    "loss = None; the config says 'sft'",
  ]
  # A key that was not recorded differs even where the config says None.
  assert differing({}, {"a": None}) == ["a = None; the config says None"]


def test_the_run_itself_is_not_refused():
  refuse(FOUND, FOUND)
  refuse(FOUND, {})


def test_another_run_is_refused_naming_all_that_differs():
  wanted = {k: "other" for k in FOUND}
  with pytest.raises(ValueError) as error:
    refuse(FOUND, wanted)
  message = str(error.value)
  assert "model = 'tiny'; the config says 'other'" in message
  assert all(k in message for k in FOUND)
  assert "--workdir" in message and len(message.splitlines()) == 5
