// Command load has franz-go as load: its arguments, and the lines that it prints and reads, are those of load.py.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const keys = 12

var (
	stopping, leaving atomic.Bool
	ctx               = context.Background()
	printing          sync.Mutex
)

func say(words ...any) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(strings.ReplaceAll(strings.TrimSuffix(fmt.Sprintln(words...), "\n"), "\n", " "))
}

func newClient(bootstrap string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.DialTimeout(2 * time.Second),
		kgo.RetryBackoffFn(func(attempt int) time.Duration {
			return min(20*time.Millisecond<<min(attempt, 4), 200*time.Millisecond)
		}),
		kgo.RequestRetries(1000),
		// Whoever is stopped closes nothing: a client goes elsewhere when it has waited this long.
		kgo.ProduceRequestTimeout(2 * time.Second),
		kgo.RequestTimeoutOverhead(2 * time.Second),
	}, options...)...)
	if err != nil {
		panic(err)
	}
	return client
}

func produce(bootstrap, topic, name string, rate int64) {
	client := newClient(bootstrap,
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(5*time.Millisecond),
		// Who reads what the partitions hold does not decompress.
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	defer client.Close()
	started := time.Now()
	for sent := int64(0); !stopping.Load(); time.Sleep(5 * time.Millisecond) {
		for ; sent < int64(time.Since(started))*rate/int64(time.Second) && !stopping.Load(); sent++ {
			key, n := sent%keys, sent/keys
			record := kgo.KeySliceRecord([]byte(fmt.Sprint(name, "-", key)), []byte(fmt.Sprint(name, " ", key, " ", n)))
			client.Produce(ctx, record, func(answered *kgo.Record, err error) {
				if err != nil {
					say("f", name, key, n, err)
				} else {
					say("a", name, key, n, answered.Partition, answered.Offset)
				}
			})
		}
	}
	patience, cancel := context.WithTimeout(ctx, 120*time.Second)
	defer cancel()
	if err := client.Flush(patience); err != nil {
		say("f", name, 0, 0, client.BufferedProduceRecords(), "records are not answered")
	}
}

func consume(bootstrap, topic, group string, member int) {
	client := newClient(bootstrap,
		kgo.ClientID(fmt.Sprint("member-", member)),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	defer client.CloseAllowingRebalance()
	last := time.Now()
	for !leaving.Load() {
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		fetches := client.PollFetches(soon)
		cancel()
		fetches.EachRecord(func(record *kgo.Record) { say("r", group, record.Partition, record.Offset) })
		fetches.EachError(func(_ string, partition int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				say("e", group, partition, err)
			}
		})
		if time.Since(last) > 100*time.Millisecond {
			last = time.Now()
			commit(client, topic, group)
		}
		client.AllowRebalance()
	}
}

func commit(client *kgo.Client, topic, group string) {
	offsets := client.UncommittedOffsets()
	if len(offsets) == 0 {
		return
	}
	patience, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client.CommitOffsetsSync(patience, offsets,
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			if err != nil {
				say("e", group, "commit:", err)
				return
			}
			for _, answered := range answer.Topics {
				for _, partition := range answered.Partitions {
					if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
						say("e", group, "commit:", partition.Partition, err)
					} else {
						say("k", group, partition.Partition, offsets[topic][partition.Partition].Offset)
					}
				}
			}
		})
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	bootstrap, topic := os.Args[1], os.Args[2]
	var producers, members sync.WaitGroup
	for _, role := range os.Args[3:] {
		if group, count, isGroup := strings.Cut(role, "/"); isGroup {
			for member := range number(count) {
				members.Go(func() { consume(bootstrap, topic, group, member) })
			}
		} else {
			name, rate, _ := strings.Cut(role, ":")
			producers.Go(func() { produce(bootstrap, topic, name, int64(number(rate))) })
		}
	}
	asked := bufio.NewScanner(os.Stdin)
	for asked.Scan() && asked.Text() != "leave" {
		if asked.Text() == "stop" {
			stopping.Store(true)
			producers.Wait()
			say("done")
		}
	}
	stopping.Store(true)
	leaving.Store(true)
	members.Wait()
}
