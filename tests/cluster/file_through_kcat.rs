//! A file goes in through `kcat -P` while a leader is killed, and comes out of `kcat -C` as it was.

use crate::support::cluster::Cluster;
use crate::support::kcat::{self, Kcat};
use crate::support::lines::{self, Kept};
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_until};

const N_LINES: usize = 120_000;
const TOPIC: &str = "lines";

#[test]
fn a_file_in_one_partition_outlives_its_leader_line_by_line() {
    a_file_outlives_its_leader(1);
}

#[test]
fn a_file_spread_over_partitions_outlives_a_leader() {
    a_file_outlives_its_leader(4);
}

fn a_file_outlives_its_leader(n_partitions: i32) {
    if !kcat::is_here() {
        return;
    }
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, n_partitions, 3, &[]);
    let bootstrap = cluster.bootstrap();

    let arguments = [
        "-P",
        "-t",
        TOPIC,
        "-X",
        "acks=all",
        // Without sequences only one request at a time keeps its place when it is sent again.
        "-X",
        "max.in.flight=1",
        "-X",
        "batch.num.messages=1000",
        "-X",
        "message.timeout.ms=120000",
        "-X",
        "debug=msg",
    ];
    let mut kcat = Kcat::spawn(&bootstrap, &arguments);
    kcat.write(&lines::text(0..N_LINES * 6 / 10));
    wait_until(
        "two fifths of the file to be committed",
        seconds(60),
        || {
            let ends = (0..n_partitions).map(|it| cluster.high_watermark(TOPIC, it));
            ends.sum::<i64>() >= i64::try_from(N_LINES * 4 / 10).unwrap()
        },
    );
    let leader = cluster.leader_of(TOPIC, 0);
    cluster.kill9(leader);
    kcat.write(&lines::text(N_LINES * 6 / 10..N_LINES));
    let output = kcat.finish();
    assert!(output.is_success, "{}", output.stderr);
    assert!(
        !output.stderr.contains("Delivery failed"),
        "{}",
        output.stderr
    );

    let kept = read_back(&bootstrap, n_partitions);
    lines::assert_whole(&kept, N_LINES);
    let repeats: usize = kept.iter().map(|it| it.repeats).sum();
    let retried = output.retried_messages();
    assert!(
        repeats <= retried,
        "{repeats} lines came again, kcat sent {retried} again"
    );

    cluster.start_again(leader);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    assert_eq!(
        read_back(&bootstrap, n_partitions),
        kept,
        "its return changes nothing"
    );
    for partition in 0..n_partitions {
        assert_copies_are_equal(&mut cluster, TOPIC, partition);
    }
}

fn read_back(bootstrap: &str, n_partitions: i32) -> Vec<Kept> {
    let partition = |it| kcat::read_partition(bootstrap, TOPIC, it);
    let numbers = |it| {
        partition(it)
            .into_iter()
            .map(|line| lines::number_of(&line))
    };
    (0..n_partitions)
        .map(|it| lines::in_order(numbers(it)))
        .collect()
}
