//! Groups, for tools.

use super::classic::{CONSUMER, DescribedMember};
use super::shard::{Group, GroupShard};
use crate::coordinator::error::GroupError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub group_id: String,
    pub protocol_type: String,
    pub state: &'static str,
    pub kind: &'static str,
}

/// Empty lists let all through; the case of letters does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    pub states: Vec<String>,
    pub kinds: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    pub state: &'static str,
    pub protocol_type: String,
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

impl ListFilter {
    fn lets_through(&self, listed: &Listed) -> bool {
        let has = |all: &[String], one: &str| {
            all.is_empty() || all.iter().any(|it| it.eq_ignore_ascii_case(one))
        };
        has(&self.states, listed.state) && has(&self.kinds, listed.kind)
    }
}

impl Group {
    fn listed(&self, group_id: &str) -> Listed {
        match self {
            Self::Classic(group) => Listed {
                group_id: group_id.to_owned(),
                protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
                state: group.state().name(),
                kind: "classic",
            },
            Self::Consumer(group) => Listed {
                group_id: group_id.to_owned(),
                protocol_type: CONSUMER.to_owned(),
                state: group.state().name(),
                kind: "consumer",
            },
        }
    }
}

impl GroupShard {
    pub fn list(&self, filter: &ListFilter) -> Vec<Listed> {
        let all = self.groups.iter().map(|(id, group)| group.listed(id));
        all.filter(|it| filter.lets_through(it)).collect()
    }

    /// A classic group; others are described by their own API.
    pub fn describe_classic(&self, group_id: &str) -> Result<DescribedGroup, GroupError> {
        let Group::Classic(group) = self.group(group_id)? else {
            return Err(GroupError::NotOfProtocol {
                group: group_id.to_owned(),
                protocol: "classic".to_owned(),
            });
        };
        Ok(DescribedGroup {
            state: group.state().name(),
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            protocol: group.protocol_name().unwrap_or_default().to_owned(),
            members: group.describe(),
        })
    }
}
