// franz-go as a program; see ../README.md.
//
//	version
//	write BROKERS TOPIC PARTITION:CODEC:LEVEL:SET…
//	read BROKERS TOPIC PARTITION:COUNT…
//	member BROKERS TOPIC GROUP STRATEGY
//	produce BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES
//	spread BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES PARTITIONS
//	consume BROKERS TOPIC PARTITIONS RECORDS
//	latency BROKERS TOPIC RECORDS SIZE
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "version":
		return version()
	case len(args) > 3 && args[0] == "write":
		for _, batch := range args[3:] {
			if err := write(args[1], args[2], batch); err != nil {
				return err
			}
		}
		return nil
	case len(args) > 3 && args[0] == "read":
		return read(args[1], args[2], args[3:])
	case len(args) == 5 && args[0] == "member":
		return member(args[1], args[2], args[3], args[4])
	case len(args) > 3 && slices.Contains([]string{"produce", "spread", "consume", "latency"}, args[0]):
		return measured(args[0], args[1], args[2], args[3:])
	}
	return errors.New("usage: version | write BROKERS TOPIC BATCH… | read BROKERS TOPIC PARTITION:COUNT… | " +
		"member BROKERS TOPIC GROUP STRATEGY | produce BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES | " +
		"spread BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES PARTITIONS | " +
		"consume BROKERS TOPIC PARTITIONS RECORDS | latency BROKERS TOPIC RECORDS SIZE")
}

func version() error {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			fmt.Println(strings.TrimPrefix(module.Version, "v"))
			return nil
		}
	}
	return errors.New("built without franz-go")
}

func codec(name, level string) (kgo.CompressionCodec, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	chosen, known := codecs[name]
	if !known {
		return chosen, fmt.Errorf("no codec %q", name)
	}
	if level == "-" {
		return chosen, nil
	}
	number, err := strconv.Atoi(level)
	return chosen.WithLevel(number), err
}

func write(brokers, topic, batch string) error {
	words := strings.Split(batch, ":")
	if len(words) != 4 {
		return errors.New("PARTITION:CODEC:LEVEL:SET")
	}
	partition, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	codec, err := codec(words[1], words[2])
	if err != nil {
		return err
	}
	all, err := entries(words[3])
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(time.Second),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	var failed error
	for _, e := range all {
		record := &kgo.Record{
			Partition: int32(partition), Timestamp: time.UnixMilli(e.timestamp), Key: e.key, Value: e.value,
			Headers: e.headers,
		}
		client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
			failed = errors.Join(failed, err)
		})
	}
	if err := errors.Join(client.Flush(context.Background()), failed); err != nil {
		return err
	}
	fmt.Println(partition)
	return nil
}

func read(brokers, topic string, readings []string) error {
	counts := map[int32]int{}
	left := map[int32]int{}
	digests := map[int32]digest{}
	offsets := map[int32]kgo.Offset{}
	for _, reading := range readings {
		var partition int32
		var count int
		if _, err := fmt.Sscanf(reading, "%d:%d", &partition, &count); err != nil {
			return err
		}
		counts[partition], left[partition] = count, count
		digests[partition] = newDigest()
		offsets[partition] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			partition := record.Partition
			if _, missing := left[partition]; !missing {
				fmt.Println(partition, "more than expected")
				return
			}
			digests[partition].add(record)
			if left[partition]--; left[partition] == 0 {
				delete(left, partition)
				fmt.Println(partition, counts[partition], digests[partition])
			}
		})
	}
	return nil
}
