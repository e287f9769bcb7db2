//! A text that can be recognised: numbered lines, and the judgement of what came out again.

use std::fmt::Write;

/// Line `n` of any text: its number, then words that depend on it.
pub(crate) fn line(n: usize) -> String {
    const WORDS: [&str; 16] = [
        "offset", "leader", "follower", "epoch", "replica", "record", "batch", "segment", "quorum",
        "vote", "commit", "fetch", "produce", "index", "torn", "tail",
    ];
    let mut text = format!("{n:08}");
    let mut mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..(4 + mixed % 13) {
        mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(23);
        let word = WORDS.get(mixed % WORDS.len()).copied().unwrap_or("word");
        write!(text, " {word}").expect("a string grows");
    }
    text
}

/// The text of lines `range`, each ended by a newline.
pub(crate) fn text(range: std::ops::Range<usize>) -> String {
    let mut text = String::new();
    for n in range {
        text.push_str(&line(n));
        text.push('\n');
    }
    text
}

/// The number of a line of ours; refuses a line that was changed on the way.
#[track_caller]
pub(crate) fn number_of(found: &str) -> usize {
    let digits = found.get(..8).unwrap_or("");
    let n = digits
        .parse()
        .unwrap_or_else(|_| panic!("not a line of ours: {found:?}"));
    assert_eq!(found, line(n), "a line comes out as it went in");
    n
}

/// What one partition held: the numbers in it once each, and how many came again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) numbers: Vec<usize>,
    pub(crate) repeats: usize,
}

/// Judges the order of one partition. A producer that retries without a sequence may write a batch
/// again: then the numbers step back once, and run on from there as they did before. Anything else out
/// of order is refused.
#[track_caller]
pub(crate) fn in_order(found: impl IntoIterator<Item = usize>) -> Kept {
    let mut numbers: Vec<usize> = Vec::new();
    let mut repeats = 0;
    // Where in `numbers` the next one stands when it is a repeat.
    let mut at = 0;
    for n in found {
        if numbers.get(at) == Some(&n) {
            at += 1;
            repeats += 1;
        } else if at == numbers.len() && numbers.last().is_none_or(|last| *last < n) {
            numbers.push(n);
            at = numbers.len();
        } else if let Ok(earlier) = numbers.binary_search(&n) {
            at = earlier + 1;
            repeats += 1;
        } else {
            let last = at.checked_sub(1).and_then(|at| numbers.get(at));
            panic!(
                "{n} comes after {last:?}, and {:?} was reached",
                numbers.last()
            );
        }
    }
    assert_eq!(at, numbers.len(), "a repeat stops before its end");
    Kept { numbers, repeats }
}

/// Refuses a text of which a line is missing. The partitions hold every line of `0..n` once.
#[track_caller]
pub(crate) fn assert_whole(partitions: &[Kept], n: usize) {
    let mut seen: Vec<usize> = partitions
        .iter()
        .flat_map(|it| it.numbers.clone())
        .collect();
    seen.sort_unstable();
    if let Some((expected, found)) = (0..n)
        .zip(&seen)
        .find(|(expected, found)| expected != *found)
    {
        panic!("line {expected} is lost or in two partitions: {found} stands in its place");
    }
    assert_eq!(
        seen.len(),
        n,
        "no line is missing at the end, none was added"
    );
}

#[cfg(test)]
mod tests {
    use super::{Kept, assert_whole, in_order};

    #[test]
    fn a_batch_written_again_is_counted_and_not_taken_for_disorder() {
        let kept = in_order([0, 1, 2, 3, 2, 3, 4]);
        let numbers = vec![0, 1, 2, 3, 4];
        assert_eq!(
            kept,
            Kept {
                numbers,
                repeats: 2
            }
        );
    }

    #[test]
    #[should_panic(expected = "1 comes after Some(2)")]
    fn a_number_that_comes_late_is_disorder() {
        in_order([0, 2, 1, 3]);
    }

    #[test]
    #[should_panic(expected = "line 2 is lost")]
    fn a_missing_line_is_found() {
        assert_whole(&[in_order([0, 3]), in_order([1])], 4);
    }
}
