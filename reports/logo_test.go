package reports

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
)

// emblem is an image of two colours with a transparent edge.
func emblem(width, height int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for x := width / 10; x < width; x++ {
		for y := range height {
			m.Set(x, y, color.NRGBA{11, 110, 79, 255})
			if x > y {
				m.Set(x, y, color.NRGBA{255, 255, 255, 255})
			}
		}
	}
	return m
}

func encoded(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadLogo_FitsTheBoxAndIsOpaque(t *testing.T) {
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, emblem(640, 320), nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in            []byte
		width, height int
	}{
		"twice as wide as high": {encoded(t, emblem(640, 320)), 64, 32}, "wide": {encoded(t, emblem(4000, 100)), 200, 5},
		"high": {encoded(t, emblem(10, 3000)), 1, 32}, "small": {encoded(t, emblem(8, 8)), 32, 32}, "one pixel": {encoded(t, emblem(1, 1)), 32, 32},
		"JPEG": {photo.Bytes(), 64, 32},
	} {
		l, err := ReadLogo(bytes.NewReader(c.in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m, err := png.Decode(bytes.NewReader(l.PNG))
		if err != nil || l.Width != c.width || l.Height != c.height || m.Bounds().Dx() != 2*c.width || m.Bounds().Dy() != 2*c.height {
			t.Errorf("%s: %d x %d, want %d x %d, %v", name, l.Width, l.Height, c.width, c.height, err)
		}
		if o, ok := m.(interface{ Opaque() bool }); !ok || !o.Opaque() {
			t.Errorf("%s: the logo is not opaque", name)
		}
		again, err := ReadLogo(bytes.NewReader(c.in))
		if err != nil || !bytes.Equal(again.PNG, l.PNG) {
			t.Errorf("%s: read again it is another, %v", name, err)
		}
	}
}

func TestReadLogo_RefusesWhatIsNone(t *testing.T) {
	noise := image.NewNRGBA(image.Rect(0, 0, 400, 64))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(rng.Uint32()) | 0xc0
	}
	huge := encoded(t, emblem(1, 1)) // whose header says that it is huge
	copy(huge[16:], []byte{0, 0x0f, 0, 0, 0, 0x0f, 0, 0})
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"nothing": {nil, "want a PNG or JPEG"}, "SVG": {[]byte("<svg onload=alert(1)>"), "want a PNG or JPEG"}, "cut": {encoded(t, emblem(64, 64))[:60], "want a PNG or JPEG"},
		"a photograph": {encoded(t, noise), "fewer colours"}, "much": {make([]byte, 3<<20), "more than 2048 KB"}, "huge": {huge, "too many to be a logo"},
	} {
		if _, err := ReadLogo(bytes.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestRender_ShowsTheLogo(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "nl")
	var err error
	if in.Partner.Logo, err = ReadLogo(bytes.NewReader(encoded(t, emblem(640, 320)))); err != nil {
		t.Fatal(err)
	}
	in.Partner.Name = `Polder "Cloud" <b>`
	_, r := render(t, in)
	checkMail(t, r.HTML)
	if len(r.Images) != 1 || r.Images[0].ID != "logo" || !bytes.Equal(r.Images[0].PNG, in.Partner.Logo.PNG) || !strings.Contains(r.HTML, `alt="Polder &#34;Cloud&#34; &lt;b&gt;"`) {
		t.Errorf("%d images, HTML %.2000s", len(r.Images), r.HTML)
	}
}
