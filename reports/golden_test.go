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
	r, err := Render(d)
	if err != nil {
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
