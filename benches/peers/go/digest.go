package main

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A number for records, the same in every language: 64-bit FNV-1a over all that a record consists of. Numbers are
// big-endian; what can be null stands behind its length, or -1, in 32 bits.
type digest struct {
	hash hash.Hash64
}

func newDigest() digest {
	return digest{fnv.New64a()}
}

func (d digest) add(record *kgo.Record) {
	d.number(record.Timestamp.UnixMilli())
	d.nullable(record.Key)
	d.nullable(record.Value)
	d.number(int32(len(record.Headers)))
	for _, header := range record.Headers {
		d.nullable([]byte(header.Key))
		d.nullable(header.Value)
	}
}

func (d digest) nullable(bytes []byte) {
	length := int32(len(bytes))
	if bytes == nil {
		length = -1
	}
	d.number(length)
	d.hash.Write(bytes)
}

func (d digest) number(number any) {
	binary.Write(d.hash, binary.BigEndian, number)
}

func (d digest) String() string {
	return fmt.Sprintf("%016x", d.hash.Sum64())
}
