package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
)

// verifyListing is the JSON of `archive verify`.
type verifyListing struct {
	archive.Verification
	Against *witness `json:"against,omitempty"`
}

// witness is what a mail says about the archive that it was made from.
type witness struct {
	File    string     `json:"file"`
	Seal    string     `json:"seal"`
	KnownAt *time.Time `json:"known_at"` // of the state with that seal; null: there is none
	Mail    string     `json:"mail"`     // how it compares with the sealed mail in the archive

	raw []byte
}

func (a *app) archiveVerifyCommand() *cobra.Command {
	var quick bool
	var against, format string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that nothing in the archive was changed or lost",
		Long: `Check the whole archive: every log and its chain of hashes, the run records, every
data file that was ever committed with its hash, pages, rows and sums, the rollups
against the usage they are of, the checkpoints, the quarantine, and the mails and
inputs that are kept. Each object that is not what it was is named with what is
wrong, and the exit code is 13. Objects that nothing refers to are counted only;
` + "`tidemark archive ls --orphans`" + ` lists them.

--quick reads no data file but those of reports, scores and trainings, which name
others, and no mail: it looks whether each data file is there with its size, and
whether each mail is there. A mail that was cut or changed is seen without --quick.

One thing no check inside the archive can show: that its newest run was removed as
a whole. --against checks the seal in the footer of a mail, which left the house:
the archive must once have been in the state that the mail was made from. The mail
is also compared with the sealed one in the archive; when that is not kept any
more, the output says that only its seal was looked at. A mail whose report the
archive does not have is a finding, and so is a preview: ` + "`tidemark report`" + ` records
none.`,
		Example: "  tidemark archive verify\n  tidemark archive verify --quick\n  tidemark archive verify --against monday.eml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.readingConfig()
			if err != nil {
				return err
			}
			path, err := c.archivePath(true)
			if err != nil {
				return err
			}
			var w *witness
			if against != "" {
				if w, err = readWitness(against); err != nil {
					return err
				}
			}
			return a.verifyArchive(cmd.Context(), path, quick, w, format)
		},
	}
	cmd.Flags().BoolVar(&quick, "quick", false, "read no mail and only the data files that name others: of the rest, whether they are there")
	cmd.Flags().StringVar(&against, "against", "", "also check the seal of a mail, `FILE.eml`")
	a.archiveFlag(cmd)
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

func (a *app) verifyArchive(ctx context.Context, path string, quick bool, w *witness, format string) error {
	bar := a.progress("verify")
	out, err := archive.Verify(ctx, archive.NewDir(path), archive.VerifyOptions{Quick: quick, Progress: bar.show, Condenser: jobs.Condenser()})
	bar.done()
	if err != nil {
		return err
	}
	if out.Objects == 0 { // a disk that is not mounted must not pass for sound
		return fmt.Errorf("verify %s: nothing is in it; run `tidemark extract` first, or name its folder by archive.path or --archive", path)
	}
	if out.Commits == 0 && out.Runs == 0 && out.OK() {
		return fmt.Errorf("verify %s: it is no archive: no log and no run record is in it; name its folder by archive.path or --archive", path)
	}
	if w != nil {
		for _, s := range out.Seals {
			if s.Seal == w.Seal {
				w.KnownAt = &s.KnownAt
			}
		}
		if w.KnownAt == nil {
			out.Findings = append(out.Findings, archive.Finding{Key: w.File, Problem: fmt.Sprintf(
				"the archive was never in a state with the seal %s of this mail: what the mail was made from was removed or replaced, or it is of another archive", w.Seal)})
		}
		for _, d := range a.compareWitness(ctx, path, w) {
			out.Findings = append(out.Findings, archive.Finding{Key: w.File, Problem: d})
		}
	}
	if format == "json" {
		err = a.printJSON(verifyListing{out, w})
	} else {
		a.printVerification(out, quick, w)
	}
	if err == nil && !out.OK() {
		err = fmt.Errorf("verify %s: %w: %s", path, errNotVerified, findings(len(out.Findings)))
	}
	return err
}

// compareWitness compares a mail with the sealed one and returns what is wrong with
// it; whatever is wrong with the archive itself, verify has found.
func (a *app) compareWitness(ctx context.Context, path string, w *witness) []string {
	arc, err := a.openArchiveAt(ctx, path)
	var row data.Report
	if err == nil {
		row, err = reportOfMail(ctx, arc, w.File, w.raw)
	}
	if errors.Is(err, jobs.ErrNoReport) {
		w.Mail = "the archive has no record of this mail"
		return []string{w.Mail + ": its report was removed, a header with an id was changed, or it is a preview of `tidemark report`, which records none"}
	}
	if err != nil {
		w.Mail = "only its seal was looked at: " + err.Error()
		return nil
	}
	answer, sealed := jobs.CompareSealed(ctx, arc, row, w.raw)
	if w.Mail = answer.Text; sealed == nil {
		w.Mail = "only its seal was looked at: " + answer.Text
	}
	var problems []string
	for _, d := range answer.Differences {
		problems = append(problems, answer.Text+": "+d)
	}
	return problems
}

func (a *app) printVerification(out archive.Verification, quick bool, w *witness) {
	for _, f := range out.Findings {
		a.printf("%s\n", printable(f.String()))
	}
	files := fmt.Sprintf("%d data files with %d rows and %d bytes", out.Files, out.Rows, out.Bytes)
	if quick {
		files = fmt.Sprintf("%d data files of %d bytes, most by their size alone", out.Files, out.Bytes)
	}
	a.printf("verified %d objects: %d commits, %d runs, %s; %s\n", out.Objects, out.Commits, out.Runs, files, findings(len(out.Findings)))
	if out.Unreferenced > 0 {
		a.printf("nothing refers to %d objects: `tidemark archive ls --orphans` lists them\n", out.Unreferenced)
	}
	if w != nil && w.KnownAt != nil {
		a.printf("the archive was in the state with seal %s at %s\n", w.Seal, w.KnownAt.Format(time.RFC3339Nano))
	}
	if w != nil {
		a.printf("%s: %s\n", printable(w.File), printable(w.Mail))
	}
}

// readWitness reads the seal in the footer of a mail.
func readWitness(file string) (*witness, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	text, err := plainText(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	// The footer wraps; the seal is the last group of 16 hex digits in it.
	all := regexp.MustCompile(`\b[0-9a-f]{16}\b`).FindAllString(text, -1)
	if len(all) == 0 || m.Header.Get("X-Report-Id") == "" {
		return nil, usagef("--against %s: it has no seal in its footer: it is not a mail of tidemark", file)
	}
	return &witness{File: file, Seal: all[len(all)-1], raw: raw}, nil
}

// plainText returns the first plain text of a mail.
func plainText(contentType, encoding string, body io.Reader) (string, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return "", nil
			} else if err != nil {
				return "", err
			}
			text, err := plainText(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
			if text != "" || err != nil {
				return text, err
			}
		}
	}
	if kind != "text/plain" {
		return "", nil
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	return string(b), err
}

func findings(n int) string {
	if n == 1 {
		return "1 finding"
	}
	return fmt.Sprintf("%d findings", n)
}
