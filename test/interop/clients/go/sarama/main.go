// Command sarama runs IBM/sarama against a broker: sarama HOST:PORT KAFKA_VERSION
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"samsa.test/interop/scenario"
)

type adapter struct {
	addresses []string
	version   sarama.KafkaVersion
	admin     sarama.ClusterAdmin
}

func (a *adapter) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = a.version
	config.Metadata.Retry.Max = 100
	config.Metadata.Retry.Backoff = 100 * time.Millisecond
	config.Admin.Retry.Max = 20
	return config
}

func (a *adapter) Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

func (a *adapter) CreateTopic(name string, partitions int32) error {
	forever := "-1"
	err := a.admin.CreateTopic(name, &sarama.TopicDetail{
		NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &forever},
	}, false)
	if errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return scenario.ErrExists
	}
	return err
}

type producer struct {
	producer sarama.AsyncProducer
	sent     []*sarama.ProducerMessage
	// One entry per message: nil, or why it failed. Read all the time, or the producer would stop.
	results chan error
}

func (a *adapter) Producer(options scenario.ProducerOptions) scenario.Producer {
	config := a.config()
	config.Producer.RequiredAcks = sarama.RequiredAcks(options.Acks)
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Successes = true
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	config.Producer.Retry.Max = 1000
	config.Producer.Retry.Backoff = 100 * time.Millisecond
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"": sarama.CompressionNone, "none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[options.Codec]
	if options.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	made, err := sarama.NewAsyncProducer(a.addresses, config)
	scenario.Must(err)
	p := &producer{producer: made, results: make(chan error, 10_000)}
	go func() {
		for range made.Successes() {
			p.results <- nil
		}
	}()
	go func() {
		for failure := range made.Errors() {
			p.results <- failure.Err
		}
	}()
	return p
}

func (p *producer) Send(topic string, record scenario.Record) {
	message := &sarama.ProducerMessage{
		Topic: topic, Partition: record.Partition, Timestamp: time.UnixMilli(record.Timestamp),
	}
	if record.Key != nil {
		message.Key = sarama.ByteEncoder(record.Key)
	}
	if record.Value != nil {
		message.Value = sarama.ByteEncoder(record.Value)
	}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
	}
	p.sent = append(p.sent, message)
	p.producer.Input() <- message
}

func (p *producer) Flush() []int64 {
	for range p.sent {
		select {
		case err := <-p.results:
			scenario.Must(err)
		case <-time.After(60 * time.Second):
			panic("the producer did not finish")
		}
	}
	var offsets []int64
	for _, message := range p.sent {
		offsets = append(offsets, message.Offset)
	}
	p.sent = nil
	return offsets
}

func (p *producer) Close() { p.producer.AsyncClose() }

func toRecord(message *sarama.ConsumerMessage) scenario.Record {
	record := scenario.Record{
		Partition: message.Partition, Offset: message.Offset, Key: message.Key, Value: message.Value,
		Timestamp: message.Timestamp.UnixMilli(),
	}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, scenario.Header{Key: string(header.Key), Value: header.Value})
	}
	return record
}

func (a *adapter) Read(topic string, starts map[int32]int64, count int) []scenario.Record {
	consumer, err := sarama.NewConsumer(a.addresses, a.config())
	scenario.Must(err)
	defer consumer.Close()
	all := make(chan *sarama.ConsumerMessage)
	done := make(chan struct{})
	defer close(done)
	for partition, offset := range starts {
		one, err := consumer.ConsumePartition(topic, partition, offset)
		scenario.Must(err)
		defer one.AsyncClose()
		go func() {
			for message := range one.Messages() {
				select {
				case all <- message:
				case <-done:
				}
			}
		}()
	}
	var records []scenario.Record
	for len(records) < count {
		select {
		case message := <-all:
			records = append(records, toRecord(message))
		case <-time.After(30 * time.Second):
			panic(fmt.Sprint("only ", len(records), " of ", count, " records came"))
		}
	}
	select {
	case message := <-all:
		panic(fmt.Sprint("more records than were sent: ", toRecord(message)))
	case <-time.After(300 * time.Millisecond):
	}
	return records
}

type member struct {
	group  sarama.ConsumerGroup
	topic  string
	mark   bool
	log    *scenario.Log
	cancel context.CancelFunc
	done   chan struct{}
	mutex  sync.Mutex
	live   sarama.ConsumerGroupSession
}

func (a *adapter) Member(group, topic string, autoCommit bool) scenario.Member {
	config := a.config()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = autoCommit
	config.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	config.Consumer.MaxWaitTime = 300 * time.Millisecond
	made, err := sarama.NewConsumerGroup(a.addresses, group, config)
	scenario.Must(err)
	running, cancel := context.WithCancel(context.Background())
	m := &member{
		group: made, topic: topic, mark: autoCommit, log: scenario.NewLog(), cancel: cancel, done: make(chan struct{}),
	}
	go func() {
		defer close(m.done)
		for running.Err() == nil {
			if err := made.Consume(running, []string{topic}, m); err != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	return m
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.live = session
	m.log.Assigned(session.Claims()[m.topic]...)
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	m.log.Revoked(session.Claims()[m.topic]...)
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			m.log.Got(toRecord(message))
			if m.mark {
				session.MarkMessage(message, "")
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) Log() *scenario.Log { return m.log }

func (m *member) Commit(offset int64, metadata string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.live.MarkOffset(m.topic, 0, offset, metadata)
	m.live.Commit()
}

func (m *member) Stop() {
	m.cancel()
	<-m.done
	scenario.Must(m.group.Close())
}

func (a *adapter) Committed(group, topic string, partition int32) (int64, string) {
	response, err := a.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {partition}})
	if errors.Is(err, sarama.ErrOffsetsLoadInProgress) {
		time.Sleep(100 * time.Millisecond)
		return a.Committed(group, topic, partition)
	}
	scenario.Must(err)
	block := response.GetBlock(topic, partition)
	if block.Err != sarama.ErrNoError {
		panic(block.Err)
	}
	return block.Offset, block.Metadata
}

func main() {
	version, err := sarama.ParseKafkaVersion(os.Args[2])
	scenario.Must(err)
	a := &adapter{addresses: os.Args[1:2], version: version}
	a.admin, err = sarama.NewClusterAdmin(a.addresses, a.config())
	scenario.Must(err)
	scenario.Run("sarama", a)
	scenario.Step("admin: cluster and topics", a.cluster)
	scenario.Step("admin: configs", a.configs)
	scenario.Step("admin: groups", a.groups)
	scenario.Step("admin: log directories", a.logDirs)
	scenario.Step("admin: partitions, records, topics", a.topics)
	scenario.Step("admin: users, access control", a.security)
	scenario.Done()
}

func (a *adapter) cluster() {
	brokers, controller, err := a.admin.DescribeCluster()
	scenario.Must(err)
	scenario.Equal(len(brokers), 1)
	scenario.Equal(brokers[0].ID(), controller)
	scenario.Equal(brokers[0].Addr(), a.addresses[0])
	described, err := a.admin.DescribeTopics([]string{"sarama"})
	scenario.Must(err)
	scenario.Equal(len(described[0].Partitions), 4)
	listed, err := a.admin.ListTopics()
	scenario.Must(err)
	scenario.Equal(listed["sarama"].NumPartitions, int32(4))
}

func (a *adapter) configs() {
	size := "2000000"
	scenario.Must(a.admin.IncrementalAlterConfig(sarama.TopicResource, "sarama", map[string]sarama.IncrementalAlterConfigsEntry{
		"max.message.bytes": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &size},
	}, false))
	entries, err := a.admin.DescribeConfig(sarama.ConfigResource{
		Type: sarama.TopicResource, Name: "sarama", ConfigNames: []string{"max.message.bytes", "retention.ms"},
	})
	scenario.Must(err)
	values := map[string]string{}
	for _, entry := range entries {
		values[entry.Name] = entry.Value
	}
	scenario.Equal(values, map[string]string{"max.message.bytes": "2000000", "retention.ms": "-1"})
	scenario.Must(a.admin.AlterConfig(sarama.TopicResource, "sarama", map[string]*string{"max.message.bytes": &size}, false))
}

func (a *adapter) groups() {
	described, err := a.admin.DescribeConsumerGroups([]string{"sarama-two"})
	scenario.Must(err)
	scenario.Equal(described[0].State, "Empty")
	scenario.Must(a.admin.DeleteConsumerGroupOffset("sarama-two", "sarama-group", 0))
	scenario.Must(a.admin.DeleteConsumerGroup("sarama-two"))
	listed, err := a.admin.ListConsumerGroups()
	scenario.Must(err)
	_, deleted := listed["sarama-two"]
	scenario.Equal(deleted, false)
	scenario.Equal(listed["sarama-resume"], "consumer")
}

func (a *adapter) logDirs() {
	brokers, _, err := a.admin.DescribeCluster()
	scenario.Must(err)
	dirs, err := a.admin.DescribeLogDirs([]int32{brokers[0].ID()})
	scenario.Must(err)
	var size int64
	for _, topic := range dirs[brokers[0].ID()][0].Topics {
		for _, partition := range topic.Partitions {
			if topic.Topic == "sarama" && partition.PartitionID == 3 {
				size = partition.Size
			}
		}
	}
	scenario.Equal(size > 1000, true)
}

func (a *adapter) topics() {
	scenario.Must(a.admin.CreatePartitions("sarama-group", 6, nil, false))
	scenario.Must(a.admin.DeleteRecords("sarama", map[int32]int64{3: 600}))
	client, err := sarama.NewClient(a.addresses, a.config())
	scenario.Must(err)
	defer client.Close()
	oldest, err := client.GetOffset("sarama", 3, sarama.OffsetOldest)
	scenario.Must(err)
	scenario.Equal(oldest, int64(600))
	scenario.Must(a.admin.DeleteTopic("sarama-group"))
	listed, err := a.admin.ListTopics()
	scenario.Must(err)
	_, deleted := listed["sarama-group"]
	scenario.Equal(deleted, false)
}

func (a *adapter) security() {
	users, err := a.admin.DescribeUserScramCredentials(nil)
	scenario.Must(err)
	scenario.Equal(len(users), 0)
	_, err = a.admin.ListAcls(sarama.AclFilter{
		ResourceType: sarama.AclResourceAny, ResourcePatternTypeFilter: sarama.AclPatternAny,
		Operation: sarama.AclOperationAny, PermissionType: sarama.AclPermissionAny,
	})
	if !errors.Is(err, sarama.ErrSecurityDisabled) {
		panic(fmt.Sprint("not SECURITY_DISABLED: ", err))
	}
}
