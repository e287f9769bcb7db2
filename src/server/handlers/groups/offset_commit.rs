//! `OffsetCommit`: by members of a group, and by those who keep their offsets without being in one.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use crate::cluster::ClusterView;
use crate::coordinator::group::classic::Presence;
use crate::coordinator::group::{Commit, CommitPartition, CommitTopic};
use crate::coordinator::{GroupCoordinator, GroupError};
use crate::server::context::RequestContext;
use crate::server::handlers::data::naming::{self, TopicsBy};
use crate::server::reply::Reply;

/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;
/// First version whose clients know `GROUP_ID_NOT_FOUND` and `STALE_MEMBER_EPOCH`.
const UNKNOWN_GROUPS_SINCE: i16 = 9;

/// One partition asked for: refused here, or the coordinator's to decide.
type Asked = (i32, Option<ErrorCode>);

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    view: &ClusterView,
    request: OffsetCommitRequest,
) -> Reply {
    let mut asked = Vec::with_capacity(request.topics.len());
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let (partitions, commit) = known(ctx.version, view, &topic);
        asked.push((topic.name, topic.topic_id, partitions));
        topics.push(commit);
    }
    let commit = Commit {
        group_id: request.group_id,
        member: Presence {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id_or_member_epoch,
        },
        knows_unknown_groups: ctx.version >= UNKNOWN_GROUPS_SINCE,
        keep_ms: Some(request.retention_time_ms).filter(|it| *it >= 0),
        topics,
    };
    let awaited = groups.commit(commit);
    Reply::later(async move {
        let outcome = awaited.answer().await;
        let whole = outcome.as_ref().err().cloned();
        let mut by_topic = outcome.unwrap_or_default().into_iter();
        let mut responses = Vec::with_capacity(asked.len());
        for (name, topic_id, partitions) in asked {
            let mut decided = by_topic.next().unwrap_or_default().into_iter();
            let code = |(index, refused): Asked| OffsetCommitResponsePartition {
                partition_index: index,
                error_code: code(refused, whole.as_ref(), &mut decided).number(),
            };
            responses.push(OffsetCommitResponseTopic {
                name,
                topic_id,
                partitions: partitions.into_iter().map(code).collect(),
            });
        }
        ctx.answer(&OffsetCommitResponse {
            topics: responses,
            ..OffsetCommitResponse::default()
        })
    })
}

/// The partitions of a topic as asked for, and those of them that exist.
fn known(
    version: i16,
    view: &ClusterView,
    topic: &OffsetCommitRequestTopic,
) -> (Vec<Asked>, CommitTopic) {
    let by = if version >= TOPIC_IDS_SINCE {
        TopicsBy::Id
    } else {
        TopicsBy::Name
    };
    let mut asked = Vec::with_capacity(topic.partitions.len());
    let mut commit = CommitTopic::default();
    for partition in &topic.partitions {
        let index = partition.partition_index;
        let called = (topic.name.as_str(), topic.topic_id);
        let found = match naming::resolve(view, by, called, index) {
            Ok(found) => found,
            Err(code) => {
                asked.push((index, Some(code)));
                continue;
            }
        };
        if let Some(topic) = view.topic_by_id(found.topic_id) {
            commit.name.clone_from(&topic.name);
            commit.id = topic.topic_id;
        }
        commit.partitions.push(CommitPartition {
            index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.clone().unwrap_or_default(),
        });
        asked.push((index, None));
    }
    (asked, commit)
}

fn code(
    refused: Option<ErrorCode>,
    whole: Option<&GroupError>,
    decided: &mut impl Iterator<Item = Result<(), GroupError>>,
) -> ErrorCode {
    match (refused, whole) {
        (Some(code), _) => code,
        (None, Some(error)) => ErrorCode::from(error),
        (None, None) => match decided.next() {
            Some(Err(error)) => ErrorCode::from(&error),
            Some(Ok(())) | None => ErrorCode::None,
        },
    }
}
