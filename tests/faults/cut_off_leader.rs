//! F19: a leader that nobody hears but its clients.

use drave_protocol::error_code::ErrorCode;

use crate::faults::net::{Site, wait_for_acks};
use crate::support::client::{PRODUCE_BY_NAME, batch_of, code, produce_request, produced};
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_until};

const TOPIC: &str = "contested";
const ACKS_LEADER: i16 = 1;

#[test]
fn a_leader_cut_off_from_all_but_its_clients_acks_nothing_that_is_lost() {
    let mut site = Site::start(3, &[]);
    site.cluster.create_topic(TOPIC, 1, 3, &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let old = site.cluster.leader_of(TOPIC, 0);
    let others = site.cluster.others(old);
    let loyal = Steady::to_node(site.cluster.node(old).ports.kafka, TOPIC, 0);
    let nimble = site.writer(&others, TOPIC);
    wait_for_acks(&loyal, 20);
    wait_for_acks(&nimble, 20);

    site.net.isolate(old);
    site.wait_for_leader_other_than(old, TOPIC, others[0]);
    wait_for_acks(&nimble, 50);
    // By its own clock: nobody can tell it.
    wait_until("the old leader to refuse", seconds(30), || loyal.is_over());
    let still_there = site.seen_by(old, TOPIC).unwrap();
    assert_eq!(still_there.leader_id, old, "it heard of no other leader");
    // Not only what would need followers: it takes nothing in.
    let request = produce_request(TOPIC, 0, ACKS_LEADER, batch_of(["to nobody's leader"]));
    let answer = site.cluster.wire(old).call(PRODUCE_BY_NAME, &request);
    let refusal = code(produced(answer.unwrap()).error_code);
    assert_eq!(refusal, ErrorCode::NotLeaderOrFollower);

    site.net.heal();
    wait_for_acks(&nimble, 20);
    let accounts = [loyal.stop(), nimble.stop()];
    site.assert_healed(TOPIC, 3, &accounts);
}
