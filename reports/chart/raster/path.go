package raster

import (
	"image"
	"math"

	"golang.org/x/image/vector"
)

// matrix is a canvas transform: x' = a x + c y + e, y' = b x + d y + f.
type matrix struct{ a, b, c, d, e, f float64 }

func (m matrix) apply(x, y float64) (float64, float64) {
	return m.a*x + m.c*y + m.e, m.b*x + m.d*y + m.f
}

// scale is how much longer a line becomes, for the even scaling of charts.
func (m matrix) scale() float64 { return math.Sqrt(math.Abs(m.a*m.d - m.b*m.c)) }

// upright reports whether the transform neither turns nor skews.
func (m matrix) upright() bool { return m.b == 0 && m.c == 0 }

type point struct{ x, y float64 }

// subpath is a line through points, in device pixels.
type subpath struct {
	points []point
	closed bool
}

// path is the current path of a canvas. Curves are flattened when they come.
type path struct{ subs []subpath }

func (p *path) last() *subpath {
	if len(p.subs) == 0 {
		return nil
	}
	return &p.subs[len(p.subs)-1]
}

func (p *path) move(x, y float64) { p.subs = append(p.subs, subpath{points: []point{{x, y}}}) }

func (p *path) line(x, y float64) {
	s := p.last()
	if s == nil {
		p.move(x, y)
		return
	}
	if s.closed { // a closed path goes on from where it began
		p.move(s.points[0].x, s.points[0].y)
		s = p.last()
	}
	s.points = append(s.points, point{x, y})
}

func (p *path) close() {
	if s := p.last(); s != nil {
		s.closed = true
	}
}

// at is where the path stands; a path that has not begun stands at the point.
func (p *path) at(x, y float64) point {
	s := p.last()
	switch {
	case s == nil:
		p.move(x, y)
		return point{x, y}
	case s.closed:
		p.move(s.points[0].x, s.points[0].y)
		return s.points[0]
	}
	return s.points[len(s.points)-1]
}

// steps is into how many lines a curve of about that length is cut.
func steps(length float64) int { return int(min(max(math.Ceil(length/1.5), 3), 200)) }

func (p *path) cubic(x1, y1, x2, y2, x, y float64) {
	from := p.at(x1, y1)
	n := steps(math.Hypot(x1-from.x, y1-from.y) + math.Hypot(x2-x1, y2-y1) + math.Hypot(x-x2, y-y2))
	for i := 1; i <= n; i++ {
		t := float64(i) / float64(n)
		u := 1 - t
		a, b, c, d := u*u*u, 3*u*u*t, 3*u*t*t, t*t*t
		p.line(a*from.x+b*x1+c*x2+d*x, a*from.y+b*y1+c*y2+d*y)
	}
}

func (p *path) quad(x1, y1, x, y float64) {
	from := p.at(x1, y1)
	n := steps(math.Hypot(x1-from.x, y1-from.y) + math.Hypot(x-x1, y-y1))
	for i := 1; i <= n; i++ {
		t := float64(i) / float64(n)
		u := 1 - t
		p.line(u*u*from.x+2*u*t*x1+t*t*x, u*u*from.y+2*u*t*y1+t*t*y)
	}
}

// ellipse appends an arc as the canvas defines it: joined to what came before by
// a line, a full turn at most.
func (p *path) ellipse(m matrix, cx, cy, rx, ry, turn, from, to float64, back bool) {
	sweep := to - from
	switch {
	case !back && sweep >= 2*math.Pi, back && sweep <= -2*math.Pi:
		sweep = math.Copysign(2*math.Pi, sweep)
	case back:
		sweep = math.Mod(sweep, 2*math.Pi)
		if sweep > 0 {
			sweep -= 2 * math.Pi
		}
	default:
		sweep = math.Mod(sweep, 2*math.Pi)
		if sweep < 0 {
			sweep += 2 * math.Pi
		}
	}
	n := steps(math.Abs(sweep) * max(rx, ry) * m.scale())
	sin, cos := math.Sincos(turn)
	for i := range n + 1 {
		s, c := math.Sincos(from + sweep*float64(i)/float64(n))
		x, y := rx*c, ry*s
		dx, dy := m.apply(cx+x*cos-y*sin, cy+x*sin+y*cos)
		if i == 0 && p.last() == nil {
			p.move(dx, dy)
			continue
		}
		p.line(dx, dy)
	}
}

// bounds is the smallest rectangle of whole pixels around the path.
func (p *path) bounds() image.Rectangle {
	r := image.Rectangle{image.Pt(math.MaxInt32, math.MaxInt32), image.Pt(math.MinInt32, math.MinInt32)}
	for _, s := range p.subs {
		for _, q := range s.points {
			r.Min.X, r.Min.Y = min(r.Min.X, int(math.Floor(q.x))), min(r.Min.Y, int(math.Floor(q.y)))
			r.Max.X, r.Max.Y = max(r.Max.X, int(math.Ceil(q.x))), max(r.Max.Y, int(math.Ceil(q.y)))
		}
	}
	if r.Min.X > r.Max.X {
		return image.Rectangle{}
	}
	return r
}

// rectangle reports whether the path is one upright rectangle, rounded to whole
// pixels.
func (p *path) rectangle() (image.Rectangle, bool) {
	if len(p.subs) != 1 {
		return image.Rectangle{}, false
	}
	q := p.subs[0].points
	if len(q) == 5 && q[4] == q[0] {
		q = q[:4]
	}
	if len(q) != 4 {
		return image.Rectangle{}, false
	}
	for i := range q {
		next := q[(i+1)%4]
		if q[i].x != next.x && q[i].y != next.y {
			return image.Rectangle{}, false
		}
	}
	round := func(v float64) int { return int(math.Round(v)) }
	return image.Rect(round(q[0].x), round(q[0].y), round(q[2].x), round(q[2].y)), true
}

// into adds the path to a rasterizer whose origin is at a pixel.
func (p *path) into(r *vector.Rasterizer, origin image.Point) {
	ox, oy := float64(origin.X), float64(origin.Y)
	for _, s := range p.subs {
		for i, q := range s.points {
			x, y := float32(q.x-ox), float32(q.y-oy)
			if i == 0 {
				r.MoveTo(x, y)
			} else {
				r.LineTo(x, y)
			}
		}
		r.ClosePath()
	}
}
