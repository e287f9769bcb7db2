#!/usr/bin/env bash
# Kills the leader of a partition under load on the cluster of `make cluster`, which it starts if need be.
# TRIALS=20 for figures; KILL=controller kills a leader that is the active controller too.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/cluster.sh up > /dev/null
# shellcheck disable=SC1091
. target/cluster/env
exec "${DRAVE:-target/release/drave}" drill --bootstrap "$BOOTSTRAP" --http "$HTTP" \
    --kill "${KILL:-leader}" --trials "${TRIALS:-1}" \
    --pid-file 'target/cluster/node{}/pid' --restart 'deploy/cluster.sh start {}'
