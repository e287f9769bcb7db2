use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;

const PACKED: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const MIB: usize = 1024 * 1024;

fn packed(bytes: &[u8], codec: Compression) -> Vec<u8> {
    let mut out = BytesMut::new();
    pack(bytes, Packing::of(codec), &mut out);
    out.to_vec()
}

/// Unpacks in small steps, and says how many bytes came before an error.
fn unpack(codec: Compression, bytes: &[u8], limit: usize) -> (Vec<u8>, Result<(), UnpackError>) {
    let mut all = Vec::new();
    let mut step = [0; 777];
    let mut unpacker = match Unpacker::new(codec, bytes, UnpackedLimit(limit)) {
        Ok(unpacker) => unpacker,
        Err(error) => return (all, Err(error)),
    };
    loop {
        match unpacker.read(&mut step) {
            Ok(0) => return (all, Ok(())),
            Ok(n) => all.extend_from_slice(&step[..n]),
            Err(error) => return (all, Err(error)),
        }
    }
}

fn text() -> Vec<u8> {
    let line = |at: usize| format!("line {} of {}\n", at * 7919 % 1009, at % 13).into_bytes();
    (0..9_000).flat_map(line).collect()
}

#[test]
fn text_comes_back_smaller_and_whole() {
    let text = text();
    for codec in PACKED {
        let bytes = packed(&text, codec);
        assert!(bytes.len() < text.len() / 2, "{codec}: {}", bytes.len());
        assert_eq!(
            unpack(codec, &bytes, text.len()),
            (text.clone(), Ok(())),
            "{codec}"
        );
    }
}

#[test]
fn a_stream_cut_anywhere_is_refused() {
    let bytes = text();
    for codec in PACKED {
        let packed = packed(&bytes[..3_000], codec);
        for cut in 1..packed.len() {
            let (out, outcome) = unpack(codec, &packed[..cut], MIB);
            // Between two blocks of Java's snappy a cut is not to be seen; the record count tells.
            let fine = codec == Compression::Snappy && cut == 16;
            assert!(
                outcome.is_err() || fine,
                "{codec} cut at {cut} of {}",
                packed.len()
            );
            assert!(out.len() <= 3_000);
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let once = packed(b"some records", codec);
        for tail in [&b"x"[..], &once] {
            let (_, outcome) = unpack(codec, &[&once, tail].concat(), MIB);
            let trailing = UnpackError::TrailingBytes(tail.len());
            assert_eq!(outcome, Err(trailing), "{codec}");
        }
    }
    let (_, outcome) = unpack(
        Compression::Snappy,
        &[&packed(b"some records", Compression::Snappy), &b"x"[..]].concat(),
        MIB,
    );
    assert!(outcome.is_err());
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 8 * MIB];
    for codec in PACKED {
        let bomb = packed(&zeros, codec);
        let (out, outcome) = unpack(codec, &bomb, MIB);
        assert_eq!(
            outcome,
            Err(UnpackError::TooLarge(MIB)),
            "{codec}, {} bytes",
            bomb.len()
        );
        assert!(out.len() <= MIB, "{codec}: {}", out.len());
    }
}

#[test]
fn a_bare_snappy_block_is_read_as_librdkafka_writes_it() {
    let text = text();
    let bare = snap::raw::Encoder::new().compress_vec(&text).unwrap();
    assert_eq!(unpack(Compression::Snappy, &bare, MIB), (text, Ok(())));
}

#[test]
fn snappy_blocks_with_lying_sizes_cost_nothing() {
    let stream = |length: i32, block: &[u8]| {
        let mut bytes = BytesMut::from(&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..]);
        bytes.put_i32(length);
        bytes.put_slice(block);
        bytes.to_vec()
    };
    for bad in [
        stream(-1, b"abc"),
        stream(i32::MIN, b"abc"),
        stream(i32::MAX, b"abc"),
        stream(4, b"abc"),
        stream(2, b"abc"),
    ] {
        let (out, outcome) = unpack(Compression::Snappy, &bad, MIB);
        assert!(outcome.is_err(), "{bad:?}");
        assert_eq!(out, []);
    }
    // A block that says, in its own first bytes, that it is 500 KB.
    let lying = [0xa0, 0xc2, 0x1e, 0, b'a'];
    let declared = 500_000;
    let lie = UnpackError::LyingBlock {
        packed: lying.len(),
        declared,
    };
    assert_eq!(unpack(Compression::Snappy, &lying, MIB).1, Err(lie));
    assert_eq!(
        unpack(Compression::Snappy, &stream(5, &lying), MIB).1,
        Err(lie)
    );
}

#[test]
fn a_zstd_window_beyond_kafkas_is_refused() {
    // Magic, a descriptor without content size, a window of 2^41 bytes, an empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 31 << 3, 1, 0, 0];
    let (_, outcome) = unpack(Compression::Zstd, &frame, MIB);
    assert!(
        matches!(outcome, Err(UnpackError::Corrupt { .. })),
        "{outcome:?}"
    );
    let small = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0, 1, 0, 0];
    assert_eq!(unpack(Compression::Zstd, &small, MIB), (vec![], Ok(())));
}

#[test]
fn lz4_frames_are_those_kafkas_java_client_reads() {
    for level in [1, 9, 17] {
        let mut out = BytesMut::new();
        let codec = Compression::Lz4;
        pack(&text(), Packing { codec, level }, &mut out);
        // Version 1, independent blocks, no checksums, no size; blocks of 64 KiB.
        assert_eq!(
            out[..6],
            [0x04, 0x22, 0x4d, 0x18, 0b0110_0000, 0x40],
            "level {level}"
        );
    }
}

#[test]
fn a_higher_level_packs_tighter() {
    let text = text();
    let size = |codec, level| {
        let mut out = BytesMut::new();
        pack(&text, Packing { codec, level }, &mut out);
        out.len()
    };
    assert!(size(Compression::Gzip, 9) < size(Compression::Gzip, 1));
    assert!(size(Compression::Lz4, 17) < size(Compression::Lz4, 9));
    assert!(size(Compression::Zstd, 22) < size(Compression::Zstd, -100));
    assert_eq!(size(Compression::Gzip, -1), size(Compression::Gzip, 6));
    assert_eq!(size(Compression::Zstd, 99), size(Compression::Zstd, 22));
}

proptest! {
    #[test]
    fn any_bytes_unpack_within_the_limit_or_are_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        codec in proptest::sample::select(PACKED.as_slice()),
    ) {
        let (out, _) = unpack(codec, &bytes, 10_000);
        prop_assert!(out.len() <= 10_000);
    }

    #[test]
    fn a_flipped_byte_never_unpacks_beyond_the_limit(
        codec in proptest::sample::select(PACKED.as_slice()),
        at in any::<proptest::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let text = text();
        let mut bytes = packed(&text, codec);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let (out, _) = unpack(codec, &bytes, text.len());
        prop_assert!(out.len() <= text.len());
    }
}
