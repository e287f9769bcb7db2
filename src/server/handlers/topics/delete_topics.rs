//! `DeleteTopics`: carried to the active controller; refused topic by topic.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use crate::cluster::rpc::{DeleteTopicError, DeleteTopics, DeletedTopic, TopicRef};
use crate::cluster::{ClusterView, ControllerLink};
use crate::server::context::RequestContext;
use crate::server::quotas::mutations::{EXCEEDED, EXCEEDED_MESSAGE, Mutations};

/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 6;
/// The first version whose clients know that changes may be refused for a while.
pub(crate) const REFUSES_SINCE: i16 = 5;
/// First version whose clients know `TOPIC_DELETION_DISABLED`.
const DISABLED_SINCE: i16 = 3;

pub(crate) async fn handle(
    ctx: &RequestContext,
    controller: &ControllerLink,
    (view, mut mutations): (&ClusterView, Mutations),
    is_enabled: bool,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let deadline = ctx.deadline(request.timeout_ms);
    let mut results = Vec::new();
    let mut topics = Vec::new();
    for asked in asked(ctx.version, request) {
        match asked {
            Ok(topic) if !is_enabled => results.push(disabled(ctx.version, topic)),
            Ok(topic) if mutations.may_change(ctx, n_partitions(view, &topic)) => {
                topics.push(topic);
            }
            Ok(topic) => results.push(refused(topic, EXCEEDED, EXCEEDED_MESSAGE)),
            Err(refused) => results.push(refused),
        }
    }
    if !topics.is_empty() {
        let request = DeleteTopics {
            topics: topics.clone(),
        };
        match controller.delete_topics(request, deadline).await {
            Ok(deleted) => results.extend(deleted.into_iter().map(deleted_result)),
            Err(error) => {
                let code = ErrorCode::from(&error);
                let message = error.to_string();
                results.extend(topics.into_iter().map(|it| refused(it, code, &message)));
            }
        }
    }
    DeleteTopicsResponse {
        responses: results,
        throttle_time_ms: mutations.throttle_ms(ctx),
    }
}

/// What is not there counts as nothing.
fn n_partitions(view: &ClusterView, topic: &TopicRef) -> usize {
    let found = match topic {
        TopicRef::Name(name) => view.topic(name),
        TopicRef::Id(id) => view.topic_by_id(*id),
    };
    found.map_or(0, |it| it.partitions.len())
}

fn asked(
    version: i16,
    request: DeleteTopicsRequest,
) -> Vec<Result<TopicRef, DeletableTopicResult>> {
    if version >= TOPIC_IDS_SINCE {
        request.topics.into_iter().map(translate).collect()
    } else {
        let named = |name| Ok(TopicRef::Name(name));
        request.topic_names.into_iter().map(named).collect()
    }
}

fn translate(topic: DeleteTopicState) -> Result<TopicRef, DeletableTopicResult> {
    match (topic.name, topic.topic_id) {
        (Some(name), id) if id.is_zero() => Ok(TopicRef::Name(name)),
        (None, id) if !id.is_zero() => Ok(TopicRef::Id(id)),
        (name, topic_id) => Err(DeletableTopicResult {
            name,
            topic_id,
            error_code: ErrorCode::InvalidRequest.number(),
            error_message: Some("a topic is named either by its name or by its id".to_owned()),
        }),
    }
}

fn deleted_result(deleted: DeletedTopic) -> DeletableTopicResult {
    match deleted.result {
        Ok((name, topic_id)) => DeletableTopicResult {
            name: Some(name),
            topic_id,
            ..DeletableTopicResult::default()
        },
        Err(error) => refused(deleted.topic, ErrorCode::from(&error), &error.to_string()),
    }
}

fn disabled(version: i16, topic: TopicRef) -> DeletableTopicResult {
    let error = DeleteTopicError::Disabled;
    let code = if version >= DISABLED_SINCE {
        ErrorCode::from(&error)
    } else {
        ErrorCode::InvalidRequest
    };
    refused(topic, code, &error.to_string())
}

fn refused(topic: TopicRef, code: ErrorCode, message: &str) -> DeletableTopicResult {
    let result = DeletableTopicResult {
        error_code: code.number(),
        error_message: Some(message.to_owned()),
        ..DeletableTopicResult::default()
    };
    match topic {
        TopicRef::Name(name) => DeletableTopicResult {
            name: Some(name),
            ..result
        },
        TopicRef::Id(topic_id) => DeletableTopicResult {
            name: None,
            topic_id,
            ..result
        },
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::Uuid;

    use super::*;

    fn state(name: Option<&str>, id: [u8; 16]) -> DeleteTopicState {
        DeleteTopicState {
            name: name.map(str::to_owned),
            topic_id: Uuid(id),
        }
    }

    #[test]
    fn a_topic_is_named_in_exactly_one_way() {
        let by_name = translate(state(Some("t"), [0; 16]));
        assert_eq!(by_name, Ok(TopicRef::Name("t".to_owned())));
        let by_id = translate(state(None, [1; 16]));
        assert_eq!(by_id, Ok(TopicRef::Id(Uuid([1; 16]))));
        for both_or_none in [state(Some("t"), [1; 16]), state(None, [0; 16])] {
            let refused = translate(both_or_none).unwrap_err();
            assert_eq!(refused.error_code, ErrorCode::InvalidRequest.number());
        }
    }

    #[test]
    fn old_clients_hear_of_disabled_deletion_in_words_they_know() {
        let topic = || TopicRef::Name("t".to_owned());
        assert_eq!(disabled(2, topic()).error_code, 42);
        assert_eq!(disabled(3, topic()).error_code, 73);
    }
}
