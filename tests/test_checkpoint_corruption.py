"""One case of each kind of damage; scripts/corruption_survey.py has 222."""

import pytest
from checkpoint_states import same, state_of

from alignjax.checkpoint import Checkpoints
from scripts import corruption_survey as survey


@pytest.fixture(scope="module")
def found():
  return survey.survey(survey.Ours(), 1, dict.fromkeys(survey.COUNTS, 3))


def test_nothing_is_silently_wrong_and_the_damage_is_named(found):
  assert [row for row in found if row[2] != survey.BACK] == []


def test_every_kind_of_file_is_hit(found):
  kinds = {kind for _, kind, _ in found}
  assert {"COMMIT", "manifest.0.json", "record.json", "d/*"} <= kinds
  assert len(kinds) >= 12


def test_the_survey_can_fail():
  class Blind(survey.Ours):
    def restore(self, folder):
      return 3, survey.state_of(2), []

  assert {row[2] for row in survey.survey(Blind(), 0, {"deleted": 1})} == {
    survey.WRONG
  }


@pytest.fixture
def checkpoints(tmp_path):
  made = Checkpoints(
    tmp_path / "run", keep=9, keep_every=0, on_error="stop", say=str
  )
  for step in (10, 20, 30):
    made.save(step, state_of(step), {})
  made.wait()
  yield made
  made.close()


def test_a_file_that_nobody_wrote_down_is_a_fault(checkpoints):
  (checkpoints.folder / "30" / "params" / "extra").touch()
  assert checkpoints.newest().passed == ["run/30: params/extra: in no manifest"]


def test_the_step_before_the_step_before(checkpoints):
  for step in (20, 30):
    (checkpoints.folder / str(step) / "record.json").write_text("[]")
  found = checkpoints.newest()
  assert found.step == 10 and len(found.passed) == 2
  assert found.passed[0].startswith("run/30: record.json: 2 bytes, not ")
  same(checkpoints.restore(10, state_of(0)), 10)
  checkpoints.tidy()
  names = sorted(p.name for p in checkpoints.folder.iterdir())
  assert names == ["10", "20.damaged", "30.damaged"]
  assert checkpoints.newest() == (10, {}, [])


def test_no_whole_step_is_an_error_not_a_fresh_start(checkpoints):
  for step in (10, 20, 30):
    (checkpoints.folder / str(step) / "COMMIT").write_text("{}")
  with pytest.raises(ValueError) as error:
    checkpoints.newest()
  lines = str(error.value).splitlines()
  assert len(lines) == 5 and lines[0].endswith("no checkpoint is whole.")
  assert lines[1] == "run/30: COMMIT: damaged, or of another step"
  assert "Put back a copy" in lines[-1]
