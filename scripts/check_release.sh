#!/usr/bin/env bash
# Build, check and install a release, and run it outside the checkout. Needs a package index, and takes some minutes.
#   scripts/check_release.sh [FOLDER]    FOLDER keeps what is built and written; by default it is temporary
# 1. sdist and wheel are built and checked, and CITATION.cff is validated.
# 2. The wheel alone is installed: every command works, or names its extra in one line.
# 3. The wheel with the extra `all` is installed: the default job, a study and a page.
# 4. The commands of Dockerfile and surfaceviz.def run in their order, on the unpacked sdist. Docker itself is not needed.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
python=$(command -v "$checkout/.venv/bin/python" || command -v python3)
if [ $# -gt 0 ]; then
  mkdir -p "$1" && folder=$(cd "$1" && pwd)
else
  folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
fi
unset PYTHONPATH
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

say() { echo "== $*"; }
run() { echo "+ $*"; "$@"; }
# Fail unless a command fails with a single line that names an extra.
names_extra() {
  echo "+ $*"
  if "$@" 2>line; then echo "it did not fail"; return 1; fi
  cat line
  [ "$(wc -l <line)" = 1 ] && grep -q "pip install 'surfaceviz\[$extra\]'" line
}

say "build"
"$python" -m venv "$folder/tools"
"$folder/tools/bin/python" -m pip install -q build twine cffconvert
"$folder/tools/bin/python" -m build -o "$folder/dist" "$checkout"
"$folder/tools/bin/twine" check --strict "$folder"/dist/*
"$folder/tools/bin/cffconvert" --validate -i "$checkout/CITATION.cff"
"$python" "$checkout/scripts/check_wheel.py" "$folder"/dist/*.whl "$folder"/dist/*.tar.gz

say "the wheel alone"
wheel=$(echo "$folder"/dist/*.whl)
"$python" -m venv "$folder/fresh"
export PATH="$folder/fresh/bin:$PATH"
mkdir -p "$folder/plain" && cd "$folder/plain"
pip install -q -c "$checkout/constraints.txt" "$wheel"
du -sh "$folder/fresh"
python -c "import sys, importlib.util as u; sys.exit(any(map(u.find_spec, sys.argv[1:])))" \
  mpi4py pyvista vtkmodules plotly imageio sklearn
run surfaceviz --version
run surfaceviz slice
run surfaceviz info resnet20-digits.h5
run surfaceviz plot resnet20-digits.h5 --kind filled -o filled.png
run surfaceviz plot resnet20-digits.h5 --kind surface -o surface.png
run surfaceviz hessian resnet20-digits.h5 --top 1 --samples 200
run surfaceviz study five-points --quick
extra=report names_extra surfaceviz report resnet20-digits.h5
extra=movie names_extra surfaceviz plot resnet20-digits.h5 --animate orbit -o orbit.gif

say "the wheel with the extra all"
mkdir -p "$folder/whole" && cd "$folder/whole"
pip install -q -c "$checkout/constraints.txt" "$wheel[all]"
du -sh "$folder/fresh"
run surfaceviz slice
run surfaceviz study five-points
run surfaceviz report resnet20-digits.h5
run surfaceviz plot resnet20-digits.h5 --kind surface -o surface.png

say "the recipes, except what asks for Debian's packages"
mkdir -p "$folder/src" "$folder/image" && cd "$folder/image"
tar -xzf "$folder"/dist/*.tar.gz --strip-components 1 -C "$folder/src"
deactivated=${PATH#*:}
for recipe in Dockerfile surfaceviz.def; do
  "$python" -m venv --clear "$folder/image/venv"
  PATH="$folder/image/venv/bin:$deactivated"
  # RUN lines of the one; lines of %post and %test of the other.
  if [ $recipe = Dockerfile ]; then
    commands=$(sed -n 's/^RUN //p' "$folder/src/$recipe")
  else
    commands=$(sed -n '/^%post/,/^%environment/p; /^%test/,/^%help/p' "$folder/src/$recipe" | sed -n 's/^    *//p')
  fi
  grep -vE 'apt-get|^rm -rf|^export' <<<"$commands" | sed "s,/src,$folder/src,g" >"$recipe.sh"
  cat "$recipe.sh"
  bash -euo pipefail "$recipe.sh"
  run surfaceviz slice mlp-digits --axis=-1:1:5 -o "$recipe.h5"
done
say "all is well"
