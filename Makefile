# What a person types. `make help` lists it; .ci/run runs only targets of this file.

BASE ?= 9092
NODE ?=
TRIALS ?= 5
KINDS ?=
DURATION ?= 2m
SEED ?=
SEEDS ?=
FIRST ?=
PLANTED ?= all
BUDGET ?= 60
FUZZ_SECONDS ?= 60
CHURN_SECONDS ?= $(shell echo $$(( $(subst h,*3600,$(subst m,*60,$(subst s,,$(DURATION)))) )))
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard log/fuzz/fuzz_targets/*.rs)))
export BASE

PARTITIONS ?= 10000
TOPICS ?= 1
.PHONY: help check fix test churn measure-groups sim sim-planted fuzz docs java group-records kafka-fixtures build cluster cluster-stop cluster-clean kill start failover partitions verify

help:            ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1|/' | column -t -s '|'
	@echo
	@echo "  BASE=9092 moves the ports of the cluster: brokers BASE.., controllers BASE+100.., HTTP BASE+200.."

check:           ## read-only gate: format, lints, house rules, generated documents
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --package drave --test tidy -- --nocapture

fix:             ## the mutating twin of check
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(MAKE) docs

test:            ## everything that proves it; says what it skipped and why
	cargo test --workspace

churn:           ## 20 members come, leave and crash while their coordinator is killed: make churn DURATION=10m PROTOCOL=consumer
	CHURN_SECONDS="$(CHURN_SECONDS)" cargo test --release --package drave --test cluster \
		twenty_members_of_the_$(or $(PROTOCOL),classic)_protocol -- --nocapture

measure-groups:  ## memory, heartbeats and failover of 1,000 groups of 10 members: make measure-groups N_GROUPS=1000
	N_GROUPS="$(or $(N_GROUPS),1000)" cargo test --release --package drave --test cluster \
		many_groups_move -- --nocapture

sim:             ## a partition's replication under thousands of seeds: make sim SEEDS=100000; one again, with its trace: SEED=7
	@cargo build --quiet --profile sim --package drave-sim
	@SEED="$(SEED)" SEEDS="$(SEEDS)" FIRST="$(FIRST)" target/sim/drave-sim

sim-planted:     ## plant each fault, and look how soon it is found: make sim-planted PLANTED=high-watermark-off-by-one
	@cargo build --quiet --profile sim --package drave-sim
	@PLANTED="$(PLANTED)" BUDGET="$(BUDGET)" target/sim/drave-sim

fuzz:            ## each fuzz target of the log for a minute (needs nightly, cargo-fuzz): make fuzz FUZZ_SECONDS=600
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p "target/fuzz-corpus/$$target" && \
		cargo +nightly fuzz run --fuzz-dir log/fuzz --target-dir target/fuzz "$$target" \
			"target/fuzz-corpus/$$target" "log/fuzz/corpus/$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=20 || exit 1; \
	done

QUICK ?=
ONLY ?=
export QUICK
comma := ,
.PHONY: bench-log

bench-log:       ## the log beside what the machine can do (QUICK=1: a minute; ONLY=append,synced,read,blocks,compaction,opening)
	cargo bench --package drave-log --bench limits -- $(subst $(comma), ,$(ONLY))

ROUNDS ?=
export ROUNDS
.PHONY: bench bench-curves

bench: build java  ## drave beside Apache Kafka, in turns (QUICK=1: five minutes; ROUNDS=, LOAD_SECONDS=, ONLY=produce,small)
	cargo run --quiet --release --package drave-bench

bench-curves: build java  ## how cost grows with connections, partitions, record size and log size, beside Kafka (ONLY=connections)
	ONLY= CURVES=$(or $(ONLY),1) cargo run --quiet --release --package drave-bench

docs:            ## write docs/*.md from the tables in the source
	UPDATE_GOLDEN=1 cargo test --package drave --test tidy generated_documents

java:            ## fetch Kafka's own client and tools for the tests that need them (needs java, maven)
	mkdir -p target
	mvn -q -B -f tests/java dependency:build-classpath -Dmdep.outputFile="$(CURDIR)/target/java-classpath"

group-records: java  ## have Kafka's own code write src/coordinator/records/golden.txt anew
	java -cp "$$(cat target/java-classpath)" tests/java/GroupRecords.java > src/coordinator/records/golden.txt

kafka-fixtures: java  ## have a real Kafka write log/tests/fixtures/kafka-4 anew
	java -cp "$$(cat target/java-classpath)" tests/java/Fixtures.java log/tests/fixtures/kafka-4

build:
	cargo build --release --bin drave

cluster: build   ## three nodes on localhost; again after any stop, the same cluster with its data
	@deploy/cluster.sh up

cluster-stop:    ## stop the nodes, keep the data
	@deploy/cluster.sh stop

cluster-clean:   ## stop the nodes, delete the data
	@deploy/cluster.sh clean

kill:            ## kill -9 one node: make kill NODE=2
	@deploy/cluster.sh kill "$(NODE)"

start:           ## start it again: make start NODE=2
	@deploy/cluster.sh start "$(NODE)"

failover: build  ## kill, freeze and cut off leaders under load: after how many ms the next ack came (TRIALS=, KINDS=leader)
	target/release/drave verify failover --trials $(TRIALS) $(if $(KINDS),--kinds $(KINDS))

partitions: build  ## what many partitions cost three nodes, and how long a failover takes with them (PARTITIONS=, TOPICS=)
	target/release/drave verify partitions --nodes 3 --partitions $(PARTITIONS) --topics $(TOPICS)

verify: build    ## write, break everything for a while, read back: what was lost? (DURATION=2m, SEED=)
	target/release/drave verify --nodes 3 --duration $(DURATION) $(if $(SEED),--seed $(SEED))

.PHONY: compat compat-clients

compat: compat-clients  ## other people's clients and tools against three nodes, the long form: writes docs/conformance.md
	rm -rf target/compat/results
	COMPAT=full cargo test --package drave --test compat -- --nocapture

compat-clients: java  ## fetch and build the clients that `tests/compat` tries (pip, npm, Go modules, Maven); what is missing is skipped
	tests/compat/build.sh
