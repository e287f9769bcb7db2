//! How one reader goes through one partition: forward, nothing twice, nothing left out.

use crate::oracle::verdict::{Kind, Verdict};

const MARKS: [&str; 3] = ["high watermark", "last stable offset", "log start"];

#[derive(Debug)]
pub(super) struct Reader {
    /// The offset it wants next, once it has read something.
    position: Option<i64>,
    /// The highest it was told of each.
    marks: [i64; 3],
    /// What it was told last: the bound of what it is given next.
    high_watermark: i64,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            position: None,
            marks: [-1; 3],
            high_watermark: -1,
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
        let high_watermark = self.high_watermark;
        if high_watermark >= 0 && base + n > high_watermark {
            let what = format!(
                "reader {reader} of {partition} was given {} with the high watermark at {high_watermark}",
                base + n - 1
            );
            verdict.add(Kind::ReadAboveWatermark, 1, what);
        }
        self.position = Some(expected.max(base + n));
    }

    /// -1 stands for a mark the answer did not tell. Who only looks may be told no less than before; who reads
    /// no less than it has read: a new leader learns late of what it may show, and has to show none of it.
    pub(super) fn saw_marks(&mut self, partition: i32, marks: [i64; 3], verdict: &mut Verdict) {
        let [high_watermark, ..] = marks;
        self.high_watermark = high_watermark;
        for ((now, before), name) in marks.iter().zip(&mut self.marks).zip(MARKS) {
            let floor = self.position.map_or(*before, |it| it.min(*before));
            if *now >= 0 && *now < floor {
                let what = format!("the {name} of {partition} was {floor} and then {now}");
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
