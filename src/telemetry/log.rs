//! Log lines to standard error, for people or as JSON.
//!
//! `DRAVE_LOG` (or `RUST_LOG`) filters as `tracing-subscriber` reads it (`info`, `drave=debug`);
//! `DRAVE_LOG_FORMAT` is `human` or `json`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

impl LogFormat {
    /// Reads `human` or `json`; nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "human" => Some(Self::Human),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// What is logged when nobody said: our own news, and only warnings from what we stand on.
const FILTER_DEFAULT: &str = "warn,drave=info,drave_raft=info,drave_log=info,openraft=error";

/// openraft warns at every heartbeat a dead peer misses; our own lines say it once. A filter that
/// names the library has the last word.
const LIBRARIES: &str = "openraft=error";

/// Starts logging for this process. A second call changes nothing: the first owner decided.
pub fn start(format: LogFormat, filter: Option<&str>) {
    let wanted = filter.unwrap_or(FILTER_DEFAULT);
    let filter = EnvFilter::try_new(format!("{LIBRARIES},{wanted}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("{LIBRARIES},{FILTER_DEFAULT}")));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // The error says that logging runs already.
    drop(started);
}
