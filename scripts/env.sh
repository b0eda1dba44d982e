# The one place that makes .venv. A script sources it from the root of the
# repository and calls `prepare [EXTRA]`, which returns at once where nothing
# has changed. PYTHON=... chooses the interpreter (3.11 or newer).
# shellcheck shell=bash

# Whether an interpreter is new enough and can make environments.
suits() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
    >/dev/null 2>&1
}

version_of() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null; }

# The interpreter for a new .venv: $PYTHON, else the newest one tested with.
find_python() {
  local name names=(python3.13 python3.12 python3.11 python3 python)
  [ -z "${PYTHON:-}" ] || names=("$PYTHON")
  for name in "${names[@]}"; do
    if suits "$name"; then
      echo "$name"
      return
    fi
  done
  echo "error: no Python of 3.11 or newer with venv (tried ${names[*]})." >&2
  echo "  Install one, python3-venv with it on Debian and Ubuntu, or set" \
    "PYTHON=/path/to/python3." >&2
  return 1
}

# What an installation depends on. The path is part of it: console commands
# and editable installs hold absolute ones.
stamp() {
  { pwd; version_of "${PYTHON:-.venv/bin/python}"; cat setup.py \
    constraints.txt; } | cksum
}

# Whether .venv is whole, and of the version that $PYTHON asks for.
usable() {
  suits .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1 &&
    [ "$(version_of "${PYTHON:-.venv/bin/python}")" = \
      "$(version_of .venv/bin/python)" ]
}

prepare() {
  local extra=${1:-} python
  local target=.${extra:+[$extra]} done=.venv/installed${extra:+-$extra}
  if suits .venv/bin/python && [ "$(stamp)" = "$(cat "$done" 2>&1)" ]; then
    return
  fi
  if ! usable; then
    python=$(find_python)
    echo "making .venv with $("$python" --version)" >&2
    "$python" -m venv --clear .venv
  fi
  echo "installing alignjax${extra:+[$extra]} into .venv (1.8 GB, some minutes" \
    "the first time)" >&2
  rm -f "$done"
  # -qq: errors alone.
  .venv/bin/python -m pip install -qq --disable-pip-version-check \
    -c constraints.txt -e "$target"
  stamp > "$done"
}
