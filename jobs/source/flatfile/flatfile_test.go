package flatfile

import (
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"pgregory.net/rapid"
)

func TestForm_OfNames(t *testing.T) {
	for name, want := range map[string]string{"a.csv": ".csv", "A.CSV.GZ": ".csv.gz", "part.snappy.parquet": ".parquet", "a.csv.zip": "", "csv": "", "a.gz": ""} {
		if got := Form(name); got != want {
			t.Errorf("Form(%q) = %q, want %q", name, got, want)
		}
	}
}

// write writes one row through a tagged struct and returns the file.
func write[T any](t testing.TB, row T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[T](f)
	if _, err := w.Write([]T{row}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// texts reads the columns of the first row, which are called a, b, c and so on.
func texts(t testing.TB, path string, columns string) []string {
	t.Helper()
	spec := Spec{}
	for _, c := range columns {
		spec.Columns = append(spec.Columns, Column{Name: string(c), Required: true})
	}
	var got []string
	for row, err := range Rows(t.Context(), path, spec) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range spec.Columns {
			got = append(got, row.Text(i))
		}
	}
	return got
}

func TestRows_ParquetTypesAsText(t *testing.T) {
	path := write(t, struct {
		A bool             `parquet:"a"`
		B int32            `parquet:"b"`
		C uint64           `parquet:"c"`
		D uint32           `parquet:"d"`
		E float32          `parquet:"e"`
		F float64          `parquet:"f"`
		G int64            `parquet:"g,timestamp(nanosecond)"`
		H int32            `parquet:"h,date"`
		I int32            `parquet:"i,decimal(2:9)"`
		J [4]byte          `parquet:"j,decimal(3:9)"`
		K int64            `parquet:"k,decimal(0:18)"`
		L [16]byte         `parquet:"l,uuid"`
		M deprecated.Int96 `parquet:"m"`
		N []byte           `parquet:"n"`
		O *string          `parquet:"o,optional"`
		P float64          `parquet:"p"`
	}{
		A: true, B: -7, C: 1<<64 - 1, D: 1<<32 - 1, E: 0.1, F: 0.30000000000000004, G: 1, H: 20_000, I: -5, J: [4]byte{0xff, 0xff, 0xff, 0xfe},
		K: 42, L: [16]byte{0xab, 15: 1}, M: deprecated.Int96{2: 2440589}, N: []byte(" bytes "), P: 1e22,
	})
	// 20,000 days after 1970-01-01 is 2024-10-04 (`date -d @1728000000`).
	want := []string{"true", "-7", "18446744073709551615", "4294967295", "0.1", "0.30000000000000004", "1970-01-01T00:00:00.000000001Z", "2024-10-04",
		"-0.05", "-0.002", "42", "ab000000-0000-0000-0000-000000000001", "1970-01-02", "bytes", "", "1e+22"}
	if diff := cmp.Diff(want, texts(t, path, "abcdefghijklmnop")); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestPoint_IsTheExactQuotient(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.Int64().Draw(rt, "n")
		scale := rapid.IntRange(0, 30).Draw(rt, "scale")
		got, ok := new(big.Rat).SetString(point(big.NewInt(n).String(), scale))
		want := new(big.Rat).SetFrac(big.NewInt(n), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		if !ok || got.Cmp(want) != 0 {
			rt.Fatalf("point(%d, %d) = %s, want %s", n, scale, point(big.NewInt(n).String(), scale), want.FloatString(30))
		}
	})
}

func TestShorten_KeepsWholeCharacters(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.SliceOfN(rapid.Byte(), 0, 900).Draw(rt, "s")
		got := Shorten(string(s))
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 200 {
			rt.Fatalf("Shorten(%q) = %q", s, got)
		}
		if utf8.Valid(s) && !strings.HasPrefix(string(s), got) {
			rt.Fatalf("Shorten(%q) = %q, which is not its start", s, got)
		}
	})
}

func TestRows_AliasStandsInOnlyWhereTheNameIsMissing(t *testing.T) {
	spec := Spec{Columns: []Column{{Name: "name", Alias: "alias", Required: true}}}
	for header, want := range map[string]string{"alias,other": "1", "other,ALIAS": "2", "alias,name": "2", "name,alias": "1"} {
		path := filepath.Join(t.TempDir(), "a.csv")
		if err := os.WriteFile(path, []byte(header+"\n1,2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for row, err := range Rows(t.Context(), path, spec) {
			if err != nil || row.Text(0) != want {
				t.Errorf("header %q: %v, want %s", header, err, want)
			}
		}
	}
}

func TestRow_RemembersTheFirstProblem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(path, []byte("a,b\n1,2\n3,4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []*Problem
	for row, err := range Rows(t.Context(), path, Spec{Columns: []Column{{Name: "a"}, {Name: "b"}}}) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Line == 2 {
			row.Fail(1, "first")
			row.Fail(0, "second")
		}
		got = append(got, row.Problem())
	}
	if diff := cmp.Diff([]*Problem{{Column: "b", Value: "2", Reason: "first"}, nil}, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestGuard_TurnsPanicsIntoErrors(t *testing.T) {
	if err := guard(func() error { panic("damaged") }); err == nil || err.Error() != "damaged" {
		t.Errorf("got %v", err)
	}
	if err := guard(func() error { return io.EOF }); err != io.EOF {
		t.Errorf("got %v", err)
	}
}
