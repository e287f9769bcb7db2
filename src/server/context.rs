//! What is known about one request besides its body; data, no services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use drave_log::LogSlice;
use drave_protocol::api::Api;
use drave_protocol::frame;
use drave_protocol::header::ResponseHeader;
use drave_protocol::message::Message;
use drave_protocol::wire::{EncodeError, Writer};

use crate::server::quotas::{self, Mute, Work};
use crate::server::reply::{Answer, Close};
use crate::server::sending;

/// One connection, as its requests see it.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The name of the listener the client came in by: answers name endpoints of the same listener.
    pub(crate) listener: Arc<str>,
    pub(crate) peer: SocketAddr,
    pub(crate) mute: Mute,
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
    /// What its client may be held up for, if it may.
    pub(crate) work: Option<Work>,
}

impl RequestContext {
    pub(crate) fn listener(&self) -> &str {
        &self.origin.listener
    }

    /// When a request that allows itself `timeout_ms` must be answered.
    pub(crate) fn deadline(&self, timeout_ms: i32) -> Instant {
        self.received_at + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or_default())
    }

    /// Reads nothing more from the connection for so long; what to tell the client of it.
    pub(crate) fn mute(&self, wait: Duration, now: Instant) -> i32 {
        if !wait.is_zero() {
            self.origin.mute.extend(now + wait);
        }
        quotas::throttle_ms(wait)
    }

    pub(crate) fn answer(&self, response: &impl Message) -> Result<Answer, Close> {
        self.answer_in(self.version, response)
    }

    /// As `answer`, in another version than the request's.
    pub(crate) fn answer_in(&self, version: i16, response: &impl Message) -> Result<Answer, Close> {
        self.answer_with(version, response, Vec::new())
    }

    /// As `answer_in`, with what the response left out, in that order.
    pub(crate) fn answer_with(
        &self,
        version: i16,
        response: &impl Message,
        left_out: Vec<LogSlice>,
    ) -> Result<Answer, Close> {
        let wait = self.work.as_ref().map(Work::charge).unwrap_or_default();
        let encoded = if wait.is_zero() {
            self.encode(version, response)
        } else {
            let mut response = response.clone();
            response.throttle(quotas::throttle_ms(wait));
            self.encode(version, &response)
        };
        let (bytes, places) = encoded.map_err(|error| Close::Unencodable {
            api: self.api.name,
            version,
            error,
        })?;
        Ok(Answer::Frame(sending::interleave(bytes, &places, left_out)))
    }

    /// The whole frame: length, header, body; and where in it something is left out.
    fn encode(
        &self,
        version: i16,
        response: &impl Message,
    ) -> Result<(BytesMut, Vec<usize>), EncodeError> {
        let header = ResponseHeader {
            correlation_id: self.correlation_id,
        };
        let writer = frame::framed(Writer::new(), |writer| {
            header.encode(writer, self.api.key, version);
            response.encode(writer, version)
        })?;
        Ok(writer.into_parts())
    }
}
