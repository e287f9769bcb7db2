//! F2: a new leader knows an older high watermark than consumers have been told.

use drave_protocol::error_code::ErrorCode;

use crate::faults::net::{Site, Traffic, wait_for_acks};
use crate::support::client::{self, LATEST, code};
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "kept";

#[test]
fn the_end_a_new_leader_tells_is_none_or_no_older_than_what_was_acked() {
    let mut site = Site::start(3, &[]);
    site.cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let writer = site.writer(&[1, 2, 3], TOPIC);
    wait_for_acks(&writer, 50);
    // Followers have what was acked last, and have not been told that it was.
    for (one, other) in [(1, 2), (1, 3), (2, 3)] {
        site.net.cut_both_ways_only(one, other, Traffic::Records);
    }
    let old = site.cluster.leader_of(TOPIC, 0);
    site.cluster.kill9(old);
    let account = writer.stop();
    let acked = account.acked.last().map_or(0, |(_, offset)| offset + 1);
    let others = site.cluster.others(old);
    let new = site.wait_for_leader_other_than(old, TOPIC, others[0]);

    let mut n_unsettled = 0;
    // Nobody can tell it more, as long as followers do not reach it.
    while n_unsettled < 20 {
        let mut wire = site.cluster.wire(new);
        let said = client::list_offset(&mut wire, TOPIC, 0, LATEST).unwrap();
        match code(said.error_code) {
            ErrorCode::None => {
                assert!(said.offset >= acked, "{} after {acked}", said.offset);
                break;
            }
            ErrorCode::OffsetNotAvailable
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable => n_unsettled += 1,
            refusal => panic!("{refusal:?}"),
        }
        let read = client::fetch(&mut wire, TOPIC, 0, acked).unwrap();
        let is_stale = code(read.error_code) == ErrorCode::None && read.high_watermark < acked;
        assert!(!is_stale, "consumers are told {read:?} after {acked}");
    }
    site.net.heal();
    wait_for("the new leader to know", seconds(20), || {
        let mut wire = site.cluster.wire(new);
        let said = client::list_offset(&mut wire, TOPIC, 0, LATEST).map_err(|it| it.to_string())?;
        let is_known = said.error_code == 0 && said.offset >= acked;
        is_known.then_some(()).ok_or(format!("{said:?}"))
    });
    site.cluster.start_again(old);
    site.assert_healed(TOPIC, 3, &[account]);
}
