package transform

import "slices"

// groups holds one accumulator per distinct key, in order of appearance.
//
// Rows come sorted, and day after day alike: a row mostly belongs to the group
// of the row before, or to the one that followed that group the last time. Both
// are tried before the key is hashed.
type groups[K comparable, V any] struct {
	index  map[K]int
	keys   []K
	values []V
	next   []int // by group: which one followed it the last time
	last   int
}

// at returns the accumulator of a key. The pointer is good until the next call.
func (g *groups[K, V]) at(key K) *V {
	if len(g.keys) > 0 {
		if g.keys[g.last] == key {
			return &g.values[g.last]
		}
		if guess := g.next[g.last]; g.keys[guess] == key {
			g.last = guess
			return &g.values[guess]
		}
	}
	at, found := g.index[key]
	if !found {
		at = g.enter(key)
	}
	g.next[g.last], g.last = at, at
	return &g.values[at]
}

func (g *groups[K, V]) enter(key K) int {
	if g.index == nil {
		g.index = make(map[K]int)
	}
	var empty V
	at := len(g.keys)
	g.index[key] = at
	g.keys, g.values, g.next = append(g.keys, key), append(g.values, empty), append(g.next, at)
	return at
}

// sorted returns the places of keys in order.
func sorted[K any](keys []K, compare func(a, b K) int) []int {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return compare(keys[i], keys[j]) })
	return order
}
