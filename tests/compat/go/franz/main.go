// franz-go: the client in pure Go, with its admin package.
package main

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	s "drave/compat/scenarios"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func client(bootstrap []string, options ...kgo.Opt) *kgo.Client {
	found, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap...)}, options...)...)
	s.Must(err)
	return found
}

func patience() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func produce(topic string, options ...kgo.Opt) s.Scenario {
	return func(bootstrap []string) map[string]any {
		options := append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond))
		writer := client(bootstrap, options...)
		defer writer.Close()
		var all []*kgo.Record
		for n := int64(0); n < s.Records; n++ {
			record := &kgo.Record{Topic: topic, Key: s.Key(n), Value: s.Value(n)}
			all = append(all, record)
		}
		s.Must(writer.ProduceSync(patience(), all...).FirstErr())
		return nil
	}
}

func acks(topic string, acks kgo.Acks) s.Scenario {
	return produce(topic, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))
}

func codec(topic string, codec kgo.CompressionCodec) s.Scenario {
	return produce(topic, kgo.ProducerBatchCompression(codec))
}

func nulls(bootstrap []string) map[string]any {
	writer := client(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer writer.Close()
	headers := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "empty", Value: []byte{}}}
	s.Must(writer.ProduceSync(patience(),
		&kgo.Record{Topic: "nulls", Key: []byte("k"), Value: []byte("v"), Headers: headers},
		&kgo.Record{Topic: "nulls", Value: []byte("v")},
		&kgo.Record{Topic: "nulls", Key: []byte("k")},
	).FirstErr())
	return nil
}

func everywhere(topic string, at kgo.Offset) kgo.Opt {
	partitions := map[int32]kgo.Offset{}
	for partition := int32(0); partition < s.ReadPartitions; partition++ {
		partitions[partition] = at
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: partitions})
}

func recordsOf(reader *kgo.Client, wanted int) (found []*kgo.Record) {
	for ctx := patience(); len(found) < wanted; {
		polled := reader.PollRecords(ctx, wanted-len(found))
		s.Check(ctx.Err() == nil, "%d of %d records came: %v", len(found), wanted, polled.Errors())
		found = append(found, polled.Records()...)
	}
	return found
}

func readAll(reader *kgo.Client, wanted int) map[int32]int64 {
	found := map[int32]int64{}
	for _, it := range recordsOf(reader, wanted) {
		n := found[it.Partition]
		isSo := it.Offset == n && string(it.Key) == string(s.Key(n)) && string(it.Value) == string(s.Value(n))
		s.Check(isSo, "partition %d has %d %q where %d belongs", it.Partition, it.Offset, it.Key, n)
		found[it.Partition]++
	}
	return found
}

func assign(options ...kgo.Opt) s.Scenario {
	return func(bootstrap []string) map[string]any {
		reader := client(bootstrap, append(options, everywhere(s.ReadTopic, kgo.NewOffset().AtStart()))...)
		defer reader.Close()
		readAll(reader, s.ReadPartitions*s.ReadRecords)
		return nil
	}
}

func seek(bootstrap []string) map[string]any {
	at := map[string]map[int32]kgo.Offset{s.ReadTopic: {1: kgo.NewOffset().At(90)}}
	reader := client(bootstrap, kgo.ConsumePartitions(at))
	defer reader.Close()
	for _, offset := range []int64{90, 50, 10} {
		reader.SetOffsets(map[string]map[int32]kgo.EpochOffset{s.ReadTopic: {1: {Epoch: -1, Offset: offset}}})
		found := recordsOf(reader, 1)[0].Offset
		s.Check(found == offset, "after a seek to %d comes %d", offset, found)
	}
	return nil
}

func pause(bootstrap []string) map[string]any {
	reader := client(bootstrap, everywhere(s.ReadTopic, kgo.NewOffset().AtStart()))
	defer reader.Close()
	paused := map[string][]int32{s.ReadTopic: {0}}
	reader.PauseFetchPartitions(paused)
	found := readAll(reader, (s.ReadPartitions-1)*s.ReadRecords)
	s.Check(found[0] == 0, "a paused partition was read")
	reader.ResumeFetchPartitions(paused)
	found = readAll(reader, s.ReadRecords)
	s.Check(found[0] == s.ReadRecords, "%v came after it was resumed", found)
	return nil
}

func admin(bootstrap []string) *kadm.Client { return kadm.NewClient(client(bootstrap)) }

func timestamps(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	check := func(what string, wanted int64) func(kadm.ListedOffsets, error) {
		return func(listed kadm.ListedOffsets, err error) {
			s.Must(err)
			listed.Each(func(it kadm.ListedOffset) {
				s.Must(it.Err)
				s.Check(it.Offset == wanted, "%s: %d where %d belongs", what, it.Offset, wanted)
			})
		}
	}
	ctx := patience()
	check("start", 0)(tool.ListStartOffsets(ctx, s.ReadTopic))
	check("end", 100)(tool.ListEndOffsets(ctx, s.ReadTopic))
	check("committed", 100)(tool.ListCommittedOffsets(ctx, s.ReadTopic))
	check("newest", 99)(tool.ListMaxTimestampOffsets(ctx, s.ReadTopic))
	check("local start", 0)(tool.ListLocalLogStartOffsets(ctx, s.ReadTopic))
	check("after a time", 40)(tool.ListOffsetsAfterMilli(ctx, s.ReadFromMs+40_000, s.ReadTopic))
	at := kgo.NewOffset().AfterMilli(s.ReadFromMs + 40_000)
	reader := client(bootstrap, everywhere(s.ReadTopic, at))
	defer reader.Close()
	first := recordsOf(reader, 1)[0].Offset
	s.Check(first == 40, "reading from a time begins at %d", first)
	return nil
}

func topics(bootstrap []string) map[string]any {
	tool, ctx := admin(bootstrap), patience()
	defer tool.Close()
	retention := "12345"
	create := func() error {
		_, err := tool.CreateTopic(ctx, 3, 2, map[string]*string{"retention.ms": &retention}, "left")
		return err
	}
	s.Must(create())
	err := create()
	s.Check(err == kerr.TopicAlreadyExists, "created again: %v", err)
	_, err = tool.CreateTopic(ctx, 1, 1, nil, "gone")
	s.Must(err)
	validated, err := tool.ValidateCreateTopics(ctx, 1, 1, nil, "only-validated")
	s.Must(err)
	s.Must(validated.Error())
	updated, err := tool.UpdatePartitions(ctx, 5, "left")
	s.Must(err)
	s.Must(updated.Error())
	_, err = tool.DeleteTopic(ctx, "gone")
	s.Must(err)
	var listed kadm.TopicDetails
	s.Eventually(func() bool {
		listed, err = tool.ListTopics(ctx)
		s.Must(err)
		return !listed.Has("gone") && len(listed["left"].Partitions) == 5
	}, "a topic was deleted, and one has 5 partitions")
	return nil
}

func configs(bootstrap []string) map[string]any {
	tool, ctx := admin(bootstrap), patience()
	defer tool.Close()
	_, err := tool.CreateTopic(ctx, 1, 1, nil, "configured")
	s.Must(err)
	size := "2097152"
	altered, err := tool.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "segment.bytes", Value: &size}}, "configured")
	s.Must(err)
	s.Must(altered[0].Err)
	s.Eventually(func() bool {
		described, err := tool.DescribeTopicConfigs(ctx, "configured")
		s.Must(err)
		for _, it := range described[0].Configs {
			if it.Key == "segment.bytes" {
				return it.MaybeValue() == size && it.Source.String() == "DYNAMIC_TOPIC_CONFIG" && len(it.Synonyms) > 1
			}
		}
		return false
	}, "segment.bytes is the topic's own, and has synonyms")
	described, err := tool.DescribeBrokerConfigs(ctx, 1)
	s.Must(err)
	for _, it := range described[0].Configs {
		if it.Key == "node.id" {
			s.Check(it.MaybeValue() == "1", "node.id is %s", it.MaybeValue())
		}
	}
	listed, err := tool.ListConfigResources(ctx, kadm.ConfigResourceTopic)
	s.Must(err)
	s.Check(slices.Contains(listed.Names(), "configured"), "resources with a configuration: %v", listed.Names())
	return nil
}

func records(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	to := kadm.Offsets{}
	to.AddOffset("records", 0, 30, -1)
	deleted, err := tool.DeleteRecords(patience(), to)
	s.Must(err)
	s.Must(deleted.Error())
	at := map[string]map[int32]kgo.Offset{"records": {0: kgo.NewOffset().AtStart()}}
	reader := client(bootstrap, kgo.ConsumePartitions(at))
	defer reader.Close()
	first := recordsOf(reader, 1)[0].Offset
	s.Check(first == 30, "the first record left is %d", first)
	return nil
}

func cluster(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	found, err := tool.BrokerMetadata(patience())
	s.Must(err)
	ids := found.Brokers.NodeIDs()
	s.Check(fmt.Sprint(ids) == "[1 2 3]", "brokers are %v", ids)
	s.Check(found.Controller > 0 && found.Cluster != "", "%v", found)
	return nil
}

func logDirs(bootstrap []string) map[string]any {
	tool := admin(bootstrap)
	defer tool.Close()
	found, err := tool.DescribeAllLogDirs(patience(), nil)
	s.Must(err)
	s.Check(len(found) == 3, "%d brokers", len(found))
	found.Each(func(it kadm.DescribedLogDir) {
		s.Must(it.Err)
		s.Check(len(it.Topics) > 0 && it.TotalBytes > 0, "%v", it)
	})
	return nil
}

func producers(bootstrap []string) map[string]any {
	produce("producers")(bootstrap)
	tool := admin(bootstrap)
	defer tool.Close()
	set := kadm.TopicsSet{}
	set.Add("producers", 0)
	found, err := tool.DescribeProducers(patience(), set)
	s.Must(err)
	all := found.SortedProducers()
	s.Check(len(all) == 1 && all[0].LastSequence == s.Records-1, "%v", all)
	return nil
}

func quotas(bootstrap []string) map[string]any {
	tool, ctx := admin(bootstrap), patience()
	defer tool.Close()
	name := "quoted"
	entity := kadm.ClientQuotaEntity{{Type: "client-id", Name: &name}}
	set := kadm.AlterClientQuotaEntry{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 1e6}}}
	altered, err := tool.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{set})
	s.Must(err)
	s.Must(altered[0].Err)
	s.Eventually(func() bool {
		by := kadm.DescribeClientQuotaComponent{Type: "client-id", MatchName: &name, MatchType: 0}
		found, err := tool.DescribeClientQuotas(ctx, true, []kadm.DescribeClientQuotaComponent{by})
		s.Must(err)
		return len(found) == 1 && found[0].Values[0].Value == 1e6
	}, "a quota is described as it was set")
	return nil
}

func nodeDies(bootstrap []string) map[string]any {
	told, read, acked := s.UntilToldToStop(), sync.Map{}, atomic.Int64{}
	reader := client(bootstrap, everywhere("node-dies", kgo.NewOffset().AtStart()))
	defer reader.Close()
	go func() {
		for {
			polled := reader.PollFetches(context.Background())
			if polled.IsClientClosed() {
				return
			}
			polled.EachRecord(func(it *kgo.Record) { read.Store(string(it.Key), true) })
		}
	}()
	writer := client(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer writer.Close()
	var failed atomic.Value
	n, isTold := int64(0), false
	for isStopped := false; !isStopped; {
		record := &kgo.Record{Topic: "node-dies", Partition: int32(n % s.ReadPartitions), Key: s.Key(n), Value: s.Value(n)}
		writer.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(err)
			} else {
				acked.Add(1)
			}
		})
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.Must(writer.Flush(ctx))
	s.Check(failed.Load() == nil, "%v", failed.Load())
	s.Check(acked.Load() == n, "%d of %d acked", acked.Load(), n)
	s.Eventually(func() bool {
		nRead := int64(0)
		read.Range(func(any, any) bool { nRead++; return true })
		return nRead == n
	}, "everything is read that was written while a node died")
	return map[string]any{"sent": n}
}

func member(bootstrap []string, group string, options ...kgo.Opt) *kgo.Client {
	fixed := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(s.ReadTopic), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	return client(bootstrap, append(fixed, options...)...)
}

func groupResume(group string, options ...kgo.Opt) s.Scenario {
	return func(bootstrap []string) map[string]any {
		first, seen := member(bootstrap, group, options...), map[int32]int64{}
		for _, it := range recordsOf(first, 120) {
			seen[it.Partition]++
		}
		s.Must(first.CommitUncommittedOffsets(patience()))
		first.Close()
		second, isOn := member(bootstrap, group, options...), map[int32]bool{}
		defer second.Close()
		for _, it := range recordsOf(second, s.ReadPartitions*s.ReadRecords-120) {
			s.Check(isOn[it.Partition] || it.Offset == seen[it.Partition], "goes on at %d after %v", it.Offset, seen)
			isOn[it.Partition] = true
		}
		s.Must(second.CommitUncommittedOffsets(patience()))
		return nil
	}
}

// owning keeps count of what a member owns.
type owning struct {
	client *kgo.Client
	lock   sync.Mutex
	owned  map[int32]bool
	stop   context.CancelFunc
}

func owner(bootstrap []string, group string, options ...kgo.Opt) *owning {
	it := &owning{owned: map[int32]bool{}}
	change := func(isOwned bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			it.lock.Lock()
			defer it.lock.Unlock()
			for _, partition := range changed[s.ReadTopic] {
				if isOwned {
					it.owned[partition] = true
				} else {
					delete(it.owned, partition)
				}
			}
		}
	}
	options = append(options, kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))
	it.client = member(bootstrap, group, options...)
	ctx, stop := context.WithCancel(context.Background())
	it.stop = stop
	go func() {
		for ctx.Err() == nil {
			it.client.PollFetches(ctx)
		}
	}()
	return it
}

func (it *owning) partitions() (found []int) {
	it.lock.Lock()
	defer it.lock.Unlock()
	for partition := range it.owned {
		found = append(found, int(partition))
	}
	return found
}

func (it *owning) close() {
	it.stop()
	it.client.Close()
}

func untilShared(members []*owning, sizes string) {
	s.Eventually(func() bool {
		var counts, all []int
		for _, it := range members {
			counts = append(counts, len(it.partitions()))
			all = append(all, it.partitions()...)
		}
		sort.Ints(counts)
		sort.Ints(all)
		return fmt.Sprint(counts) == sizes && fmt.Sprint(all) == "[0 1 2]"
	}, "members share the partitions as "+sizes)
}

func groupRebalance(group string, options ...kgo.Opt) s.Scenario {
	return func(bootstrap []string) map[string]any {
		var members []*owning
		for _, sizes := range []string{"[3]", "[1 2]", "[1 1 1]"} {
			members = append(members, owner(bootstrap, group, options...))
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

func groupPattern(bootstrap []string) map[string]any {
	reader := client(bootstrap, kgo.ConsumerGroup("group-pattern"), kgo.ConsumeRegex(), kgo.ConsumeTopics("^pattern-.*"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer reader.Close()
	found := map[string]bool{}
	for _, it := range recordsOf(reader, 20) {
		found[it.Topic] = true
	}
	s.Check(len(found) == 2, "topics of a pattern: %v", found)
	return nil
}

func groupStatic(bootstrap []string) map[string]any {
	for range 2 {
		it := owner(bootstrap, "group-static", kgo.InstanceID("steady"))
		untilShared([]*owning{it}, "[3]")
		it.close()
	}
	return nil
}

func groupAdmin(bootstrap []string) map[string]any {
	tool, ctx := admin(bootstrap), patience()
	defer tool.Close()
	reader := member(bootstrap, "group-admin")
	recordsOf(reader, s.ReadPartitions*s.ReadRecords)
	s.Must(reader.CommitUncommittedOffsets(ctx))
	listed, err := tool.ListGroups(ctx)
	s.Must(err)
	s.Check(listed["group-admin"].Group != "", "not listed: %v", listed)
	described, err := tool.DescribeGroups(ctx, "group-admin")
	s.Must(err)
	found := described["group-admin"]
	s.Check(found.State == "Stable" && len(found.Members) == 1, "described as %v", found)
	reader.Close()
	to := kadm.Offsets{}
	to.AddOffset(s.ReadTopic, 0, 7, -1)
	s.Must(tool.CommitAllOffsets(ctx, "group-admin", to))
	offsets, err := tool.FetchOffsets(ctx, "group-admin")
	s.Must(err)
	at, _ := offsets.Lookup(s.ReadTopic, 0)
	s.Check(at.At == 7 && len(offsets[s.ReadTopic]) == s.ReadPartitions, "offsets %v", offsets)
	lag, err := tool.Lag(ctx, "group-admin")
	s.Must(err)
	s.Check(strconv.FormatInt(lag["group-admin"].Lag.Total(), 10) == "93", "lag %v", lag["group-admin"].Lag)
	_, err = tool.DeleteGroup(ctx, "group-admin")
	s.Must(err)
	return nil
}

func main() {
	next := kgo.ServerSideBalancer()
	s.Run("github.com/twmb/franz-go", map[string]s.Scenario{
		"acks-0": acks("acks-0", kgo.NoAck()), "acks-1": acks("acks-1", kgo.LeaderAck()),
		"acks-all": acks("acks-all", kgo.AllISRAcks()), "idempotent": produce("idempotent", kgo.ProducerBatchCompression(kgo.NoCompression())),
		"gzip": codec("gzip", kgo.GzipCompression()), "snappy": codec("snappy", kgo.SnappyCompression()),
		"lz4": codec("lz4", kgo.Lz4Compression()), "zstd": codec("zstd", kgo.ZstdCompression()),
		"nulls": nulls, "assign": assign(), "isolation": assign(kgo.FetchIsolationLevel(kgo.ReadCommitted())),
		"seek": seek, "pause": pause, "timestamps": timestamps, "topics": topics, "configs": configs,
		"records": records, "cluster": cluster, "log-dirs": logDirs, "producers": producers, "quotas": quotas,
		"node-dies": nodeDies, "group-resume": groupResume("group-resume"),
		"group-rebalance":   groupRebalance("group-rebalance", kgo.Balancers(kgo.RangeBalancer())),
		"group-sticky":      groupRebalance("group-sticky", kgo.Balancers(kgo.StickyBalancer())),
		"group-cooperative": groupRebalance("group-cooperative", kgo.Balancers(kgo.CooperativeStickyBalancer())),
		"group-pattern":     groupPattern, "group-static": groupStatic, "group-admin": groupAdmin,
		"new-resume": groupResume("new-resume", next), "new-rebalance": groupRebalance("new-rebalance", next),
	})
}
