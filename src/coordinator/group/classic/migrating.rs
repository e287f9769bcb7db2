//! What a classic group gives when it becomes a consumer group.

use drave_protocol::schema::group_records::ClassicProtocol;

use super::duration_ms;
use super::members::ClassicGroup;
use crate::coordinator::decision::HeldAnswer;
use crate::coordinator::error::GroupError;
use crate::coordinator::group::consumer::Migrant;

impl ClassicGroup {
    /// Its members on their way to the consumer protocol.
    pub fn migrants(&self) -> Vec<Migrant> {
        let members = self.members.iter().map(|(id, member)| {
            let first = member.protocols.first().map(|it| it.name.as_str());
            let protocol = self.protocol_name.as_deref().or(first);
            let protocols = member.protocols.iter().map(|it| ClassicProtocol {
                name: it.name.clone(),
                metadata: it.metadata.clone(),
            });
            Migrant {
                member_id: id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                session_timeout_ms: duration_ms(member.session_timeout),
                rebalance_timeout_ms: duration_ms(member.rebalance_timeout),
                protocols: protocols.collect(),
                subscription: member.metadata(protocol.unwrap_or_default()),
                assignment: member.assignment.clone(),
            }
        });
        members.collect()
    }

    /// Those who wait in it are told to join again, wherever the group is by then.
    pub fn dismiss(&mut self) -> Vec<HeldAnswer> {
        let error = GroupError::RebalanceInProgress(self.group_id.clone());
        let mut answers = Vec::new();
        for member in self.members.values_mut() {
            let joining = member.joining.take().map(|it| it.with(Err(error.clone())));
            let syncing = member.syncing.take().map(|it| it.with(Err(error.clone())));
            answers.extend(joining.into_iter().chain(syncing));
        }
        answers
    }
}
