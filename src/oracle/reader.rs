//! How one reader goes through one partition: forward, nothing twice, nothing left out.

use crate::oracle::verdict::{Kind, Verdict};

const MARKS: [&str; 3] = ["high watermark", "last stable offset", "log start"];

#[derive(Debug)]
pub(super) struct Reader {
    /// The offset it wants next, once it has read something.
    position: Option<i64>,
    marks: [i64; 3],
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            position: None,
            marks: [-1; 3],
        }
    }
}

impl Reader {
    pub(super) fn read(
        &mut self,
        (reader, partition): (u32, i32),
        base: i64,
        n: i64,
        verdict: &mut Verdict,
    ) {
        let expected = self.position.unwrap_or(base);
        if base > expected {
            let what = format!("reader {reader} of {partition} wanted {expected} and got {base}");
            verdict.add(Kind::PollSkip, (base - expected).unsigned_abs(), what);
        } else if base < expected {
            let what = format!("reader {reader} of {partition} wanted {expected} and got {base}");
            verdict.add(
                Kind::NonmonotonicPoll,
                (expected - base).unsigned_abs(),
                what,
            );
        }
        let [high_watermark, ..] = self.marks;
        if high_watermark >= 0 && base + n > high_watermark {
            let what = format!(
                "reader {reader} of {partition} was given {} with the high watermark at {high_watermark}",
                base + n - 1
            );
            verdict.add(Kind::ReadAboveWatermark, 1, what);
        }
        self.position = Some(expected.max(base + n));
    }

    /// -1 stands for a mark the answer did not tell.
    pub(super) fn saw_marks(&mut self, partition: i32, marks: [i64; 3], verdict: &mut Verdict) {
        for ((now, before), name) in marks.iter().zip(&mut self.marks).zip(MARKS) {
            if *now < 0 {
                continue;
            }
            if now < before {
                let what = format!("the {name} of {partition} was {before} and then {now}");
                verdict.add(Kind::WatermarkFell, 1, what);
            }
            *before = (*before).max(*now);
        }
    }

    pub(super) fn close(&self, reader: u32, partition: i32, end: i64, verdict: &mut Verdict) {
        if let Some(position) = self.position
            && position < end
        {
            let what = format!("reader {reader} of {partition} came to {position} of {end}");
            verdict.add(Kind::Unseen, (end - position).unsigned_abs(), what);
        }
    }
}
