package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tidemark/reports"
)

// TestLanguage_AThirdIsOneFile builds the program with one file more, a language
// of which every word is foreign, and reads every role's report in it.
func TestLanguage_AThirdIsOneFile(t *testing.T) {
	dir := t.TempDir()
	english, foreign := foreignLanguage(t)
	file, err := filepath.Abs("../../templates/locales/de.json")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: write("de.json", foreign)}})
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "tidemark")
	build := exec.Command("go", "build", "-overlay", write("overlay.json", overlay), "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	write("owners.csv", []byte("customer_id,address\n*,reader@partner.example\n"))
	config := "source: {kind: sample, customers: 60, subscriptions: 120}\npartner: {name: Polder Cloud, locale: de}\nownership: {file: owners.csv}\nrecipients:\n"
	for _, role := range reports.Roles() {
		config += "  - {address: reader@partner.example, role: " + string(role) + "}\n"
	}
	write("tidemark.yaml", []byte(config))
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TIDEMARK_NOW=2026-11-16T07:00:00Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("tidemark %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("extract", "-q")
	for _, role := range reports.Roles() {
		run("report", "--role", string(role), "--period", "latest-7d", "--out", "out")
		for _, form := range []string{".txt", ".html", ".csv", ".page.html"} {
			b, err := os.ReadFile(filepath.Join(dir, "out", string(role)+"-reader-partner.example"+form))
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(string(b)), " ")
			for _, phrase := range english {
				if strings.Contains(text, phrase) {
					t.Errorf("%s%s says %q in English", role, form, phrase)
				}
			}
			if form == ".html" && !strings.Contains(text, `lang="de"`) {
				t.Errorf("%s: the mail does not say that its language is de", role)
			}
		}
	}
}

// foreignLanguage is the English catalogue with every vowel replaced, and the
// phrases of the English one that are long enough to be told from names.
func foreignLanguage(t *testing.T) (english []string, file []byte) {
	t.Helper()
	b, err := os.ReadFile("../../templates/locales/en.json")
	if err != nil {
		t.Fatal(err)
	}
	placeholders := regexp.MustCompile(`%\[\d\][ds]|\{[a-z0-9]+\}`)
	foreign := strings.NewReplacer("a", "ä", "e", "ë", "i", "ï", "o", "ö", "u", "ü", "A", "Ä", "E", "Ë", "I", "Ï", "O", "Ö", "U", "Ü")
	disguise := func(text string) string {
		var out strings.Builder
		rest := text
		for _, m := range placeholders.FindAllString(text, -1) {
			before, after, _ := strings.Cut(rest, m)
			out.WriteString(foreign.Replace(before) + m)
			rest = after
		}
		return out.String() + foreign.Replace(rest)
	}
	var catalogue struct {
		Format   map[string]any `json:"format"`
		Messages map[string]any `json:"messages"`
	}
	if err := json.Unmarshal(b, &catalogue); err != nil {
		t.Fatal(err)
	}
	take := func(text string) string {
		for _, part := range placeholders.Split(text, -1) {
			if part = strings.Trim(part, " .:;,()"); len(part) >= 10 && strings.Contains(part, " ") {
				english = append(english, part)
			}
		}
		return disguise(text)
	}
	for key, message := range catalogue.Messages {
		switch m := message.(type) {
		case string:
			catalogue.Messages[key] = take(m)
		case map[string]any:
			for form, text := range m {
				if s, ok := text.(string); ok {
					m[form] = take(s)
				}
			}
		}
	}
	for _, list := range []string{"months", "months_long"} {
		months := catalogue.Format[list].([]any)
		for i, m := range months {
			months[i] = disguise(m.(string))
		}
	}
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(catalogue); err != nil {
		t.Fatal(err)
	}
	if len(english) < 100 {
		t.Fatalf("%d phrases only", len(english))
	}
	return english, out.Bytes()
}
