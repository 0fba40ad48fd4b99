package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// cost is what one process took.
type cost struct {
	wall, cpu time.Duration // cpu: user and system, of all threads
	peak      int64         // bytes of memory at the most
}

// child runs this program again and returns what that took. On Linux a process
// starts with the peak of the one that made it, so this process stays small:
// data is generated and results are compared in children as well.
func child(ctx context.Context, args ...string) (cost, []byte, error) {
	program, err := os.Executable()
	if err != nil {
		return cost{}, nil, err
	}
	return childOf(ctx, program, args...)
}

// childOf is child of another program.
func childOf(ctx context.Context, program string, args ...string) (cost, []byte, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", threads))
	start := time.Now()
	out, err := c.Output()
	wall := time.Since(start)
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return cost{}, nil, fmt.Errorf("run %q: %w", args, err)
	}
	used, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, nil, errors.New("this system does not tell what a process used")
	}
	return cost{wall, c.ProcessState.UserTime() + c.ProcessState.SystemTime(), used.Maxrss << 10}, out, nil
}

// ratio is one side's cost as a share of the other's.
type ratio struct{ wall, cpu, peak float64 }

// pair is both sides of a case, run one right after the other.
type pair struct{ ours, theirs cost }

func (p pair) ratio() ratio {
	return ratio{float64(p.ours.wall) / float64(p.theirs.wall), float64(p.ours.cpu) / float64(p.theirs.cpu),
		float64(p.ours.peak) / float64(p.theirs.peak)}
}

// medianOf returns the median of what of gives for each element; of an even
// number of them the upper one.
func medianOf[E any, T cmp.Ordered](list []E, of func(E) T) T {
	values := make([]T, len(list))
	for i, e := range list {
		values[i] = of(e)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// medianRatio returns the medians of the ratios, pair by pair.
func medianRatio(pairs []pair) ratio {
	return ratio{
		medianOf(pairs, func(p pair) float64 { return p.ratio().wall }),
		medianOf(pairs, func(p pair) float64 { return p.ratio().cpu }),
		medianOf(pairs, func(p pair) float64 { return p.ratio().peak }),
	}
}

// medianCost returns the medians of one side.
func medianCost(pairs []pair, side func(pair) cost) cost {
	return cost{
		medianOf(pairs, func(p pair) time.Duration { return side(p).wall }),
		medianOf(pairs, func(p pair) time.Duration { return side(p).cpu }),
		medianOf(pairs, func(p pair) int64 { return side(p).peak }),
	}
}
