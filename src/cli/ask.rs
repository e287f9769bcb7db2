//! Whom a command asks: brokers over the Kafka protocol, nodes over HTTP.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use drave_client::Admin;
use serde_json::Value;
use tokio::runtime::Runtime;

const HTTP_TIMEOUT: Duration = Duration::from_secs(3);

/// Where brokers are.
#[derive(Args, Clone, Debug)]
pub(super) struct Brokers {
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        help = "Brokers to ask, with commas [env: DRAVE_BOOTSTRAP] [default: localhost:9092]"
    )]
    bootstrap: Option<String>,
}

impl Brokers {
    pub(super) fn addresses(&self) -> String {
        given_or(self.bootstrap.as_ref(), "DRAVE_BOOTSTRAP", "localhost:9092")
    }

    pub(super) async fn admin(&self, patience: Duration) -> anyhow::Result<Admin> {
        let addresses = self.addresses();
        let connected = Admin::connect_within(&addresses, patience).await;
        connected.with_context(|| format!("no broker of {addresses} can be asked"))
    }
}

/// Where brokers are, and how long a command waits for them.
#[derive(Args, Clone, Debug)]
pub(super) struct PatientBrokers {
    #[command(flatten)]
    brokers: Brokers,
    /// Give up after this many seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
}

impl PatientBrokers {
    pub(super) async fn admin(&self) -> anyhow::Result<Admin> {
        self.brokers.admin(Duration::from_secs(self.timeout)).await
    }
}

/// Where nodes serve HTTP.
#[derive(Args, Clone, Debug)]
pub(super) struct Nodes {
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help = "Nodes to ask over HTTP, with commas [env: DRAVE_HTTP] [default: http://localhost:9640]"
    )]
    http: Option<String>,
}

/// What a node answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Nodes {
    /// The base of each node's URLs.
    pub(super) fn urls(&self) -> Vec<String> {
        let text = given_or(self.http.as_ref(), "DRAVE_HTTP", "http://localhost:9640");
        let urls = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        urls.map(with_scheme).collect()
    }

    /// The first answer any node gives to this path.
    pub(super) fn get_any(&self, path: &str) -> anyhow::Result<Answer> {
        let mut last = anyhow!("no node is named");
        for url in self.urls() {
            match get(&url, path) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Asks one node.
pub(super) fn get(url: &str, path: &str) -> anyhow::Result<Answer> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(HTTP_TIMEOUT))
        // A refusal has a body worth reading.
        .http_status_as_error(false)
        .build()
        .into();
    let whole = format!("{url}{path}");
    let mut response = agent
        .get(&whole)
        .call()
        .with_context(|| format!("cannot ask {whole}"))?;
    let text = response
        .body_mut()
        .read_to_string()
        .with_context(|| format!("cannot read the answer of {whole}"))?;
    Ok(Answer {
        status: response.status().as_u16(),
        // Health may answer in plain text.
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    })
}

fn with_scheme(address: &str) -> String {
    let address = address.trim_end_matches('/');
    if address.starts_with("http://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    }
}

fn given_or(given: Option<&String>, variable: &str, default: &str) -> String {
    given
        .cloned()
        .or_else(|| std::env::var(variable).ok())
        .unwrap_or_else(|| default.to_owned())
}

/// A runtime for commands that ask and leave.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.context("cannot start the runtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_the_scheme_out() {
        let nodes = Nodes {
            http: Some("a:1, http://b:2/,".to_owned()),
        };
        assert_eq!(nodes.urls(), ["http://a:1", "http://b:2"]);
    }
}
