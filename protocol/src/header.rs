//! Headers of requests and responses, and which version of them goes with what.
//!
//! A flexible request has header version 2, any other version 1; a flexible response has 1, any
//! other 0. The exception: a response to `ApiVersions` always has 0, because its client does not know
//! yet what we speak. The client id keeps its fixed-width length in every version.

use crate::api::{self, ApiKey};
use crate::wire::{DecodeError, EncodeError, Reader, Writer};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads a header. One of an API we do not serve is read as version 1: its caller can only hang up.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let header = Self {
            api_key: reader.i16()?,
            api_version: reader.i16()?,
            correlation_id: reader.i32()?,
            client_id: reader.nullable_string()?,
        };
        if header.is_flexible() {
            reader.skip_tagged_fields()?;
        }
        Ok(header)
    }

    pub fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.api_key);
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        writer.nullable_string(self.client_id.as_deref())?;
        if self.is_flexible() {
            writer.no_tagged_fields();
        }
        Ok(())
    }

    fn is_flexible(&self) -> bool {
        api::lookup(self.api_key).is_some_and(|api| api.is_flexible(self.api_version))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    pub correlation_id: i32,
}

impl ResponseHeader {
    pub fn decode(reader: &mut Reader, key: ApiKey, version: i16) -> Result<Self, DecodeError> {
        let correlation_id = reader.i32()?;
        if is_tagged_response(key, version) {
            reader.skip_tagged_fields()?;
        }
        Ok(Self { correlation_id })
    }

    pub fn encode(self, writer: &mut Writer, key: ApiKey, version: i16) {
        writer.i32(self.correlation_id);
        if is_tagged_response(key, version) {
            writer.no_tagged_fields();
        }
    }
}

fn is_tagged_response(key: ApiKey, version: i16) -> bool {
    key != ApiKey::ApiVersions && key.api().is_flexible(version)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn written(header: &RequestHeader) -> Bytes {
        let mut writer = Writer::new();
        header.encode(&mut writer).unwrap();
        writer.into_bytes()
    }

    fn header(api_key: i16, api_version: i16) -> RequestHeader {
        let client_id = Some("x".to_owned());
        RequestHeader {
            api_key,
            api_version,
            correlation_id: 1,
            client_id,
        }
    }

    #[test]
    fn flexible_requests_carry_tagged_fields_in_their_header() {
        // Unknown newer versions too: a client newer than us sends flexible headers.
        for (api_key, version, length) in [
            (3, 8, 11),
            (3, 9, 12),
            (18, 2, 11),
            (18, 5, 12),
            (60, 0, 12),
            (77, 3, 11),
            (3, -1, 11),
        ] {
            let header = header(api_key, version);
            let bytes = written(&header);
            assert_eq!(bytes.len(), length, "api {api_key} version {version}");
            let mut reader = Reader::new(bytes);
            assert_eq!(RequestHeader::decode(&mut reader), Ok(header));
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn tagged_fields_of_a_header_are_skipped() {
        let mut bytes = written(&header(3, 9)).to_vec();
        assert_eq!(bytes.pop(), Some(0));
        bytes.extend([1, 7, 2, 0xaa, 0xbb]);
        assert_eq!(
            RequestHeader::decode(&mut Reader::new(bytes.into())),
            Ok(header(3, 9))
        );
    }

    #[test]
    fn api_versions_is_always_answered_with_the_oldest_header() {
        let length = |key, version| {
            let mut writer = Writer::new();
            ResponseHeader { correlation_id: 1 }.encode(&mut writer, key, version);
            writer.len()
        };
        assert_eq!(length(ApiKey::ApiVersions, 4), 4);
        assert_eq!(length(ApiKey::ApiVersions, 5), 4);
        assert_eq!(length(ApiKey::Metadata, 8), 4);
        assert_eq!(length(ApiKey::Metadata, 9), 5);
    }
}
