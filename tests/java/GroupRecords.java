// Has Kafka's own code say the bytes of the records of `__consumer_offsets`: one line each, a name, the key
// and the value in hexadecimal. Run by `make group-records`; src/coordinator/records reads what it prints.

import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.generated.*;
import org.apache.kafka.server.common.ApiMessageAndVersion;

public class GroupRecords {
    static final Uuid TOPIC = new Uuid(0x0102030405060708L, 0x090a0b0c0d0e0f10L);
    static final GroupCoordinatorRecordSerde SERDE = new GroupCoordinatorRecordSerde();

    public static void main(String[] arguments) {
        offsetCommits();
        classicGroups();
        consumerGroups();
        assignments();
    }

    static void offsetCommits() {
        var key = new OffsetCommitKey().setGroup("g").setTopic("orders").setPartition(7);
        var value = new OffsetCommitValue().setOffset(4711).setLeaderEpoch(3).setMetadata("note")
            .setCommitTimestamp(1_700_000_000_123L);
        for (short version = 0; version <= 3; version++) {
            print("offset-commit-v" + version, key, value, version);
        }
        print("offset-commit-v4", key, value.duplicate().setTopicId(TOPIC), 4);
        print("offset-commit-v4-without-id", key, value, 4);
        print("offset-commit-expires", key, value.duplicate().setExpireTimestamp(1_700_000_999_000L), 1);
        print("offset-commit-legacy", new LegacyOffsetCommitKey().setGroup("g").setTopic("orders").setPartition(7),
            new LegacyOffsetCommitValue().setOffset(4711).setMetadata("note")
                .setCommitTimestamp(1_700_000_000_123L), 0);
        tombstone("offset-commit-tombstone", key);
    }

    static void classicGroups() {
        var key = new GroupMetadataKey().setGroup("classic");
        var member = new GroupMetadataValue.MemberMetadata().setMemberId("m-1").setClientId("c")
            .setClientHost("/127.0.0.1").setSessionTimeout(45000).setRebalanceTimeout(300000)
            .setSubscription(new byte[] {1, 2, 3}).setAssignment(new byte[] {4, 5});
        var value = new GroupMetadataValue().setProtocolType("consumer").setGeneration(5).setProtocol("range")
            .setLeader("m-1").setCurrentStateTimestamp(1_700_000_000_123L).setMembers(List.of(member));
        for (short version = 0; version <= 2; version++) {
            print("group-metadata-v" + version, key, value, version);
        }
        member.setGroupInstanceId("i-1");
        print("group-metadata-v3", key, value, 3);
        print("group-metadata-v4", key, value, 4);
        print("group-metadata-empty", key, new GroupMetadataValue().setProtocolType("consumer").setGeneration(6)
            .setProtocol(null).setLeader(null).setCurrentStateTimestamp(1), 3);
        tombstone("group-metadata-tombstone", key);
    }

    static void consumerGroups() {
        var group = new ConsumerGroupMetadataKey().setGroupId("g");
        print("consumer-group-metadata", group,
            new ConsumerGroupMetadataValue().setEpoch(10).setMetadataHash(0x1122334455667788L), 0);
        print("consumer-group-metadata-without-hash", group, new ConsumerGroupMetadataValue().setEpoch(10), 0);
        tombstone("consumer-group-metadata-tombstone", group);

        var partitions = new ConsumerGroupPartitionMetadataKey().setGroupId("g");
        print("consumer-group-partition-metadata", partitions, new ConsumerGroupPartitionMetadataValue().setTopics(
            List.of(new ConsumerGroupPartitionMetadataValue.TopicMetadata().setTopicId(TOPIC).setTopicName("orders")
                .setNumPartitions(2).setPartitionMetadata(List.of(
                    new ConsumerGroupPartitionMetadataValue.PartitionMetadata().setPartition(1)
                        .setRacks(List.of("a", "b")))))), 0);
        tombstone("consumer-group-partition-metadata-tombstone", partitions);

        var member = new ConsumerGroupMemberMetadataKey().setGroupId("g").setMemberId("m-1");
        var value = new ConsumerGroupMemberMetadataValue().setInstanceId("i-1").setRackId("a").setClientId("c")
            .setClientHost("/127.0.0.1").setSubscribedTopicNames(List.of("orders", "refunds"))
            .setSubscribedTopicRegex("or.*").setRebalanceTimeoutMs(300000).setServerAssignor("uniform");
        print("consumer-group-member-metadata", member, value, 0);
        print("consumer-group-member-metadata-classic", member, value.duplicate().setInstanceId(null).setRackId(null)
            .setSubscribedTopicRegex(null).setServerAssignor(null).setClassicMemberMetadata(
                new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata().setSessionTimeoutMs(45000)
                    .setSupportedProtocols(List.of(new ConsumerGroupMemberMetadataValue.ClassicProtocol()
                        .setName("range").setMetadata(new byte[] {1, 2, 3})))), 0);
        tombstone("consumer-group-member-metadata-tombstone", member);

        var expression = new ConsumerGroupRegularExpressionKey().setGroupId("g").setRegularExpression("or.*");
        print("consumer-group-regular-expression", expression, new ConsumerGroupRegularExpressionValue()
            .setTopics(List.of("orders")).setVersion(77).setTimestamp(1_700_000_000_123L), 0);
        tombstone("consumer-group-regular-expression-tombstone", expression);
    }

    static void assignments() {
        var epoch = new ConsumerGroupTargetAssignmentMetadataKey().setGroupId("g");
        print("consumer-group-target-assignment-metadata", epoch,
            new ConsumerGroupTargetAssignmentMetadataValue().setAssignmentEpoch(10)
                .setAssignmentTimestamp(1_700_000_000_123L), 0);
        print("consumer-group-target-assignment-metadata-without-time", epoch,
            new ConsumerGroupTargetAssignmentMetadataValue().setAssignmentEpoch(10), 0);
        tombstone("consumer-group-target-assignment-metadata-tombstone", epoch);

        var target = new ConsumerGroupTargetAssignmentMemberKey().setGroupId("g").setMemberId("m-1");
        print("consumer-group-target-assignment-member", target, new ConsumerGroupTargetAssignmentMemberValue()
            .setTopicPartitions(List.of(new ConsumerGroupTargetAssignmentMemberValue.TopicPartition()
                .setTopicId(TOPIC).setPartitions(List.of(0, 1, 2)))), 0);
        tombstone("consumer-group-target-assignment-member-tombstone", target);

        var current = new ConsumerGroupCurrentMemberAssignmentKey().setGroupId("g").setMemberId("m-1");
        print("consumer-group-current-member-assignment", current, new ConsumerGroupCurrentMemberAssignmentValue()
            .setMemberEpoch(10).setPreviousMemberEpoch(9).setState((byte) 1)
            .setAssignedPartitions(List.of(new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions()
                .setTopicId(TOPIC).setPartitions(List.of(0, 1)).setAssignmentEpochs(List.of(4, 10))))
            .setPartitionsPendingRevocation(List.of(new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions()
                .setTopicId(TOPIC).setPartitions(List.of(2)))), 0);
        tombstone("consumer-group-current-member-assignment-tombstone", current);
    }

    static void print(String name, ApiMessage key, ApiMessage value, int version) {
        // Serialised by itself: the serde would check nothing more, and refuses versions no longer written.
        var record = CoordinatorRecord.record(key, new ApiMessageAndVersion(value, (short) version));
        var bytes = MessageUtil.toVersionPrefixedByteBuffer((short) version, value);
        System.out.println(name + " " + hex(SERDE.serializeKey(record)) + " " + hex(bytes));
    }

    static void tombstone(String name, ApiMessage key) {
        System.out.println(name + " " + hex(SERDE.serializeKey(CoordinatorRecord.tombstone(key))) + " -");
    }

    static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    static String hex(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return hex(bytes);
    }
}
