#!/usr/bin/env bash
# The gate: lint, types, tests with doctests on all cores. Run by people, by CI and before a commit.
#   scripts/check.sh          everything but the tests marked `long`
#   scripts/check.sh --quick  without the tests marked `slow` too: under three minutes
#   scripts/check.sh --long   everything
# Further arguments go to pytest: scripts/check.sh --quick tests/render -x
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ]; then PATH="$PWD/.venv/bin:$PATH"; fi
tests=(-m "not long")
case "${1-}" in
  --quick) tests=(-m "not long and not slow"); shift ;;
  --long) tests=(-m ""); shift ;;
esac
# The tests run jobs under both MPIs. Each has its own mpirun, so MPICH is installed apart.
if [ ! -x build/mpich/bin/mpiexec ]; then
  python -m venv --without-pip build/mpich
  python -m pip --python build/mpich/bin/python install -q -c constraints.txt mpich
fi
ruff format --check .
ruff check .
mypy
# One thread in each process: the tests' processes are as many as the cores.
export OMP_NUM_THREADS=1
pytest -n auto --dist worksteal "${tests[@]}" "$@"
