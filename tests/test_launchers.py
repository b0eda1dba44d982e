"""scripts/tpu_vm.sh against a stand-in for gcloud, and scripts/slurm.sh."""

import os
import shutil
import subprocess

import pytest

NAMES = {
  "TPU_NAME": "dpo",
  "TPU_ZONE": "us-west4-a",
  "TPU_TYPE": "v5litepod-16",
  "TPU_BUCKET": "gs://bucket/runs",
  "TPU_POLL_S": "0",
}
# Writes down what it is called with; a line of `answers` is what it says, and
# its status: 1 where it begins with "!".
GCLOUD = """#!/usr/bin/env bash
cd "$(dirname "$0")"
printf '%s\\n' "${*//$'\\n'/ }" >> calls
case "$*" in
  *describe*|*"ssh "*)
    IFS= read -r answer < answers && sed -i 1d answers
    printf '%s\\n' "${answer#!}"
    [ "${answer#!}" = "$answer" ] ;;
esac
"""


def write(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)
  path.chmod(0o755)


@pytest.fixture
def tpu(root, tmp_path):
  """Runs scripts/tpu_vm.sh; gives (status, output, what gcloud was told)."""
  write(tmp_path / "gcloud", GCLOUD)

  def go(*arguments, answers=(), **names):
    (tmp_path / "answers").write_text("".join(a + "\n" for a in answers))
    (tmp_path / "calls").write_text("")
    names = NAMES | names
    done = subprocess.run(
      [root / "scripts" / "tpu_vm.sh", *arguments],
      env=os.environ | names | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      timeout=60,
    )
    assert (tmp_path / "answers").read_text() == ""
    calls = (tmp_path / "calls").read_text().splitlines()
    return done.returncode, done.stdout, calls

  return go


def verbs(calls):
  """What was asked: create, describe, delete, scp, ssh of whom."""
  found = []
  for call in calls:
    words = call.split()
    assert words[:2] == ["compute", "tpus"] and "--zone us-west4-a" in call
    verb = words[3]
    worker = call.partition("--worker ")[2].split()[:1] if verb == "ssh" else []
    found.append(" ".join([verb, *worker]))
  return found


def test_a_slice_is_waited_for(tpu):
  waiting = ["WAITING_FOR_RESOURCES", "! no network", "PROVISIONING", "ACTIVE"]
  status, said, calls = tpu("create", answers=waiting, TPU_SPOT="yes")
  assert status == 0, said
  assert calls[0] == (
    "compute tpus queued-resources create dpo --node-id dpo "
    "--accelerator-type v5litepod-16 --runtime-version v2-alpha-tpuv5-lite "
    "--spot --zone us-west4-a"
  )
  assert verbs(calls[1:]) == ["describe"] * 4
  assert "dpo: WAITING_FOR_RESOURCES" in said
  status, said, calls = tpu("create", answers=["FAILED"])
  assert status == 1 and "dpo was not given: FAILED" in said
  assert "--spot" not in calls[0]


def test_a_run_goes_on_after_a_preemption(tpu):
  begun = ["!ERROR: NOT_FOUND: no such resource", "ACTIVE", "installed"]
  lost = ["! preempted", "!no host", "SUSPENDED", "ACTIVE", "installed"]
  saved = ["", "75", "ACTIVE", "there"]
  arguments = ["--config", "configs/dpo.py", "--config.seed=3"]
  status, said, calls = tpu(
    "run", *arguments, answers=[*begun, *lost, *saved, "done", "0"]
  )
  assert status == 0, said
  new = ["create", "describe", "scp", "ssh all"]
  assert verbs(calls) == (
    ["describe", *new, "ssh all", "ssh 0"]
    + ["describe", "delete", *new, "ssh all", "ssh 0"]
    + ["describe", "ssh all", "ssh all", "ssh 0"]
  )
  began = [call for call in calls if " attach " in call]
  assert len(began) == 3 and len(set(began)) == 1
  assert began[0].endswith(
    "--command cd alignjax && env TPU_NAME=dpo TPU_BUCKET=gs://bucket/runs "
    "scripts/tpu_vm.sh attach --config configs/dpo.py --config.seed=3"
  )
  assert said.count("was interrupted, and goes on") == 2
  assert "dpo: finished" in said


def test_a_run_that_fails_is_not_repeated(tpu):
  answers = ["ACTIVE", "there", "", "1", "error: no such config"]
  status, said, _ = tpu("run", answers=answers)
  assert status == 1
  assert "error: no such config" in said and "ended with status 1" in said


def test_a_slice_is_given_back(tpu):
  status, said, calls = tpu("stop", answers=["ACTIVE", ""])
  assert status == 0, said
  assert verbs(calls) == ["describe", "ssh all", "delete"]
  assert "pkill -TERM" in calls[1] and "--force --quiet" in calls[2]
  assert verbs(tpu("stop", answers=["SUSPENDED"])[2]) == ["describe", "delete"]
  assert verbs(tpu("logs", answers=[""])[2]) == ["ssh 0"]


@pytest.mark.parametrize("verb", ["create", "setup", "run", "logs", "stop"])
def test_a_dry_run_asks_nobody(tpu, verb):
  status, said, calls = tpu("--dry-run", verb)
  assert status == 0 and not calls
  assert "+ gcloud compute tpus " in said
  assert "NONE" not in said and "error" not in said


def test_what_is_missing_is_named(tpu):
  for verb in ("create", "logs"):
    status, said, calls = tpu(verb, TPU_NAME="")
    assert status == 1 and not calls and "TPU_NAME is not set" in said
  assert "TPU_BUCKET is not set" in tpu("run", TPU_BUCKET="")[1]
  assert "set TPU_VERSION" in tpu("create", TPU_TYPE="v4-8")[1]
  status, said, _ = tpu("destroy")
  assert status == 2 and "create" in said


TRAIN = """#!/usr/bin/env bash
echo "$@" >> trained
echo begun
sleep 1
echo ended
exit "$(cat status)"
"""


def test_a_host_trains_once(root, tmp_path):
  """Whoever comes later waits for the run that is there."""
  for name, text in (
    (".venv/bin/alignjax", TRAIN),
    ("bin/gcloud", '#!/bin/sh\necho "$@" >> copied\n'),
    ("bin/hostname", "#!/bin/sh\necho t1v-n-0123-w-0\n"),
  ):
    write(tmp_path / name, text)
  (tmp_path / "scripts").mkdir()
  script = shutil.copy(root / "scripts" / "tpu_vm.sh", tmp_path / "scripts")
  (tmp_path / "status").write_text("75")
  path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
  both = [
    subprocess.Popen(
      [script, "attach", "--config", "configs/a b.py"],
      env=os.environ | NAMES | {"PATH": path},
      stdout=subprocess.PIPE,
      text=True,
    )
    for _ in range(2)
  ]
  said = [process.communicate(timeout=60)[0] for process in both]
  assert [process.returncode for process in both] == [0, 0]
  assert all("ended" in text for text in said)
  assert (tmp_path / "trained").read_text() == (
    "train --hosts=auto --workdir runs/dpo --config.checkpoint.folder="
    "gs://bucket/runs/dpo/checkpoints --config configs/a b.py\n"
  )
  assert (tmp_path / "runs" / "dpo.status").read_text() == "75\n"
  copied = (tmp_path / "copied").read_text().splitlines()
  there = "gs://bucket/runs/dpo/run"
  assert copied == [
    f"storage rsync -r {there} runs/dpo",
    f"storage rsync -r runs/dpo {there}",
  ]


SRUN = """#!/usr/bin/env bash
# Two tasks on this machine, as SLURM would start them.
while [[ $1 == --* ]]; do shift; done
export SLURM_JOB_ID=4243 SLURM_STEP_NODELIST=localhost SLURM_NTASKS=2
export SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NUM_NODES=1
export SLURM_JOB_NUM_NODES=1 SLURM_STEP_TASKS_PER_NODE=2
for i in 0 1; do
  SLURM_PROCID=$i SLURM_LOCALID=$i "$@" 2> "$HERE/err.$i" & started+=($!)
done
worst=0
for task in "${started[@]}"; do
  wait "$task" || { code=$?; ((code > worst)) && worst=$code; }
done
exit "$worst"
"""


def test_a_job_of_two_tasks(root, tmp_path):
  """The line of srun is one run; what was interrupted is queued again."""
  write(tmp_path / "bin" / "srun", SRUN)
  write(tmp_path / "bin" / "scontrol", '#!/bin/sh\necho "$@" > $HERE/queued\n')
  names = {
    "HERE": str(tmp_path),
    "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
  }
  run = tmp_path / "run"
  done = subprocess.run(
    [root / "scripts" / "slurm.sh", "--config=configs/sft.py:tiny"]
    + ["--workdir", str(run), "--config.mesh=2,1,1", "--config.train.steps=6"]
    + ["--config.data.max_length=96", "--config.train.batch=8"]
    + ["--config.train.eval_every=0", "--config.sample.count=0"]
    + ["--config.data.workers=1", "--config.log.tensorboard=False"],
    cwd=root,
    env=os.environ | names,
    timeout=240,
  )
  said = "".join((tmp_path / f"err.{i}").read_text() for i in (0, 1))
  assert done.returncode == 0, said
  assert len((run / "metrics.jsonl").read_text().splitlines()) == 6
  assert not (tmp_path / "queued").exists()

  write(tmp_path / "bin" / "srun", "#!/bin/sh\nexit 75\n")
  again = subprocess.run(
    [root / "scripts" / "slurm.sh"],
    cwd=root,
    env=os.environ | names | {"SLURM_JOB_ID": "4243"},
  )
  assert again.returncode == 75
  assert (tmp_path / "queued").read_text() == "requeue 4243\n"
