package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"tidemark/data/archive"
)

// With this variable set the test binary is tidemark itself, in a process of its
// own.
const (
	asTidemark = "TIDEMARK_TEST_PROCESS"
	dieAt      = "TIDEMARK_TEST_DIE_AT" // number of the step at which it ends without warning
)

// process is a run of tidemark as a process of its own.
func process(dir string, env []string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Dir = dir
	c.Env = append(append(os.Environ(), asTidemark+"=1"), env...)
	return c
}

// dyingBucket ends the process, as a kill would, at one of its steps: before or
// after anything is written. Without a number it does nothing.
func dyingBucket(b archive.Bucket) archive.Bucket {
	at, err := strconv.Atoi(os.Getenv(dieAt))
	if err != nil {
		return b
	}
	return &dying{Bucket: b, left: at}
}

type dying struct {
	archive.Bucket
	left int
}

// step names a step, and dies at the one that was asked for.
func (d *dying) step(format string, args ...any) {
	if d.left--; d.left == 0 {
		fmt.Fprintf(os.Stderr, "dies %s\n", fmt.Sprintf(format, args...))
		os.Exit(137)
	}
}

func (d *dying) Create(ctx context.Context, key string) (archive.Object, error) {
	d.step("before it begins %s", key)
	o, err := d.Bucket.Create(ctx, key)
	return &dyingObject{o, d, key}, err
}

func (d *dying) Replace(ctx context.Context, key string, content []byte) error {
	d.step("before it replaces %s", key)
	err := d.Bucket.Replace(ctx, key, content)
	d.step("after it replaced %s", key)
	return err
}

type dyingObject struct {
	archive.Object
	d   *dying
	key string
}

func (o *dyingObject) Write(p []byte) (int, error) {
	o.d.step("before it writes %s", o.key)
	return o.Object.Write(p)
}

func (o *dyingObject) Commit() error {
	o.d.step("before it commits %s", o.key)
	err := o.Object.Commit()
	o.d.step("after it committed %s", o.key)
	return err
}
