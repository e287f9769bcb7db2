//! What is known about one request besides its body; data, no services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use drave_protocol::api::Api;
use drave_protocol::header::ResponseHeader;
use drave_protocol::message::Message;
use drave_protocol::wire::{EncodeError, Writer};

use crate::server::reply::{Answer, Close};

/// Room for an answer of ordinary size.
const ANSWER_BYTES: usize = 256;

/// One connection, as its requests see it.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The name of the listener the client came in by: answers name endpoints of the same listener.
    pub(crate) listener: Arc<str>,
    pub(crate) peer: SocketAddr,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) api: &'static Api,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) received_at: Instant,
}

impl RequestContext {
    pub(crate) fn listener(&self) -> &str {
        &self.origin.listener
    }

    /// When a request that allows itself `timeout_ms` must be answered.
    pub(crate) fn deadline(&self, timeout_ms: i32) -> Instant {
        self.received_at + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or_default())
    }

    pub(crate) fn answer(&self, response: &impl Message) -> Result<Answer, Close> {
        self.answer_in(self.version, response, ANSWER_BYTES)
    }

    /// As `answer`, for one that is larger than usual.
    pub(crate) fn answer_of_bytes(
        &self,
        response: &impl Message,
        expected_bytes: usize,
    ) -> Result<Answer, Close> {
        self.answer_in(self.version, response, expected_bytes + ANSWER_BYTES)
    }

    /// As `answer`, in another version than the request's.
    pub(crate) fn answer_in(
        &self,
        version: i16,
        response: &impl Message,
        expected_bytes: usize,
    ) -> Result<Answer, Close> {
        self.encode(version, response, expected_bytes)
            .map(Answer::Frame)
            .map_err(|error| Close::Unencodable {
                api: self.api.name,
                version,
                error,
            })
    }

    /// The whole frame: length, header, body.
    fn encode(
        &self,
        version: i16,
        response: &impl Message,
        expected_bytes: usize,
    ) -> Result<BytesMut, EncodeError> {
        let mut writer = Writer::with_capacity(expected_bytes);
        writer.i32(0);
        let header = ResponseHeader {
            correlation_id: self.correlation_id,
        };
        header.encode(&mut writer, self.api.key, version);
        response.encode(&mut writer, version)?;
        let mut frame = writer.into_bytes_mut();
        let length = frame.len() - size_of::<i32>();
        let prefix = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        if let Some(place) = frame.first_chunk_mut() {
            *place = prefix.to_be_bytes();
        }
        Ok(frame)
    }
}
