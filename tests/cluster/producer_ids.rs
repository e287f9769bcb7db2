//! Producer ids: whoever asks, whoever dies, none is given twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::init_producer_id::InitProducerIdRequest;

use crate::support::cluster::Cluster;
use crate::support::wait::{pause, seconds, wait_until};
use crate::support::wire::Wire;

/// More than three blocks, so that some are begun and some are used up in every phase.
const N_IDS: usize = 3500;
const N_CLIENTS_PER_NODE: usize = 3;

#[test]
fn no_id_is_given_twice_though_controllers_and_then_all_nodes_are_killed() {
    let mut cluster = Cluster::start(3);
    let crowd = Crowd::at(&cluster);
    crowd.wait_for_more(N_IDS);
    for _ in 0..2 {
        let controller = cluster.controller();
        cluster.kill9(controller);
        crowd.wait_for_more(N_IDS);
        cluster.start_again(controller);
        crowd.wait_for_more(N_IDS);
    }
    for id in cluster.ids() {
        cluster.kill9(id);
    }
    cluster.spawn_all();
    cluster.wait_ready();
    crowd.wait_for_more(N_IDS);

    let mut ids = crowd.stop();
    let n_given = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n_given, "each id once");
}

#[test]
fn a_node_that_can_reach_no_controller_says_so_in_time() {
    let mut cluster = Cluster::start(3);
    let survivor = 1;
    let mut wire = cluster.wire(survivor);
    let ask = |wire: &mut Wire| {
        let answer = wire.call_newest(&InitProducerIdRequest::default()).unwrap();
        (
            ErrorCode::from_number(answer.error_code),
            answer.producer_id,
        )
    };
    let (code, first) = ask(&mut wire);
    assert_eq!((code, first >= 0), (ErrorCode::None, true));
    for id in cluster.others(survivor) {
        cluster.kill9(id);
    }
    // What it holds it hands out; then it refuses, and clients ask again.
    let mut given = BTreeSet::from([first]);
    let refusal = loop {
        match ask(&mut wire) {
            (ErrorCode::None, id) => assert!(given.insert(id), "{id} again"),
            (code, _) => break code,
        }
    };
    assert_eq!(refusal, ErrorCode::CoordinatorLoadInProgress);
    assert!((1000..=3000).contains(&given.len()), "{}", given.len());
    cluster.spawn_all_dead();
    cluster.wait_ready();
    let (code, id) = ask(&mut wire);
    assert_eq!((code, given.insert(id)), (ErrorCode::None, true));
}

/// Clients that do nothing but ask for ids.
struct Crowd {
    is_stopping: Arc<AtomicBool>,
    n_given: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<i64>>>,
}

impl Crowd {
    fn at(cluster: &Cluster) -> Self {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let n_given = Arc::new(AtomicUsize::new(0));
        let ports = cluster
            .ids()
            .into_iter()
            .map(|id| cluster.node(id).ports.kafka);
        let ports: Vec<u16> = ports.collect();
        let clients = ports.repeat(N_CLIENTS_PER_NODE).into_iter().map(|port| {
            let (stop, counter) = (Arc::clone(&is_stopping), Arc::clone(&n_given));
            std::thread::spawn(move || ask_for_ids(port, &stop, &counter))
        });
        let clients = clients.collect();
        Self {
            is_stopping,
            n_given,
            clients,
        }
    }

    #[track_caller]
    fn wait_for_more(&self, n: usize) {
        let enough = self.n_given.load(Ordering::Relaxed) + n;
        wait_until("the crowd to get more ids", seconds(60), || {
            self.n_given.load(Ordering::Relaxed) >= enough
        });
    }

    fn stop(self) -> Vec<i64> {
        self.is_stopping.store(true, Ordering::Relaxed);
        let ids = self.clients.into_iter().map(|it| it.join().unwrap());
        ids.flatten().collect()
    }
}

fn ask_for_ids(port: u16, is_stopping: &AtomicBool, n_given: &AtomicUsize) -> Vec<i64> {
    let mut ids = Vec::new();
    let mut wire = None;
    while !is_stopping.load(Ordering::Relaxed) {
        let Some(connected) = wire.as_mut() else {
            wire = Wire::connect(port).ok();
            pause();
            continue;
        };
        match Wire::call_newest(connected, &InitProducerIdRequest::default()) {
            Ok(answer) if answer.error_code == 0 => {
                assert_eq!(answer.producer_epoch, 0);
                ids.push(answer.producer_id);
                n_given.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => pause(),
            Err(_) => wire = None,
        }
    }
    ids
}
