//go:build charts

package reports

import (
	"bytes"
	"image/png"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidemark/reports/chart/raster"
	"tidemark/templates"
)

func charts(t testing.TB) *raster.Renderer {
	t.Helper()
	script, ok := templates.ChartScript()
	if !ok {
		t.Fatal("this build has no chart script; run make assets")
	}
	r, err := raster.New(raster.Options{Script: script})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRender_PicturesOfEveryRoleAndLanguage checks the finished mail: each image
// is shown once, is there, says in its alt text what its title says, and its
// numbers stand in the plain text, too.
func TestRender_PicturesOfEveryRoleAndLanguage(t *testing.T) {
	draw := charts(t)
	for _, role := range Roles() {
		for _, locale := range templates.Languages() {
			d, err := Build(fixtureInput(t, role, locale))
			if err != nil {
				t.Fatal(err)
			}
			r, err := Render(d, draw)
			if err != nil {
				t.Fatal(err)
			}
			checkMail(t, r.HTML)
			var shown []string
			for _, m := range regexp.MustCompile(`src="cid:([^"]+)"`).FindAllStringSubmatch(r.HTML, -1) {
				shown = append(shown, m[1])
			}
			var there []string
			for _, img := range r.Images {
				there = append(there, img.ID)
				if _, err := png.Decode(bytes.NewReader(img.PNG)); err != nil || len(img.PNG) > 60<<10 {
					t.Errorf("%s %s %s: %d bytes, %v", role, locale, img.ID, len(img.PNG), err)
				}
			}
			if !slices.Equal(shown, there) || len(shown) < 2 || len(shown) > 17 || len(slices.Compact(slices.Sorted(slices.Values(shown)))) != len(shown) {
				t.Errorf("%s %s shows %q and has %q", role, locale, shown, there)
			}
			text := strings.Join(strings.Fields(r.Text), " ")
			for _, p := range d.AllPictures() {
				if p.Title == "" { // beside a call, whose reasons say it
					continue
				}
				if !strings.HasPrefix(p.Alt, p.Title) || !strings.Contains(p.Alt, p.Text) || !strings.Contains(text, strings.Join(strings.Fields(p.Title+" "+p.Text), " ")) {
					t.Errorf("%s %s %s: title %q, text %q, alt %q", role, locale, p.ID, p.Title, p.Text, p.Alt)
				}
				if strings.Contains(p.Alt, "finding.") || strings.Contains(p.Alt, "%!") {
					t.Errorf("%s %s: alt %q", role, locale, p.Alt)
				}
			}
			again, err := Render(d, draw)
			if err != nil || again.HTML != r.HTML || !bytes.Equal(again.Images[0].PNG, r.Images[0].PNG) {
				t.Errorf("%s %s: another rendering differs, %v", role, locale, err)
			}
		}
	}
}

// TestRender_NoMoneyInThePicturesOfWhoSeesNone searches the definitions for
// currencies.
func TestRender_NoMoneyInThePicturesOfWhoSeesNone(t *testing.T) {
	d, err := Build(fixtureInput(t, UserAdmin, "nl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.AllPictures() {
		if s := string(p.Option) + p.Alt; regexp.MustCompile(`€|EUR|USD|[Ii]nkoop|cost`).MatchString(s) {
			t.Errorf("%s: %s", p.ID, s)
		}
	}
	if len(d.AllPictures()) == 0 {
		t.Error("the mail has no picture")
	}
}

// TestRender_PulseWithoutMoneyCountsServices is for sales agents who see no money.
func TestRender_PulseWithoutMoneyCountsServices(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "en")
	in.Document = newFixture(t, false)
	d, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"Ran every day for 8 weeks; nothing since 5 Nov. Azure services used a day, 18 Sep–12 Nov: 6 at most; on 12 Nov 0",
		"No usage since 31 Oct (12 days); longest earlier pause 2 days. Azure services used a day, 18 Sep–12 Nov: 5 at most; on 12 Nov 0"} {
		p := d.Sections[0].Calls[i].Pulse
		if p == nil || p.Alt != want || strings.Contains(string(p.Option), ".25") {
			t.Errorf("call %d: %+v, want %q", i+1, p, want)
		}
	}
	in.Document.Background.Known = in.Document.Background.Known[:13]
	if d, err = Build(in); err != nil || d.Sections[0].Calls[0].Pulse != nil {
		t.Errorf("with 13 known days there is %+v, %v", d.Sections[0].Calls[0].Pulse, err)
	}
}

// TestRender_HostileNamesAreDrawnNotRun puts hostile names where charts show them.
func TestRender_HostileNamesAreDrawnNotRun(t *testing.T) {
	draw := charts(t)
	for _, name := range []string{`</script><script>alert(1)</script>`, `{b}$&__f__alert(1)__f__`, "\u202e\u0000\u001b[31m", strings.Repeat("Онадлинное", 60), "日本株式会社 🎉"} {
		in := fixtureInput(t, AdminAgent, "en")
		poison(&in, name)
		if in.Document.Costs != nil {
			in.Document.Cost[0].Currency = "EUR"
		}
		d, err := Build(in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Render(d, draw)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		checkMail(t, r.HTML)
	}
}
