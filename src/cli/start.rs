//! `drave start`: runs a node until it is asked to stop.

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::cli::{Exit, output};
use crate::config::BrokerConfig;
use crate::config::load::{self, Loaded, Sources};
use crate::node::Node;
use crate::telemetry::log::{self, LogFormat};

const EXAMPLES: &str = "\
Examples:
  drave start
  drave start --config /etc/drave/server.properties --set log.dirs=/data
  DRAVE_LISTENERS=PLAINTEXT://0.0.0.0:9092 DRAVE_ADVERTISED_LISTENERS=PLAINTEXT://broker-1:9092 drave start

Logs go to standard error; DRAVE_LOG filters them (warn, info, drave=debug).";

/// Run a node: broker, controller, or both.
///
/// Without any configuration: broker and controller in one, on localhost:9092, 9093 and 9640 (HTTP),
/// with its data in ./drave-data. Configuration comes from the file, then the environment (DRAVE_ and
/// the name with underscores), then --set; the later wins. Kafka's server.properties works unedited.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Start {
    #[arg(
        long,
        value_name = "FILE",
        help = "A properties file, as Kafka's [env: DRAVE_CONFIG]"
    )]
    config: Option<PathBuf>,
    /// One configuration value; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = ["human", "json"],
        help = "How log lines look [env: DRAVE_LOG_FORMAT] [default: human]"
    )]
    log_format: Option<String>,
}

impl Start {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        // Before anything that takes time: who asks a node to stop must not have to wait until it listens.
        let signals = runtime.block_on(async { Signals::listen() })?;
        log::start(self.log_format(), filter().as_deref());
        let Loaded {
            config,
            without_effect,
        } = match self.load() {
            Ok(loaded) => loaded,
            Err(error) => {
                output::complain(&error.to_string());
                return Ok(Exit::Misused);
            }
        };
        if !without_effect.is_empty() {
            let names = without_effect.join(", ");
            info!(names, "settings accepted that have no effect in drave");
        }
        let ended = runtime.block_on(serve(config, signals));
        // What is to be waited for was waited for: a disk that does not answer keeps nobody from ending.
        runtime.shutdown_background();
        ended
    }

    fn load(&self) -> Result<Loaded, crate::config::ConfigError> {
        let from_environment = std::env::var_os("DRAVE_CONFIG").map(PathBuf::from);
        let file = self.config.clone().or(from_environment);
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let sources = Sources {
            file: file.as_deref(),
            environment: &environment,
            command_line: &self.set,
        };
        load::load(sources, &host_name)
    }

    fn log_format(&self) -> LogFormat {
        let from_environment = std::env::var("DRAVE_LOG_FORMAT").ok();
        let wanted = self.log_format.as_deref().or(from_environment.as_deref());
        wanted.and_then(LogFormat::parse).unwrap_or_default()
    }
}

fn filter() -> Option<String> {
    std::env::var("DRAVE_LOG")
        .or_else(|_| std::env::var("RUST_LOG"))
        .ok()
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// To be called within the runtime.
    fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn serve(config: BrokerConfig, mut signals: Signals) -> anyhow::Result<Exit> {
    let node = Node::start(config).await?;
    let failed = tokio::select! {
        () = signals.received() => None,
        reason = node.failed() => Some(reason),
    };
    if let Some(reason) = failed {
        // Nothing may be acked or handed over any more: what others need they have.
        anyhow::bail!("this node must stop: {reason}");
    }
    info!("stopping; once more to stop at once");
    tokio::select! {
        () = node.stop() => {}
        () = signals.received() => return Ok(Exit::Failed),
    }
    Ok(Exit::Done)
}

/// What others can reach this machine by, as far as it knows: its name if that resolves here.
fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let resolves = (name.as_str(), 0)
        .to_socket_addrs()
        .is_ok_and(|mut it| it.next().is_some());
    if resolves {
        name
    } else {
        "127.0.0.1".to_owned()
    }
}
