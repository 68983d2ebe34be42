package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The records to write, from their description in the codec's tests/vectors/peers/README.md.

const baseTime = 1_700_000_000_000

var words = []string{
	"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima",
	"mike", "november", "oscar", "papa",
}

type entry struct {
	timestamp  int64
	key, value []byte
	headers    []kgo.RecordHeader
}

func entries(set string) ([]entry, error) {
	switch set {
	case "one":
		return []entry{{baseTime, []byte("k"), []byte("v"), []kgo.RecordHeader{{Key: "h", Value: []byte("1")}}}}, nil
	case "parts":
		return parts([]kgo.RecordHeader{
			{Key: "b", Value: []byte("2")}, {Key: "a"}, {Key: "b", Value: []byte("3")}, {Key: "", Value: []byte{}},
			{Key: "é"},
		}), nil
	case "map":
		return parts([]kgo.RecordHeader{
			{Key: "a", Value: []byte("2")}, {Key: "b", Value: []byte{}}, {Key: "é", Value: []byte("3")},
		}), nil
	case "lines":
		return lines(), nil
	case "noise":
		return noise(), nil
	case "blocks":
		r := random(3)
		return []entry{
			{baseTime, nil, bytes.Repeat([]byte("0"), 131_061), nil},
			{baseTime + 1, nil, r.bytes(1000), nil},
			{baseTime + 2, []byte("behind"), []byte("the blocks"), nil},
		}, nil
	case "many":
		return many(), nil
	}
	return nil, fmt.Errorf("no set %q", set)
}

func parts(headers []kgo.RecordHeader) []entry {
	odd := []byte{0, 255, 127, 128}
	long := kgo.RecordHeader{Key: "long", Value: bytes.Repeat([]byte("h"), 3000)}
	return []entry{
		{baseTime, nil, nil, nil},
		{baseTime - 1, []byte{}, []byte{}, nil},
		{baseTime + 1_000_000_000, []byte("tombstone"), nil, nil},
		{baseTime, nil, []byte("no key"), nil},
		{baseTime + 1, []byte("ünï"), []byte("cöde"), nil},
		{baseTime + 2, odd, odd, nil},
		{baseTime + 3, []byte("h"), []byte("headers"), headers},
		{baseTime + 4, bytes.Repeat([]byte("k"), 3000), bytes.Repeat([]byte("v"), 9000), []kgo.RecordHeader{long}},
	}
}

func lines() []entry {
	r := random(1)
	var all []entry
	for i := range int64(60) {
		user := r.below(50)
		path := "/" + r.word() + "/" + r.word() + "/" + r.word()
		ms := r.below(2000)
		ok := r.below(2) == 1
		var note []string
		for range 6 {
			note = append(note, r.word())
		}
		e := entry{timestamp: baseTime + 7*i, value: fmt.Appendf(nil,
			`{"id":%d,"user":"u%d","path":"%s","ms":%d,"ok":%t,"note":"%s"}`,
			i, user, path, ms, ok, strings.Join(note, " "))}
		if i%2 == 0 {
			e.key = fmt.Appendf(nil, "u%d", user)
		}
		if i%10 == 0 {
			trace := strconv.FormatUint(r.below(1<<30), 10)
			e.headers = []kgo.RecordHeader{{Key: "trace", Value: []byte(trace)}}
		}
		all = append(all, e)
	}
	return all
}

func noise() []entry {
	r := random(2)
	var all []entry
	for i := range int64(6) {
		all = append(all, entry{timestamp: baseTime + i, value: r.bytes(600)})
	}
	return all
}

func many() []entry {
	var all []entry
	for i := range int64(3000) {
		all = append(all, entry{timestamp: baseTime + i/10, value: fmt.Appendf(nil, "record number %d", i)})
	}
	return all
}

// Knuth's linear congruential generator of 64 bits; what is drawn are its upper 31.
type random uint64

func (r *random) below(bound uint64) uint64 {
	*r = *r*6_364_136_223_846_793_005 + 1_442_695_040_888_963_407
	return uint64(*r>>33) % bound
}

func (r *random) word() string {
	return words[r.below(uint64(len(words)))]
}

func (r *random) bytes(count int) []byte {
	drawn := make([]byte, count)
	for i := range drawn {
		drawn[i] = byte(r.below(256))
	}
	return drawn
}
