// Command franz runs franz-go against a broker: franz HOST:PORT
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"samsa.test/interop/scenario"
)

var ctx = context.Background()

type adapter struct {
	bootstrap string
	admin     *kadm.Client
}

func (a *adapter) client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(a.bootstrap),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}, options...)...)
	scenario.Must(err)
	return client
}

func (a *adapter) Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

func (a *adapter) CreateTopic(name string, partitions int32) error {
	_, err := a.admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")}, name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return scenario.ErrExists
	}
	return err
}

type producer struct {
	client  *kgo.Client
	results []*result
}

type result struct {
	done   chan struct{}
	record *kgo.Record
	err    error
}

func (a *adapter) Producer(options scenario.ProducerOptions) scenario.Producer {
	codecs := map[string]kgo.CompressionCodec{
		"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[int]kgo.Acks{0: kgo.NoAck(), 1: kgo.LeaderAck(), -1: kgo.AllISRAcks()}
	settings := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[options.Codec]),
		kgo.RequiredAcks(acks[options.Acks]),
		kgo.ProducerLinger(5 * time.Millisecond),
	}
	if !options.Idempotent {
		settings = append(settings, kgo.DisableIdempotentWrite())
	}
	return &producer{client: a.client(settings...)}
}

func (p *producer) Send(topic string, record scenario.Record) {
	sent := &kgo.Record{
		Topic: topic, Partition: record.Partition, Key: record.Key, Value: record.Value,
		Timestamp: time.UnixMilli(record.Timestamp),
	}
	for _, header := range record.Headers {
		sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
	waiting := &result{done: make(chan struct{})}
	p.results = append(p.results, waiting)
	p.client.Produce(ctx, sent, func(record *kgo.Record, err error) {
		waiting.record, waiting.err = record, err
		close(waiting.done)
	})
}

func (p *producer) Flush() []int64 {
	scenario.Must(p.client.Flush(ctx))
	var offsets []int64
	for _, waiting := range p.results {
		<-waiting.done
		scenario.Must(waiting.err)
		offsets = append(offsets, waiting.record.Offset)
	}
	p.results = nil
	return offsets
}

func (p *producer) Close() { p.client.Close() }

func toRecord(record *kgo.Record) scenario.Record {
	scenario.Equal(record.Attrs.TimestampType(), int8(0))
	got := scenario.Record{
		Partition: record.Partition, Offset: record.Offset, Key: record.Key, Value: record.Value,
		Timestamp: record.Timestamp.UnixMilli(),
	}
	for _, header := range record.Headers {
		got.Headers = append(got.Headers, scenario.Header{Key: header.Key, Value: header.Value})
	}
	return got
}

func (a *adapter) Read(topic string, starts map[int32]int64, count int) []scenario.Record {
	offsets := map[int32]kgo.Offset{}
	for partition, offset := range starts {
		offsets[partition] = kgo.NewOffset().At(offset)
	}
	client := a.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}),
		kgo.FetchMaxWait(300*time.Millisecond),
	)
	defer client.Close()
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var records []scenario.Record
	for len(records) < count {
		fetches := client.PollFetches(limit)
		scenario.Must(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) { records = append(records, toRecord(record)) })
	}
	more, cancelMore := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancelMore()
	scenario.Equal(client.PollFetches(more).NumRecords(), 0)
	return records
}

type member struct {
	client *kgo.Client
	topic  string
	auto   bool
	log    *scenario.Log
	stop   context.CancelFunc
	done   chan struct{}
}

func (a *adapter) Member(group, topic string, autoCommit bool) scenario.Member {
	log := scenario.NewLog()
	settings := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.SessionTimeout(10 * time.Second),
		kgo.FetchMaxWait(300 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			log.Assigned(added[topic]...)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, client *kgo.Client, lost map[string][]int32) {
			if autoCommit {
				scenario.Must(client.CommitUncommittedOffsets(ctx))
			}
			log.Revoked(lost[topic]...)
		}),
	}
	if !autoCommit {
		settings = append(settings, kgo.DisableAutoCommit())
	}
	running, stop := context.WithCancel(ctx)
	m := &member{
		client: a.client(settings...), topic: topic, auto: autoCommit,
		log: log, stop: stop, done: make(chan struct{}),
	}
	go func() {
		defer close(m.done)
		for running.Err() == nil {
			m.client.PollFetches(running).EachRecord(func(record *kgo.Record) { log.Got(toRecord(record)) })
		}
	}()
	return m
}

func (m *member) Log() *scenario.Log { return m.log }

func (m *member) Commit(offset int64, metadata string) {
	withMetadata := kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error {
		request.Topics[0].Partitions[0].Metadata = &metadata
		return nil
	})
	offsets := map[string]map[int32]kgo.EpochOffset{m.topic: {0: {Epoch: -1, Offset: offset}}}
	m.client.CommitOffsetsSync(withMetadata, offsets,
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
			scenario.Must(err)
			scenario.Must(kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode))
		})
}

func (m *member) Stop() {
	m.stop()
	<-m.done
	if m.auto {
		scenario.Must(m.client.CommitUncommittedOffsets(ctx))
	}
	m.client.Close()
}

func (a *adapter) Committed(group, topic string, partition int32) (int64, string) {
	offsets, err := a.admin.FetchOffsets(ctx, group)
	scenario.Must(err)
	offset, found := offsets.Lookup(topic, partition)
	scenario.Equal(found, true)
	scenario.Must(offset.Err)
	return offset.At, offset.Metadata
}

func main() {
	a := &adapter{bootstrap: os.Args[1]}
	a.admin = kadm.NewClient(a.client())
	scenario.Run("franz", a)
	scenario.Step("admin: cluster and topics", a.cluster)
	scenario.Step("admin: configs", a.configs)
	scenario.Step("admin: groups", a.groups)
	scenario.Step("admin: offsets, producers, epochs", a.offsets)
	scenario.Step("admin: log directories", a.logDirs)
	scenario.Step("admin: partitions, records, topics", a.topics)
	scenario.Step("admin: quotas, users, access control", a.security)
	scenario.Done()
}

func (a *adapter) cluster() {
	metadata, err := a.admin.Metadata(ctx, "franz")
	scenario.Must(err)
	scenario.Equal(len(metadata.Brokers), 1)
	scenario.Equal(metadata.Controller, metadata.Brokers[0].NodeID)
	scenario.Equal(len(metadata.Topics["franz"].Partitions), 4)
	if metadata.Topics["franz"].ID == (kadm.TopicID{}) {
		panic("no topic id")
	}
	versions, err := a.admin.ApiVersions(ctx)
	scenario.Must(err)
	scenario.Equal(len(versions), 1)
}

func (a *adapter) configs() {
	_, err := a.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("2000000")},
		{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")},
		{Op: kadm.DeleteConfig, Name: "retention.ms"},
	}, "franz")
	scenario.Must(err)
	configs, err := a.admin.DescribeTopicConfigs(ctx, "franz")
	scenario.Must(err)
	values := map[string]string{}
	for _, config := range configs[0].Configs {
		values[config.Key] = config.MaybeValue()
	}
	scenario.Equal(values["max.message.bytes"], "2000000")
	scenario.Equal(values["cleanup.policy"], "delete,compact")
	scenario.Equal(values["retention.ms"], "604800000")
	brokers, err := a.admin.DescribeBrokerConfigs(ctx)
	scenario.Must(err)
	_, err = brokers.On(brokers[0].Name, nil)
	scenario.Must(err)
}

func (a *adapter) groups() {
	described, err := a.admin.DescribeGroups(ctx, "franz-two")
	scenario.Must(err)
	scenario.Equal(described["franz-two"].State, "Empty")
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "franz-group", Partition: 0, At: 3, LeaderEpoch: -1})
	scenario.Must(a.admin.CommitAllOffsets(ctx, "franz-two", offsets))
	at, _ := a.Committed("franz-two", "franz-group", 0)
	scenario.Equal(at, int64(3))
	lags, err := a.admin.Lag(ctx, "franz-two")
	scenario.Must(err)
	lag := lags["franz-two"]
	scenario.Must(lag.Error())
	_, err = a.admin.DeleteOffsets(ctx, "franz-two", kadm.TopicsSet{"franz-group": {0: {}}})
	scenario.Must(err)
	_, err = a.admin.DeleteGroup(ctx, "franz-two")
	scenario.Must(err)
	listed, err := a.admin.ListGroups(ctx)
	scenario.Must(err)
	scenario.Equal(slices.Contains(listed.Groups(), "franz-two"), false)
	scenario.Equal(slices.Contains(listed.Groups(), "franz-resume"), true)
}

func (a *adapter) offsets() {
	start, err := a.admin.ListStartOffsets(ctx, "franz")
	scenario.Must(err)
	end, err := a.admin.ListEndOffsets(ctx, "franz")
	scenario.Must(err)
	scenario.Equal(start["franz"][3].Offset, int64(0))
	scenario.Equal(end["franz"][3].Offset, int64(1001))
	newest, err := a.admin.ListMaxTimestampOffsets(ctx, "franz")
	scenario.Must(err)
	scenario.Equal(newest["franz"][3].Offset, int64(1000))
	producers, err := a.admin.DescribeProducers(ctx, kadm.TopicsSet{"franz-idempotent": {0: {}}})
	scenario.Must(err)
	described := producers["franz-idempotent"].Partitions[0]
	scenario.Must(described.Err)
	scenario.Equal(len(described.ActiveProducers), 1)
	var asked kadm.OffsetForLeaderEpochRequest
	asked.Add("franz", 3, end["franz"][3].LeaderEpoch)
	epochs, err := a.admin.OffsetForLeaderEpoch(ctx, asked)
	scenario.Must(err)
	scenario.Must(epochs["franz"][3].Err)
	scenario.Equal(epochs["franz"][3].EndOffset, int64(1001))
}

func (a *adapter) logDirs() {
	dirs, err := a.admin.DescribeAllLogDirs(ctx, nil)
	scenario.Must(err)
	found := false
	dirs.Each(func(dir kadm.DescribedLogDir) {
		scenario.Must(dir.Err)
		partition, exists := dir.Topics.Lookup("franz", 3)
		found = found || exists && partition.Size > 1000
	})
	scenario.Equal(found, true)
}

func (a *adapter) topics() {
	_, err := a.admin.UpdatePartitions(ctx, 6, "franz-group")
	scenario.Must(err)
	var before kadm.Offsets
	before.Add(kadm.Offset{Topic: "franz", Partition: 3, At: 600})
	deleted, err := a.admin.DeleteRecords(ctx, before)
	scenario.Must(err)
	scenario.Must(deleted.Error())
	start, err := a.admin.ListStartOffsets(ctx, "franz")
	scenario.Must(err)
	scenario.Equal(start["franz"][3].Offset, int64(600))
	_, err = a.admin.DeleteTopic(ctx, "franz-group")
	scenario.Must(err)
	listed, err := a.admin.ListTopics(ctx)
	scenario.Must(err)
	scenario.Equal(listed.Has("franz-group"), false)
}

func (a *adapter) security() {
	quotas, err := a.admin.DescribeClientQuotas(ctx, false, nil)
	scenario.Must(err)
	scenario.Equal(len(quotas), 0)
	users, err := a.admin.DescribeUserSCRAMs(ctx)
	scenario.Must(err)
	scenario.Equal(len(users), 0)
	described, err := a.admin.DescribeACLs(ctx, kadm.NewACLs().AnyResource().Allow().AllowHosts().Deny().DenyHosts().Operations())
	if err == nil {
		err = described[0].Err
	}
	if !errors.Is(err, kerr.SecurityDisabled) {
		panic(fmt.Sprint("not SECURITY_DISABLED: ", err))
	}
}
