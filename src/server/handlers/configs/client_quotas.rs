//! `DescribeClientQuotas` and `AlterClientQuotas`: what clients may use. What is not counted, connections by
//! address, is refused.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlteredEntity, AlteredQuota,
    AlteredQuotaResult, QuotaOperation,
};
use drave_protocol::schema::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, DescribedEntity,
    DescribedQuota, QuotaValue,
};
use drave_raft::record::{ConfigResource, QuotaEntity, QuotaName};

use crate::cluster::ClusterView;
use crate::cluster::ControllerLink;
use crate::cluster::administration::{AlterConfigs, AlterResource, Alteration, EntryChange};
use crate::cluster::rpc::CreateMode;
use crate::server::context::RequestContext;
use crate::server::handlers::configs::alter;
use crate::server::quotas;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

type Refusal = (ErrorCode, String);

/// What a component of an entity must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Exactly(QuotaName),
    Any,
}

pub(crate) fn describe(
    view: &ClusterView,
    request: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    let wanted = match wanted(request.components) {
        Ok(wanted) => wanted,
        Err((code, message)) => {
            return DescribeClientQuotasResponse {
                error_code: code.number(),
                error_message: Some(message),
                entries: None,
                ..DescribeClientQuotasResponse::default()
            };
        }
    };
    let all = quotas::agreed(&view.image().configs);
    let found = all
        .filter(|(entity, _)| matches(entity, &wanted, request.strict))
        .map(|(entity, values)| described(entity, values));
    DescribeClientQuotasResponse {
        entries: Some(found.collect()),
        ..DescribeClientQuotasResponse::default()
    }
}

fn wanted(components: Vec<ComponentData>) -> Result<BTreeMap<String, Wanted>, Refusal> {
    let mut wanted = BTreeMap::new();
    for it in components {
        if ![USER, CLIENT_ID, IP].contains(&it.entity_type.as_str()) {
            let message = format!("entity type '{}' is unknown", it.entity_type);
            return Err((ErrorCode::UnsupportedVersion, message));
        }
        let value = match (it.match_type, it.match_name) {
            (EXACT, Some(name)) => Wanted::Exactly(QuotaName::Named(name)),
            (DEFAULT, _) => Wanted::Exactly(QuotaName::Default),
            (ANY, _) => Wanted::Any,
            (kind, _) => {
                let message = format!("match type {kind} is unknown, or lacks a name");
                return Err((ErrorCode::InvalidRequest, message));
            }
        };
        if wanted.insert(it.entity_type, value).is_some() {
            let message = "an entity type is named twice".to_owned();
            return Err((ErrorCode::InvalidRequest, message));
        }
    }
    Ok(wanted)
}

fn matches(entity: &QuotaEntity, wanted: &BTreeMap<String, Wanted>, is_strict: bool) -> bool {
    let parts = parts(entity);
    let has_wanted = wanted.iter().all(|(kind, wanted)| {
        let found = parts.iter().find(|(it, _)| it == kind);
        found.is_some_and(|(_, name)| match wanted {
            Wanted::Exactly(wanted) => *name == wanted,
            Wanted::Any => true,
        })
    });
    has_wanted && (!is_strict || parts.len() == wanted.len())
}

fn parts(entity: &QuotaEntity) -> Vec<(&'static str, &QuotaName)> {
    let user = entity.user.iter().map(|it| (USER, it));
    user.chain(entity.client_id.iter().map(|it| (CLIENT_ID, it)))
        .collect()
}

fn described(entity: &QuotaEntity, values: &BTreeMap<String, String>) -> DescribedQuota {
    let entity = parts(entity).into_iter().map(|(kind, name)| {
        let entity_name = match name {
            QuotaName::Default => None,
            QuotaName::Named(name) => Some(name.clone()),
        };
        DescribedEntity {
            entity_type: kind.to_owned(),
            entity_name,
        }
    });
    let values = values.iter().filter_map(|(key, text)| {
        let value = text.parse().ok()?;
        Some(QuotaValue {
            key: key.clone(),
            value,
        })
    });
    DescribedQuota {
        entity: entity.collect(),
        values: values.collect(),
    }
}

pub(crate) async fn alter(
    ctx: &RequestContext,
    controller: &ControllerLink,
    request: AlterClientQuotasRequest,
) -> AlterClientQuotasResponse {
    let mode = if request.validate_only {
        CreateMode::ValidateOnly
    } else {
        CreateMode::Create
    };
    let mut results = Vec::with_capacity(request.entries.len());
    let mut resources = Vec::new();
    for AlteredQuota { entity, ops } in request.entries {
        match changed(&entity, ops) {
            Ok(resource) => {
                results.push((entity, Ok(())));
                resources.push(resource);
            }
            Err(refusal) => results.push((entity, Err(refusal))),
        }
    }
    let request = AlterConfigs { resources, mode };
    // In the order they were asked.
    let mut decided = alter::decided(ctx, controller, request).await.into_iter();
    let entries = results.into_iter().map(|(entity, result)| {
        let refusal = match result {
            Ok(()) => decided.next().and_then(|(_, refusal)| refusal),
            Err(refusal) => Some(refusal),
        };
        AlteredQuotaResult {
            error_code: refusal.as_ref().map_or(0, |(code, _)| code.number()),
            error_message: refusal.map(|(_, message)| message),
            entity,
        }
    });
    AlterClientQuotasResponse {
        entries: entries.collect(),
        ..AlterClientQuotasResponse::default()
    }
}

fn changed(entity: &[AlteredEntity], ops: Vec<QuotaOperation>) -> Result<AlterResource, Refusal> {
    let entity = read(entity)?;
    let changes = ops.into_iter().map(|it| {
        let change = if it.remove {
            EntryChange::Delete
        } else {
            EntryChange::Set(it.value.to_string())
        };
        (it.key, change)
    });
    Ok(AlterResource {
        resource: ConfigResource::ClientQuota(entity),
        alteration: Alteration::Some(changes.collect()),
    })
}

fn read(parts: &[AlteredEntity]) -> Result<QuotaEntity, Refusal> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    let mut entity = QuotaEntity::default();
    for part in parts {
        let place = match part.entity_type.as_str() {
            USER => &mut entity.user,
            CLIENT_ID => &mut entity.client_id,
            IP => {
                return invalid("quotas of addresses are not kept here".to_owned());
            }
            other => return invalid(format!("entity type '{other}' is unknown")),
        };
        let name = match part.entity_name.as_deref() {
            None => QuotaName::Default,
            Some("") => return invalid(format!("the {} has no name", part.entity_type)),
            Some(name) => QuotaName::Named(name.to_owned()),
        };
        if place.replace(name).is_some() {
            return invalid(format!("{} is named twice", part.entity_type));
        }
    }
    if entity == QuotaEntity::default() {
        return invalid("a quota is somebody's: a user's, a client id's, or both".to_owned());
    }
    Ok(entity)
}
