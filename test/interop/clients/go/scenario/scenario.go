// Package scenario is what every Go client does with the broker: the steps, the expectations and the talk with
// the test, which is one JSON object per line.
package scenario

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"time"
)

// ErrExists is what CreateTopic gives for a topic that is there already.
var ErrExists = errors.New("topic exists")

type Header struct {
	Key   string
	Value []byte
}

// Record is a record as it is sent, and as it has to come back. A nil key or value is null.
type Record struct {
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []Header
	Timestamp int64
}

func (r Record) String() string {
	return fmt.Sprintf("{%d/%d %q(%v) %q(%v) %q %d}",
		r.Partition, r.Offset, r.Key, r.Key == nil, r.Value, r.Value == nil, r.Headers, r.Timestamp)
}

type ProducerOptions struct {
	// Acks is 0, 1 or -1.
	Acks       int
	Codec      string
	Idempotent bool
}

type Producer interface {
	Send(topic string, record Record)
	// Flush waits for everything sent and gives its offsets, in the order of Send.
	Flush() []int64
	Close()
}

type Member interface {
	Log() *Log
	Commit(offset int64, metadata string)
	Stop()
}

// Adapter is one client library. What goes wrong in a step panics.
type Adapter interface {
	Codecs() []string
	CreateTopic(name string, partitions int32) error
	Producer(options ProducerOptions) Producer
	// Read gives count records by assignment, without a group, and fails when more come.
	Read(topic string, starts map[int32]int64, count int) []Record
	Member(group, topic string, autoCommit bool) Member
	Committed(group, topic string, partition int32) (int64, string)
}

// Log is what a group member was assigned and what it got.
type Log struct {
	mutex    sync.Mutex
	assigned map[int32]bool
	records  []Record
}

func NewLog() *Log { return &Log{assigned: map[int32]bool{}} }

func (l *Log) Assigned(partitions ...int32) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, partition := range partitions {
		l.assigned[partition] = true
	}
}

func (l *Log) Revoked(partitions ...int32) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, partition := range partitions {
		delete(l.assigned, partition)
	}
}

func (l *Log) Got(record Record) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.records = append(l.records, record)
}

func (l *Log) Records() []Record {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return append([]Record(nil), l.records...)
}

func (l *Log) Partitions() []int32 {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var partitions []int32
	for partition := range l.assigned {
		partitions = append(partitions, partition)
	}
	sort.Slice(partitions, func(a, b int) bool { return partitions[a] < partitions[b] })
	return partitions
}

func (l *Log) until(what string, condition func() bool) {
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("waited for %s: %v, %d records", what, l.Partitions(), len(l.Records())))
		}
	}
}

func (l *Log) UntilAssigned(count int) {
	l.until(fmt.Sprint(count, " partitions"), func() bool { return len(l.Partitions()) == count })
}

func (l *Log) UntilReceived(count int) {
	l.until(fmt.Sprint(count, " records"), func() bool { return len(l.Records()) >= count })
}

func say(message map[string]any) {
	line, _ := json.Marshal(message)
	fmt.Println(string(line))
}

// Step runs a part and reports it; a panic is its failure.
func Step(name string, run func()) {
	defer func() {
		if failure := recover(); failure != nil {
			say(map[string]any{"fail": name, "why": fmt.Sprintf("%v\n%s", failure, debug.Stack())})
		}
	}()
	run()
	say(map[string]any{"ok": name})
}

// Done ends the talk.
func Done() { say(map[string]any{"done": true}) }

var input = bufio.NewReader(os.Stdin)

func restart(how string) {
	say(map[string]any{"restart": how})
	line, err := input.ReadString('\n')
	Must(err)
	Equal(line, "restarted\n")
}

// Must panics on an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Equal panics when two values differ.
func Equal(actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("got %.2000s\nexpected %.2000s", fmt.Sprint(actual), fmt.Sprint(expected)))
	}
}

type scenario struct {
	name     string
	adapter  Adapter
	expected [4][]Record
	clock    int64
}

// Run does all steps with one client.
func Run(name string, adapter Adapter) {
	s := &scenario{name: name, adapter: adapter, clock: 1_700_000_000_000}
	Step("create topic", s.createTopic)
	Step("produce with acks 0, 1 and all", s.acks)
	Step("produce with every codec", s.everyCodec)
	Step("keys, headers, null values, timestamps", s.contents)
	Step("batches of 1 and of 1000", s.batches)
	Step("consume by assign", s.assign)
	Step("group of two, one joins later, one leaves", s.groupOfTwo)
	Step("commit, restart, resume", s.resume)
	Step("idempotent producer over a restart", s.idempotent)
}

func (s *scenario) createTopic() {
	Must(s.adapter.CreateTopic(s.name, 4))
	if err := s.adapter.CreateTopic(s.name, 4); !errors.Is(err, ErrExists) {
		panic(fmt.Sprint("created twice: ", err))
	}
}

func (s *scenario) send(producer Producer, record Record) {
	s.clock += 10
	listed := &s.expected[record.Partition]
	record.Offset, record.Timestamp = int64(len(*listed)), s.clock
	*listed = append(*listed, record)
	producer.Send(s.name, record)
}

func (s *scenario) acks() {
	for _, acks := range []int{1, -1, 0} {
		producer := s.adapter.Producer(ProducerOptions{Acks: acks})
		partition := int32(1)
		if acks == 0 {
			partition = 0
		}
		for i := range 3 {
			s.send(producer, Record{Partition: partition, Value: fmt.Appendf(nil, "acks %d %d", acks, i)})
		}
		offsets := producer.Flush()
		switch acks {
		case 1:
			Equal(offsets, []int64{0, 1, 2})
		case -1:
			Equal(offsets, []int64{3, 4, 5})
		}
		producer.Close()
	}
}

func (s *scenario) everyCodec() {
	for _, codec := range s.adapter.Codecs() {
		producer := s.adapter.Producer(ProducerOptions{Acks: -1, Codec: codec})
		for i := range 50 {
			value := strings.Repeat(fmt.Sprintf("%s %d ", codec, i), 20)
			s.send(producer, Record{Partition: 2, Value: []byte(value)})
		}
		producer.Flush()
		producer.Close()
	}
}

func (s *scenario) contents() {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	producer := s.adapter.Producer(ProducerOptions{Acks: -1})
	s.send(producer, Record{Partition: 2, Key: []byte("key"), Value: []byte("with a key")})
	s.send(producer, Record{Partition: 2, Key: []byte("tombstone")})
	s.send(producer, Record{Partition: 2, Key: []byte{}, Value: []byte{}})
	s.send(producer, Record{Partition: 2, Key: all, Value: all})
	s.send(producer, Record{Partition: 2, Value: []byte("with headers"), Headers: []Header{
		{"one", []byte("1")}, {"umlaut ä€", all}, {"empty", []byte{}}, {"one", []byte("again")},
	}})
	producer.Flush()
	producer.Close()
}

func (s *scenario) batches() {
	producer := s.adapter.Producer(ProducerOptions{Acks: -1})
	s.send(producer, Record{Partition: 3, Value: []byte("alone")})
	Equal(producer.Flush(), []int64{0})
	var offsets []int64
	for i := range 1000 {
		s.send(producer, Record{Partition: 3, Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "many %d", i)})
		offsets = append(offsets, int64(i+1))
	}
	Equal(producer.Flush(), offsets)
	producer.Close()
}

func of(records []Record, partition int32) []Record {
	var chosen []Record
	for _, record := range records {
		if record.Partition == partition {
			chosen = append(chosen, record)
		}
	}
	return chosen
}

func (s *scenario) checkEverything() {
	count := 0
	for _, records := range s.expected {
		count += len(records)
	}
	got := s.adapter.Read(s.name, map[int32]int64{0: 0, 1: 0, 2: 0, 3: 0}, count)
	for partition, records := range s.expected {
		Equal(of(got, int32(partition)), records)
	}
}

func (s *scenario) assign() {
	s.checkEverything()
	Equal(s.adapter.Read(s.name, map[int32]int64{3: 500}, 501), s.expected[3][500:])
}

func (s *scenario) groupOfTwo() {
	topic, group := s.name+"-group", s.name+"-two"
	Must(s.adapter.CreateTopic(topic, 4))
	producer := s.adapter.Producer(ProducerOptions{Acks: -1})
	send := func(round int) {
		for i := range 40 {
			value := fmt.Appendf(nil, "%d/%d", round, i)
			producer.Send(topic, Record{Partition: int32(i % 4), Value: value, Timestamp: s.clock})
		}
		producer.Flush()
	}
	first := s.adapter.Member(group, topic, true)
	first.Log().UntilAssigned(4)
	send(0)
	first.Log().UntilReceived(40)
	second := s.adapter.Member(group, topic, true)
	second.Log().UntilAssigned(2)
	first.Log().UntilAssigned(2)
	together := append(first.Log().Partitions(), second.Log().Partitions()...)
	sort.Slice(together, func(a, b int) bool { return together[a] < together[b] })
	Equal(together, []int32{0, 1, 2, 3})
	send(1)
	first.Log().UntilReceived(60)
	second.Log().UntilReceived(20)
	second.Stop()
	first.Log().UntilAssigned(4)
	send(2)
	first.Log().UntilReceived(100)
	first.Stop()
	producer.Close()
	all := append(first.Log().Records(), second.Log().Records()...)
	sort.Slice(all, func(a, b int) bool { return all[a].Offset < all[b].Offset })
	for partition := range int32(4) {
		var sent, got []string
		for i := range 120 {
			if int32(i%4) == partition {
				sent = append(sent, fmt.Sprintf("%d/%d", i/40, i%40))
			}
		}
		for _, record := range of(all, partition) {
			got = append(got, string(record.Value))
		}
		Equal(got, sent)
	}
}

func (s *scenario) resume() {
	topic, group := s.name+"-resume", s.name+"-resume"
	Must(s.adapter.CreateTopic(topic, 1))
	producer := s.adapter.Producer(ProducerOptions{Acks: -1})
	for i := range 20 {
		producer.Send(topic, Record{Value: fmt.Append(nil, i), Timestamp: s.clock})
	}
	producer.Flush()
	member := s.adapter.Member(group, topic, false)
	member.Log().UntilReceived(20)
	member.Commit(12, "a note")
	member.Stop()
	restart("stop")
	offset, metadata := s.adapter.Committed(group, topic, 0)
	Equal(offset, int64(12))
	Equal(metadata, "a note")
	producer.Send(topic, Record{Value: []byte("after"), Timestamp: s.clock})
	producer.Flush()
	producer.Close()
	resumed := s.adapter.Member(group, topic, false)
	resumed.Log().UntilReceived(9)
	resumed.Stop()
	var got []string
	for _, record := range resumed.Log().Records() {
		got = append(got, string(record.Value))
	}
	Equal(got, []string{"12", "13", "14", "15", "16", "17", "18", "19", "after"})
	s.checkEverything()
}

func (s *scenario) idempotent() {
	topic := s.name + "-idempotent"
	Must(s.adapter.CreateTopic(topic, 1))
	producer := s.adapter.Producer(ProducerOptions{Acks: -1, Idempotent: true})
	// Old timestamps would make the producer's state expire when the broker loads it.
	now := time.Now().UnixMilli()
	produce := func(from, to int) {
		for i := from; i < to; i++ {
			producer.Send(topic, Record{Value: fmt.Append(nil, i), Timestamp: now})
			time.Sleep(2 * time.Millisecond)
		}
	}
	produce(0, 100)
	offsets := producer.Flush()
	done := make(chan bool)
	go func() {
		produce(100, 1500)
		done <- true
	}()
	time.Sleep(300 * time.Millisecond)
	restart("kill")
	<-done
	offsets = append(offsets, producer.Flush()...)
	producer.Close()
	Equal(len(offsets), 1500)
	for i, record := range s.adapter.Read(topic, map[int32]int64{0: 0}, 1500) {
		Equal(string(record.Value), fmt.Sprint(i))
		Equal(record.Offset, int64(i))
	}
}
