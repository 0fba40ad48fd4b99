package transform

// groups holds one accumulator per distinct key, in order of appearance. Rows
// of a group mostly follow each other, so the last one is tried first.
type groups[K comparable, V any] struct {
	index  map[K]int
	keys   []K
	values []V
	last   int
}

// at returns the accumulator of a key. The pointer is good until the next call.
func (g *groups[K, V]) at(key K) *V {
	if len(g.keys) > 0 && g.keys[g.last] == key {
		return &g.values[g.last]
	}
	at, found := g.index[key]
	if !found {
		if g.index == nil {
			g.index = make(map[K]int)
		}
		var empty V
		at = len(g.keys)
		g.index[key], g.keys, g.values = at, append(g.keys, key), append(g.values, empty)
	}
	g.last = at
	return &g.values[at]
}
