//! `drave elect`: makes preferred replicas lead again, or lets any live replica lead at a price.

use anyhow::bail;
use clap::{ArgGroup, Args};
use drave_client::alteration::{Election, ElectionKind};
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::ask::{self, PatientBrokers};
use crate::cli::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  drave elect --all                     preferred replicas lead wherever they are in sync
  drave elect orders:0 orders:3
  drave elect --unclean orders:3        any live replica leads, even if acked records are lost";

/// Elect leaders of partitions.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("which").required(true).args(["partitions", "all"]))]
pub(super) struct Elect {
    #[command(flatten)]
    brokers: PatientBrokers,
    /// Partitions, as TOPIC:PARTITION.
    #[arg(value_name = "TOPIC:PARTITION", value_parser = partition)]
    partitions: Vec<(String, i32)>,
    /// Wherever an election is needed.
    #[arg(long)]
    all: bool,
    /// Where nobody leads, let any live replica lead: what only the missing replicas have is lost.
    #[arg(long)]
    unclean: bool,
}

pub(super) fn partition(text: &str) -> Result<(String, i32), String> {
    let split = text.rsplit_once(':');
    let read = split.and_then(|(topic, number)| Some((topic.to_owned(), number.parse().ok()?)));
    read.ok_or_else(|| "expected TOPIC:PARTITION".to_owned())
}

impl Elect {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        if self.all && self.unclean {
            bail!("an unclean election may lose records: name its partitions one by one");
        }
        let kind = if self.unclean {
            ElectionKind::Unclean
        } else {
            ElectionKind::Preferred
        };
        let named = (!self.all).then_some(self.partitions.as_slice());
        ask::runtime()?.block_on(async {
            let admin = self.brokers.admin().await?;
            Ok(report(&admin.elect_leaders(kind, named).await?, format))
        })
    }
}

fn report(elections: &[Election], format: Format) -> Exit {
    match format {
        Format::Json => output::say_json(&elections.iter().map(told).collect()),
        Format::Table => elections.iter().for_each(tell),
    }
    if elections.iter().any(|it| it.outcome.is_err()) {
        Exit::Failed
    } else {
        Exit::Done
    }
}

fn told(election: &Election) -> Value {
    let (warning, error) = match &election.outcome {
        Ok(warning) => (warning.clone(), None),
        Err(error) => (None, Some(error.to_string())),
    };
    json!({
        "topic": election.topic,
        "partition": election.partition,
        "warning": warning,
        "error": error,
    })
}

fn tell(election: &Election) {
    let name = format!("{}:{}", election.topic, election.partition);
    match &election.outcome {
        Ok(None) => output::say(&format!("{name}: elected")),
        Ok(Some(warning)) => output::say(&format!("{name}: elected; {warning}")),
        Err(error) => output::complain(&format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_by_topic_and_number() {
        assert_eq!(partition("a:b:3"), Ok(("a:b".to_owned(), 3)));
        assert!(partition("a").is_err() && partition("a:x").is_err());
    }
}
