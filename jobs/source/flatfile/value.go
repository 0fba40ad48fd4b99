package flatfile

import (
	"encoding/hex"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// maxScale bounds the scale that a decimal column may state; Parquet's widest
// decimals in use have 76 digits.
const maxScale = 100

// textOf returns how a value of the type is written as text: numbers as plain
// decimals, dates and midnights as 2026-11-20, other instants in RFC 3339. It
// is nil for a type that has no such text.
func textOf(t parquet.Type) func(parquet.Value) string {
	if lt := t.LogicalType(); lt != nil {
		switch lt := lt.Value.(type) {
		case *format.DateType:
			return func(v parquet.Value) string { return instant(time.Unix(int64(v.Int32())*86400, 0)) }
		case *format.TimestampType:
			return timestampText(lt)
		case *format.DecimalType:
			if lt.Scale < 0 || lt.Scale > maxScale {
				return nil
			}
			return decimalText(t.Kind(), int(lt.Scale))
		case *format.UUIDType:
			return uuidText
		case *format.IntType:
			if !lt.IsSigned {
				return unsignedText(t.Kind())
			}
		case *format.StringType, *format.EnumType, *format.JsonType:
		default:
			return nil
		}
	}
	return plainText(t.Kind())
}

func plainText(kind parquet.Kind) func(parquet.Value) string {
	switch kind {
	case parquet.Boolean:
		return func(v parquet.Value) string { return strconv.FormatBool(v.Boolean()) }
	case parquet.Int32:
		return func(v parquet.Value) string { return strconv.FormatInt(int64(v.Int32()), 10) }
	case parquet.Int64:
		return func(v parquet.Value) string { return strconv.FormatInt(v.Int64(), 10) }
	case parquet.Int96:
		return int96Text
	case parquet.Float:
		return func(v parquet.Value) string { return strconv.FormatFloat(float64(v.Float()), 'g', -1, 32) }
	case parquet.Double:
		return func(v parquet.Value) string { return strconv.FormatFloat(v.Double(), 'g', -1, 64) }
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return func(v parquet.Value) string { return string(v.ByteArray()) }
	}
	return nil
}

func unsignedText(kind parquet.Kind) func(parquet.Value) string {
	if kind == parquet.Int32 {
		return func(v parquet.Value) string { return strconv.FormatUint(uint64(v.Uint32()), 10) }
	}
	return func(v parquet.Value) string { return strconv.FormatUint(v.Uint64(), 10) }
}

func timestampText(t *format.TimestampType) func(parquet.Value) string {
	switch t.Unit.Value.(type) {
	case *format.MilliSeconds:
		return func(v parquet.Value) string { return instant(time.UnixMilli(v.Int64())) }
	case *format.MicroSeconds:
		return func(v parquet.Value) string { return instant(time.UnixMicro(v.Int64())) }
	case *format.NanoSeconds:
		return func(v parquet.Value) string { return instant(time.Unix(0, v.Int64())) }
	}
	return nil
}

// instant writes a time so that a day stays a day: a midnight has no time.
func instant(t time.Time) string {
	t = t.UTC()
	if t.Truncate(24 * time.Hour).Equal(t) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}

// julianEpoch is the Julian day of 1970-01-01.
const julianEpoch = 2440588

// int96Text reads the timestamps that older Spark and Hive wrote: nanoseconds of
// the day, then the Julian day.
func int96Text(v parquet.Value) string {
	n := v.Int96()
	nanos := int64(n[1])<<32 | int64(n[0])
	return instant(time.Unix((int64(n[2])-julianEpoch)*86400, nanos))
}

func uuidText(v parquet.Value) string {
	s := hex.EncodeToString(v.ByteArray())
	if len(s) != 32 {
		return s
	}
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func decimalText(kind parquet.Kind, scale int) func(parquet.Value) string {
	switch kind {
	case parquet.Int32:
		return func(v parquet.Value) string { return point(strconv.FormatInt(int64(v.Int32()), 10), scale) }
	case parquet.Int64:
		return func(v parquet.Value) string { return point(strconv.FormatInt(v.Int64(), 10), scale) }
	}
	return func(v parquet.Value) string { return point(twosComplement(v.ByteArray()).String(), scale) }
}

// twosComplement reads a big-endian signed integer of any length.
func twosComplement(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	return n
}

// point sets the decimal point of an integer that counts units of 10^-scale.
func point(digits string, scale int) string {
	if scale <= 0 {
		return digits
	}
	digits, negative := strings.CutPrefix(digits, "-")
	if pad := scale + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	at := len(digits) - scale
	text := digits[:at] + "." + digits[at:]
	if negative {
		return "-" + text
	}
	return text
}
