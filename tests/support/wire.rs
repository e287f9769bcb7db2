//! A bare connection: requests in any version, and bytes that are no request at all.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use drave_protocol::api::ApiKey;
use drave_protocol::frame::encode_request;
use drave_protocol::header::{RequestHeader, ResponseHeader};
use drave_protocol::message::{Message, Request};
use drave_protocol::wire::Reader;

use crate::support::ports::address_of;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than any request of a test waits; an answer after that is a hang.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    port: u16,
    correlation_id: i32,
}

impl Wire {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address_of(port), CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        Ok(Self {
            stream,
            port,
            correlation_id: 0,
        })
    }

    /// The far end's.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn read_timeout(&mut self, timeout: Duration) {
        self.stream
            .set_read_timeout(Some(timeout))
            .expect("a timeout above zero can be set");
    }

    /// Sends a request and reads its answer.
    pub(crate) fn call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> io::Result<R::Response> {
        self.send(version, request)?;
        self.receive::<R>(version)
    }

    /// [`Wire::call`] in the newest version we advertise.
    pub(crate) fn call_newest<R: Request>(&mut self, request: &R) -> io::Result<R::Response> {
        self.call(R::KEY.api().versions.1, request)
    }

    pub(crate) fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<()> {
        self.correlation_id += 1;
        let header = header(R::KEY, version, self.correlation_id);
        let frame = encode_request(&header, request).map_err(invalid)?;
        self.stream.write_all(&frame)
    }

    /// Reads the answer to the oldest request not answered.
    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let mut reader = Reader::new(self.read_frame()?);
        ResponseHeader::decode(&mut reader, R::KEY, version).map_err(invalid)?;
        let response = R::Response::decode(&mut reader, version).map_err(invalid)?;
        if reader.remaining() > 0 {
            return Err(invalid(format!("{} bytes too many", reader.remaining())));
        }
        Ok(response)
    }

    pub(crate) fn last_correlation_id(&self) -> i32 {
        self.correlation_id
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent; answers can still be read.
    pub(crate) fn finish_sending(&mut self) {
        // The far end may have hung up already, and then there is nothing to finish.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    pub(crate) fn read_frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(invalid)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Bytes::from(body))
    }

    /// Reads until the far end hangs up; whatever it still says is returned.
    ///
    /// # Errors
    /// When it is still there after `limit` of silence.
    pub(crate) fn read_to_hang_up(&mut self, limit: Duration) -> io::Result<Vec<u8>> {
        self.read_timeout(limit);
        let mut said = Vec::new();
        match self.stream.read_to_end(&mut said) {
            Ok(_) => Ok(said),
            // It hung up with bytes of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(said),
            Err(error) => Err(error),
        }
    }
}

pub(crate) fn header(key: ApiKey, version: i16, correlation_id: i32) -> RequestHeader {
    RequestHeader {
        api_key: key.number(),
        api_version: version,
        correlation_id,
        client_id: Some("drave-tests".to_owned()),
    }
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
