//! The numbers and names that travel: nothing bare crosses a module's border.
//!
//! Each newtype is transparent on the wire and on disk. Offsets are the only ones with arithmetic.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// `node.id` of a broker or controller; ≥ 0. -1 on the wire says "none".
    NodeId(i32)
);
number!(
    /// Position of a record in a partition; ≥ 0 for real records.
    Offset(i64)
);
number!(
    /// Rises with each leader of a partition; stamped in batches. -1 says "unknown".
    LeaderEpoch(i32)
);
number!(
    /// Rises with each change of leader, ISR or replicas; guards `AlterPartition`.
    PartitionEpoch(i32)
);
number!(
    /// One registration of one broker process: the metadata offset of its record. -1 says "none".
    BrokerEpoch(i64)
);
number!(
    /// Raft log index a broker's metadata image reflects.
    MetadataOffset(u64)
);
number!(
    /// Id of an idempotent or transactional producer; ≥ 0. -1 on the wire says "none".
    ProducerId(i64)
);
number!(
    /// Identity of a data directory, drawn once; the Raft node id (a wiped disk is a new node).
    DirectoryId(u64)
);

impl NodeId {
    pub const NONE: Self = Self(-1);
}

impl LeaderEpoch {
    pub const UNKNOWN: Self = Self(-1);

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl PartitionEpoch {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl BrokerEpoch {
    pub const NONE: Self = Self(-1);
}

/// The first half of a directory id where Kafka has a UUID: "drave".
const DIRECTORY_PREFIX: [u8; 8] = *b"drave\0\0\0";

impl DirectoryId {
    /// As Kafka's messages and tools carry it: ours has 64 bits, theirs 128.
    #[must_use]
    pub fn to_uuid(self) -> Uuid {
        let mut bytes = [0; 16];
        let (prefix, number) = bytes.split_at_mut(8);
        prefix.copy_from_slice(&DIRECTORY_PREFIX);
        number.copy_from_slice(&self.0.to_be_bytes());
        Uuid(bytes)
    }

    /// `None` for a UUID that is no directory of ours.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        let (prefix, number) = uuid.0.split_first_chunk::<8>()?;
        let number = number.first_chunk().copied().map(u64::from_be_bytes);
        number.filter(|_| *prefix == DIRECTORY_PREFIX).map(Self)
    }

    /// Reads either spelling: 16 hexadecimal digits as in `meta.properties`, or Kafka's 22 characters.
    pub fn parse(text: &str) -> Option<Self> {
        match text.len() {
            16 => u64::from_str_radix(text, 16).ok().map(Self),
            _ => Uuid::parse(text).and_then(Self::from_uuid),
        }
    }
}

impl Offset {
    pub const ZERO: Self = Self(0);
    /// "no offset" on the wire.
    pub const UNKNOWN: Self = Self(-1);
}

impl Add<i64> for Offset {
    type Output = Self;
    fn add(self, rhs: i64) -> Self {
        Self(self.0 + rhs)
    }
}

impl AddAssign<i64> for Offset {
    fn add_assign(&mut self, rhs: i64) {
        self.0 += rhs;
    }
}

impl Sub for Offset {
    type Output = i64;
    fn sub(self, rhs: Self) -> i64 {
        self.0 - rhs.0
    }
}

/// A UUID: the identity of a topic (KIP-516) or of a process incarnation. All zero means "none".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uuid(pub [u8; 16]);

/// Identity of a topic: a deleted and re-created name gets a new one.
pub type TopicId = Uuid;

impl Uuid {
    pub const ZERO: Self = Self([0; 16]);

    /// A random (version 4) UUID from 16 random bytes the caller drew.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
        *version = (*version & 0x0f) | 0x40;
        *variant = (*variant & 0x3f) | 0x80;
        Self(bytes)
    }

    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Reads what `Display` prints.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        let mut bits = 0_u128;
        for (place, character) in text.bytes().enumerate() {
            let six = u128::from(six_bits(character)?);
            if place < 21 {
                bits = (bits << 6) | six;
            } else if six.trailing_zeros() >= 4 {
                // 22 characters carry 132 bits: the last four are padding.
                bits = (bits << 2) | (six >> 4);
            } else {
                return None;
            }
        }
        Some(Self(bits.to_be_bytes()))
    }
}

fn six_bits(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// Kafka prints ids as unpadded URL-safe base64 (22 characters).
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = u128::from_be_bytes(self.0);
        for place in (0..22_u32).rev() {
            // 22 characters carry 132 bits: the last one holds four padding bits.
            let shifted = if place == 0 {
                bits << 4
            } else {
                bits >> (place * 6 - 4)
            };
            let six = usize::from(shifted.to_le_bytes()[0] & 0x3f);
            let character = ALPHABET.get(six).copied().unwrap_or(b'?');
            write!(f, "{}", char::from(character))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A partition by its topic's name: how people and old clients speak of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition by its topic's id: how drave itself speaks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicIdPartition {
    pub topic_id: TopicId,
    pub partition: i32,
}

impl fmt::Display for TopicIdPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_prints_as_kafka_prints_it() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(Uuid(one).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn printed_uuids_are_read_back() {
        let mut bytes = [0_u8; 16];
        for round in 0..=255_u8 {
            for (place, byte) in (0_u8..).zip(&mut bytes) {
                *byte = byte.wrapping_mul(31).wrapping_add(round ^ place);
            }
            let id = Uuid(bytes);
            assert_eq!(Uuid::parse(&id.to_string()), Some(id));
        }
        for refused in [
            "",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAAA!",
            "AAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(Uuid::parse(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_directory_id_is_the_same_in_both_spellings() {
        let id = DirectoryId(0x00c0_ffee_0000_0042);
        let uuid = id.to_uuid();
        assert!(uuid.to_string().starts_with("ZHJhdmU"), "{uuid}");
        assert_eq!(DirectoryId::from_uuid(uuid), Some(id));
        assert_eq!(DirectoryId::parse(&uuid.to_string()), Some(id));
        assert_eq!(DirectoryId::parse("00c0ffee00000042"), Some(id));
        assert_eq!(DirectoryId::from_uuid(Uuid([7; 16])), None);
        assert_eq!(DirectoryId::parse("42"), None);
    }

    #[test]
    fn random_uuid_carries_version_and_variant() {
        let id = Uuid::from_random([0xff; 16]);
        assert_eq!(id.0[6] >> 4, 4);
        assert_eq!(id.0[8] >> 6, 0b10);
    }
}
