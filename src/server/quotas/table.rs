//! Which quota a client falls under, by Kafka's order of precedence. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_raft::record::{ConfigResource, QuotaEntity, QuotaName};

use crate::config::quotas::Usage;

pub(crate) type Configs = BTreeMap<ConfigResource, Arc<BTreeMap<String, String>>>;

/// The quotas among what is agreed, found without looking at the rest.
pub(crate) fn agreed(
    configs: &Configs,
) -> impl Iterator<Item = (&QuotaEntity, &BTreeMap<String, String>)> {
    let first = ConfigResource::ClientQuota(QuotaEntity::default());
    let behind = ConfigResource::Group(String::new());
    configs
        .range(first..behind)
        .filter_map(|(resource, entries)| match resource {
            ConfigResource::ClientQuota(entity) => Some((entity, &**entries)),
            ConfigResource::Topic(_)
            | ConfigResource::Broker(_)
            | ConfigResource::Cluster
            | ConfigResource::Group(_) => None,
        })
}

/// The agreed quotas.
#[derive(Clone, Debug, Default)]
pub(super) struct QuotaTable {
    limits: BTreeMap<(Usage, QuotaEntity), f64>,
}

impl QuotaTable {
    pub(super) fn of(configs: &Configs) -> Self {
        let mut limits = BTreeMap::new();
        for (entity, entries) in agreed(configs) {
            for usage in Usage::ALL {
                // The controller lets nothing in that is no limit.
                let text = entries.get(usage.key());
                let limit = text.and_then(|it| usage.limit(it).ok());
                if let Some(limit) = limit {
                    limits.insert((usage, entity.clone()), limit);
                }
            }
        }
        Self { limits }
    }

    /// The limit of a client, and with whom it shares: those that count as the same.
    pub(super) fn limit(
        &self,
        user: &str,
        client_id: &str,
        usage: Usage,
    ) -> Option<(QuotaEntity, f64)> {
        let named = |name: &str| Some(QuotaName::Named(name.to_owned()));
        let (user, client_id) = (named(user), named(client_id));
        let default = Some(QuotaName::Default);
        let both = (&user, &client_id);
        let (user_alone, client_alone) = ((&user, &None), (&None, &client_id));
        // What is asked for, and who then counts as one.
        let order = [
            ((&user, &client_id), both),
            ((&user, &default), both),
            ((&user, &None), user_alone),
            ((&default, &client_id), both),
            ((&default, &default), both),
            ((&default, &None), user_alone),
            ((&None, &client_id), client_alone),
            ((&None, &default), client_alone),
        ];
        let entity = |(user, client_id): (&Option<QuotaName>, &Option<QuotaName>)| QuotaEntity {
            user: user.clone(),
            client_id: client_id.clone(),
        };
        order.into_iter().find_map(|(asked, counted)| {
            let limit = self.limits.get(&(usage, entity(asked)))?;
            Some((entity(counted), *limit))
        })
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::NodeId;

    use super::*;

    fn entity(user: Option<&str>, client_id: Option<&str>) -> QuotaEntity {
        let name = |it: &str| match it {
            "*" => QuotaName::Default,
            name => QuotaName::Named(name.to_owned()),
        };
        QuotaEntity {
            user: user.map(name),
            client_id: client_id.map(name),
        }
    }

    fn table(quotas: &[(QuotaEntity, &str)]) -> QuotaTable {
        let configs = quotas.iter().map(|(entity, limit)| {
            let entries = BTreeMap::from([("producer_byte_rate".to_owned(), (*limit).to_owned())]);
            (
                ConfigResource::ClientQuota(entity.clone()),
                Arc::new(entries),
            )
        });
        QuotaTable::of(&configs.collect())
    }

    #[test]
    fn quotas_are_found_among_all_else_that_is_agreed() {
        let entries = || Arc::new(BTreeMap::new());
        let others = [
            ConfigResource::Topic("zz".to_owned()),
            ConfigResource::Broker(NodeId(i32::MAX)),
            ConfigResource::Cluster,
            ConfigResource::Group(String::new()),
        ];
        let mut configs: Configs = others.into_iter().map(|it| (it, entries())).collect();
        assert_eq!(agreed(&configs).count(), 0);
        let quotas = [entity(None, Some("*")), entity(Some("u"), None)];
        for quota in &quotas {
            configs.insert(ConfigResource::ClientQuota(quota.clone()), entries());
        }
        let found: Vec<_> = agreed(&configs).map(|(entity, _)| entity.clone()).collect();
        assert_eq!(found, quotas);
    }

    #[test]
    fn the_nearest_quota_counts() {
        let order = [
            entity(Some("u"), Some("c")),
            entity(Some("u"), Some("*")),
            entity(Some("u"), None),
            entity(Some("*"), Some("c")),
            entity(Some("*"), Some("*")),
            entity(Some("*"), None),
            entity(None, Some("c")),
            entity(None, Some("*")),
        ];
        let limits = ["1", "2", "3", "4", "5", "6", "7", "8"];
        let quotas: Vec<_> = order.into_iter().zip(limits).collect();
        for from in 0..quotas.len() {
            let found = table(&quotas[from..]).limit("u", "c", Usage::Produce);
            let (_, limit) = found.unwrap();
            assert_eq!(limit.to_string(), quotas[from].1);
        }
        assert_eq!(table(&quotas).limit("u", "c", Usage::Fetch), None);
    }

    #[test]
    fn a_default_gives_each_its_own_and_a_name_is_shared() {
        let whose = |quota: QuotaEntity, client_id: &str| {
            let found = table(&[(quota, "1")]).limit("u", client_id, Usage::Produce);
            found.unwrap().0
        };
        let by_default = entity(None, Some("*"));
        assert_ne!(whose(by_default.clone(), "a"), whose(by_default, "b"));
        let of_user = entity(Some("u"), None);
        assert_eq!(whose(of_user.clone(), "a"), whose(of_user, "b"));
    }
}
