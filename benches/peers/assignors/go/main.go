// Times franz-go's balancers on the input of benches/assignors.rs.
package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	members    = 500
	topics     = 200
	partitions = 20
	warmUp     = 20
	calls      = 21
)

func main() {
	balancers := []kgo.GroupBalancer{
		kgo.RangeBalancer(), kgo.RoundRobinBalancer(), kgo.StickyBalancer(), kgo.CooperativeStickyBalancer(),
	}
	for _, equal := range []bool{true, false} {
		for _, balancer := range balancers {
			first := group(equal)
			run(balancer, equal, "first", first)
			run(balancer, equal, "one left", afterOneLeft(balancer, first))
		}
	}
}

func topicName(topic int) string { return fmt.Sprintf("topic-%03d", topic) }

func counts() map[string]int32 {
	counts := make(map[string]int32)
	for topic := range topics {
		counts[topicName(topic)] = partitions
	}
	return counts
}

type member struct {
	id     string
	topics []string
	owned  map[string][]int32
	// The generation of what it owns, or -1.
	generation int32
}

func group(equal bool) []member {
	group := make([]member, members)
	for number := range members {
		group[number] = member{id: fmt.Sprintf("consumer-%04d", number), generation: -1}
		for topic := range topics {
			hash := uint32(number*topics+topic) * 2_654_435_761 >> 16
			if equal || int(hash%10) <= number%10 {
				group[number].topics = append(group[number].topics, topicName(topic))
			}
		}
	}
	return group
}

func joined(balancer kgo.GroupBalancer, group []member) []kmsg.JoinGroupResponseMember {
	var joined []kmsg.JoinGroupResponseMember
	for _, member := range group {
		response := kmsg.NewJoinGroupResponseMember()
		response.MemberID = member.id
		response.ProtocolMetadata = balancer.JoinGroupMetadata(member.topics, member.owned, member.generation)
		joined = append(joined, response)
	}
	return joined
}

// The answer, and how long it took. Reading the members' metadata is not timed, but for what the sticky balancers
// read while balancing.
func balance(balancer kgo.GroupBalancer, group []member) (kgo.IntoSyncAssignment, time.Duration) {
	forMembers, _, err := balancer.MemberBalancer(joined(balancer, group))
	if err != nil {
		panic(err)
	}
	counts := counts()
	start := time.Now()
	answer, err := forMembers.(kgo.GroupMemberBalancerOrError).BalanceOrError(counts)
	taken := time.Since(start)
	if err != nil {
		panic(err)
	}
	return answer, taken
}

func afterOneLeft(balancer kgo.GroupBalancer, group []member) []member {
	given := make(map[string]map[string][]int32)
	answer, _ := balance(balancer, group)
	for _, assignment := range answer.IntoSyncAssignment() {
		var read kmsg.ConsumerMemberAssignment
		if err := read.ReadFrom(assignment.MemberAssignment); err != nil {
			panic(err)
		}
		owned := make(map[string][]int32)
		for _, topic := range read.Topics {
			owned[topic.Topic] = topic.Partitions
		}
		given[assignment.MemberID] = owned
	}
	var rest []member
	for _, member := range group {
		member.owned, member.generation = given[member.id], 1
		rest = append(rest, member)
	}
	return slices.Delete(rest, members/2, members/2+1)
}

func run(balancer kgo.GroupBalancer, equal bool, event string, group []member) {
	taken := make([]time.Duration, 0, calls)
	for call := -warmUp; call < calls; call++ {
		if _, one := balance(balancer, group); call >= 0 {
			taken = append(taken, one)
		}
	}
	slices.Sort(taken)
	subscriptions := map[bool]string{true: "equal", false: "unequal"}[equal]
	milliseconds := func(taken time.Duration) float64 { return float64(taken) / float64(time.Millisecond) }
	fmt.Printf("%-8s %-20s %-9s median %9.3f ms, fastest %9.3f ms\n",
		subscriptions, balancer.ProtocolName(), event, milliseconds(taken[calls/2]), milliseconds(taken[0]))
}
