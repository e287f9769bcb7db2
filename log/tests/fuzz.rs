//! The fuzz targets on the stable toolchain: every input of the corpus, and changes to it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    reason = "a test stops at what it did not expect"
)]

#[path = "../fuzz/harness/mod.rs"]
mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use harness::TARGETS;

fn corpus_of(target: &str) -> PathBuf {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    corpus.join(target)
}

/// Seeds and corpus. With `UPDATE_GOLDEN` the seeds are written to the corpus, for `cargo fuzz`.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = corpus_of(target);
    let mut inputs = harness::seeds(target);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (at, seed) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{at}")), seed).unwrap();
        }
    }
    let files = fs::read_dir(&folder).unwrap();
    inputs.extend(files.map(|it| fs::read(it.unwrap().path()).unwrap()));
    inputs
}

#[test]
fn no_input_of_the_corpus_breaks_a_promise() {
    for (name, target) in TARGETS {
        for input in inputs(name) {
            target(&input);
        }
    }
}

/// A change to an input: where, and what instead.
#[derive(Clone, Debug)]
enum Change {
    Byte(u8),
    Cut,
    Insert(Vec<u8>),
    Copy(prop::sample::Index),
}

fn change() -> impl Strategy<Value = (prop::sample::Index, Change)> {
    let bytes = prop::collection::vec(any::<u8>(), 1..12);
    let change = prop_oneof![
        6 => prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(0x7f), Just(0x80)].prop_map(Change::Byte),
        1 => Just(Change::Cut),
        2 => bytes.prop_map(Change::Insert),
        1 => any::<prop::sample::Index>().prop_map(Change::Copy),
    ];
    (any::<prop::sample::Index>(), change)
}

fn changed(mut input: Vec<u8>, changes: &[(prop::sample::Index, Change)]) -> Vec<u8> {
    for (at, change) in changes {
        let at = at.index(input.len() + 1);
        match change {
            Change::Byte(byte) => match input.get_mut(at) {
                Some(old) => *old = *byte,
                None => input.push(*byte),
            },
            Change::Cut => input.truncate(at),
            Change::Insert(bytes) => drop(input.splice(at..at, bytes.iter().copied())),
            Change::Copy(from) => input.extend_from_within(from.index(at + 1)..at),
        }
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_change_to_an_input_breaks_a_promise(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..8),
    ) {
        for (name, target) in TARGETS {
            let inputs = harness::seeds(name);
            let input = changed(which.get(&inputs).clone(), &changes);
            target(&input);
        }
    }
}
