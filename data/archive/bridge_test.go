package archive

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestPackBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SliceOf(rapid.ByteRange(0, 1)).Draw(t, "levels")
		want, ones := make([]byte, (len(levels)+7)/8), 0
		for i, level := range levels {
			want[i/8] |= level << (i % 8)
			ones += int(level)
		}
		got := bytes.Repeat([]byte{0xff}, len(want)) // as memory that was used before
		if n := packBits(got, levels); n != ones || !bytes.Equal(got, want) {
			t.Errorf("%v: %08b with %d ones, want %08b with %d", levels, got, n, want, ones)
		}
	})
}
