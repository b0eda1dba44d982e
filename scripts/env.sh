# The one place that makes .venv. A script sources it from the root of the
# repository and calls `prepare [EXTRA]`; it returns at once where nothing has
# changed. PYTHON=... chooses the interpreter (3.11 or newer).
# shellcheck shell=bash

suits() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
    >/dev/null 2>&1
}

# The interpreter for a new .venv: $PYTHON, else the newest one tested with.
find_python() {
  local name
  for name in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
    if suits "$name"; then
      echo "$name"
      return
    fi
  done
  echo "error: no Python of 3.11 or newer with venv and pip" \
    "(tried ${PYTHON:-python3.13, python3.12, python3.11, python3})." >&2
  echo "  Install one (on Debian and Ubuntu python3-venv too), or set" \
    "PYTHON=/path/to/python3." >&2
  return 1
}

version_of() { "$1" -c 'import sys; print(sys.version)'; }

# What an installation depends on. The path is part of it: console commands
# and editable installs hold absolute ones.
stamp() {
  { pwd; version_of .venv/bin/python; cat setup.py constraints.txt; } | cksum
}

prepare() {
  local extra=${1:-} python target=. done=.venv/installed
  [ -z "$extra" ] || { target=".[$extra]" done="$done-$extra"; }
  if ! suits .venv/bin/python || ! .venv/bin/python -m pip --version \
    >/dev/null 2>&1 || { [ -n "${PYTHON:-}" ] &&
    [ "$(version_of "$PYTHON")" != "$(version_of .venv/bin/python)" ]; }; then
    python=$(find_python)
    echo "making .venv with $("$python" --version)" >&2
    "$python" -m venv --clear .venv
  fi
  if [ "$(cat "$done" 2>/dev/null)" != "$(stamp)" ]; then
    echo "installing alignjax$extra into .venv (some minutes the first time," \
      "1.5 GB)" >&2
    rm -f "$done"
    .venv/bin/python -m pip install -q --disable-pip-version-check \
      -c constraints.txt -e "$target"
    stamp > "$done"
  fi
}
