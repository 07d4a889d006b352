#!/usr/bin/env bash
# Runs what an interpreter can change under every Python from 3.11 to 3.13 that is found: fingerprints, records, plans,
# configs, recipes and what Snakemake would run. Each has a small environment of its own, .venv-3.12 for instance, without
# torch: what torch computes, `make test` tests, under whichever Python it is given (make test PYTHON=python3.12).
set -u
cd "$(dirname "$0")/.."

TESTS="tests/results/test_fingerprint.py tests/results/test_records.py tests/results/test_standing.py tests/results/test_plan.py
    tests/committed/test_evidence.py tests/test_config.py tests/test_recipes.py tests/test_cells.py tests/test_plans.py"
LEFT_OUT="torch|torchvision|triton|nvidia"

interpreter() { # the first that runs: a name on the PATH may be that of a version manager, which has no such version
    for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1"*/bin/python; do
        if "$python" -c "import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" > /dev/null 2>&1; then
            echo "$python"
            return
        fi
    done
}

status=0
tried=0
for version in 3.11 3.12 3.13; do
    python=$(interpreter "$version")
    if [ -z "$python" ]; then
        echo "Python $version: not found here"
        continue
    fi
    if [ "$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null)" = "$version" ]; then
        echo "Python $version: .venv has it, so that make test runs all tests under it"
        tried=$((tried + 1))
        continue
    fi
    venv=.venv-$version
    if ! [ -e "$venv/ready" ] || [ "$(cat "$venv/ready")" != "$(pwd -P)" ] || [ constraints.txt -nt "$venv/ready" ]; then
        echo "Python $version: setting up $venv (some minutes, once)"
        rm -rf "$venv"
        "$python" -m venv "$venv" &&
            "$python" -c '
import re, sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
needed = project["dependencies"] + project["optional-dependencies"]["test"]
print("\n".join(name for name in needed if not re.match(sys.argv[1], name)))
' "$LEFT_OUT" > "$venv/requirements.txt" &&
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
                --requirement "$venv/requirements.txt" &&
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable . &&
            pwd -P > "$venv/ready" || {
            echo "Python $version: $venv could not be set up"
            status=1
            continue
        }
    fi
    echo "Python $version"
    tried=$((tried + 1))
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pytest -p no:cacheprovider $TESTS || status=1
done
[ $tried -gt 0 ] || { echo "No Python from 3.11 to 3.13 was found"; status=1; }
exit $status
