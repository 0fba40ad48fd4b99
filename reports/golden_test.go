package reports

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; when this is meant: go test ./reports -update, and read the diff (-want +got):\n%s", path, diff)
	}
}

func render(t testing.TB, in BuildInput) (Digest, Rendered) {
	t.Helper()
	d, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Render(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d, r
}

// renderLight lays out all but the chart script, which makes up most of the
// page and says nothing.
func renderLight(t testing.TB, in BuildInput) (Digest, Rendered) {
	t.Helper()
	d, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	r := Rendered{Subject: d.Subject, CSV: d.Attachment.CSV()}
	if r.HTML, err = renderHTML(d); err != nil {
		t.Fatal(err)
	}
	if r.Text, err = renderText(d); err != nil {
		t.Fatal(err)
	}
	if r.Page, err = renderPage(d, []byte("var echarts")); err != nil {
		t.Fatal(err)
	}
	return d, r
}

func TestRender_EveryRoleAndLanguage(t *testing.T) {
	for _, role := range Roles() {
		for _, locale := range []string{"nl", "en"} {
			name := string(role) + "_" + locale
			t.Run(name, func(t *testing.T) {
				_, r := render(t, fixtureInput(t, role, locale))
				golden(t, name+".html", r.HTML)
				golden(t, name+".txt", "Subject: "+r.Subject+"\n\n"+r.Text)
				golden(t, name+".csv", string(r.CSV))
			})
		}
	}
}
