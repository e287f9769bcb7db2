//! A process that appends and votes is killed at any moment, again and again, on the same folder:
//! everything it said it had is there when the next one opens.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use drave_raft::conformance::{CacheLimits, LogStore, TypeConfig, on_disk};
use openraft::impls::Vote;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::testing::{blank_ent, log_id};
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;

const FOLDER: &str = "DRAVE_RAFT_SIGKILL_FOLDER";
const ROUNDS: usize = 20;
/// Entries a child leaves when it purges.
const KEPT: u64 = 1000;

/// What a child said before it died.
#[derive(Debug, Default)]
struct Said {
    last_index: Option<u64>,
    vote: Option<u64>,
    /// Purged up to here. A child may die after a purge and before it says so.
    purged: Option<u64>,
}

fn open(folder: &Path) -> LogStore {
    // Small segments, so that rolling and deleting are killed too.
    on_disk(folder, 64 << 10, CacheLimits::default()).unwrap().0
}

async fn last_index(store: &mut LogStore) -> Option<u64> {
    let state = store.get_log_state().await.unwrap();
    state.last_log_id.map(|id| id.index())
}

async fn term(store: &mut LogStore) -> u64 {
    let vote = store.get_log_reader().await.read_vote().await.unwrap();
    vote.map_or(0, |vote| vote.leader_id().term)
}

fn say(what: &str, number: u64) {
    // One write, so that the parent never reads half a line.
    let line = format!("{what} {number}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Only does something as a child of the test below.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let mut store = open(Path::new(&folder));
    let mut term = term(&mut store).await;
    let mut next = last_index(&mut store).await.map_or(0, |last| last + 1);
    say("open", next);
    loop {
        if next.is_multiple_of(7) {
            term += 1;
            let vote = Vote::new(term, 1);
            store.save_vote(&vote).await.unwrap();
            say("vote", term);
        }
        let count = next % 5 + 1;
        let entries: Vec<_> = (next..next + count)
            .map(|index| blank_ent::<TypeConfig>(1, 1, index))
            .collect();
        let (answer, answered) = TypeConfig::oneshot();
        store
            .append(entries, IOFlushed::signal(answer))
            .await
            .unwrap();
        answered.await.unwrap().unwrap();
        next += count;
        say("last", next - 1);
        if next.is_multiple_of(50) && next > KEPT {
            store
                .purge(log_id::<TypeConfig>(1, 1, next - KEPT))
                .await
                .unwrap();
            say("purge", next - KEPT);
        }
    }
}

fn run_and_kill(folder: &Path, patience: Duration) -> Said {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_that_writes_until_it_is_killed", "--exact"])
        .arg("--nocapture")
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Not before it opened the log: what is killed must be writing.
    let opened = lines.by_ref().map_while(Result::ok);
    opened
        .into_iter()
        .find(|line| line.contains("open "))
        .expect("the child opens the log");
    // Killed at a moment drawn by chance: here the time is the input, not a wait for something.
    std::thread::sleep(patience);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut heard = Said::default();
    for line in lines.map_while(Result::ok) {
        let mut words = line.split_whitespace();
        let (Some(what), Some(number)) = (words.next(), words.next()) else {
            continue;
        };
        match (what, number.parse().ok()) {
            ("last", Some(index)) => heard.last_index = Some(index),
            ("vote", Some(term)) => heard.vote = Some(term),
            ("purge", Some(index)) => heard.purged = Some(index),
            (_, _) => {}
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_sigkill_at_any_moment() {
    let folder = TempDir::new().unwrap();
    let mut floor = Said::default();
    for round in 0..ROUNDS {
        let patience = Duration::from_millis(5 + rand::random::<u64>() % 80);
        let said = run_and_kill(folder.path(), patience);
        let story = format!("round {round}, killed after {patience:?}: {said:?}");
        floor.last_index = floor.last_index.max(said.last_index);
        floor.vote = floor.vote.max(said.vote);
        floor.purged = floor.purged.max(said.purged);
        let mut log = open(folder.path());
        let end = last_index(&mut log).await;
        assert!(end >= floor.last_index, "{story}: log ends at {end:?}");
        let vote = term(&mut log).await;
        assert!(Some(vote) >= floor.vote, "{story}: voted in {vote}");
        let until = end.map_or(0, |end| end + 1);
        let state = log.get_log_state().await.unwrap();
        let purged = state.last_purged_log_id.map(|id| id.index());
        // The last thousand entries are never purged, whether a purge was said or not.
        let kept = until.checked_sub(KEPT).filter(|it| *it > 0);
        assert!(purged <= kept, "{story}: purged up to {purged:?}");
        let first = floor.purged.max(purged).map_or(0, |purged| purged + 1);
        let mut reader = log.get_log_reader().await;
        let entries = reader.try_get_log_entries(first..until).await.unwrap();
        let indexes: Vec<u64> = entries.iter().map(|it| it.log_id.index()).collect();
        assert_eq!(indexes, (first..until).collect::<Vec<_>>(), "{story}");
    }
    assert!(floor.last_index > Some(100), "{floor:?}");
    assert!(floor.vote > Some(1), "{floor:?}");
}
