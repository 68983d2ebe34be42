package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// How many bytes the different values have together.
	valuesBytes = 1 << 20
	// How much memory for records a producer may have: Java's default.
	bufferBytes = 32 << 20
)

// What is measured; see ../README.md.
func measured(command, brokers, topic string, words []string) error {
	wanted := map[string]int{"produce": 5, "spread": 6, "consume": 2, "latency": 2}[command]
	if len(words) != wanted {
		return fmt.Errorf("%s needs %d words behind the topic", command, wanted)
	}
	first, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	second, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	switch command {
	case "produce", "spread":
		codec, err := codec(words[2], "-")
		if err != nil {
			return err
		}
		linger, err := strconv.Atoi(words[3])
		if err != nil {
			return err
		}
		batch, err := strconv.Atoi(words[4])
		if err != nil {
			return err
		}
		how := []kgo.Opt{
			kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(time.Duration(linger) * time.Millisecond),
			kgo.ProducerBatchMaxBytes(int32(batch)),
		}
		partitions := 0
		if command == "spread" {
			if partitions, err = strconv.Atoi(words[5]); err != nil {
				return err
			}
			how = append(how, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		}
		return produce(brokers, topic, first, values(second), partitions, how...)
	case "latency":
		return latency(brokers, topic, first, values(second))
	}
	return consume(brokers, topic, first, second)
}

// With partitions, records go to them in turn.
func produce(brokers, topic string, records int, values [][]byte, partitions int, how ...kgo.Opt) error {
	started := time.Now()
	client, err := kgo.NewClient(append(how,
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.DefaultProduceTopic(topic),
		kgo.MaxBufferedBytes(bufferBytes),
		// Else 10,000 records.
		kgo.MaxBufferedRecords(math.MaxInt),
	)...)
	if err != nil {
		return err
	}
	// Promises are called one after another.
	acknowledged := 0
	var failed error
	promise := func(_ *kgo.Record, err error) {
		if err == nil {
			acknowledged++
		} else if failed == nil {
			failed = err
		}
	}
	for i := range records {
		record := &kgo.Record{Value: values[i%len(values)]}
		if partitions > 0 {
			record.Partition = int32(i % partitions)
		}
		client.Produce(context.Background(), record, promise)
	}
	if err := errors.Join(client.Flush(context.Background()), failed); err != nil {
		return err
	}
	client.Close()
	return tell(map[string]any{
		"records": acknowledged, "digest": digestOf(values), "secs": time.Since(started).Seconds(),
	})
}

func consume(brokers, topic string, partitions, expected int) error {
	started := time.Now()
	offsets := map[int32]kgo.Offset{}
	for partition := range int32(partitions) {
		offsets[partition] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}),
	)
	if err != nil {
		return err
	}
	records, sum, bytes, first := 0, int64(0), 0, time.Duration(0)
	for records < expected {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if records == 0 {
				first = time.Since(started)
			}
			records++
			sum += record.Offset
			bytes += len(record.Value)
		})
	}
	client.Close()
	return tell(map[string]any{
		"records": records, "offsets": sum, "bytes": bytes, "first_us": first.Microseconds(),
		"secs": time.Since(started).Seconds(),
	})
}

func latency(brokers, topic string, records int, values [][]byte) error {
	started := time.Now()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		return err
	}
	var micros []int64
	var first time.Duration
	for i := range records {
		sent := time.Now()
		record := &kgo.Record{Value: values[i%len(values)]}
		if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			return err
		}
		if i == 0 {
			first = time.Since(started)
		}
		micros = append(micros, time.Since(sent).Microseconds())
	}
	client.Close()
	slices.Sort(micros)
	quantile := func(share float64) int64 {
		return micros[int(math.Ceil(float64(len(micros))*share))-1]
	}
	return tell(map[string]any{
		"records": len(micros), "p50_us": quantile(0.5), "p99_us": quantile(0.99),
		"first_us": first.Microseconds(), "secs": time.Since(started).Seconds(),
	})
}

func tell(result map[string]any) error {
	return json.NewEncoder(os.Stdout).Encode(result)
}

// As in Rust: lines of JSON, cut where the value is long enough.
func values(size int) [][]byte {
	r := random(4)
	count := (valuesBytes + size - 1) / max(size, 1)
	all := make([][]byte, count)
	for i := range all {
		var text []byte
		for len(text) < size {
			high, low := r.below(1<<31), r.below(1<<31)
			user, cents := r.below(100_000), r.below(100_000)
			item, note := r.word(), strings.Join([]string{r.word(), r.word(), r.word()}, " ")
			paid := r.below(2) == 1
			text = fmt.Appendf(text,
				`{"order":"%08x%08x","user":%d,"item":"%s","cents":%d,"paid":%t,"note":"%s"}`+"\n",
				high, low, user, item, cents, paid, note)
		}
		all[i] = text[:size]
	}
	return all
}

func digestOf(values [][]byte) string {
	digest := newDigest()
	for _, value := range values {
		digest.add(&kgo.Record{Timestamp: time.UnixMilli(0), Value: value})
	}
	return digest.String()
}
