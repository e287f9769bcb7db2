//! Values of any message for tests: every field of a version set to something other than its default.

use bytes::Bytes;

use crate::ids::Uuid;
use crate::message::Message;
use crate::wire::{DecodeError, Reader, Records, Writer};

/// Whether fields that may be null are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nulls {
    Never,
    Sometimes,
}

/// Where random values come from: a splitmix sequence, so that a seed tells everything.
#[derive(Debug)]
pub(crate) struct Source {
    state: u64,
    nulls: Nulls,
}

pub(crate) trait Sample: Sized {
    fn sample(source: &mut Source, version: i16) -> Self;
    fn make_null(&mut self) {}
}

impl Source {
    pub(crate) fn new(seed: u64, nulls: Nulls) -> Self {
        Self { state: seed, nulls }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap();
        usize::try_from(self.u64() % n).unwrap()
    }

    pub(crate) fn wants_null(&mut self) -> bool {
        self.nulls == Nulls::Sometimes && self.below(2) == 0
    }

    pub(crate) fn other_than<T: Sample + PartialEq>(&mut self, version: i16, default: &T) -> T {
        loop {
            let value = T::sample(self, version);
            if value != *default {
                return value;
            }
        }
    }
}

macro_rules! sample_integer {
    ($($type:ident)*) => {$(
        impl Sample for $type {
            fn sample(source: &mut Source, _: i16) -> Self {
                let bytes = source.u64().to_be_bytes();
                Self::from_be_bytes(*bytes.first_chunk().unwrap())
            }
        }
    )*};
}

sample_integer! { i8 i16 u16 i32 i64 }

impl Sample for f64 {
    fn sample(source: &mut Source, _: i16) -> Self {
        // Not of random bits: what is no number is not equal to itself.
        f64::from(i32::sample(source, 0)) / 8.0
    }
}

impl Sample for bool {
    fn sample(source: &mut Source, _: i16) -> Self {
        source.below(2) == 0
    }
}

impl Sample for String {
    fn sample(source: &mut Source, _: i16) -> Self {
        // Long enough, at times, for a compact length of two bytes.
        let n_letters_max = if source.below(8) == 0 { 200 } else { 8 };
        let n_letters = 1 + source.below(n_letters_max);
        (0..n_letters)
            .map(|_| ['a', 'Z', '7', '-', 'ø'][source.below(5)])
            .collect()
    }
}

impl Sample for Bytes {
    fn sample(source: &mut Source, _: i16) -> Self {
        (0..=source.below(300))
            .map(|_| source.u64().to_le_bytes()[0])
            .collect()
    }
}

impl Sample for Records {
    fn sample(source: &mut Source, version: i16) -> Self {
        Bytes::sample(source, version).into()
    }
}

impl Sample for Uuid {
    fn sample(source: &mut Source, _: i16) -> Self {
        let (high, low) = (source.u64().to_be_bytes(), source.u64().to_be_bytes());
        Self([high, low].concat().try_into().unwrap())
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(source: &mut Source, version: i16) -> Self {
        (0..=source.below(2))
            .map(|_| T::sample(source, version))
            .collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(source: &mut Source, version: i16) -> Self {
        Some(T::sample(source, version))
    }
    fn make_null(&mut self) {
        *self = None;
    }
}

pub(crate) fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    if let Err(error) = message.encode(&mut writer, version) {
        panic!("{} version {version}: {error}\n{message:?}", M::NAME);
    }
    writer.into_bytes()
}

pub(crate) fn decoded<M: Message>(bytes: Bytes, version: i16) -> Result<M, DecodeError> {
    M::decode(&mut Reader::new(bytes), version)
}

/// Runs `check` on values of every version, with all fields set and with some of them null.
pub(crate) fn for_each_sample<M: Message + Sample>(
    n_samples: u64,
    mut check: impl FnMut(M, i16, u64),
) {
    let (first, last) = M::VERSIONS;
    for version in first..=last {
        for seed in 0..n_samples {
            let nulls = if seed % 2 == 0 {
                Nulls::Never
            } else {
                Nulls::Sometimes
            };
            check(
                M::sample(&mut Source::new(seed, nulls), version),
                version,
                seed,
            );
        }
    }
}
