//! F5: a controller that has lost its majority and does not know it yet.

use crate::faults::net::{Site, Traffic, wait_for_acks};
use crate::support::questions::controller_in;
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "kept";

#[test]
fn a_controller_cut_off_from_the_other_voters_decides_nothing_more() {
    let mut site = Site::start(3, &[]);
    site.cluster.create_topic(TOPIC, 1, 3, &[]);
    site.cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let old = site.cluster.controller();
    let others = site.cluster.others(old);
    let writer = site.writer(&others, TOPIC);
    wait_for_acks(&writer, 20);

    for other in &others {
        // Records go on: only what is agreed on does not.
        site.net.cut_both_ways_only(old, *other, Traffic::Control);
    }
    let new = wait_for("another controller", seconds(20), || {
        let said = site.cluster.node(others[0]).get("/v1/cluster")?.json();
        match controller_in(&said) {
            Some(id) if id != old => Ok(id),
            _ => Err(said["controller"].to_string()),
        }
    });
    assert!(others.contains(&new));
    wait_for(
        "the old one to say that it decides nothing",
        seconds(20),
        || {
            let said = site.cluster.node(old).get("/v1/cluster")?.json();
            let lost = said["quorum"] == false;
            lost.then_some(()).ok_or(said.to_string())
        },
    );
    // What only the new one can do.
    site.cluster.spokesman = others[0];
    site.cluster.ask_for_topic("made-without-it", 1, 2, &[]);
    let unknown = site.seen_by(old, "made-without-it");
    assert!(unknown.is_err(), "nobody tells it: {unknown:?}");
    wait_for_acks(&writer, 20);

    site.net.heal();
    let agreed = wait_for("all to name the same controller", seconds(20), || {
        let mut named = Vec::new();
        for id in site.cluster.ids() {
            let said = site.cluster.node(id).get("/v1/cluster")?.json();
            named.push(controller_in(&said));
        }
        let is_one = named.iter().all(|it| it.is_some() && *it == named[0]);
        is_one.then_some(named[0]).ok_or(format!("{named:?}"))
    });
    assert!(agreed.is_some());
    wait_for("it to learn what was decided", seconds(20), || {
        site.seen_by(old, "made-without-it")
    });
    let account = writer.stop();
    site.assert_healed(TOPIC, 3, &[account]);
}
