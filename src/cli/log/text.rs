//! Lines that are printed as they come: a log may be larger than memory.

use std::fmt::Write as _;
use std::io::{self, BufWriter, StdoutLock, Write};

use serde_json::Value;

use crate::cli::Exit;
use crate::cli::output::Format;

/// Standard output, line by line.
#[derive(Debug)]
pub(super) struct Lines {
    out: BufWriter<StdoutLock<'static>>,
    pub(super) format: Format,
    widths: Vec<usize>,
}

impl Lines {
    pub(super) fn new(format: Format) -> Self {
        let out = BufWriter::new(io::stdout().lock());
        Self {
            out,
            format,
            widths: Vec::new(),
        }
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", text.trim_end())
    }

    pub(super) fn json(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }

    /// Starts a table whose columns are at least so wide.
    pub(super) fn headings(&mut self, columns: &[(&str, usize)]) -> io::Result<()> {
        self.widths = columns.iter().map(|(_, width)| *width).collect();
        self.row(&columns.iter().map(|(name, _)| *name).collect::<Vec<_>>())
    }

    /// A column grows with what it meets and stays so wide.
    pub(super) fn row<T: AsRef<str>>(&mut self, cells: &[T]) -> io::Result<()> {
        let mut line = String::from("  ");
        for (cell, width) in cells.iter().zip(&mut self.widths) {
            let cell = cell.as_ref();
            *width = (*width).max(cell.chars().count());
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:width$}  ", width = *width);
        }
        self.line(&line)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A reader that went away (`| head`) ends the command, and is no failure.
pub(super) fn unless_nobody_reads(done: anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    match done {
        Err(error) => match error.downcast_ref::<io::Error>() {
            Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            Some(_) | None => Err(error),
        },
        Ok(exit) => Ok(exit),
    }
}

/// Bytes as text: what is no printable text, and the backslash itself, as `\xNN`, `\n`, `\\` and
/// the like, so that nothing is lost. At most `max_bytes` of them.
pub(super) fn escaped(bytes: &[u8], max_bytes: usize) -> String {
    let shown = bytes.get(..max_bytes).unwrap_or(bytes);
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' | '\n' | '\r' | '\t' => text.extend(character.escape_default()),
                _ if character.is_control() => {
                    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                        let _ = write!(text, "\\x{byte:02x}");
                    }
                }
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// `2023-11-14T22:13:20.000Z`; a dash for the time of records that have none.
pub(super) fn time(timestamp_ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    if timestamp_ms < 0 {
        return "-".to_owned();
    }
    let (year, month, day) = date(timestamp_ms / DAY_MS);
    let (seconds, ms) = (timestamp_ms % DAY_MS / 1000, timestamp_ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a day counted from 1970, in the calendar as it is reckoned today.
fn date(day: i64) -> (i64, i64, i64) {
    // Years that start in March: the leap day comes last, and 400 of them have 146097 days.
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_what_a_calendar_says() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "-"),
        ] {
            assert_eq!(time(ms), expected, "{ms}");
        }
        assert!(time(i64::MAX).ends_with('Z'));
    }

    #[test]
    fn what_is_no_text_is_escaped_and_text_is_not() {
        assert_eq!(escaped("Grüße".as_bytes(), 100), "Grüße");
        assert_eq!(escaped(b"a\\b\n\x00\xff", 100), r"a\\b\n\x00\xff");
        assert_eq!(escaped("aü".as_bytes(), 2), r"a\xc3");
    }
}
