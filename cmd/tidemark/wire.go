package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/reports/chart/raster"
	"tidemark/templates"
	"tidemark/transform"
)

// defaultSettleDays is how many days usage stays open to late rows.
const defaultSettleDays = 3

// openArchive opens the archive of the configuration, by default ./archive
// beside it. With mustExist a folder that is not there is an error, so that a
// mistyped path is not taken for an empty archive.
func (a *app) openArchive(ctx context.Context, c *config, mustExist bool) (*archive.Archive, error) {
	path, err := c.archivePath(mustExist)
	if err != nil {
		return nil, err
	}
	return a.openArchiveAt(ctx, path)
}

// archiveFlag adds --archive to a command that only reads the archive.
func (a *app) archiveFlag(cmd *cobra.Command) {
	pathFlag(cmd, &a.archiveDir, "archive", "folder `DIR` of the archive; no configuration is needed then")
}

// readingConfig is the configuration of a command that only reads the archive.
// With --archive it names that folder, and nothing else unless --config is given.
func (a *app) readingConfig() (*config, error) {
	if a.archiveDir == "" {
		return a.config()
	}
	c := &config{}
	if a.configFile != "" {
		var err error
		if c, err = a.config(); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(a.archiveDir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, usagef("--archive: %w", err)
	}
	c.Archive.Path = dir
	return c, nil
}

// configured reads the configuration and opens its archive, which must be there.
func (a *app) configured(ctx context.Context) (*config, *archive.Archive, error) {
	c, err := a.readingConfig()
	if err != nil {
		return nil, nil, err
	}
	arc, err := a.openArchive(ctx, c, true)
	return c, arc, err
}

// archivePath is the folder of the archive.
func (c *config) archivePath(mustExist bool) (string, error) {
	path := c.path(c.Archive.Path)
	if path == "" {
		path = c.path("archive")
	}
	if _, err := os.Stat(path); err != nil && mustExist {
		return "", fmt.Errorf("open archive %s: %w; run `tidemark extract` first, or set archive.path", path, err)
	}
	return path, nil
}

func (a *app) openArchiveAt(ctx context.Context, path string) (*archive.Archive, error) {
	var bucket archive.Bucket = archive.NewDir(path)
	if a.wrap != nil {
		bucket = a.wrap(bucket)
	}
	arc, err := archive.Open(ctx, bucket, archive.Options{Producer: producer(), Now: a.now})
	if err == nil && a.archiveDir != "" && arc.Empty() {
		return nil, usagef("--archive %s: it is no archive: no log and no run record is in it", a.archiveDir)
	}
	return arc, err
}

// usageConfig is the part of the configuration that usage comes from.
func (c *config) usageConfig() sourceConfig {
	if c.Sources.Usage != nil {
		return *c.Sources.Usage
	}
	return c.Source
}

func (c *config) settleDays() int {
	if s := c.usageConfig().SettleDays; s != nil {
		return *s
	}
	return defaultSettleDays
}

func (a *app) today() data.Day { return data.DayOf(a.now().UTC()) }

// newRunID returns an id that sorts by time and cannot repeat.
func (a *app) newRunID() string {
	return a.now().UTC().Format("20060102t150405z") + "-" + strings.ToLower(rand.Text()[:6])
}

// viewAsOf is the view as of a time, nil for now; that nothing was known at that
// time is an error.
func viewAsOf(ctx context.Context, arc *archive.Archive, asOf *time.Time) (*archive.View, error) {
	view, err := arc.View(ctx, asOf)
	if err == nil && asOf != nil && view.KnownAt().IsZero() {
		return nil, fmt.Errorf("%w: at %s nothing was archived yet", transform.ErrNoKnownDay, asOf.UTC().Format(time.RFC3339Nano))
	}
	return view, err
}

// newCharts makes the renderer of the mails' charts; nil when this build has no
// chart script.
func newCharts(c *config) (*raster.Renderer, error) {
	script, ok := templates.ChartScript()
	if !ok {
		return nil, nil
	}
	o := raster.Options{Script: script}
	for _, file := range c.Charts.Fonts {
		o.Fonts = append(o.Fonts, c.path(file))
	}
	return raster.New(o)
}

// unreadable are the fonts that cannot be used.
func unreadable(charts *raster.Renderer) []error {
	if charts == nil {
		return nil
	}
	return charts.Unreadable()
}

// pages is the folder that the interactive pages go to, which is made if need be; empty
// when none is configured.
func (c *config) pages() (string, error) {
	if c.Pages.Path == "" {
		return "", nil
	}
	dir := c.path(c.Pages.Path)
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = writable(dir)
	}
	if err != nil {
		return "", fmt.Errorf("pages.path: %w", err)
	}
	return dir, nil
}

// warnOfMissing says which characters the charts show as boxes, and what to do.
func (a *app) warnOfMissing(charts *raster.Renderer) {
	if charts == nil {
		return
	}
	if missing := charts.Missing(); len(missing) > 0 {
		a.log().Warn("charts show boxes for characters that no font has; install one (Debian: fonts-noto-cjk) or name its file in charts.fonts",
			"characters", printable(string(missing[:min(len(missing), 40)])))
	}
}

// recorder keeps in the archive what a run builds.
func (a *app) recorder(c *config, arc *archive.Archive, job string, slot *time.Time) jobs.Recorder {
	return jobs.Recorder{Archive: arc, Run: archive.RunInfo{ID: a.newRunID(), Job: job, Source: "tidemark", Started: a.now()},
		Config: c.text, SettleDays: c.settleDays(), Slot: slot, Producer: producer()}
}
