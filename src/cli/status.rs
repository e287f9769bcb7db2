//! The picture `drave cluster status` draws from `/v1/cluster` and `/v1/topics`.

use serde_json::Value;

use crate::cli::Exit;
use crate::cli::ask::Nodes;
use crate::cli::output::Format;

/// The page, and whether what it shows is healthy.
pub(super) fn read(nodes: &Nodes, format: Format) -> anyhow::Result<(String, Exit)> {
    let cluster = nodes.get_any("/v1/cluster")?.body;
    let page = match format {
        Format::Json | Format::Table => format!("{cluster:#}"),
    };
    Ok((page, verdict(&cluster)))
}

fn verdict(cluster: &Value) -> Exit {
    match cluster.get("controller") {
        None | Some(Value::Null) => Exit::Unhealthy,
        Some(_) => Exit::Done,
    }
}
