package reports

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// FiguresParquet returns figures as one Parquet file with the schema of Figure:
// amounts as DECIMAL(38,18), days as DATE, the unknown as NULL. Its key-value
// metadata have "tidemark.schema" ("metrics/1") and "tidemark.coverage", the
// period and what was known as in the JSON. The file was opened again and
// counted.
func FiguresParquet(coverage Coverage, figures []Figure) ([]byte, error) {
	about, err := json.Marshal(coverage)
	if err != nil {
		return nil, fmt.Errorf("write figures: %w", err)
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[Figure](&out,
		parquet.CreatedBy("tidemark", "1", "metrics"),
		parquet.DataPageVersion(1),
		parquet.DataPageStatistics(false), // page headers would hold each bound once more
		parquet.SkipPageBounds("value"),   // decimals are bounded as if they had no sign
		parquet.SkipPageBounds("previous"),
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.KeyValueMetadata("tidemark.schema", "metrics/1"),
		parquet.KeyValueMetadata("tidemark.coverage", string(about)),
	)
	if _, err := w.Write(figures); err != nil {
		return nil, fmt.Errorf("write figures: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write figures: %w", err)
	}
	written, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		return nil, fmt.Errorf("read figures back: %w", err)
	}
	if n := written.NumRows(); n != int64(len(figures)) {
		return nil, fmt.Errorf("read figures back: %d rows, not %d", n, len(figures))
	}
	return out.Bytes(), nil
}
