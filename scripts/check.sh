#!/usr/bin/env bash
# The whole gate: lint, types, tests with doctests. Run by people, by CI and before a commit.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ]; then PATH="$PWD/.venv/bin:$PATH"; fi
ruff format --check .
ruff check .
mypy
pytest "$@"
