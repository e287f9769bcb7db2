//! The topics in what a consumer says to its assignor: the start of Kafka's `ConsumerProtocolSubscription`.

use std::collections::BTreeSet;

use bytes::Bytes;
use drave_protocol::wire::Reader;

/// `None` where the bytes are another format: then nobody can say what the member reads.
pub(super) fn topics(metadata: &Bytes) -> Option<BTreeSet<String>> {
    let mut reader = Reader::new(metadata.clone());
    let version = reader.i16().ok()?;
    if version < 0 {
        return None;
    }
    let n_topics = usize::try_from(reader.i32().ok()?).ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..n_topics {
        topics.insert(string(&mut reader)?);
    }
    Some(topics)
}

fn string(reader: &mut Reader) -> Option<String> {
    let length = usize::try_from(reader.i16().ok()?).ok()?;
    let mut bytes = Vec::with_capacity(length);
    for _ in 0..length {
        bytes.push(u8::from_be_bytes(reader.i8().ok()?.to_be_bytes()));
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_other_bytes_are_told_apart() {
        let bytes = b"\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x02bb\x00\x00\x00\x00";
        let found = topics(&Bytes::from_static(bytes)).unwrap();
        assert_eq!(found, BTreeSet::from(["a".to_owned(), "bb".to_owned()]));
        for other in [
            &b""[..],
            b"\xff\xff",
            b"\x00\x00\x7f\xff\xff\xff",
            b"\x00\x00\x00\x00\x00\x01\x00\x05ab",
        ] {
            assert_eq!(topics(&Bytes::copy_from_slice(other)), None);
        }
    }
}
