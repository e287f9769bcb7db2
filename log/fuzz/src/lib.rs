//! The targets of `cargo fuzz`, by name; what they try is in `harness/`, shared with `log/tests`.

#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "seeds are for the tests")]
mod harness;

/// Tries one input.
///
/// # Panics
/// When a promise is broken, or no target has this name.
pub fn run(target: &str, data: &[u8]) {
    let found = harness::TARGETS.iter().find(|(name, _)| *name == target);
    let (_, function) = found.expect("a target of harness/mod.rs");
    function(data);
}
