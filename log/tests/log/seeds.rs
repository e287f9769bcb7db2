//! Where tests by chance get their chance from: a seed, printed when it finds something. Without a word
//! it is the same each time, so that a change is judged by what it changed; `DRAVE_SEED=$RANDOM` looks
//! further, `DRAVE_CASES=<n>` makes a run longer or shorter.

use std::env;
use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// As [`tried_by_chance`], for a test to end with.
pub(crate) fn by_chance<T: Debug>(
    n: u32,
    inputs: &impl Strategy<Value = T>,
    test: impl Fn(&T) -> Result<(), String>,
) {
    if let Err(found) = tried_by_chance(n, inputs, test) {
        panic!("{found}");
    }
}

/// Tries `n` inputs; the first that fails is made small and told, with what repeats it.
pub(crate) fn tried_by_chance<T: Debug>(
    n: u32,
    inputs: &impl Strategy<Value = T>,
    test: impl Fn(&T) -> Result<(), String>,
) -> Result<(), String> {
    let seed = number("DRAVE_SEED").unwrap_or(1);
    let cases = number("DRAVE_CASES").map_or(n, |it| u32::try_from(it).unwrap());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let done = runner.run(inputs, |input| test(&input).map_err(TestCaseError::fail));
    done.map_err(|error| {
        format!("DRAVE_SEED={seed} DRAVE_CASES={cases} finds this again: {error:?}")
    })
}
