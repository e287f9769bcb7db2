//! Keys that depend on others: listeners and what is advertised for them, the quorum, directories.
//!
//! Promises: nothing unspecified is ever advertised; every node has a controller listener.

use drave_protocol::ids::NodeId;

use crate::config::broker::BrokerConfig;
use crate::config::error::ConfigError;
use crate::config::listener::{Listener, split_host_port};
use crate::config::value::ConfigValue;

const HTTP_PORT_OFFSET: u16 = 548;

impl BrokerConfig {
    pub(super) fn resolve(&mut self, host_name: &dyn Fn() -> String) -> Result<(), ConfigError> {
        self.resolve_listeners()?;
        self.resolve_advertised(host_name)?;
        self.resolve_inter_broker_listener()?;
        self.http_listener = self.resolved_http_listener()?;
        self.resolve_quorum()?;
        self.check_timeouts()?;
        self.check_group_bounds()?;
        self.metadata_log_dir = match (&self.metadata_log_dir_text, self.log_dirs.first()) {
            (Some(dir), _) | (None, Some(dir)) => dir.clone(),
            (None, None) => return Err(invalid("log.dirs", "", "must be at least one directory")),
        };
        Ok(())
    }

    fn resolve_listeners(&mut self) -> Result<(), ConfigError> {
        if self.listeners.is_empty() {
            self.listeners = self.default_listeners();
        }
        for name in &mut self.controller_listener_names {
            name.make_ascii_uppercase();
        }
        for listener in &self.listeners {
            self.check_protocol(&listener.name)?;
        }
        let is_controllers = |it: &&Listener| self.controller_listener_names.contains(&it.name);
        let (controllers, clients): (Vec<&Listener>, Vec<&Listener>) =
            self.listeners.iter().partition(is_controllers);
        if self.process_roles.broker && clients.is_empty() {
            let reason = "a broker needs a listener that is not the controller's";
            return Err(invalid("listeners", &joined(&self.listeners), reason));
        }
        if !self.process_roles.broker && !clients.is_empty() {
            let reason =
                "process.roles names no broker, so only the controller's listener may be here";
            return Err(invalid("listeners", &joined(&self.listeners), reason));
        }
        let controller = match (controllers.first(), self.listeners.first()) {
            (Some(listener), _) => (*listener).clone(),
            (None, Some(first)) => {
                let name = self
                    .controller_listener_names
                    .first()
                    .map_or("CONTROLLER", |it| it);
                Listener::new(name, &first.host, next_port(first.port, 1))
            }
            (None, None) => Listener::new("CONTROLLER", "localhost", 9093),
        };
        self.client_listeners = clients.into_iter().cloned().collect();
        self.controller_listener = controller;
        Ok(())
    }

    fn default_listeners(&self) -> Vec<Listener> {
        let mut listeners = Vec::new();
        if self.process_roles.broker {
            listeners.push(Listener::new("PLAINTEXT", "localhost", 9092));
        }
        if self.process_roles.controller {
            let name = self
                .controller_listener_names
                .first()
                .map_or("CONTROLLER", |it| it);
            listeners.push(Listener::new(name, "localhost", 9093));
        }
        listeners
    }

    fn check_protocol(&self, name: &str) -> Result<(), ConfigError> {
        let is_controllers = self.controller_listener_names.iter().any(|it| it == name);
        let reason = match self.listener_security_protocol_map.of(name) {
            Some("PLAINTEXT") => return Ok(()),
            // As in Kafka: a controller's listener outside the map is PLAINTEXT.
            None if is_controllers => return Ok(()),
            Some(protocol) => format!(
                "listener {name} asks for {protocol}, and drave serves only PLAINTEXT for now"
            ),
            None => format!(
                "listener {name} has no security protocol; add {name}:PLAINTEXT to listener.security.protocol.map"
            ),
        };
        Err(invalid("listeners", &joined(&self.listeners), reason))
    }

    fn resolve_advertised(&mut self, host_name: &dyn Fn() -> String) -> Result<(), ConfigError> {
        let given = std::mem::take(&mut self.advertised_listeners);
        for advertised in &given {
            self.check_advertised(advertised, &given)?;
        }
        let advertise = |listener: &Listener| {
            let named = given.iter().find(|it| it.name == listener.name);
            let mut advertised = named.unwrap_or(listener).clone();
            if advertised.is_unspecified() {
                advertised.host = host_name();
            }
            advertised
        };
        self.advertised_listeners = self.client_listeners.iter().map(advertise).collect();
        self.advertised_controller_listener = advertise(&self.controller_listener);
        Ok(())
    }

    fn check_advertised(
        &self,
        advertised: &Listener,
        given: &[Listener],
    ) -> Result<(), ConfigError> {
        let refuse = |reason: String| Err(invalid("advertised.listeners", &joined(given), reason));
        if !advertised.host.is_empty() && advertised.is_unspecified() {
            return refuse(format!(
                "{} stands for every address of this machine; a client told to connect there would connect to itself, so name a host that clients can reach",
                advertised.host
            ));
        }
        let is_bound = self.listeners.iter().any(|it| it.name == advertised.name)
            || self.controller_listener.name == advertised.name;
        if !is_bound {
            return refuse(format!("{} is not in listeners", advertised.name));
        }
        Ok(())
    }

    fn resolve_inter_broker_listener(&mut self) -> Result<(), ConfigError> {
        let wanted = self.inter_broker_listener_name.to_ascii_uppercase();
        let find = |name: &str| self.client_listeners.iter().find(|it| it.name == name);
        let found = if wanted.is_empty() {
            find("PLAINTEXT").or(self.client_listeners.first())
        } else {
            find(&wanted)
        };
        match found {
            Some(listener) => self.inter_broker_listener_name = listener.name.clone(),
            // Stock files of pure controllers name one and bind none.
            None if !self.process_roles.broker => {}
            None => {
                let reason = "is not in listeners";
                return Err(invalid("inter.broker.listener.name", &wanted, reason));
            }
        }
        Ok(())
    }

    fn resolved_http_listener(&self) -> Result<Option<Listener>, ConfigError> {
        let text = self.http_listeners.as_str();
        match text {
            "none" => return Ok(None),
            "" => {
                return Ok(self.listeners.first().map(|first| {
                    Listener::new("HTTP", &first.host, next_port(first.port, HTTP_PORT_OFFSET))
                }));
            }
            _ => {}
        }
        let refuse = |reason: &str| invalid("http.listeners", text, reason);
        let listeners = Vec::<Listener>::parse(text).map_err(|it| refuse(&it))?;
        match listeners.as_slice() {
            [one] if one.name == "HTTP" => Ok(Some(one.clone())),
            _ => Err(refuse("expected one HTTP://host:port, or none")),
        }
    }

    fn resolve_quorum(&mut self) -> Result<(), ConfigError> {
        for server in &self.controller_quorum_bootstrap_servers {
            if split_host_port(server).is_none_or(|(host, port)| host.is_empty() || port == 0) {
                let reason = "expected host:port";
                return Err(invalid(
                    "controller.quorum.bootstrap.servers",
                    server,
                    reason,
                ));
            }
        }
        self.controller_quorum_voters = self.parsed_voters()?;
        let is_named = |(id, _): &(NodeId, String)| *id == self.node_id;
        if self.process_roles.controller
            && !self.controller_quorum_voters.is_empty()
            && !self.controller_quorum_voters.iter().any(is_named)
        {
            let reason = format!("this node, {}, is a controller but not named", self.node_id);
            let text = self.controller_quorum_voters_text.join(",");
            return Err(invalid("controller.quorum.voters", &text, reason));
        }
        if self.controller_quorum_voters.is_empty()
            && self.controller_quorum_bootstrap_servers.is_empty()
        {
            if !self.process_roles.controller {
                let reason = "a node that is only a broker must be told where the controllers are";
                return Err(invalid("controller.quorum.bootstrap.servers", "", reason));
            }
            let own = self.advertised_controller_listener.address();
            self.controller_quorum_voters = vec![(self.node_id, own)];
        }
        Ok(())
    }

    fn parsed_voters(&self) -> Result<Vec<(NodeId, String)>, ConfigError> {
        let mut voters: Vec<(NodeId, String)> = Vec::new();
        for text in &self.controller_quorum_voters_text {
            let refuse = |reason: &str| invalid("controller.quorum.voters", text, reason);
            let (id, address) = text
                .split_once('@')
                .ok_or_else(|| refuse("expected id@host:port"))?;
            let id = NodeId::parse(id).map_err(|it| refuse(&it))?;
            if id.0 < 0 || split_host_port(address).is_none_or(|(host, _)| host.is_empty()) {
                return Err(refuse("expected id@host:port"));
            }
            if voters.iter().any(|(other, _)| *other == id) {
                return Err(refuse("names a node twice"));
            }
            voters.push((id, address.to_owned()));
        }
        Ok(voters)
    }

    fn check_timeouts(&self) -> Result<(), ConfigError> {
        let session = self.broker_session_timeout;
        if session < self.broker_heartbeat_interval * 2 {
            return Err(invalid(
                "broker.session.timeout.ms",
                &session.as_millis().to_string(),
                format!(
                    "must be at least twice broker.heartbeat.interval.ms, {}",
                    self.broker_heartbeat_interval.as_millis()
                ),
            ));
        }
        let election = self.controller_quorum_election_timeout;
        if election < self.controller_quorum_heartbeat_interval * 2 {
            return Err(invalid(
                "controller.quorum.election.timeout.ms",
                &election.as_millis().to_string(),
                format!(
                    "must be at least twice controller.quorum.heartbeat.interval.ms, {}",
                    self.controller_quorum_heartbeat_interval.as_millis()
                ),
            ));
        }
        Ok(())
    }
}

/// The port `offset` further on; 0 stays 0, and past the last port the system picks.
fn next_port(port: u16, offset: u16) -> u16 {
    match port {
        0 => 0,
        port => port.checked_add(offset).unwrap_or(0),
    }
}

fn joined(listeners: &[Listener]) -> String {
    let texts: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    texts.join(",")
}

fn invalid(name: &'static str, value: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::invalid(name, value, reason)
}
