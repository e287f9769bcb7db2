#!/usr/bin/env bash
# Three nodes on this machine: up, stop, clean, kill N, start N. Everything lives in target/cluster.
# The same flags at the first start and at every later one; nothing is formatted, nothing sleeps.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${BASE:-9092}
drave=${DRAVE:-$PWD/target/release/drave}
home=$PWD/target/cluster
host=127.0.0.1
nodes=(1 2 3)
patience_s=${PATIENCE:-30}

# Configuration comes from the files below alone: an exported key would reach all three nodes alike.
for name in ${!DRAVE_@}; do
    case $name in DRAVE_LOG | DRAVE_LOG_FORMAT) ;; *) unset "$name" ;; esac
done

fail() { echo "cluster: $*" >&2; exit 1; }

[ -x "$drave" ] || fail "$drave is not there; make build"

broker_port() { echo $((base + $1 - 1)); }
controller_port() { echo $((base + 100 + $1 - 1)); }
http_port() { echo $((base + 200 + $1 - 1)); }

# comma_list FUNCTION [PREFIX]: an address of each node.
comma_list() {
    local all=() n
    for n in "${nodes[@]}"; do all+=("${2:-}$host:$("$1" "$n")"); done
    local IFS=,
    echo "${all[*]}"
}

bootstrap() { comma_list broker_port; }
http() { comma_list http_port http://; }

# The pid of a node that runs. After a reboot its number may be someone else's: the arguments decide.
pid_of() {
    local pid
    pid=$(cat "$home/node$1/pid" 2>/dev/null) || return 1
    ps -ww -o args= -p "$pid" 2>/dev/null | grep -qF -- "$home/node$1/server.properties" || return 1
    echo "$pid"
}

write_config() {
    local n=$1 dir=$home/node$1
    mkdir -p "$dir"
    cat > "$dir/server.properties" <<PROPERTIES
# Written by deploy/cluster.sh at every start.
node.id=$n
process.roles=broker,controller
listeners=PLAINTEXT://$host:$(broker_port "$n"),CONTROLLER://$host:$(controller_port "$n")
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=$(comma_list controller_port)
http.listeners=HTTP://$host:$(http_port "$n")
log.dirs=$dir/data
PROPERTIES
}

# A cluster remembers its addresses, so it comes back on the ports it was made with.
check_base() {
    local made_with
    mkdir -p "$home"
    made_with=$(cat "$home/base" 2>/dev/null) || made_with=$base
    [ "$made_with" = "$base" ] ||
        fail "the cluster in $home was made with BASE=$made_with; use that, or make cluster-clean first"
    echo "$base" > "$home/base"
}

launch() {
    local n=$1 dir=$home/node$1
    write_config "$n"
    # Its own session: an interrupt meant for make must not stop the cluster.
    setsid "$drave" start --config "$dir/server.properties" < /dev/null >> "$dir/log" 2>&1 &
    echo $! > "$dir/pid"
    disown
}

write_env() {
    local pids=() n
    for n in "${nodes[@]}"; do pids+=("$(pid_of "$n" || true)"); done
    cat > "$home/env" <<ENV
BOOTSTRAP=$(bootstrap)
HTTP=$(http)
PIDS="$(echo ${pids[*]})"
ENV
}

# wait_ready ADDRESSES NODE...: until each of the nodes is ready, or one of them is gone.
wait_ready() {
    local addresses=$1 n dead=0 watched=()
    shift
    for n in "$@"; do watched+=(--while-runs "$(cat "$home/node$n/pid")"); done
    "$drave" cluster wait --http "$addresses" --timeout "$patience_s" "${watched[@]}" && return
    for n in "$@"; do
        pid_of "$n" > /dev/null && continue
        dead=1
        echo "node $n stopped; the end of $home/node$n/log:" >&2
        tail -n 3 "$home/node$n/log" | sed 's/^/  /' >&2
    done
    [ $dead = 1 ] || echo "the nodes log to $home/node*/log" >&2
    exit 1
}

# stop_node SIGNAL NODE: returns when it is gone.
stop_node() {
    local pid
    pid=$(pid_of "$2") || return 0
    kill "-$1" "$pid" 2>/dev/null || true
    "$drave" cluster wait --ended "$pid" --timeout "$patience_s" ||
        fail "node $2 (pid $pid) does not stop; make kill NODE=$2"
    rm -f "$home/node$2/pid"
}

# stop_all NODE...: all at once, for the last alone would have nobody to hand over to.
stop_all() {
    local n pid
    for n in "$@"; do pid=$(pid_of "$n") && kill -TERM "$pid"; done
    for n in "$@"; do stop_node TERM "$n"; done
}

up() {
    local n started=()
    check_base
    for n in "${nodes[@]}"; do
        pid_of "$n" > /dev/null && continue
        launch "$n"
        started+=("$n")
    done
    [ ${#started[@]} = 0 ] && echo "all nodes run already"
    if ! (wait_ready "$(http)" "${nodes[@]}"); then
        # Half a cluster would hold its ports against the next try.
        stop_all "${started[@]}"
        exit 1
    fi
    write_env
    report
}

report() {
    # shellcheck disable=SC1091
    . "$home/env"
    cat <<REPORT

  bootstrap  $BOOTSTRAP
  http       ${HTTP//,/  }
  pids       $PIDS
  logs       target/cluster/node{1,2,3}/log

  look       target/release/drave cluster status --http $HTTP
  produce    echo hello | kcat -P -b $BOOTSTRAP -t greetings
  consume    kcat -C -e -b $BOOTSTRAP -t greetings
  kill one   make kill NODE=2          and back: make start NODE=2
  query      curl -s ${HTTP%%,*}/v1/topics/greetings
REPORT
}

node_argument() {
    case ${1:-} in 1 | 2 | 3) ;; *) fail "which node? NODE=1, 2 or 3" ;; esac
}

case ${1:-} in
    up) up ;;
    stop)
        stop_all "${nodes[@]}"
        echo "stopped; the data stays in target/cluster"
        ;;
    clean)
        for n in "${nodes[@]}"; do stop_node KILL "$n"; done
        rm -rf "$home"
        echo "stopped and deleted"
        ;;
    kill)
        node_argument "${2:-}"
        pid=$(pid_of "$2") || fail "node $2 does not run"
        stop_node KILL "$2"
        write_env
        echo "node $2 (pid $pid) is killed; back with: make start NODE=$2"
        ;;
    start)
        node_argument "${2:-}"
        check_base
        pid_of "$2" > /dev/null && fail "node $2 runs already"
        launch "$2"
        wait_ready "http://$host:$(http_port "$2")" "$2"
        write_env
        echo "node $2 runs (pid $(pid_of "$2"))"
        ;;
    *) fail "usage: deploy/cluster.sh up | stop | clean | kill N | start N" ;;
esac
