package raster

import "math"

// pen is how a line is drawn; lengths are device pixels.
type pen struct {
	width      float64
	cap, join  string // as the canvas names them
	miter      float64
	dash       []float64
	dashOffset float64
}

// stroke returns the area of a stroked path: a quadrilateral for each piece, and
// what fills joins and ends. All are wound the same way, so that a rasterizer
// that adds up and cuts off at full cover shows them as one.
func (p *path) stroke(with pen) *path {
	out := &path{}
	if with.width <= 0 {
		return out
	}
	for _, s := range p.subs {
		s.points = distinct(s.points, s.closed)
		if len(s.points) == 1 && with.cap == "round" {
			out.disc(s.points[0], with.width/2)
		}
		for _, piece := range dashed(s, with) {
			out.strokeLine(piece, with)
		}
	}
	return out
}

// distinct leaves out points that do not move.
func distinct(points []point, closed bool) []point {
	var out []point
	for _, p := range points {
		if len(out) == 0 || math.Hypot(p.x-out[len(out)-1].x, p.y-out[len(out)-1].y) > 1e-6 {
			out = append(out, p)
		}
	}
	if n := len(out); closed && n > 1 && math.Hypot(out[0].x-out[n-1].x, out[0].y-out[n-1].y) <= 1e-6 {
		out = out[:n-1]
	}
	return out
}

// dashed cuts a line into its dashes; without any it is returned whole.
func dashed(s subpath, with pen) []subpath {
	total := 0.0
	for _, d := range with.dash {
		total += d
	}
	if total <= 0 || len(s.points) < 2 {
		return []subpath{s}
	}
	dash := with.dash
	if len(dash)%2 == 1 {
		dash = append(dash[:len(dash):len(dash)], dash...)
		total *= 2
	}
	i, left := 0, math.Mod(math.Mod(with.dashOffset, total)+total, total)
	for left >= dash[i] {
		left -= dash[i]
		i = (i + 1) % len(dash)
	}
	left = dash[i] - left
	points := s.points
	if s.closed {
		points = append(points[:len(points):len(points)], points[0])
	}
	var out []subpath
	on := []point{points[0]}
	for k := 1; k < len(points); k++ {
		a, b := points[k-1], points[k]
		length := math.Hypot(b.x-a.x, b.y-a.y)
		for done := 0.0; done < length; {
			step := min(left, length-done)
			done += step
			left -= step
			at := point{a.x + (b.x-a.x)*done/length, a.y + (b.y-a.y)*done/length}
			if i%2 == 0 {
				on = append(on, at)
			}
			if left <= 1e-9 {
				if i%2 == 0 {
					out = append(out, subpath{points: on})
				}
				i = (i + 1) % len(dash)
				left, on = dash[i], []point{at}
			}
		}
	}
	if i%2 == 0 && len(on) > 1 {
		out = append(out, subpath{points: on})
	}
	return out
}

func (out *path) strokeLine(s subpath, with pen) {
	n, half := len(s.points), with.width/2
	if n < 2 {
		return
	}
	pieces := n - 1
	if s.closed && n > 2 {
		pieces = n
	}
	for i := range pieces {
		a, b := s.points[i], s.points[(i+1)%n]
		dx, dy := direction(a, b)
		if with.cap == "square" && pieces == n-1 {
			if i == 0 {
				a = point{a.x - dx*half, a.y - dy*half}
			}
			if i == pieces-1 {
				b = point{b.x + dx*half, b.y + dy*half}
			}
		}
		nx, ny := -dy*half, dx*half
		out.polygon(point{a.x + nx, a.y + ny}, point{b.x + nx, b.y + ny}, point{b.x - nx, b.y - ny}, point{a.x - nx, a.y - ny})
	}
	for i := range n {
		if pieces == n-1 && (i == 0 || i == n-1) {
			if with.cap == "round" {
				out.disc(s.points[i], half)
			}
			continue
		}
		out.joint(s.points[(i+n-1)%n], s.points[i], s.points[(i+1)%n], with)
	}
}

func direction(a, b point) (x, y float64) {
	l := math.Hypot(b.x-a.x, b.y-a.y)
	return (b.x - a.x) / l, (b.y - a.y) / l
}

// joint fills the outer side of a corner.
func (out *path) joint(before, at, after point, with pen) {
	half := with.width / 2
	if with.join == "round" {
		out.disc(at, half)
		return
	}
	x0, y0 := direction(before, at)
	x1, y1 := direction(at, after)
	turn := x0*y1 - y0*x1
	if math.Abs(turn) < 1e-9 {
		return
	}
	side := -math.Copysign(half, turn)
	a := point{at.x - y0*side, at.y + x0*side}
	b := point{at.x - y1*side, at.y + x1*side}
	// The miter is as long as 1 / sin(half the angle) widths.
	cos := x0*x1 + y0*y1
	if with.join == "miter" && 2/(1+cos) <= with.miter*with.miter {
		mx, my := (a.x+b.x)/2-at.x, (a.y+b.y)/2-at.y
		scale := 2 / (1 + cos)
		out.polygon(at, a, point{at.x + mx*scale, at.y + my*scale}, b)
		return
	}
	out.polygon(at, a, b)
}

// polygon appends an area, wound the way all are.
func (out *path) polygon(points ...point) {
	area := 0.0
	for i, p := range points {
		q := points[(i+1)%len(points)]
		area += p.x*q.y - q.x*p.y
	}
	if area < 0 {
		for i, j := 0, len(points)-1; i < j; i, j = i+1, j-1 {
			points[i], points[j] = points[j], points[i]
		}
	}
	out.subs = append(out.subs, subpath{points: points, closed: true})
}

func (out *path) disc(at point, radius float64) {
	n := max(8, steps(2*math.Pi*radius))
	points := make([]point, n)
	for i := range points {
		s, c := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		points[i] = point{at.x + radius*c, at.y + radius*s}
	}
	out.polygon(points...)
}
