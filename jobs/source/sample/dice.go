package sample

import (
	"encoding/binary"
	"encoding/hex"
)

// dice gives chance that does not depend on the order of asking: a throw is a
// function of the seed and of what it is for.
type dice uint64

// What a throw is for, besides the numbers that follow.
const (
	forID = iota + 1
	forCustomer
	forSubscription
	forMeter
	forAmount
	forDay
	forLater
	forLate
	forCharge
)

// bits returns 64 bits for the given purpose (splitmix64 over each part).
func (d dice) bits(parts ...uint64) uint64 {
	h := uint64(d)
	for _, p := range parts {
		h += p + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// roll returns a number from 0 to n-1.
func (d dice) roll(n int, parts ...uint64) int { return int(d.bits(parts...) % uint64(n)) }

// guid returns an identifier in the form of a random GUID.
func (d dice) guid(parts ...uint64) string {
	var b [16]byte
	h := d.bits(parts...)
	binary.BigEndian.PutUint64(b[:8], h)
	binary.BigEndian.PutUint64(b[8:], dice(h).bits(forID))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
