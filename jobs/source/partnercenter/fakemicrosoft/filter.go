package fakemicrosoft

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// predicate keeps rows.
type predicate func(object) bool

// parseFilter reads the subset of OData that the analytics document: eq, ne, gt,
// lt, ge, le, contains, and, or, with strings in single quotes, dates bare or in
// cast('...', Edm.DateTimeOffset), numbers and booleans bare.
func parseFilter(text string) (predicate, error) {
	tokens := regexp.MustCompile(`'(?:[^']|'')*'|[(),]|[^\s(),']+`).FindAllString(text, -1)
	if len(tokens) == 0 {
		return func(object) bool { return true }, nil
	}
	p := &filterParser{tokens: tokens}
	f := p.or()
	if p.err == nil && len(p.tokens) > 0 {
		p.err = fmt.Errorf("filter: unexpected %s", p.tokens[0])
	}
	return f, p.err
}

type filterParser struct {
	tokens []string
	err    error
}

func (p *filterParser) next() string {
	if len(p.tokens) == 0 {
		p.fail("it ends too early")
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *filterParser) fail(text string) {
	if p.err == nil {
		p.err = fmt.Errorf("filter: %s", text)
	}
}

func (p *filterParser) is(word string) bool {
	if p.err != nil || len(p.tokens) == 0 || !strings.EqualFold(p.tokens[0], word) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *filterParser) or() predicate {
	f := p.and()
	for p.is("or") {
		left, right := f, p.and()
		f = func(o object) bool { return left(o) || right(o) }
	}
	return f
}

func (p *filterParser) and() predicate {
	f := p.term()
	for p.is("and") {
		left, right := f, p.term()
		f = func(o object) bool { return left(o) && right(o) }
	}
	return f
}

func (p *filterParser) expect(word string) {
	if t := p.next(); t != word {
		p.fail("want " + word + ", found " + t)
	}
}

func (p *filterParser) term() predicate {
	if p.is("(") {
		f := p.or()
		p.expect(")")
		return f
	}
	if p.is("contains") {
		p.expect("(")
		name := p.next()
		p.expect(",")
		part := strings.ToLower(fmt.Sprint(p.value()))
		p.expect(")")
		return func(o object) bool {
			_, v, _ := field(o, name)
			return strings.Contains(strings.ToLower(fmt.Sprint(v)), part)
		}
	}
	name, op, want := p.next(), strings.ToLower(p.next()), p.value()
	sign := map[string]func(int) bool{"eq": func(c int) bool { return c == 0 }, "ne": func(c int) bool { return c != 0 },
		"gt": func(c int) bool { return c > 0 }, "lt": func(c int) bool { return c < 0 },
		"ge": func(c int) bool { return c >= 0 }, "le": func(c int) bool { return c <= 0 }}[op]
	if sign == nil {
		p.fail("no operator " + op)
		return func(object) bool { return false }
	}
	return func(o object) bool {
		k, v, ok := field(o, name)
		if !ok || v == nil {
			return false
		}
		if text, is := want.(string); is && strings.HasSuffix(k, "Date") && len(text) == len("2006-01-02") {
			return sign(compare(v, text+"T00:00:00"))
		}
		return sign(compare(v, want))
	}
}

// value reads a literal.
func (p *filterParser) value() any {
	t := p.next()
	if strings.EqualFold(t, "cast") {
		p.expect("(")
		v := p.value()
		p.expect(",")
		p.next()
		p.expect(")")
		return v
	}
	if strings.HasPrefix(t, "'") {
		return strings.ReplaceAll(strings.Trim(t, "'"), "''", "'")
	}
	if n, err := strconv.ParseInt(t, 10, 64); err == nil {
		return n
	}
	return t
}
