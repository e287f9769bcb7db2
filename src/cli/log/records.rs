//! The records of one batch, for people and programs.

use drave_log::inspect::batches::{Body, FoundBatch};
use drave_log::inspect::records;
use drave_protocol::record::record::RecordView;
use serde_json::{Value, json};

use crate::cli::log::text::{escaped, time};

/// What is shown of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records {
    pub(super) max_bytes: usize,
}

impl Records {
    /// Hands each record to `each`; says why not all of them, if so.
    pub(super) fn each<E>(
        body: &Body<'_>,
        mut each: impl FnMut(&RecordView<'_>) -> Result<(), E>,
    ) -> Result<Option<String>, E> {
        let Some(batch) = body.batch else {
            return Ok(Some("the batch is too large to be looked into".to_owned()));
        };
        let mut records = match records::open(batch) {
            Ok(records) => records,
            Err(error) => return Ok(Some(error.to_string())),
        };
        while let Some(record) = records.next_record() {
            match record {
                Ok(record) => each(&record)?,
                Err(error) => return Ok(Some(error.to_string())),
            }
        }
        Ok(None)
    }

    pub(super) fn line(self, found: &FoundBatch, record: &RecordView<'_>) -> String {
        let at = time(record.timestamp_ms(&found.header));
        let offset = record.offset(&found.header);
        if let Some(marker) = marker(found, record) {
            return format!("      {offset}  {at}  {marker}");
        }
        let (key, value) = (self.quoted(record.key), self.quoted(record.value));
        let headers: Vec<String> = record
            .headers()
            .map(|(name, value)| format!("{}={}", self.text(name), self.quoted(value)))
            .collect();
        let headers = if headers.is_empty() {
            String::new()
        } else {
            format!(" headers {}", headers.join(" "))
        };
        format!("      {offset}  {at}  key {key} value {value}{headers}")
    }

    pub(super) fn json(self, found: &FoundBatch, record: &RecordView<'_>) -> Value {
        let header = |(name, value): (&[u8], Option<&[u8]>)| {
            json!({
                "key": self.text(name),
                "value": value.map(|it| self.text(it)),
                "value_bytes": value.map(<[u8]>::len),
            })
        };
        json!({
            "type": "record",
            "batch_position": found.position,
            "offset": record.offset(&found.header).0,
            "timestamp_ms": record.timestamp_ms(&found.header),
            "key": record.key.map(|it| self.text(it)),
            "key_bytes": record.key.map(<[u8]>::len),
            "value": record.value.map(|it| self.text(it)),
            "value_bytes": record.value.map(<[u8]>::len),
            "control": marker(found, record),
            "headers": record.headers().map(header).collect::<Vec<Value>>(),
        })
    }

    fn text(self, bytes: &[u8]) -> String {
        escaped(bytes, self.max_bytes)
    }

    fn quoted(self, bytes: Option<&[u8]>) -> String {
        let Some(bytes) = bytes else {
            return "none".to_owned();
        };
        let text = self.text(bytes);
        match bytes.len().checked_sub(self.max_bytes) {
            Some(more) if more > 0 => format!("\"{text}\"+{more}"),
            Some(_) | None => format!("\"{text}\""),
        }
    }
}

/// What a control record says: its key is a version and a type.
fn marker(found: &FoundBatch, record: &RecordView<'_>) -> Option<String> {
    if !found.header.is_control() {
        return None;
    }
    Some(match record.key {
        Some([_, _, 0, 0, ..]) => "abort".to_owned(),
        Some([_, _, 0, 1, ..]) => "commit".to_owned(),
        Some([_, _, high, low, ..]) => {
            format!("control type {}", i16::from_be_bytes([*high, *low]))
        }
        Some(_) | None => "control type unknown".to_owned(),
    })
}
