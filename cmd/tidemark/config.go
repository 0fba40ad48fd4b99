package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// config is tidemark.yaml. Each field's comment gives an example; `tidemark
// init` writes a commented file.
type config struct {
	Source     sourceConfig          `yaml:"source"`
	Sources    sourcesConfig         `yaml:"sources"`
	Microsoft  tenantConfig          `yaml:"microsoft"`
	Archive    archiveConfig         `yaml:"archive"`
	Ledger     pathConfig            `yaml:"ledger"`
	Partner    partnerConfig         `yaml:"partner"`
	Ownership  fileConfig            `yaml:"ownership"`
	Recipients recipientsConfig      `yaml:"recipients"`
	Roles      map[string]roleConfig `yaml:"roles"`
	Cover      []coverConfig         `yaml:"cover"`
	Mail       mailConfig            `yaml:"mail"`
	Pages      pagesConfig           `yaml:"pages"`
	Charts     chartsConfig          `yaml:"charts"`
	Operators  operatorsConfig       `yaml:"operators"`
	Jobs       []jobConfig           `yaml:"jobs"`
	Web        webConfig             `yaml:"web"`

	text  []byte              // the file as it is
	file  string              // path of the file, for messages
	dir   string              // what relative paths are relative to
	where map[string]position // place of every key, by path such as "recipients[0].role"
}

type (
	pathConfig struct {
		Path string `yaml:"path"`
	}
	fileConfig struct {
		File string `yaml:"file"`
	}
	roleConfig struct {
		Money string `yaml:"money"` // hide or show
	}
	shareConfig float64
)

// chartsConfig is what the charts of mails are drawn with.
type chartsConfig struct {
	Fonts []string `yaml:"fonts"` // files with characters that the built-in fonts lack; default: those of the system
}

// pagesConfig is where the interactive pages go, e.g. a folder that is synced.
type pagesConfig struct {
	Path    string `yaml:"path"`
	BaseURL string `yaml:"base_url"` // where readers find that folder; empty: mails do not link to it
}

type archiveConfig struct {
	Path      string          `yaml:"path"`
	Retention retentionConfig `yaml:"retention"`
}

// retentionConfig is for how many days what is kept; 0 is for ever.
type retentionConfig struct {
	Customers     int  `yaml:"customers"`
	Reports       int  `yaml:"reports"`
	Scores        int  `yaml:"scores"`
	Subscriptions int  `yaml:"subscriptions"`
	Usage         int  `yaml:"usage"`
	UsageDaily    int  `yaml:"usage_daily"`
	Mails         *int `yaml:"mails"` // default 2555, seven years
}

type partnerConfig struct {
	Name     string `yaml:"name"`
	Locale   string `yaml:"locale"`   // nl or en
	Timezone string `yaml:"timezone"` // Europe/Amsterdam
	Logo     string `yaml:"logo"`
	Accent   string `yaml:"accent"` // #0b6e4f
}

type recipientConfig struct {
	Address string `yaml:"address"`
	Name    string `yaml:"name"`
	Role    string `yaml:"role"`
	Locale  string `yaml:"locale"`
}

type coverConfig struct {
	Absent string `yaml:"absent"`
	By     string `yaml:"by"`
	From   string `yaml:"from"`
	To     string `yaml:"to"`
}

type mailConfig struct {
	Kind         string      `yaml:"kind"` // files, smtp or graph
	Out          string      `yaml:"out"`
	From         string      `yaml:"from"`
	ReplyTo      string      `yaml:"reply_to"`
	AllowDomains []string    `yaml:"allow_domains"`
	Divert       string      `yaml:"divert"`
	SMTP         smtpConfig  `yaml:"smtp"`
	Graph        graphConfig `yaml:"graph"`
	Inbox        inboxConfig `yaml:"inbox"`
	DKIM         dkimConfig  `yaml:"dkim"`
	DailyLimit   int         `yaml:"daily_limit"`    // mails in 24 hours; 0: no limit
	Pace         int         `yaml:"pace"`           // mails a minute; 0: 25 for Exchange Online, no limit elsewhere
	Within       string      `yaml:"deliver_within"` // how long a mail is tried, e.g. 12h, the default
	Brake        brakeConfig `yaml:"brake"`
}

// dkimConfig signs mails for relays that do not.
type dkimConfig struct {
	Domain   string `yaml:"domain"`
	Selector string `yaml:"selector"`
	Key      string `yaml:"key"` // file:PATH or env:NAME, PEM
}

// brakeConfig are shares, e.g. 0.4; 0 means the default.
type brakeConfig struct {
	MaxChange        float64 `yaml:"max_change"`
	MaxUsageDrop     float64 `yaml:"max_usage_drop"`
	MaxRecipientDrop float64 `yaml:"max_recipient_drop"`
	MaxAssignedDrop  float64 `yaml:"max_assigned_drop"`
}

type smtpConfig struct {
	Host     string `yaml:"host"`
	Port     int    `yaml:"port"`
	TLS      string `yaml:"tls"`
	CA       string `yaml:"ca"`
	Auth     string `yaml:"auth"` // plain, login or xoauth2; default: what the server offers of the first two
	Username string `yaml:"username"`
	Password string `yaml:"password"` // env:NAME or file:PATH
}

type operatorsConfig struct {
	Mail    []string       `yaml:"mail"`
	Webhook string         `yaml:"webhook"` // env:NAME or file:PATH
	Ping    string         `yaml:"ping"`
	Expiry  []expiryConfig `yaml:"expiry"` // secrets that end, so that somebody renews them in time
}

// expiryConfig is the last day of a secret.
type expiryConfig struct {
	What string `yaml:"what"` // e.g. SMTP password
	On   string `yaml:"on"`
}

type jobConfig struct {
	Name      string `yaml:"name"`
	Cron      string `yaml:"cron"`
	Timezone  string `yaml:"timezone"`
	Do        string `yaml:"do"` // extract, digest or train
	Role      string `yaml:"role"`
	Period    string `yaml:"period"`
	After     string `yaml:"after"`
	Wait      string `yaml:"wait"`
	Otherwise string `yaml:"otherwise"`
	CatchUp   string `yaml:"catch_up"`
	Send      bool   `yaml:"send"`
}

// namesConfig is one name or a list of names.
type namesConfig []string

func (n *namesConfig) UnmarshalYAML(b []byte) error {
	var list []string
	if yaml.Unmarshal(b, &list) == nil {
		*n = list
		return nil
	}
	var one string
	err := yaml.Unmarshal(b, &one)
	*n = []string{one}
	return err
}

// readConfig reads and checks the file. The error is a *configError with every
// problem found.
func readConfig(file string) (*config, error) {
	c := &config{file: file, dir: filepath.Dir(file), where: map[string]position{}}
	fail := func(p ...problem) (*config, error) { return nil, &configError{file, p} }
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(problem{message: "no such file", hint: "run `tidemark init` for a commented starter, or name yours with --config FILE"})
	} else if err != nil {
		return fail(problem{message: "cannot be read: " + err.Error()})
	}
	c.text = text
	return parseConfig(c, text)
}

func parseConfig(c *config, text []byte) (*config, error) {
	fail := func(p ...problem) (*config, error) { return nil, &configError{c.file, p} }
	var problems []problem
	if err := readGuarded(func() (err error) { problems, err = c.decode(text); return err }); err != nil {
		return fail(syntaxProblem(err))
	}
	if len(problems) == 0 {
		problems = c.validate()
	}
	if len(problems) > 0 {
		return fail(problems...)
	}
	return c, nil
}

// decode reads the text into the configuration, unless it has unknown keys.
func (c *config) decode(text []byte) ([]problem, error) {
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	if len(tree.Docs) > 1 {
		return []problem{{message: "holds more than one YAML document", hint: "keep one, without a line ---"}}, nil
	}
	var problems []problem
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			problems = append(problems, c.checkKeys(doc.Body, reflect.TypeFor[config](), "")...)
		}
	}
	if len(problems) > 0 || len(c.where) == 0 { // nothing in it would empty what c has
		return problems, nil
	}
	return nil, yaml.Unmarshal(text, c)
}

// readGuarded turns a panic of the YAML package, which some broken files provoke,
// into an error.
func readGuarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("is not valid YAML (%v)", p)
		}
	}()
	return f()
}

// syntaxProblem turns an error of the YAML package into a problem with its place.
func syntaxProblem(err error) problem {
	p := problem{message: err.Error()}
	var y yaml.Error
	if errors.As(err, &y) {
		p.message = y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			p.at = position{t.Position.Line, t.Position.Column}
		}
	}
	return p
}

func at(n ast.Node) position {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{t.Position.Line, t.Position.Column}
	}
	return position{}
}

// checkKeys notes the place of every key below node and reports the keys that
// the type does not have.
func (c *config) checkKeys(node ast.Node, t reflect.Type, path string) []problem {
	c.where[path] = at(node)
	switch n := node.(type) {
	case *ast.MappingNode:
		var all []problem
		for _, value := range n.Values {
			all = append(all, c.checkPair(value, t, path)...)
		}
		return all
	case *ast.MappingValueNode:
		return c.checkPair(n, t, path)
	case *ast.SequenceNode:
		var all []problem
		for i, value := range n.Values {
			all = append(all, c.checkKeys(value, elem(t), fmt.Sprintf("%s[%d]", path, i))...)
		}
		return all
	case *ast.AnchorNode:
		return c.checkKeys(n.Value, t, path)
	case *ast.TagNode:
		return c.checkKeys(n.Value, t, path)
	}
	return nil
}

func (c *config) checkPair(pair *ast.MappingValueNode, t reflect.Type, path string) []problem {
	name := pair.Key.GetToken().Value
	key := strings.TrimPrefix(path+"."+name, ".")
	c.where[key] = at(pair.Key)
	field, known := fieldOf(t, name)
	if !known {
		return []problem{{key: key, message: "unknown key", hint: "known here: " + strings.Join(keysOf(t), ", "), at: at(pair.Key)}}
	}
	found := c.checkKeys(pair.Value, field, key)
	c.where[key] = at(pair.Key)
	return found
}

// elem is the element type of a list, or nil.
func elem(t reflect.Type) reflect.Type {
	switch {
	case t == reflect.TypeFor[recipientsConfig]():
		return reflect.TypeFor[recipientConfig]()
	case t != nil && t.Kind() == reflect.Slice:
		return t.Elem()
	}
	return nil
}

// fieldOf returns the type behind a key of a mapping of type t.
func fieldOf(t reflect.Type, name string) (reflect.Type, bool) {
	t = mappingType(t)
	switch {
	case t == nil:
		return nil, false
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag == name {
			return t.Field(i).Type, true
		}
	}
	return nil, false
}

// mappingType returns the struct or map behind t, nil when it is neither.
func mappingType(t reflect.Type) reflect.Type {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t != nil && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map):
		return t
	}
	return nil
}

func keysOf(t reflect.Type) []string {
	t = mappingType(t)
	if t == nil || t.Kind() != reflect.Struct {
		return []string{"no keys, a plain value"}
	}
	var keys []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
			keys = append(keys, tag)
		}
	}
	slices.Sort(keys)
	return keys
}

// path resolves a path of the file relative to the file.
func (c *config) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}
