package reports

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// checkMail fails the test for whatever mail clients are known to break on, and
// for whatever a reader with a screen reader would miss.
func checkMail(t testing.TB, mail string) {
	t.Helper()
	if len(mail) > maxHTML {
		t.Errorf("the mail has %d bytes, more than %d", len(mail), maxHTML)
	}
	for _, m := range regexp.MustCompile(`(?i)<script|<iframe|<form|<svg|<link|<meta http-equiv|javascript:|data:|url\(|https?:|//[a-z]|display:\s*(flex|grid)|var\(|@import|position:`).FindAllString(mail, -1) {
		t.Errorf("the mail holds %q", m)
	}
	checkTags(t, mail)
	root, err := html.Parse(strings.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	headings := ""
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			checkElement(t, n)
			if regexp.MustCompile(`^h[1-6]$`).MatchString(n.Data) {
				headings += n.Data[1:]
			}
		}
	}
	if !strings.HasPrefix(headings, "1") || strings.Count(headings, "1") != 1 || strings.Contains(headings, "13") {
		t.Errorf("headings have the levels %s, want one of level 1 first and none skipped", headings)
	}
}

// checkTags checks that every element that is opened is closed, in order.
func checkTags(t testing.TB, mail string) {
	t.Helper()
	void := []string{"meta", "br", "img"}
	var open []string
	for z := html.NewTokenizer(strings.NewReader(mail)); z.Next() != html.ErrorToken; {
		token := z.Token()
		switch token.Type {
		case html.StartTagToken:
			if !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> closes %v", token.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("elements are left open: %v", open)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func checkElement(t testing.TB, n *html.Node) {
	t.Helper()
	for _, a := range n.Attr {
		if strings.HasPrefix(a.Key, "on") || a.Key == "src" && n.Data != "img" || a.Key == "background" || strings.Contains(a.Val, "ZgotmplZ") {
			t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
		}
	}
	for _, size := range regexp.MustCompile(`font-size:(\d+)px`).FindAllStringSubmatch(attr(n, "style"), -1) {
		if s := size[1]; len(s) < 2 || s < "14" && s != "0" {
			if !strings.Contains(attr(n, "style"), "display:none") && s != "0" {
				t.Errorf("<%s> has text of %s px", n.Data, s)
			}
		}
	}
	switch n.Data {
	case "img":
		style, width, height, shrinks := attr(n, "style"), "560", "280", "max-width:560px;height:auto;"
		switch src := attr(n, "src"); {
		case strings.HasPrefix(src, "cid:pulse_"):
			width, height, shrinks = "96", "40", "width:96px;height:40px;"
		case src == "cid:logo":
			width, height, shrinks = "64", "32", "width:64px;height:32px;"
		}
		if !regexp.MustCompile(`^cid:[A-Za-z0-9_.-]{1,50}$`).MatchString(attr(n, "src")) || attr(n, "width") != width || attr(n, "height") != height ||
			len(attr(n, "alt")) < 10 || !strings.Contains(style, shrinks) || !strings.Contains(style, "display:block") {
			t.Errorf("<img src=%q width=%q height=%q alt=%q style=%q>", attr(n, "src"), attr(n, "width"), attr(n, "height"), attr(n, "alt"), style)
		}
	case "html":
		if attr(n, "lang") == "" {
			t.Error("<html> has no lang")
		}
	case "table":
		hasHead := false
		for c := range n.ChildNodes() {
			for d := range c.Descendants() {
				if d.Data == "table" {
					break
				}
				hasHead = hasHead || d.Data == "th"
			}
		}
		if layout := attr(n, "role") == "presentation"; layout == hasHead {
			t.Errorf("a table with headings %v has role %q", hasHead, attr(n, "role"))
		}
	case "th":
		if attr(n, "scope") == "" {
			t.Error("<th> has no scope")
		}
	case "a":
		style := attr(n, "style")
		height := regexp.MustCompile(`padding:(\d+)px 0;.*line-height:(\d+)px`).FindStringSubmatch(style)
		if !regexp.MustCompile(`^(tel:\+?[0-9]+|mailto:[A-Za-z0-9@.%-]+\?subject=[A-Za-z0-9%.-]+)$`).MatchString(attr(n, "href")) || height == nil || !strings.Contains(style, "inline-block") {
			t.Errorf("link %q with style %q is no telephone or mail link of known height", attr(n, "href"), style)
		} else if 2*atoi(height[1])+atoi(height[2]) < 44 {
			t.Errorf("the link is lower than 44 px: %s", style)
		}
	}
}

func atoi(s string) (n int) {
	for _, r := range s {
		n = 10*n + int(r-'0')
	}
	return n
}

// visible returns what a reader sees of a mail, one text after the other.
func visible(t testing.TB, mail string) string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Data == "head" || strings.Contains(attr(n, "style"), "display:none") {
			return
		}
		if n.Type == html.TextNode {
			out.WriteString(n.Data + " ")
		}
		for c := range n.ChildNodes() {
			walk(c)
		}
	}
	walk(root)
	return strings.Join(strings.Fields(out.String()), " ")
}

func TestMail_EveryRoleAndLanguagePassesTheChecker(t *testing.T) {
	for _, role := range Roles() {
		for _, locale := range []string{"nl", "en"} {
			t.Run(string(role)+" in "+locale, func(t *testing.T) {
				_, r := render(t, fixtureInput(t, role, locale))
				checkMail(t, r.HTML)
				checkText(t, r.Text)
			})
		}
	}
}

func checkText(t testing.TB, text string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if n := Columns(line); n > textWidth {
			t.Errorf("line of %d columns: %q", n, line)
		}
	}
	if strings.Contains(text, "\n\n\n\n") || strings.Contains(text, "[") && strings.Contains(text, "]") {
		t.Errorf("the text has gaps or a missing message:\n%s", text)
	}
}

// TestMail_ReadsTheSameWithoutStyleSheet is for clients that drop it: what the
// style sheet says must be about narrow screens only.
func TestMail_ReadsTheSameWithoutStyleSheet(t *testing.T) {
	_, r := render(t, fixtureInput(t, SalesAgent, "nl"))
	sheets := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(r.HTML, -1)
	for _, s := range sheets {
		if !strings.HasPrefix(strings.TrimSpace(s[1]), "@media") && !strings.HasPrefix(s[1], "table,td,th{mso-") {
			t.Errorf("the style sheet has a rule for every screen: %s", s[1])
		}
	}
}

// TestPalette_TextCanBeRead computes the contrast of every colour of text that
// the mail uses against the ground it stands on.
func TestPalette_TextCanBeRead(t *testing.T) {
	_, r := render(t, fixtureInput(t, SalesAgent, "nl"))
	if !strings.Contains(r.HTML, `bgcolor="`+ground+`"`) {
		t.Fatalf("the card's ground is not %s", ground)
	}
	colours := map[string]bool{}
	for _, m := range regexp.MustCompile(`[";]color:(#[0-9a-f]{6})`).FindAllStringSubmatch(r.HTML, -1) {
		colours[m[1]] = true
	}
	delete(colours, "#eceee9") // the hidden preheader
	if len(colours) < 4 {
		t.Fatalf("found the colours %v only", colours)
	}
	for c := range colours {
		if ratio := contrast(c, ground); ratio < minContrast {
			t.Errorf("%s on %s has a contrast of %.2f, want %.1f", c, ground, ratio, minContrast)
		}
	}
	for _, c := range []string{colourHigh, colourMedium, colourLow, colourQuiet, defaultAccent} {
		if ratio := contrast(c, "#e6e8e2"); ratio < 3 {
			t.Errorf("bar %s on its track has a contrast of %.2f, want 3", c, ratio)
		}
	}
}

func TestAccent_IsReadableWhateverTheConfigurationSays(t *testing.T) {
	for _, in := range []string{"#0b6e4f", "#ffffff", "#ffee00", "#0af", "red", "", `#fff;background:url(x)`, "#00000g", "#123456"} {
		got := accent(in)
		if !regexp.MustCompile(`^#[0-9a-f]{6}$`).MatchString(got) || contrast(got, ground) < minContrast {
			t.Errorf("accent(%q) = %q with contrast %.2f", in, got, contrast(got, ground))
		}
	}
	if got := accent("#123456"); got != "#123456" {
		t.Errorf("a readable colour became %s", got)
	}
	if got := contrast("#ffffff", "#000000"); got < 20.99 || got > 21.01 {
		t.Errorf("white on black has a contrast of %.2f, want 21", got)
	}
}
