"""Signals are noticed, agreed on, and at the second time final."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from alignjax.train.signals import EXIT_STOPPED, Signals, Stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_asked_and_said(number):
  said, told = [], threading.Event()

  def say(text):
    said.append(text)
    told.set()

  before = signal.getsignal(number)
  with Signals(say) as signals:
    assert not signals.agreed()
    os.kill(os.getpid(), number)
    assert told.wait(5)
    assert signals.agreed()
  assert said == [
    f"{signal.Signals(number).name}: saving after this step; "
    "once more ends it at once"
  ]
  assert signal.getsignal(number) is before


def test_other_signals_are_left_alone():
  caught = threading.Event()
  before = signal.signal(signal.SIGUSR1, lambda *_: caught.set())
  try:
    with Signals(print) as signals:
      os.kill(os.getpid(), signal.SIGUSR1)
      assert caught.wait(5)
      assert not signals.asked
  finally:
    signal.signal(signal.SIGUSR1, before)


def test_it_can_be_entered_again_and_outside_the_main_thread():
  for _ in range(2):
    with Signals(print):
      pass
  found = []

  def inside():
    with Signals(print) as signals:
      found.append(signals.agreed())

  thread = threading.Thread(target=inside)
  thread.start()
  thread.join()
  assert found == [False]


def test_no_signal_finds_a_closed_pipe(monkeypatch):
  plain, found = os.close, []

  def close(file):
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    found.append((file, before))
    plain(file)

  before = signal.getsignal(signal.SIGTERM)
  thread = threading.current_thread()
  with monkeypatch.context() as patch:
    patch.setattr(
      os,
      "close",
      lambda f: close(f) if threading.current_thread() is thread else plain(f),
    )
    with Signals(print):
      pass
  assert found and all(file != open_ for file, open_ in found)
  assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_ends_it_in_the_middle_of_a_long_call(root):
  # A C function that lets go of the interpreter, as a compilation does; a
  # handler of Python's would wait for it.
  code = """
import ctypes
from alignjax.train.signals import Signals
def say(text):
  print(text, flush=True)
  raise OSError("the terminal is gone")
with Signals(say):
  print("ready", flush=True)
  until = ctypes.CDLL(None)
  for _ in range(20):
    until.sleep(30)  # a signal cuts it short
"""
  process = subprocess.Popen(
    [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True
  )
  try:
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert "SIGTERM" in process.stdout.readline()
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
  finally:
    process.kill()


def test_stopped_is_an_exit_status():
  error = Stopped(12)
  assert error.code == EXIT_STOPPED == 75 and error.step == 12
  assert isinstance(error, SystemExit)
