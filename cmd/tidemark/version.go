package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"tidemark/templates"
)

// version is set by the linker in a release: -X main.version=1.2.3.
var version = "dev"

// versionInfo is the JSON of `tidemark version`.
type versionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Charts  bool   `json:"charts"` // the chart script is built in
}

func currentVersion() versionInfo {
	v := versionInfo{Version: version, Commit: "unknown", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	_, v.Charts = templates.ChartScript()
	return v
}

// producer names this build in the archive and in every mail.
func producer() string { return "tidemark " + version }

func (a *app) versionCommand() *cobra.Command {
	var format string
	var licences bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version and what is built in",
		Example: "  tidemark version\n  tidemark version --format json\n  tidemark version --licences",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if licences {
				a.printf("%s", templates.Licences())
				return nil
			}
			v := currentVersion()
			if format == "json" {
				return a.printJSON(v)
			}
			a.printf("tidemark %s (commit %s, %s, %s/%s)\n", v.Version, v.Commit, v.Go, v.OS, v.Arch)
			if !v.Charts {
				a.printf("charts are missing: this build has no chart script, pages show tables only; build with `make build`\n")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&licences, "licences", false, "print the licences of the built-in chart script and fonts")
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

// formatFlag adds --format with its completion and check.
func formatFlag(cmd *cobra.Command, value *string, standard string, allowed ...string) {
	cmd.Flags().Var(newChoice(value, standard, allowed), "format", "output `FORMAT`: "+orList(allowed))
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
}

// printJSON writes v as indented JSON to stdout.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
