package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

//go:embed starter/tidemark.yaml
var starterConfig string

//go:embed starter/owners.csv
var starterOwners string

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "init [DIR]",
		Short:   "Write a commented starter tidemark.yaml",
		Long:    "Write a commented starter tidemark.yaml and owners.csv to DIR (default: here).\nFiles that exist are never overwritten.",
		Example: "  tidemark init\n  tidemark init /etc/tidemark",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.writeStarter(dir)
		},
	}
}

func (a *app) writeStarter(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create %s: %w", dir, err)
	}
	config := filepath.Join(dir, "tidemark.yaml")
	if err := writeNew(config, starterConfig); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: nothing was changed", config)
	} else if err != nil {
		return err
	}
	owners, wrote := filepath.Join(dir, "owners.csv"), "wrote %s and %s"
	if err := writeNew(owners, starterOwners); errors.Is(err, fs.ErrExist) {
		wrote = "wrote %s; %s is there already and was not changed"
	} else if err != nil {
		return err
	}
	a.printf(wrote+"\n\nnext:\n  edit %[1]s: source, partner, recipients\n  tidemark --config %[1]s check\n  tidemark --config %[1]s extract\n", config, owners)
	return nil
}

// writeNew writes a file that must not exist yet.
func writeNew(name, content string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
