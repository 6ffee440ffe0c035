#!/usr/bin/env bash
# The whole gate: lint, types, tests with doctests. Run by people, by CI and before a commit.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ]; then PATH="$PWD/.venv/bin:$PATH"; fi
# The tests run jobs under both MPIs. Each brings an mpirun of its own, so MPICH lives apart.
if [ ! -x build/mpich/bin/mpiexec ]; then
  python -m venv --without-pip build/mpich
  python -m pip --python build/mpich/bin/python install -q -c constraints.txt mpich
fi
ruff format --check .
ruff check .
mypy
pytest "$@"
