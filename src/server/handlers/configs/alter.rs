//! `IncrementalAlterConfigs`, and `AlterConfigs`, which names every entry at once: carried to the active
//! controller; refused resource by resource.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse as OldResourceResponse, AlterConfigsResponse,
};
use drave_protocol::schema::incremental_alter_configs::{
    AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use drave_raft::record::ConfigResource;

use crate::cluster::ControllerLink;
use crate::cluster::administration::{AlterConfigs, AlterResource, Alteration, EntryChange};
use crate::cluster::rpc::CreateMode;
use crate::server::context::RequestContext;
use crate::server::handlers::configs::resource;

/// Neither request says how long it may take.
const TIMEOUT_MS: i32 = 30_000;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) type Refusal = (ErrorCode, String);

/// One resource of a request: its name on the wire, and what is to become of it.
struct Asked {
    name: (i8, String),
    alteration: Result<Alteration, Refusal>,
}

pub(crate) async fn incrementally(
    ctx: &RequestContext,
    controller: &ControllerLink,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let asked = request.resources.into_iter().map(|it| Asked {
        name: (it.resource_type, it.resource_name),
        alteration: changes(it.configs).map(Alteration::Some),
    });
    let mode = mode(request.validate_only);
    IncrementalAlterConfigsResponse {
        responses: alter(ctx, controller, asked.collect(), mode).await,
        ..IncrementalAlterConfigsResponse::default()
    }
}

pub(crate) async fn wholly(
    ctx: &RequestContext,
    controller: &ControllerLink,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let asked = request.resources.into_iter().map(|it| {
        let entries = it.configs.into_iter().map(|it| match it.value {
            Some(value) => Ok((it.name, value)),
            None => Err(without_value(&it.name)),
        });
        Asked {
            name: (it.resource_type, it.resource_name),
            alteration: entries.collect::<Result<_, _>>().map(Alteration::All),
        }
    });
    let mode = mode(request.validate_only);
    let told = alter(ctx, controller, asked.collect(), mode).await;
    let responses = told.into_iter().map(|it| OldResourceResponse {
        error_code: it.error_code,
        error_message: it.error_message,
        resource_type: it.resource_type,
        resource_name: it.resource_name,
    });
    AlterConfigsResponse {
        responses: responses.collect(),
        ..AlterConfigsResponse::default()
    }
}

fn mode(validate_only: bool) -> CreateMode {
    if validate_only {
        CreateMode::ValidateOnly
    } else {
        CreateMode::Create
    }
}

fn changes(entries: Vec<AlterableConfig>) -> Result<Vec<(String, EntryChange)>, Refusal> {
    let change = |it: AlterableConfig| {
        let change = match (it.config_operation, it.value) {
            (SET, Some(value)) => EntryChange::Set(value),
            (DELETE, _) => EntryChange::Delete,
            (APPEND, Some(value)) => EntryChange::Append(value),
            (SUBTRACT, Some(value)) => EntryChange::Subtract(value),
            (SET | APPEND | SUBTRACT, None) => return Err(without_value(&it.name)),
            (other, _) => {
                let message = format!("{}: there is no operation {other}", it.name);
                return Err((ErrorCode::InvalidRequest, message));
            }
        };
        Ok((it.name, change))
    };
    entries.into_iter().map(change).collect()
}

fn without_value(name: &str) -> Refusal {
    (ErrorCode::InvalidRequest, format!("{name} has no value"))
}

async fn alter(
    ctx: &RequestContext,
    controller: &ControllerLink,
    asked: Vec<Asked>,
    mode: CreateMode,
) -> Vec<AlterConfigsResourceResponse> {
    let mut responses = Vec::with_capacity(asked.len());
    let mut resources = Vec::with_capacity(asked.len());
    for it in asked {
        match translate(&it.name, it.alteration) {
            Ok(resource) => resources.push(resource),
            Err(refused) => responses.push(response(it.name, Some(refused))),
        }
    }
    let decided = decided(ctx, controller, AlterConfigs { resources, mode }).await;
    let decided = decided.into_iter();
    responses.extend(decided.map(|(it, refused)| response(resource::written(&it), refused)));
    responses
}

/// What the active controller says to each resource, in their order.
pub(super) async fn decided(
    ctx: &RequestContext,
    controller: &ControllerLink,
    request: AlterConfigs,
) -> Vec<(ConfigResource, Option<Refusal>)> {
    if request.resources.is_empty() {
        return Vec::new();
    }
    let resources = request.resources.iter();
    let names: Vec<ConfigResource> = resources.map(|it| it.resource.clone()).collect();
    let deadline = ctx.deadline(TIMEOUT_MS);
    match controller.alter_configs(request, deadline).await {
        Ok(altered) => {
            let altered = altered.into_iter().map(|it| {
                let refused = it.result.err();
                let refused = refused.map(|error| ((&error).into(), error.to_string()));
                (it.resource, refused)
            });
            altered.collect()
        }
        Err(error) => {
            let refused = (ErrorCode::from(&error), error.to_string());
            let refused = |it| (it, Some(refused.clone()));
            names.into_iter().map(refused).collect()
        }
    }
}

fn translate(
    (resource_type, name): &(i8, String),
    alteration: Result<Alteration, Refusal>,
) -> Result<AlterResource, Refusal> {
    let resource = resource::read(*resource_type, name);
    Ok(AlterResource {
        resource: resource.map_err(|message| (ErrorCode::InvalidRequest, message))?,
        alteration: alteration?,
    })
}

fn response(
    (resource_type, resource_name): (i8, String),
    refused: Option<Refusal>,
) -> AlterConfigsResourceResponse {
    let (code, message) = match refused {
        Some((code, message)) => (code, Some(message)),
        None => (ErrorCode::None, None),
    };
    AlterConfigsResourceResponse {
        error_code: code.number(),
        error_message: message,
        resource_type,
        resource_name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(config_operation: i8, value: Option<&str>) -> AlterableConfig {
        AlterableConfig {
            name: "k".to_owned(),
            config_operation,
            value: value.map(str::to_owned),
        }
    }

    #[test]
    fn only_a_deletion_goes_without_a_value() {
        let deleted = changes(vec![entry(DELETE, None)]).unwrap();
        assert_eq!(deleted, [("k".to_owned(), EntryChange::Delete)]);
        for operation in [SET, APPEND, SUBTRACT, 4, -1] {
            let (code, message) = changes(vec![entry(operation, None)]).unwrap_err();
            assert_eq!(code, ErrorCode::InvalidRequest);
            assert!(message.contains('k'), "{message}");
        }
    }
}
