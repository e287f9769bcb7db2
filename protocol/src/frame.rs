//! Frames: a four-byte length, then that many bytes.
//!
//! Invariants: a length is judged before any memory is taken for it; a buffer grows with what has
//! arrived; a request's cap is that of its API, known from its first two bytes. Synchronous: the
//! caller reads from its socket into `space()` and asks for frames.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use crate::api;
use crate::header::{RequestHeader, ResponseHeader};
use crate::limits;
use crate::message::{Message, Request};
use crate::pieces::Pieces;
use crate::wire::{EncodeError, Writer};

const LENGTH_BYTES: usize = 4;
const API_KEY_BYTES: usize = 2;

/// Why a peer's bytes are not a frame; the connection has no future after any of these.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("frame length {length} is negative")]
    NegativeLength { length: i32 },
    #[error("frame of {length} bytes, {max} allowed")]
    TooLong { length: usize, max: usize },
    #[error("frame of {length} bytes cannot hold a request")]
    TooShort { length: usize },
    #[error("frame of {length} bytes to api {api_key}, {max} allowed")]
    TooLongForApi {
        api_key: i16,
        length: usize,
        max: usize,
    },
}

#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    bytes_max: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Requests,
    Responses,
}

impl FrameDecoder {
    /// For the broker's side: each API has its own cap, and none is above `bytes_max`.
    pub fn for_requests(bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            bytes_max,
            kind: Kind::Requests,
        }
    }

    /// For the client's side.
    pub fn for_responses(bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            bytes_max,
            kind: Kind::Responses,
        }
    }

    /// Takes bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer to read into, with room for the next step. Only append to it.
    pub fn space(&mut self) -> &mut BytesMut {
        let arrived = self.buffer.len();
        let step = arrived.clamp(limits::FRAME_STEP_BYTES_MIN, limits::FRAME_STEP_BYTES_MAX);
        self.buffer.reserve(step);
        &mut self.buffer
    }

    /// The next whole frame without its length, or `None` until more bytes arrive.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((prefix, body)) = self.buffer.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = self.judge(i32::from_be_bytes(*prefix), body)?;
        if body.len() < length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    fn judge(&self, length: i32, body: &[u8]) -> Result<usize, FrameError> {
        let length = usize::try_from(length).map_err(|_| FrameError::NegativeLength { length })?;
        if length > self.bytes_max {
            return Err(FrameError::TooLong {
                length,
                max: self.bytes_max,
            });
        }
        if self.kind == Kind::Responses {
            return Ok(length);
        }
        if length < API_KEY_BYTES {
            return Err(FrameError::TooShort { length });
        }
        let Some((api_key, _)) = body.split_first_chunk::<API_KEY_BYTES>() else {
            return Ok(length);
        };
        let api_key = i16::from_be_bytes(*api_key);
        let max =
            api::lookup(api_key).map_or(limits::SMALL_REQUEST_BYTES_MAX, |api| api.frame_bytes_max);
        if length > max {
            return Err(FrameError::TooLongForApi {
                api_key,
                length,
                max,
            });
        }
        Ok(length)
    }
}

/// A whole request frame, length included. `header.api_version` is the version it is written in.
pub fn encode_request<R: Request>(
    header: &RequestHeader,
    request: &R,
) -> Result<Bytes, EncodeError> {
    Ok(framed_request(Writer::new(), header, request)?.into_bytes())
}

/// The same with large fields, which are records, where they are: a megabyte is not copied to be sent.
pub fn encode_request_in_pieces<R: Request>(
    header: &RequestHeader,
    request: &R,
) -> Result<Pieces, EncodeError> {
    Ok(framed_request(Writer::in_pieces(), header, request)?.into_pieces())
}

fn framed_request<R: Request>(
    writer: Writer,
    header: &RequestHeader,
    request: &R,
) -> Result<Writer, EncodeError> {
    framed(writer, |writer| {
        header.encode(writer)?;
        request.encode(writer, header.api_version)
    })
}

/// A whole response frame to a request `R`, length included.
pub fn encode_response<R: Request>(
    header: ResponseHeader,
    version: i16,
    response: &R::Response,
) -> Result<Bytes, EncodeError> {
    let writer = framed(Writer::new(), |writer| {
        header.encode(writer, R::KEY, version);
        response.encode(writer, version)
    })?;
    Ok(writer.into_bytes())
}

/// What `write` writes, with its length before it.
pub fn framed(
    mut writer: Writer,
    write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<Writer, EncodeError> {
    writer.i32(0);
    write(&mut writer)?;
    let length = writer.len() - LENGTH_BYTES;
    let prefix = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
    writer.set_first(prefix.to_be_bytes());
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ApiKey;
    use crate::message::Message;
    use crate::schema::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::schema::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
    use crate::wire::Reader;

    fn request(version: i16) -> Bytes {
        let header = RequestHeader {
            api_key: ApiKey::ApiVersions.number(),
            api_version: version,
            correlation_id: 5,
            client_id: Some("drave".into()),
        };
        encode_request(&header, &ApiVersionsRequest::default()).unwrap()
    }

    fn requests() -> FrameDecoder {
        FrameDecoder::for_requests(limits::REQUEST_BYTES_MAX)
    }

    fn start(length: i32, api_key: i16) -> Vec<u8> {
        [length.to_be_bytes().as_slice(), &api_key.to_be_bytes()].concat()
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let frames = [request(0), request(3), request(4)];
        let stream = frames.concat();
        for step in [1, 2, 3, 7, stream.len()] {
            let mut decoder = requests();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                decoder.feed(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            let expected: Vec<_> = frames.iter().map(|frame| frame.slice(4..)).collect();
            assert_eq!(seen, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn negative_and_oversized_lengths_are_refused_from_the_prefix_alone() {
        let mut decoder = requests();
        decoder.feed(&[0xff; 4]);
        assert_eq!(
            decoder.next_frame(),
            Err(FrameError::NegativeLength { length: -1 })
        );

        let mut decoder = FrameDecoder::for_responses(1000);
        decoder.feed(&1001_i32.to_be_bytes());
        assert_eq!(
            decoder.next_frame(),
            Err(FrameError::TooLong {
                length: 1001,
                max: 1000
            })
        );

        let mut decoder = requests();
        decoder.feed(&1_i32.to_be_bytes());
        assert_eq!(
            decoder.next_frame(),
            Err(FrameError::TooShort { length: 1 })
        );
    }

    #[test]
    fn only_produce_may_be_large() {
        let length = 100 * 1024 * 1024;
        for (api_key, allowed) in [(0, true), (1, false), (3, false), (18, false), (77, false)] {
            let mut decoder = requests();
            decoder.feed(&start(length, api_key));
            assert_eq!(decoder.next_frame().is_ok(), allowed, "api {api_key}");
        }
    }

    #[test]
    fn promised_bytes_take_no_memory_until_they_arrive() {
        let mut decoder = requests();
        decoder.feed(&start(100 * 1024 * 1024, 0));
        assert_eq!(decoder.next_frame(), Ok(None));
        let arrived = 3 * limits::FRAME_STEP_BYTES_MIN;
        while decoder.space().len() < arrived {
            let room = decoder.space().capacity() - decoder.space().len();
            decoder.feed(&vec![0; room.min(arrived - decoder.buffer.len())]);
            assert_eq!(decoder.next_frame(), Ok(None));
        }
        assert!(
            decoder.buffer.capacity() <= 8 * arrived,
            "{}",
            decoder.buffer.capacity()
        );
    }

    #[test]
    fn response_is_read_with_the_header_its_request_asked_for() {
        let body = ApiVersionsResponse {
            throttle_time_ms: 9,
            ..Default::default()
        };
        let header = ResponseHeader { correlation_id: 5 };
        let frame = encode_response::<ApiVersionsRequest>(header, 4, &body).unwrap();
        let mut decoder = FrameDecoder::for_responses(limits::RESPONSE_BYTES_MAX);
        decoder.feed(&frame);
        let mut reader = Reader::new(decoder.next_frame().unwrap().unwrap());
        let read = ResponseHeader::decode(&mut reader, ApiKey::ApiVersions, 4);
        assert_eq!(read, Ok(header));
        assert_eq!(ApiVersionsResponse::decode(&mut reader, 4), Ok(body));
    }

    #[test]
    fn a_request_in_pieces_is_the_same_bytes_and_its_records_are_not_copied() {
        let records = [20_000, 10, 9_000].map(|n| Bytes::from(vec![7; n]));
        let partitions = records.iter().cloned().map(|it| PartitionProduceData {
            records: Some(it),
            ..PartitionProduceData::default()
        });
        let request = ProduceRequest {
            topic_data: vec![TopicProduceData {
                name: "t".to_owned(),
                partition_data: partitions.collect(),
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        for api_version in [3, 12] {
            let header = RequestHeader {
                api_key: ApiKey::Produce.number(),
                api_version,
                correlation_id: 5,
                client_id: None,
            };
            let whole = encode_request(&header, &request).unwrap();
            let mut pieces = encode_request_in_pieces(&header, &request).unwrap();
            let places: Vec<_> = pieces.next_slices().iter().map(|it| it.as_ptr()).collect();
            assert_eq!(
                (places[1], places[3]),
                (records[0].as_ptr(), records[2].as_ptr())
            );
            let mut sent = Vec::new();
            while !pieces.is_empty() {
                let next: Vec<u8> = pieces
                    .next_slices()
                    .iter()
                    .flat_map(|it| it.to_vec())
                    .collect();
                pieces.advance(next.len());
                sent.extend(next);
            }
            assert_eq!(sent, whole);
        }
    }
}
