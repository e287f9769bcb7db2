//! Unpacking as a stream, with a bound on all that comes out.

use std::fmt;
use std::io::{self, Read};

use flate2::bufread::GzDecoder;

use super::{UnpackError, UnpackedLimit, snappy};
use crate::record::attributes::Compression;

/// Largest window a zstd frame may ask for, as in zstd's and Kafka's own readers: 128 MiB. Its
/// memory is touched only as far as bytes are unpacked, so the limit bounds that too.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// One record section being unpacked.
#[derive(Debug)]
pub struct Unpacker<'a> {
    stream: Stream<'a>,
    codec: Compression,
    limit: usize,
    n_unpacked: usize,
}

enum Stream<'a> {
    Plain(&'a [u8]),
    Gzip(Box<GzDecoder<&'a [u8]>>),
    Snappy(snappy::Blocks<'a>),
    Lz4(lz4::Decoder<&'a [u8]>),
    Zstd(Box<zstd::Decoder<'static, &'a [u8]>>),
    /// Read to its last byte; what is left of the input.
    Ended(&'a [u8]),
}

impl<'a> Unpacker<'a> {
    pub fn new(
        codec: Compression,
        bytes: &'a [u8],
        limit: UnpackedLimit,
    ) -> Result<Self, UnpackError> {
        let stream = match codec {
            Compression::None => Stream::Plain(bytes),
            Compression::Gzip => Stream::Gzip(Box::new(GzDecoder::new(bytes))),
            Compression::Snappy => Stream::Snappy(snappy::Blocks::new(bytes, limit.0)),
            Compression::Lz4 => lz4::Decoder::new(bytes)
                .map(Stream::Lz4)
                .map_err(|error| corrupt(codec, &error))?,
            Compression::Zstd => zstd_stream(bytes).map_err(|error| corrupt(codec, &error))?,
        };
        Ok(Self {
            stream,
            codec,
            limit: limit.0,
            n_unpacked: 0,
        })
    }

    /// Unpacks into the front of `out`; zero bytes are the end, which is checked: the stream says
    /// itself that it is whole, and nothing follows it.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, UnpackError> {
        if out.is_empty() {
            return Ok(0);
        }
        let n = match &mut self.stream {
            Stream::Plain(rest) => rest.read(out).map_err(|it| corrupt(self.codec, &it))?,
            Stream::Gzip(stream) => stream.read(out).map_err(|it| corrupt(self.codec, &it))?,
            Stream::Snappy(blocks) => blocks.read(out)?,
            Stream::Lz4(stream) => stream.read(out).map_err(|it| corrupt(self.codec, &it))?,
            Stream::Zstd(stream) => stream.read(out).map_err(|it| corrupt(self.codec, &it))?,
            Stream::Ended(_) => 0,
        };
        if n == 0 {
            return self.end();
        }
        if n > self.limit - self.n_unpacked {
            return Err(UnpackError::TooLarge(self.limit));
        }
        self.n_unpacked += n;
        Ok(n)
    }

    fn end(&mut self) -> Result<usize, UnpackError> {
        let codec = self.codec;
        let rest = match std::mem::replace(&mut self.stream, Stream::Ended(&[])) {
            Stream::Plain(rest) | Stream::Ended(rest) => rest,
            Stream::Gzip(stream) => stream.into_inner(),
            Stream::Snappy(_) => &[],
            Stream::Lz4(stream) => match stream.finish() {
                (rest, Ok(())) => rest,
                (_, Err(_)) => {
                    let kind = io::ErrorKind::UnexpectedEof;
                    return Err(UnpackError::Corrupt { codec, kind });
                }
            },
            Stream::Zstd(stream) => stream.finish(),
        };
        self.stream = Stream::Ended(rest);
        if rest.is_empty() {
            Ok(0)
        } else {
            Err(UnpackError::TrailingBytes(rest.len()))
        }
    }
}

fn zstd_stream(bytes: &[u8]) -> io::Result<Stream<'_>> {
    let mut stream = zstd::Decoder::with_buffer(bytes)?.single_frame();
    stream.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(Stream::Zstd(Box::new(stream)))
}

fn corrupt(codec: Compression, error: &io::Error) -> UnpackError {
    let kind = error.kind();
    UnpackError::Corrupt { codec, kind }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "plain",
            Self::Gzip(_) => "gzip",
            Self::Snappy(_) => "snappy",
            Self::Lz4(_) => "lz4",
            Self::Zstd(_) => "zstd",
            Self::Ended(_) => "ended",
        })
    }
}
