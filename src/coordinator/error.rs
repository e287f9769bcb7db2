//! What a group coordinator refuses, to whom it matters, and Kafka's code for each.

use drave_protocol::ErrorCode;
use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GroupError {
    #[error("'{0}' is no group id: it must not be empty")]
    InvalidGroupId(String),
    #[error("{0}")]
    InvalidRequest(String),
    #[error("this broker is not the coordinator of the group; ask for it again")]
    NotCoordinator,
    #[error("the coordinator is still reading the group's history; try again")]
    Loading,
    #[error("the coordinator cannot record decisions now: {0}")]
    NotAvailable(String),
    #[error("group '{0}' does not exist")]
    UnknownGroup(String),
    #[error("group '{group}' has no member '{member}'")]
    UnknownMember { group: String, member: String },
    #[error("member '{member}' is in generation {theirs}, group '{group}' in {ours}")]
    IllegalGeneration {
        group: String,
        member: String,
        theirs: i32,
        ours: i32,
    },
    #[error("instance '{instance}' of group '{group}' is another member by now, not '{member}'")]
    FencedInstance {
        group: String,
        instance: String,
        member: String,
    },
    #[error("group '{0}' is rebalancing")]
    RebalanceInProgress(String),
    #[error("{0}")]
    InconsistentProtocol(String),
    #[error("a session timeout of {asked} ms is outside {min}..={max}")]
    InvalidSessionTimeout { asked: i32, min: i64, max: i64 },
    /// The member is to come again with the id it is given here (KIP-394).
    #[error("join again as '{0}'")]
    MemberIdRequired(String),
    #[error("group '{group}' has its {max} members already")]
    GroupFull { group: String, max: usize },
    #[error("group '{group}' has {n_members} members; it must be empty for that")]
    NotEmpty { group: String, n_members: usize },
    #[error("group '{group}' consumes topic '{topic}'; it must not for that")]
    SubscribedToTopic { group: String, topic: String },
    #[error("metadata of {size} bytes beside an offset is more than the {max} allowed")]
    MetadataTooLarge { size: usize, max: usize },
    #[error("member '{member}' was given up in epoch {ours}; it must join again ({theirs})")]
    FencedMemberEpoch {
        member: String,
        theirs: i32,
        ours: i32,
    },
    #[error("member '{member}' is in epoch {ours}, not {theirs}")]
    StaleMemberEpoch {
        member: String,
        theirs: i32,
        ours: i32,
    },
    #[error("instance '{instance}' is held by member '{holder}', which has not left")]
    UnreleasedInstance { instance: String, holder: String },
    #[error("assignor '{asked}' is none of {known}")]
    UnsupportedAssignor { asked: String, known: String },
    #[error("'{pattern}' is no regular expression: {reason}")]
    InvalidRegularExpression { pattern: String, reason: String },
    #[error("group '{group}' is not of protocol {protocol}")]
    NotOfProtocol { group: String, protocol: String },
    #[error("protocol '{0}' is not among group.coordinator.rebalance.protocols")]
    UnsupportedProtocol(String),
    #[error("members of group '{0}' must commit and fetch in a version that knows their epoch")]
    VersionTooOld(String),
    #[error("the group's decision takes {size} bytes, a batch {max}")]
    TooLarge { size: usize, max: usize },
}

impl From<&GroupError> for ErrorCode {
    fn from(error: &GroupError) -> Self {
        match error {
            GroupError::InvalidGroupId(_) => Self::InvalidGroupId,
            GroupError::InvalidRequest(_) => Self::InvalidRequest,
            GroupError::NotCoordinator => Self::NotCoordinator,
            GroupError::Loading => Self::CoordinatorLoadInProgress,
            GroupError::NotAvailable(_) => Self::CoordinatorNotAvailable,
            GroupError::UnknownGroup(_) | GroupError::NotOfProtocol { .. } => Self::GroupIdNotFound,
            GroupError::UnknownMember { .. } => Self::UnknownMemberId,
            GroupError::IllegalGeneration { .. } => Self::IllegalGeneration,
            GroupError::FencedInstance { .. } => Self::FencedInstanceId,
            GroupError::RebalanceInProgress(_) => Self::RebalanceInProgress,
            GroupError::InconsistentProtocol(_) => Self::InconsistentGroupProtocol,
            GroupError::InvalidSessionTimeout { .. } => Self::InvalidSessionTimeout,
            GroupError::MemberIdRequired(_) => Self::MemberIdRequired,
            GroupError::GroupFull { .. } => Self::GroupMaxSizeReached,
            GroupError::NotEmpty { .. } => Self::NonEmptyGroup,
            GroupError::SubscribedToTopic { .. } => Self::GroupSubscribedToTopic,
            GroupError::MetadataTooLarge { .. } => Self::OffsetMetadataTooLarge,
            GroupError::FencedMemberEpoch { .. } => Self::FencedMemberEpoch,
            GroupError::StaleMemberEpoch { .. } => Self::StaleMemberEpoch,
            GroupError::UnreleasedInstance { .. } => Self::UnreleasedInstanceId,
            GroupError::UnsupportedAssignor { .. } => Self::UnsupportedAssignor,
            GroupError::InvalidRegularExpression { .. } => Self::InvalidRegularExpression,
            GroupError::UnsupportedProtocol(_) | GroupError::VersionTooOld(_) => {
                Self::UnsupportedVersion
            }
            // As Kafka says it where no field of the answer could say more.
            GroupError::TooLarge { .. } => Self::UnknownServerError,
        }
    }
}

impl From<GroupError> for ErrorCode {
    fn from(error: GroupError) -> Self {
        Self::from(&error)
    }
}
