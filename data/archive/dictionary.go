package archive

import (
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"
)

// dictionary is the values that the indexes of a column stand for: the dictionary of
// the first chunk and, after its writer gave that up and wrote plain pages, what those
// add to it, and what later chunks do. No value ever moves. None is there twice, unless
// another writer wrote it twice.
type dictionary struct {
	base       parquet.Dictionary // the one loaded last
	renumbered []int32            // index in base to index here; nil for the same

	at    map[string]int32 // index of each value; made when it is first needed
	added []string         // values that made lacks
	made  arrow.Array      // *array.String
}

func (d *dictionary) release() {
	if d.made != nil {
		d.made.Release()
		d.made = nil
	}
}

// load takes over the dictionary of the next chunk.
func (d *dictionary) load(base parquet.Dictionary) {
	d.base, d.renumbered = base, nil
	if d.made != nil || len(d.added) > 0 {
		value, n := textsOf(base.Page())
		for i := range n {
			d.renumbered = append(d.renumbered, d.index(value(i)))
		}
		return
	}
	d.made = textsOver(base)
}

// textsOver makes an array over the texts of a dictionary. parquet-go never uses the memory of a
// dictionary again, unlike that of pages, so that it is Go's to collect.
func textsOver(dict parquet.Dictionary) arrow.Array {
	values := dict.Page().Data()
	texts, offsets := values.ByteArray()
	if len(offsets) == 0 {
		offsets = []uint32{0}
	}
	d := array.NewData(arrow.BinaryTypes.String, len(offsets)-1,
		[]*memory.Buffer{nil, memory.NewBufferBytes(arrow.GetBytes(offsets)), memory.NewBufferBytes(texts)}, nil, 0, 0)
	defer d.Release()
	return array.NewStringData(d)
}

// index returns the index of a value, adding it when it is new.
func (d *dictionary) index(value []byte) int32 {
	if d.at == nil {
		d.at = map[string]int32{}
		if d.made != nil {
			made := d.made.(*array.String)
			for i := range made.Len() {
				d.at[strings.Clone(made.Value(i))] = int32(i)
			}
		}
	}
	i, found := d.at[string(value)]
	if !found {
		i = int32(len(d.added)) // not len(d.at): a value may be there twice
		if d.made != nil {
			i += int32(d.made.Len())
		}
		text := string(value)
		d.at[text], d.added = i, append(d.added, text)
	}
	return i
}

// values returns the values as an array, which belongs to the dictionary.
func (d *dictionary) values(mem memory.Allocator) arrow.Array {
	if d.made != nil && len(d.added) == 0 {
		return d.made
	}
	b := array.NewStringBuilder(mem)
	defer b.Release()
	if d.made != nil {
		made := d.made.(*array.String)
		for i := range made.Len() {
			b.Append(made.Value(i))
		}
	}
	b.AppendValues(d.added, nil)
	d.release()
	d.made, d.added = b.NewArray(), nil
	return d.made
}

func (d *dictionary) renumber(index []int32) []int32 {
	out := make([]int32, len(index))
	for i, at := range index {
		out[i] = d.renumbered[at]
	}
	return out
}
