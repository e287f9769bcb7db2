//! The last offset of each key, in fixed memory: keys are known by a hash of 16 bytes.
//!
//! Promises: memory is taken when made and never grows; a key that does not fit is refused, and what
//! is in stays right. Two keys with one hash would lose the older one's records: with 128 bits, keyed
//! by what no client knows, that does not happen by chance, and nobody can make it happen.

use std::fmt;
use std::hash::Hasher;

use drave_protocol::ids::Offset;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::fs::to_u64;

/// Two words of hash and one of offset.
type Slot = [u64; 3];

const SLOT_BYTES: usize = size_of::<Slot>();

/// Of four slots one stays free, or searches would grow long.
const LOAD: (usize, usize) = (3, 4);

/// What makes this map's hashes unlike any other's.
#[derive(Clone, Copy, Debug)]
pub struct HashKey(pub [u64; 2]);

pub struct OffsetMap {
    key: HashKey,
    /// An offset is stored with one added: a slot of zeros is free.
    slots: Vec<Slot>,
    n_used: usize,
}

impl OffsetMap {
    /// A map in at most `memory_bytes`, with room for `n_keys` where that is less.
    pub fn new(memory_bytes: usize, n_keys: u64, key: HashKey) -> Self {
        let wanted = usize::try_from(n_keys).unwrap_or(usize::MAX);
        let wanted = wanted.saturating_mul(LOAD.1) / LOAD.0;
        let n_slots = (memory_bytes / SLOT_BYTES)
            .min(wanted.saturating_add(2))
            .max(2);
        Self {
            key,
            slots: vec![[0; 3]; n_slots],
            n_used: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.n_used
    }

    pub fn is_empty(&self) -> bool {
        self.n_used == 0
    }

    /// Keys there is room for.
    fn limit(&self) -> usize {
        (self.slots.len() * LOAD.0 / LOAD.1).max(1)
    }

    /// Notes that `key` was last seen at `offset`. False, and nothing noted, when there is no room.
    #[must_use]
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let (hash, limit) = (self.hash(key), self.limit());
        let Some(slot) = self.slot_of(hash).and_then(|at| self.slots.get_mut(at)) else {
            return false;
        };
        let [_, _, stored] = *slot;
        if stored == 0 {
            if self.n_used >= limit {
                return false;
            }
            self.n_used += 1;
        }
        let [high, low] = hash;
        *slot = [high, low, offset.0.cast_unsigned().wrapping_add(1)];
        true
    }

    /// Where `key` was last seen.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let [_, _, stored] = *self.slots.get(self.slot_of(self.hash(key))?)?;
        let offset = stored.checked_sub(1)?;
        Some(Offset(offset.cast_signed()))
    }

    /// The slot with this hash, or the free one where it goes.
    fn slot_of(&self, hash: [u64; 2]) -> Option<usize> {
        let [high, low] = hash;
        let n_slots = to_u64(self.slots.len());
        let start = usize::try_from(low % n_slots).ok()?;
        let (before, after) = self.slots.split_at_checked(start)?;
        let is_place = |slot: &Slot| {
            let [slot_high, slot_low, stored] = *slot;
            stored == 0 || (slot_high == high && slot_low == low)
        };
        let found = after.iter().position(is_place).map(|at| start + at);
        found.or_else(|| before.iter().position(is_place))
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let HashKey([high, low]) = self.key;
        let mut hasher = SipHasher13::new_with_keys(high, low);
        hasher.write(key);
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }
}

impl fmt::Debug for OffsetMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys in {} slots", self.n_used, self.slots.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const KEY: HashKey = HashKey([1, 2]);

    #[test]
    fn memory_is_what_was_allowed_or_what_is_needed() {
        let map = OffsetMap::new(1 << 20, u64::MAX, KEY);
        assert!(map.slots.len() * SLOT_BYTES <= 1 << 20);
        assert!(map.limit() > 32_000);
        let map = OffsetMap::new(1 << 20, 10, KEY);
        assert!(map.slots.len() < 20 && map.limit() >= 10, "{map:?}");
        assert!(OffsetMap::new(0, 0, KEY).limit() >= 1);
    }

    #[test]
    fn a_full_map_refuses_new_keys_and_takes_known_ones() {
        let mut map = OffsetMap::new(24 * 8, u64::MAX, KEY);
        let fits = (0..100_i64)
            .take_while(|n| map.put(&n.to_be_bytes(), Offset(*n)))
            .count();
        assert_eq!((fits, map.len()), (6, 6));
        assert!(map.put(&3_i64.to_be_bytes(), Offset(77)));
        assert_eq!(map.get(&3_i64.to_be_bytes()), Some(Offset(77)));
        assert_eq!(map.get(&6_i64.to_be_bytes()), None);
    }

    proptest! {
        #[test]
        fn it_is_a_map(entries in proptest::collection::vec((any::<u8>(), 0..1_000_i64), 0..200)) {
            let mut map = OffsetMap::new(1 << 16, 200, KEY);
            let mut model = BTreeMap::new();
            for (key, offset) in entries {
                prop_assert!(map.put(&[key], Offset(offset)));
                model.insert(key, Offset(offset));
            }
            for key in 0..=u8::MAX {
                prop_assert_eq!(map.get(&[key]), model.get(&key).copied());
            }
            prop_assert_eq!(map.len(), model.len());
        }
    }
}
