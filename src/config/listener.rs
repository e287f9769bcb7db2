//! Addresses, as `listeners` and `advertised.listeners` write them: `NAME://host:port`.

use std::fmt;

use crate::config::value::{ConfigValue, Kind, items};

/// A named address. Binding, an empty host means every address of the machine, and port 0 lets the
/// system pick; advertised, the host is never empty nor unspecified, and port 0 stands for the
/// port that was bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// Upper-case.
    pub name: String,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl Listener {
    pub fn new(name: &str, host: &str, port: u16) -> Self {
        Self {
            name: name.to_ascii_uppercase(),
            host: host.to_owned(),
            port,
        }
    }

    /// Whether the host stands for every address of the machine.
    pub fn is_unspecified(&self) -> bool {
        matches!(
            self.host.as_str(),
            "" | "0.0.0.0" | "::" | "0:0:0:0:0:0:0:0"
        )
    }

    /// `host:port` to bind or to connect to.
    pub fn address(&self) -> String {
        self.address_with_port(self.port)
    }

    /// The same host with the port that was really bound.
    pub fn address_with_port(&self, port: u16) -> String {
        match self.host.as_str() {
            "" => format!("0.0.0.0:{port}"),
            host if host.contains(':') => format!("[{host}]:{port}"),
            host => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.address())
    }
}

impl ConfigValue for Vec<Listener> {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        let listeners = items(text)
            .map(parse_listener)
            .collect::<Result<Self, _>>()?;
        for (at, listener) in listeners.iter().enumerate() {
            for other in listeners.iter().skip(at + 1) {
                if other.name == listener.name {
                    return Err(format!("names {} twice", listener.name));
                }
                if other.port != 0 && other.port == listener.port && other.host == listener.host {
                    return Err(format!("gives port {} to two listeners", listener.port));
                }
            }
        }
        Ok(listeners)
    }
}

fn parse_listener(text: &str) -> Result<Listener, String> {
    let expected = || format!("expected NAME://host:port, got {text:?}");
    let (name, address) = text.split_once("://").ok_or_else(expected)?;
    let is_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(expected());
    }
    let (host, port) = split_host_port(address).ok_or_else(expected)?;
    Ok(Listener::new(name, host, port))
}

/// `host:port`, `[v6]:port` or `:port`.
pub(super) fn split_host_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        // An address with more colons must be in brackets, else its last group reads as a port.
        None if host.contains(':') => return None,
        None => host,
    };
    Some((host, port.parse().ok()?))
}

/// `listener.security.protocol.map`: which protocol each listener name speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityProtocols {
    by_name: Vec<(String, String)>,
}

impl SecurityProtocols {
    /// The protocol of a listener, where the map names it.
    pub fn of(&self, listener: &str) -> Option<&str> {
        let found = self.by_name.iter().find(|(name, _)| name == listener);
        found.map(|(_, protocol)| protocol.as_str())
    }
}

impl ConfigValue for SecurityProtocols {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        const KNOWN: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
        let mut by_name = Vec::new();
        for item in items(text) {
            let (name, protocol) = item
                .split_once(':')
                .ok_or_else(|| format!("expected NAME:PROTOCOL, got {item:?}"))?;
            let protocol = protocol.trim().to_ascii_uppercase();
            if !KNOWN.contains(&protocol.as_str()) {
                return Err(format!("expected a protocol of {}", KNOWN.join(", ")));
            }
            by_name.push((name.trim().to_ascii_uppercase(), protocol));
        }
        Ok(Self { by_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_kafka_writes_them() {
        let read = Vec::<Listener>::parse("plaintext://:9092, CONTROLLER://[::1]:0").unwrap();
        assert_eq!(
            read,
            [
                Listener::new("PLAINTEXT", "", 9092),
                Listener::new("CONTROLLER", "::1", 0)
            ]
        );
        assert_eq!(read[0].address(), "0.0.0.0:9092");
        assert_eq!(read[1].address_with_port(7), "[::1]:7");
        assert!(read[0].is_unspecified() && !read[1].is_unspecified());
    }

    #[test]
    fn malformed_addresses_are_refused_with_the_form_expected() {
        for text in [
            "localhost:9092",
            "A://host",
            "A://host:99999",
            "A://::1:9",
            "://h:1",
            "A://[::1:9",
        ] {
            let refusal = Vec::<Listener>::parse(text).unwrap_err();
            assert!(refusal.contains("NAME://host:port"), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_port_serves_one_listener_but_zero_serves_any_number() {
        assert!(Vec::<Listener>::parse("A://h:1,B://h:1").is_err());
        assert!(Vec::<Listener>::parse("A://h:1,A://h:2").is_err());
        assert!(Vec::<Listener>::parse("A://h:0,B://h:0").is_ok());
    }
}
