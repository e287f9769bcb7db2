// Sarama: IBM's client in pure Go.
package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	s "drave/compat/scenarios"

	"github.com/IBM/sarama"
)

func config() *sarama.Config {
	found := sarama.NewConfig()
	found.Version = sarama.MaxVersion
	found.Producer.Return.Successes = true
	found.Producer.Return.Errors = true
	found.Producer.RequiredAcks = sarama.WaitForAll
	found.Producer.Partitioner = sarama.NewManualPartitioner
	found.Producer.Flush.Frequency = 20 * time.Millisecond
	found.Consumer.Offsets.Initial = sarama.OffsetOldest
	found.Consumer.Offsets.AutoCommit.Enable = false
	return found
}

func message(topic string, n int64) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{Topic: topic, Key: sarama.ByteEncoder(s.Key(n)), Value: sarama.ByteEncoder(s.Value(n))}
}

func produce(topic string, change func(*sarama.Config)) s.Scenario {
	return func(bootstrap []string) map[string]any {
		settings := config()
		change(settings)
		writer, err := sarama.NewAsyncProducer(bootstrap, settings)
		s.Must(err)
		go func() {
			for n := int64(0); n < s.Records; n++ {
				writer.Input() <- message(topic, n)
			}
		}()
		for n := 0; n < s.Records; n++ {
			select {
			case <-writer.Successes():
			case err := <-writer.Errors():
				panic(err)
			case <-time.After(s.Timeout):
				panic(fmt.Errorf("%d of %d records reported on", n, s.Records))
			}
		}
		s.Must(writer.Close())
		return nil
	}
}

func acks(topic string, acks sarama.RequiredAcks) s.Scenario {
	return produce(topic, func(it *sarama.Config) { it.Producer.RequiredAcks = acks })
}

func codec(topic string, codec sarama.CompressionCodec) s.Scenario {
	return produce(topic, func(it *sarama.Config) { it.Producer.Compression = codec })
}

func idempotently(it *sarama.Config) {
	it.Producer.Idempotent = true
	it.Net.MaxOpenRequests = 1
}

func nulls(bootstrap []string) map[string]any {
	writer, err := sarama.NewSyncProducer(bootstrap, config())
	s.Must(err)
	defer writer.Close()
	headers := []sarama.RecordHeader{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("a"), Value: []byte("2")}, {Key: []byte("empty"), Value: []byte{}}}
	s.Must(writer.SendMessages([]*sarama.ProducerMessage{
		{Topic: "nulls", Key: sarama.StringEncoder("k"), Value: sarama.StringEncoder("v"), Headers: headers},
		{Topic: "nulls", Value: sarama.StringEncoder("v")},
		{Topic: "nulls", Key: sarama.StringEncoder("k")},
	}))
	return nil
}

func consumer(bootstrap []string, settings *sarama.Config) sarama.Consumer {
	found, err := sarama.NewConsumer(bootstrap, settings)
	s.Must(err)
	return found
}

func next(reader sarama.PartitionConsumer) *sarama.ConsumerMessage {
	select {
	case found := <-reader.Messages():
		return found
	case err := <-reader.Errors():
		panic(err)
	case <-time.After(s.Timeout):
		panic(errors.New("no record came"))
	}
}

func readAll(reader sarama.PartitionConsumer) {
	for n := int64(0); n < s.ReadRecords; n++ {
		it := next(reader)
		isSo := it.Offset == n && string(it.Key) == string(s.Key(n)) && string(it.Value) == string(s.Value(n))
		s.Check(isSo, "partition %d has %d %q where %d belongs", it.Partition, it.Offset, it.Key, n)
	}
}

func assign(change func(*sarama.Config)) s.Scenario {
	return func(bootstrap []string) map[string]any {
		settings := config()
		change(settings)
		all := consumer(bootstrap, settings)
		defer all.Close()
		for partition := int32(0); partition < s.ReadPartitions; partition++ {
			reader, err := all.ConsumePartition(s.ReadTopic, partition, sarama.OffsetOldest)
			s.Must(err)
			readAll(reader)
			s.Must(reader.Close())
		}
		return nil
	}
}

func seek(bootstrap []string) map[string]any {
	all := consumer(bootstrap, config())
	defer all.Close()
	for _, offset := range []int64{90, 50, 10} {
		reader, err := all.ConsumePartition(s.ReadTopic, 1, offset)
		s.Must(err)
		found := next(reader).Offset
		s.Check(found == offset, "after a seek to %d comes %d", offset, found)
		s.Must(reader.Close())
	}
	return nil
}

func pause(bootstrap []string) map[string]any {
	all := consumer(bootstrap, config())
	defer all.Close()
	reader, err := all.ConsumePartition(s.ReadTopic, 0, sarama.OffsetOldest)
	s.Must(err)
	reader.Pause()
	s.Check(reader.IsPaused(), "it is not paused")
	reader.Resume()
	readAll(reader)
	s.Must(reader.Close())
	return nil
}

func timestamps(bootstrap []string) map[string]any {
	client, err := sarama.NewClient(bootstrap, config())
	s.Must(err)
	defer client.Close()
	for at, wanted := range map[int64]int64{sarama.OffsetNewest: 100, sarama.OffsetOldest: 0, s.ReadFromMs + 40_000: 40} {
		found, err := client.GetOffset(s.ReadTopic, 0, at)
		s.Must(err)
		s.Check(found == wanted, "offset of %d is %d", at, found)
	}
	return nil
}

func admin(bootstrap []string) sarama.ClusterAdmin {
	found, err := sarama.NewClusterAdmin(bootstrap, config())
	s.Must(err)
	return found
}

func topics(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	retention := "12345"
	left := &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 2, ConfigEntries: map[string]*string{"retention.ms": &retention}}
	s.Must(tool.CreateTopic("left", left, false))
	placed := &sarama.TopicDetail{NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: map[int32][]int32{0: {1, 2}, 1: {3, 1}}}
	s.Must(tool.CreateTopic("placed", placed, false))
	one := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}
	s.Must(tool.CreateTopic("gone", one, false))
	s.Must(tool.CreateTopic("only-validated", one, true))
	err := tool.CreateTopic("left", left, false)
	s.Check(errors.Is(err, sarama.ErrTopicAlreadyExists), "created again: %v", err)
	s.Must(tool.CreatePartitions("left", 5, nil, false))
	s.Must(tool.DeleteTopic("gone"))
	s.Eventually(func() bool {
		listed, err := tool.ListTopics()
		s.Must(err)
		_, isThere := listed["gone"]
		return !isThere && listed["left"].NumPartitions == 5
	}, "a topic was deleted, and one has 5 partitions")
	return nil
}

func configs(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	s.Must(tool.CreateTopic("configured", &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false))
	size := "2097152"
	change := map[string]sarama.IncrementalAlterConfigsEntry{"segment.bytes": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &size}}
	s.Must(tool.IncrementalAlterConfig(sarama.TopicResource, "configured", change, false))
	described := func(kind sarama.ConfigResourceType, resource, name string) (found sarama.ConfigEntry) {
		entries, err := tool.DescribeConfig(sarama.ConfigResource{Type: kind, Name: resource, ConfigNames: []string{name}})
		s.Must(err)
		s.Check(len(entries) == 1, "%d configs where one was asked for", len(entries))
		return entries[0]
	}
	s.Eventually(func() bool {
		it := described(sarama.TopicResource, "configured", "segment.bytes")
		return it.Value == size && it.Source == sarama.SourceTopic
	}, "segment.bytes is the topic's own")
	s.Check(described(sarama.BrokerResource, "1", "node.id").Value == "1", "node.id")
	return nil
}

func records(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	s.Must(tool.DeleteRecords("records", map[int32]int64{0: 30}))
	all := consumer(bootstrap, config())
	defer all.Close()
	reader, err := all.ConsumePartition("records", 0, sarama.OffsetOldest)
	s.Must(err)
	first := next(reader).Offset
	s.Check(first == 30, "the first record left is %d", first)
	return nil
}

func cluster(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	brokers, controller, err := tool.DescribeCluster()
	s.Must(err)
	s.Check(len(brokers) == 3 && controller > 0, "%d brokers, controller %d", len(brokers), controller)
	return nil
}

func logDirs(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	found, err := tool.DescribeLogDirs([]int32{1, 2, 3})
	s.Must(err)
	for id := int32(1); id <= 3; id++ {
		s.Check(len(found[id]) == 1 && len(found[id][0].Topics) > 0, "broker %d has %v", id, found[id])
	}
	return nil
}

func quotas(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	entity := []sarama.QuotaEntityComponent{{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchExact, Name: "quoted"}}
	s.Must(tool.AlterClientQuotas(entity, sarama.ClientQuotasOp{Key: "producer_byte_rate", Value: 1e6}, false))
	s.Eventually(func() bool {
		by := []sarama.QuotaFilterComponent{{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchExact, Match: "quoted"}}
		found, err := tool.DescribeClientQuotas(by, true)
		s.Must(err)
		return len(found) == 1 && found[0].Values["producer_byte_rate"] == 1e6
	}, "a quota is described as it was set")
	return nil
}

func nodeDies(bootstrap []string) map[string]any {
	told, read, acked := s.UntilToldToStop(), sync.Map{}, atomic.Int64{}
	settings := config()
	idempotently(settings)
	settings.Producer.Retry.Max = 100
	settings.Metadata.Retry.Max = 100
	all := consumer(bootstrap, settings)
	for partition := int32(0); partition < s.ReadPartitions; partition++ {
		reader, err := all.ConsumePartition("node-dies", partition, sarama.OffsetOldest)
		s.Must(err)
		go func() {
			for it := range reader.Messages() {
				read.Store(string(it.Key), true)
			}
		}()
	}
	writer, err := sarama.NewAsyncProducer(bootstrap, settings)
	s.Must(err)
	var failed atomic.Value
	go func() {
		for range writer.Successes() {
			acked.Add(1)
		}
	}()
	go func() {
		for err := range writer.Errors() {
			failed.Store(err.Err)
		}
	}()
	n, isTold := int64(0), false
	for isStopped := false; !isStopped; {
		it := message("node-dies", n)
		it.Partition = int32(n % s.ReadPartitions)
		writer.Input() <- it
		n++
		if acked.Load() > 100 && !isTold {
			isTold = true
			s.Say(map[string]any{"event": "running"})
		}
		select {
		case <-told:
			isStopped = true
		case <-time.After(3 * time.Millisecond):
		}
	}
	s.Eventually(func() bool { return acked.Load() == n || failed.Load() != nil }, "all is acked")
	s.Check(failed.Load() == nil, "%v", failed.Load())
	s.Eventually(func() bool {
		nRead := int64(0)
		read.Range(func(any, any) bool { nRead++; return true })
		return nRead == n
	}, "everything is read that was written while a node died")
	return map[string]any{"sent": n}
}

// A member of a group, and what it owns.
type member struct {
	group sarama.ConsumerGroup
	lock  sync.Mutex
	owned []int32
	taken chan *sarama.ConsumerMessage
	mark  bool
	stop  context.CancelFunc
	ended chan struct{}
}

func join(bootstrap []string, group string, topics []string, change func(*sarama.Config)) *member {
	settings := config()
	settings.Consumer.Group.Session.Timeout = 6 * time.Second
	settings.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	change(settings)
	joined, err := sarama.NewConsumerGroup(bootstrap, group, settings)
	s.Must(err)
	ctx, stop := context.WithCancel(context.Background())
	it := &member{group: joined, taken: make(chan *sarama.ConsumerMessage), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(it.ended)
		for ctx.Err() == nil {
			_ = joined.Consume(ctx, topics, it)
		}
	}()
	return it
}

func (it *member) Setup(session sarama.ConsumerGroupSession) error {
	it.lock.Lock()
	defer it.lock.Unlock()
	it.owned = nil
	for _, partitions := range session.Claims() {
		it.owned = append(it.owned, partitions...)
	}
	return nil
}

func (it *member) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	it.lock.Lock()
	defer it.lock.Unlock()
	it.owned = nil
	return nil
}

func (it *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case record, isOpen := <-claim.Messages():
			if !isOpen {
				return nil
			}
			select {
			case it.taken <- record:
				session.MarkMessage(record, "")
			case <-session.Context().Done():
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (it *member) close() {
	it.stop()
	<-it.ended
	s.Must(it.group.Close())
}

func (it *member) take(wanted int) (found []*sarama.ConsumerMessage) {
	for len(found) < wanted {
		select {
		case record := <-it.taken:
			found = append(found, record)
		case <-time.After(s.Timeout):
			panic(fmt.Errorf("%d of %d records came", len(found), wanted))
		}
	}
	return found
}

func unchanged(*sarama.Config) {}

func groupResume(bootstrap []string) map[string]any {
	first, seen := join(bootstrap, "group-resume", []string{s.ReadTopic}, unchanged), map[int32]int64{}
	for _, it := range first.take(120) {
		seen[it.Partition]++
	}
	first.close()
	second, isOn := join(bootstrap, "group-resume", []string{s.ReadTopic}, unchanged), map[int32]bool{}
	for _, it := range second.take(s.ReadPartitions*s.ReadRecords - 120) {
		s.Check(isOn[it.Partition] || it.Offset == seen[it.Partition], "goes on at %d after %v", it.Offset, seen)
		isOn[it.Partition] = true
	}
	second.close()
	return nil
}

func untilShared(members []*member, sizes string) {
	s.Eventually(func() bool {
		var counts, all []int
		for _, it := range members {
			it.lock.Lock()
			counts = append(counts, len(it.owned))
			for _, partition := range it.owned {
				all = append(all, int(partition))
			}
			it.lock.Unlock()
		}
		sort.Ints(counts)
		sort.Ints(all)
		return fmt.Sprint(counts) == sizes && fmt.Sprint(all) == "[0 1 2]"
	}, "members share the partitions as "+sizes)
}

func groupRebalance(group string, strategy func() sarama.BalanceStrategy) s.Scenario {
	return func(bootstrap []string) map[string]any {
		var members []*member
		for _, sizes := range []string{"[3]", "[1 2]", "[1 1 1]"} {
			members = append(members, join(bootstrap, group, []string{s.ReadTopic}, func(it *sarama.Config) {
				it.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy()}
			}))
			untilShared(members, sizes)
		}
		members[0].close()
		members = members[1:]
		untilShared(members, "[1 2]")
		for _, it := range members {
			it.close()
		}
		return nil
	}
}

func groupStatic(bootstrap []string) map[string]any {
	for range 2 {
		it := join(bootstrap, "group-static", []string{s.ReadTopic}, func(it *sarama.Config) { it.Consumer.Group.InstanceId = "steady" })
		untilShared([]*member{it}, "[3]")
		it.close()
	}
	return nil
}

func groupAdmin(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	it := join(bootstrap, "group-admin", []string{s.ReadTopic}, unchanged)
	it.take(s.ReadPartitions * s.ReadRecords)
	listed, err := tool.ListConsumerGroups()
	s.Must(err)
	s.Check(listed["group-admin"] == "consumer", "listed: %v", listed)
	described, err := tool.DescribeConsumerGroups([]string{"group-admin"})
	s.Must(err)
	s.Check(described[0].State == "Stable" && len(described[0].Members) == 1, "described as %v", described[0])
	it.close()
	offsets, err := tool.ListConsumerGroupOffsets("group-admin", map[string][]int32{s.ReadTopic: {0, 1, 2}})
	s.Must(err)
	for partition := int32(0); partition < s.ReadPartitions; partition++ {
		found := offsets.GetBlock(s.ReadTopic, partition).Offset
		s.Check(found == s.ReadRecords, "committed %d", found)
	}
	s.Must(tool.DeleteConsumerGroupOffset("group-admin", s.ReadTopic, 0))
	s.Must(tool.DeleteConsumerGroup("group-admin"))
	return nil
}

func main() {
	s.Run("github.com/IBM/sarama", map[string]s.Scenario{
		"acks-0": acks("acks-0", sarama.NoResponse), "acks-1": acks("acks-1", sarama.WaitForLocal),
		"acks-all": acks("acks-all", sarama.WaitForAll), "idempotent": produce("idempotent", idempotently),
		"gzip": codec("gzip", sarama.CompressionGZIP), "snappy": codec("snappy", sarama.CompressionSnappy),
		"lz4": codec("lz4", sarama.CompressionLZ4), "zstd": codec("zstd", sarama.CompressionZSTD),
		"nulls": nulls, "assign": assign(unchanged),
		"isolation": assign(func(it *sarama.Config) { it.Consumer.IsolationLevel = sarama.ReadCommitted }),
		"seek":      seek, "pause": pause, "timestamps": timestamps, "topics": topics, "configs": configs,
		"records": records, "cluster": cluster, "log-dirs": logDirs, "quotas": quotas, "node-dies": nodeDies,
		"group-resume":    groupResume,
		"group-rebalance": groupRebalance("group-rebalance", sarama.NewBalanceStrategyRange),
		"group-sticky":    groupRebalance("group-sticky", sarama.NewBalanceStrategySticky),
		"group-static":    groupStatic, "group-admin": groupAdmin,
	})
}
