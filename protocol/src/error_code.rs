//! Kafka's error codes: number, name, and whether a client may try again.
//!
//! Persisted in clients all over the world: never renumber. Names are Kafka's (`Errors.java`, 4.3).

use std::fmt;

macro_rules! error_codes {
    ($($number:literal $name:ident $retry:ident,)*) => {
        /// An error code as it travels in a response.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ErrorCode { $($name = $number,)* }

        impl ErrorCode {
            /// Every code, in numeric order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            pub const fn number(self) -> i16 {
                match self { $(Self::$name => $number,)* }
            }

            /// The code with this number; an unknown number reads as `UnknownServerError`, as in Kafka.
            pub const fn from_number(number: i16) -> Self {
                match number { $($number => Self::$name,)* _ => Self::UnknownServerError }
            }

            /// Whether Kafka's clients try again on their own.
            pub const fn is_retriable(self) -> bool {
                matches!(match self { $(Self::$name => Retry::$retry,)* }, Retry::Retriable)
            }

            const fn variant(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

enum Retry {
    Retriable,
    Final,
}

error_codes! {
    -1 UnknownServerError Final,
    0 None Final,
    1 OffsetOutOfRange Final,
    2 CorruptMessage Retriable,
    3 UnknownTopicOrPartition Retriable,
    4 InvalidFetchSize Final,
    5 LeaderNotAvailable Retriable,
    6 NotLeaderOrFollower Retriable,
    7 RequestTimedOut Retriable,
    8 BrokerNotAvailable Final,
    9 ReplicaNotAvailable Retriable,
    10 MessageTooLarge Final,
    11 StaleControllerEpoch Final,
    12 OffsetMetadataTooLarge Final,
    13 NetworkException Retriable,
    14 CoordinatorLoadInProgress Retriable,
    15 CoordinatorNotAvailable Retriable,
    16 NotCoordinator Retriable,
    17 InvalidTopicException Final,
    18 RecordListTooLarge Final,
    19 NotEnoughReplicas Retriable,
    20 NotEnoughReplicasAfterAppend Retriable,
    21 InvalidRequiredAcks Final,
    22 IllegalGeneration Final,
    23 InconsistentGroupProtocol Final,
    24 InvalidGroupId Final,
    25 UnknownMemberId Final,
    26 InvalidSessionTimeout Final,
    27 RebalanceInProgress Final,
    28 InvalidCommitOffsetSize Final,
    29 TopicAuthorizationFailed Final,
    30 GroupAuthorizationFailed Final,
    31 ClusterAuthorizationFailed Final,
    32 InvalidTimestamp Final,
    33 UnsupportedSaslMechanism Final,
    34 IllegalSaslState Final,
    35 UnsupportedVersion Final,
    36 TopicAlreadyExists Final,
    37 InvalidPartitions Final,
    38 InvalidReplicationFactor Final,
    39 InvalidReplicaAssignment Final,
    40 InvalidConfig Final,
    41 NotController Retriable,
    42 InvalidRequest Final,
    43 UnsupportedForMessageFormat Final,
    44 PolicyViolation Final,
    45 OutOfOrderSequenceNumber Final,
    46 DuplicateSequenceNumber Final,
    47 InvalidProducerEpoch Final,
    48 InvalidTxnState Final,
    49 InvalidProducerIdMapping Final,
    50 InvalidTransactionTimeout Final,
    51 ConcurrentTransactions Retriable,
    52 TransactionCoordinatorFenced Final,
    53 TransactionalIdAuthorizationFailed Final,
    54 SecurityDisabled Final,
    55 OperationNotAttempted Final,
    56 KafkaStorageError Retriable,
    57 LogDirNotFound Final,
    58 SaslAuthenticationFailed Final,
    59 UnknownProducerId Final,
    60 ReassignmentInProgress Final,
    61 DelegationTokenAuthDisabled Final,
    62 DelegationTokenNotFound Final,
    63 DelegationTokenOwnerMismatch Final,
    64 DelegationTokenRequestNotAllowed Final,
    65 DelegationTokenAuthorizationFailed Final,
    66 DelegationTokenExpired Final,
    67 InvalidPrincipalType Final,
    68 NonEmptyGroup Final,
    69 GroupIdNotFound Final,
    70 FetchSessionIdNotFound Retriable,
    71 InvalidFetchSessionEpoch Retriable,
    72 ListenerNotFound Retriable,
    73 TopicDeletionDisabled Final,
    74 FencedLeaderEpoch Retriable,
    75 UnknownLeaderEpoch Retriable,
    76 UnsupportedCompressionType Final,
    77 StaleBrokerEpoch Final,
    78 OffsetNotAvailable Retriable,
    79 MemberIdRequired Final,
    80 PreferredLeaderNotAvailable Retriable,
    81 GroupMaxSizeReached Final,
    82 FencedInstanceId Final,
    83 EligibleLeadersNotAvailable Retriable,
    84 ElectionNotNeeded Retriable,
    85 NoReassignmentInProgress Final,
    86 GroupSubscribedToTopic Final,
    87 InvalidRecord Final,
    88 UnstableOffsetCommit Retriable,
    89 ThrottlingQuotaExceeded Retriable,
    90 ProducerFenced Final,
    91 ResourceNotFound Final,
    92 DuplicateResource Final,
    93 UnacceptableCredential Final,
    94 InconsistentVoterSet Final,
    95 InvalidUpdateVersion Final,
    96 FeatureUpdateFailed Final,
    97 PrincipalDeserializationFailure Final,
    98 SnapshotNotFound Final,
    99 PositionOutOfRange Final,
    100 UnknownTopicId Retriable,
    101 DuplicateBrokerRegistration Final,
    102 BrokerIdNotRegistered Final,
    103 InconsistentTopicId Retriable,
    104 InconsistentClusterId Final,
    105 TransactionalIdNotFound Final,
    106 FetchSessionTopicIdError Retriable,
    107 IneligibleReplica Final,
    108 NewLeaderElected Final,
    109 OffsetMovedToTieredStorage Final,
    110 FencedMemberEpoch Final,
    111 UnreleasedInstanceId Final,
    112 UnsupportedAssignor Final,
    113 StaleMemberEpoch Final,
    114 MismatchedEndpointType Final,
    115 UnsupportedEndpointType Final,
    116 UnknownControllerId Final,
    117 UnknownSubscriptionId Final,
    118 TelemetryTooLarge Final,
    119 InvalidRegistration Final,
    120 TransactionAbortable Final,
    121 InvalidRecordState Retriable,
    122 ShareSessionNotFound Retriable,
    123 InvalidShareSessionEpoch Retriable,
    124 FencedStateEpoch Final,
    125 InvalidVoterKey Final,
    126 DuplicateVoter Final,
    127 VoterNotFound Final,
    128 InvalidRegularExpression Final,
    129 RebootstrapRequired Final,
    130 StreamsInvalidTopology Final,
    131 StreamsInvalidTopologyEpoch Final,
    132 StreamsTopologyFenced Final,
    133 ShareSessionLimitReached Retriable,
}

impl ErrorCode {
    pub const fn is_error(self) -> bool {
        !matches!(self, Self::None)
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> Self {
        code.number()
    }
}

/// Kafka's spelling: `NOT_LEADER_OR_FOLLOWER`.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, letter) in self.variant().char_indices() {
            if letter.is_ascii_uppercase() && place > 0 {
                f.write_str("_")?;
            }
            write!(f, "{}", letter.to_ascii_uppercase())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_names_are_kafkas() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), *code);
        }
        assert_eq!(
            ErrorCode::NotLeaderOrFollower.to_string(),
            "NOT_LEADER_OR_FOLLOWER"
        );
        assert_eq!(ErrorCode::from_number(9999), ErrorCode::UnknownServerError);
        assert!(ErrorCode::NotEnoughReplicas.is_retriable());
        assert!(!ErrorCode::MessageTooLarge.is_retriable());
    }
}
