package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A partition, and what happened to it.
type place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    *int64 `json:"offset,omitempty"`
	MinOffset *int64 `json:"minOffset,omitempty"`
	MaxOffset *int64 `json:"maxOffset,omitempty"`
	Count     int    `json:"count,omitempty"`
}

func say(name string, fields map[string]any) {
	if fields == nil {
		fields = map[string]any{}
	}
	fields["name"] = name
	fields["timestamp"] = time.Now().UnixMilli()
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func sayPartitions(name string) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
		places := []place{}
		for topic, partitions := range topics {
			for _, partition := range partitions {
				places = append(places, place{Topic: topic, Partition: partition})
			}
		}
		say(name, map[string]any{"partitions": places})
	}
}

// Consumes as a member of a group until it is told to leave, in the words of Kafka's verifiable consumer.
func member(brokers, topic, group, strategy string) error {
	balancers := map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	balancer, known := balancers[strategy]
	if !known {
		return fmt.Errorf("no strategy %q", strategy)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumerGroup(group),
		kgo.Balancers(balancer),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(sayPartitions("partitions_assigned")),
		kgo.OnPartitionsRevoked(sayPartitions("partitions_revoked")),
		kgo.OnPartitionsLost(sayPartitions("partitions_revoked")),
	)
	if err != nil {
		return err
	}
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	say("startup_complete", nil)
	for told.Err() == nil {
		fetches := client.PollFetches(told)
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, context.Canceled) {
				return failed.Err
			}
		}
		consumed(client, fetches)
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	say("shutdown_complete", nil)
	return nil
}

func consumed(client *kgo.Client, fetches kgo.Fetches) {
	records := fetches.Records()
	if len(records) == 0 {
		return
	}
	read, next := []place{}, []place{}
	fetches.EachPartition(func(of kgo.FetchTopicPartition) {
		if len(of.Records) == 0 {
			return
		}
		first, last := of.Records[0].Offset, of.Records[len(of.Records)-1].Offset
		behind := last + 1
		read = append(read, place{
			Topic: of.Topic, Partition: of.Partition, Count: len(of.Records), MinOffset: &first, MaxOffset: &last,
		})
		next = append(next, place{Topic: of.Topic, Partition: of.Partition, Offset: &behind})
	})
	say("records_consumed", map[string]any{"count": len(records), "partitions": read})
	fields := map[string]any{"offsets": next, "success": true}
	if err := client.CommitRecords(context.Background(), records...); err != nil {
		fields["success"], fields["error"] = false, err.Error()
	}
	say("offsets_committed", fields)
}
