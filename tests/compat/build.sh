#!/usr/bin/env bash
# Fetches other people's clients and builds the programs that try them, all into target/compat. A language that
# is not here is left out: its tests say so.
set -euo pipefail
cd "$(dirname "$0")/../.."
built="$PWD/target/compat"
sources="$PWD/tests/compat"
mkdir -p "$built"

have() { command -v "$1" >/dev/null || { echo "no $1: its clients are left out"; return 1; }; }

if have python3; then
    [ -x "$built/python/bin/python" ] || python3 -m venv "$built/python"
    "$built/python/bin/python" -m pip install --quiet --disable-pip-version-check -r "$sources/python/requirements.txt"
fi
if have go; then
    (cd "$sources/go" && go build -o "$built/go/" ./franz ./sarama)
fi
if have npm; then
    mkdir -p "$built/node"
    cp "$sources"/node/*.js "$sources"/node/package*.json "$built/node/"
    (cd "$built/node" && npm ci --silent --ignore-scripts --no-audit --no-fund)
fi
if have javac && [ -s target/java-classpath ]; then
    javac -nowarn -cp "$(cat target/java-classpath)" -d "$built/java" "$sources"/java/*.java
fi
