package reports

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // a format that logos come in
	"image/png"
	"io"

	scale "golang.org/x/image/draw"
)

// The box that a logo is fitted into, in pixels of the mail; the image has twice
// as many. It stands above the first call, which is to be seen without scrolling.
const (
	maxLogoWidth  = 200
	maxLogoHeight = 32
)

// The largest logo that is read, in bytes and pixels.
const (
	maxLogoFile   = 2 << 20
	maxLogoPixels = 16 << 20
	maxLogoPNG    = 48 << 10 // in the mail
)

// Logo is the partner's logo as mails show it.
type Logo struct {
	PNG    []byte `json:"png"`
	Width  int    `json:"width"` // in the mail, in pixels
	Height int    `json:"height"`
}

// ReadLogo reads a PNG or JPEG and makes it small, opaque and free of everything
// but its pixels.
func ReadLogo(r io.Reader) (*Logo, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxLogoFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxLogoFile {
		return nil, fmt.Errorf("it has more than %d KB", maxLogoFile>>10)
	}
	size, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("want a PNG or JPEG image: %w", err)
	}
	if size.Width < 1 || size.Height < 1 || size.Width > maxLogoPixels/size.Height {
		return nil, fmt.Errorf("it has %d x %d pixels, too many to be a logo", size.Width, size.Height)
	}
	from, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("want a PNG or JPEG image: %w", err)
	}
	l := fitLogo(size.Width, size.Height)
	to := image.NewRGBA(image.Rect(0, 0, 2*l.Width, 2*l.Height))
	red, green, blue, _ := parseColour(ground)
	paper := color.RGBA{uint8(red), uint8(green), uint8(blue), 255}
	scale.Draw(to, to.Bounds(), image.NewUniform(paper), image.Point{}, scale.Src)
	scale.CatmullRom.Scale(to, to.Bounds(), from, from.Bounds(), scale.Over, nil)
	var out bytes.Buffer
	if err := png.Encode(&out, to); err != nil {
		return nil, err
	}
	if out.Len() > maxLogoPNG {
		return nil, errors.New("it is a photograph rather than a logo: choose an image with fewer colours")
	}
	l.PNG = out.Bytes()
	return l, nil
}

// fitLogo is the size of an image in the box, its proportions kept.
func fitLogo(width, height int) *Logo {
	w, h := width*maxLogoHeight/height, maxLogoHeight
	if w > maxLogoWidth {
		w, h = maxLogoWidth, height*maxLogoWidth/width
	}
	return &Logo{Width: max(w, 1), Height: max(h, 1)}
}
