package reports

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

func readOwners(t testing.TB, s string) *Ownership {
	t.Helper()
	o, err := ReadOwnership("owners.csv", strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestReadOwnership_ScopesFailClosed(t *testing.T) {
	o := readOwners(t, "\ufeffname,address,Customer_ID\nNoordzee, Anna@Partner.example ,C1\n,bram@partner.example,c1\n,bram@partner.example,c2\n,,c4\n,chef@partner.example,*\n")
	for _, c := range []struct {
		address string
		sees    string
	}{
		{"anna@partner.example", "c1"}, {" ANNA@partner.example", "c1"}, {"bram@partner.example", "c1 c2"},
		{"chef@partner.example", "c3 c4"}, // without a row, or with an empty one
		{"nobody@partner.example", ""}, {"", ""}, {"*", ""},
	} {
		var sees []string
		for _, id := range []data.CustomerID{"c1", "c2", "c3", "c4"} {
			if o.Scope(c.address).Contains(id) {
				sees = append(sees, string(id))
			}
		}
		if got := strings.Join(sees, " "); got != c.sees {
			t.Errorf("%q sees %q, want %q", c.address, got, c.sees)
		}
	}
	if !o.Scope("nobody@partner.example").Empty() || o.Scope("chef@partner.example").Empty() || !(Scope{}).Empty() {
		t.Error("a scope is empty exactly when nobody can be in it")
	}
	if Everyone().Empty() || !Everyone().all() || o.Scope("chef@partner.example").all() || !Only("c1").Contains("c1") || Only("c1").Contains("c2") {
		t.Error("everyone is everyone, and only is only")
	}
}

func TestReadOwnership_ErrorsNameThePlace(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "owners.csv:1:1: the file is empty",
		"customer_id;address\n":               "owners.csv:1:1: the header row",
		"customer,owner\n":                    "owners.csv:1:1: the header row",
		"customer_id,address\n,a@b.example\n": "owners.csv:2:1: the customer_id is empty",
		"customer_id,address\nc1,anna\n":      `owners.csv:2:4: "anna" is not a mail address`,
		"customer_id,address\nc1,a@b.example\nc2,a b@c.example\n": "owners.csv:3:4:",
		"customer_id,address\nc1,<a@b.example>\n":                 "owners.csv:2:4:",
		"customer_id,address\nc1\n":                               "owners.csv:2:1: the row ends before column 2",
		"customer_id,address\nc1,\"a@b\n":                         "owners.csv:",
	} {
		if _, err := ReadOwnership("owners.csv", strings.NewReader(in)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", in, err, want)
		}
	}
	if _, err := ReadOwnership("owners.csv", io.MultiReader(strings.NewReader("customer_id,address\n"), iotest.ErrReader(io.ErrUnexpectedEOF))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a broken file: %v", err)
	}
}

// TestCover_OfAStandInWhoIsAwayIsNotHandedOn has a chain of covers, in either order.
func TestCover_OfAStandInWhoIsAwayIsNotHandedOn(t *testing.T) {
	chain := []Absence{{"Bram@partner.example", "anna@partner.example"}, {"anna@partner.example", "Zoe@partner.example"}}
	for _, away := range [][]Absence{chain, {chain[1], chain[0]}} {
		o := &Ownership{owners: map[data.CustomerID][]string{"a": {"anna@partner.example"}, "b": {"bram@partner.example"}}, defaults: []string{"bram@partner.example"}}
		o.Cover(away)
		for id, want := range map[data.CustomerID][]string{"a": {"anna@partner.example", "zoe@partner.example"},
			"b": {"bram@partner.example", "anna@partner.example"}, "by default": {"bram@partner.example", "anna@partner.example"}} {
			if got := o.Owners(id); !slices.Equal(got, want) {
				t.Errorf("%v: %s is seen by %v, want %v", away, id, got, want)
			}
		}
	}
}

func TestOwnershipCheck_FindsWhatFallsBetweenChairs(t *testing.T) {
	o := readOwners(t, "customer_id,address\nc1,anna@p.example\nc2,gone@p.example\nc3,gone@p.example\nc3,anna@p.example\nold,anna@p.example\n")
	agents := []Recipient{{Address: "Anna@p.example"}, {Address: "idle@p.example"}}
	got := o.Check([]data.CustomerID{"c4", "c1", "c2", "c3"}, agents)
	want := OwnershipCheck{Unassigned: []data.CustomerID{"c2", "c4"}, Unknown: []data.CustomerID{"old"}, Departed: []string{"gone@p.example"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.add(defaultOwner, "left@p.example")
	if got := o.Check(nil, agents); got.Departed[len(got.Departed)-1] != "left@p.example" {
		t.Errorf("a default owner who left is not departed: %v", got.Departed)
	}
	o.add(defaultOwner, "idle@p.example")
	if got := o.Check([]data.CustomerID{"c2", "c4"}, agents).Unassigned; len(got) != 1 || got[0] != "c2" {
		t.Errorf("unassigned are %v; a default owner takes customers without a row, not those of somebody who left", got)
	}
}

func TestWriteOwners_LargestFirstAndReadsBack(t *testing.T) {
	d := newFixture(t, true)
	own := readOwners(t, "customer_id,address\nc01,anna@p.example\nc01,bram@p.example\n*,chef@p.example\n")
	d.Background.Customers["=cmd"] = Customer{Name: "@evil"}
	var out bytes.Buffer
	if err := WriteOwners(&out, d, own); err != nil {
		t.Fatal(err)
	}
	want := `customer_id,address,name,monthly_cost
*,chef@p.example,,
c08,,Stadsarchief Leiden,8400.75 EUR
c03,,Waterschap Delfland Zuid,2760.00 EUR
c01,anna@p.example,Noordzee Logistiek,2750.00 EUR
c01,bram@p.example,Noordzee Logistiek,2750.00 EUR
c02,,Bakkerij De Korenaar,1840.50 EUR
c07,,Drukkerij Van Rijn,1210.00 EUR
c06,,Kwekerij Zonnedauw,512.00 EUR
c05,,Huisartsenpost Eemland,95.20 EUR
'=cmd,,'@evil,
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	back := readOwners(t, strings.Replace(out.String(), "'=cmd,", "'=cmd,x@p.example", 1))
	if diff := cmp.Diff([]string{"anna@p.example", "bram@p.example"}, back.Owners("c01")); diff != "" {
		t.Errorf("owners read back (-want +got):\n%s", diff)
	}
	if got := back.Owners("=cmd"); len(got) != 1 || got[0] != "x@p.example" {
		t.Errorf("a guarded id reads back with the owners %v", got)
	}
	if err := WriteOwners(brokenWriter{}, d, nil); err == nil {
		t.Error("a broken writer gives no error")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestGuard_UndoesItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`'*[=+@a-]{0,3}`)).Draw(t, "text")
		if got := withoutGuard(Guarded(s)); got != s {
			t.Fatalf("%q comes back as %q", s, got)
		}
	})
}

func FuzzReadOwnership(f *testing.F) {
	f.Add("customer_id,address\nc1,a@b.example\n*,c@d.example\n")
	f.Add("address,customer_id\n\"a@b.example\",'=1\n")
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ReadOwnership("f", strings.NewReader(s))
		if err != nil {
			return
		}
		if !o.Scope("nobody@nowhere.example").Empty() && !strings.Contains(strings.ToLower(s), "nobody@nowhere.example") {
			t.Fatalf("somebody without a row sees customers in %q", s)
		}
	})
}

func TestRoles_SeeWhatTheyShould(t *testing.T) {
	for role, want := range map[Role]Policy{SalesAgent: {OwnOnly: true, ShowMoney: true}, AdminAgent: {ShowMoney: true}, UserAdmin: {},
		GlobalAdmin: {ShowMoney: true}, "stranger": {OwnOnly: true}} {
		if got := role.Policy(); got != want {
			t.Errorf("%s: %+v, want %+v", role, got, want)
		}
		if role.Policy().HideMoney().ShowMoney {
			t.Errorf("%s shows money that is to be hidden", role)
		}
		if _, err := ParseRole(string(role)); (err != nil) != (role == "stranger") {
			t.Errorf("ParseRole(%s): %v", role, err)
		}
	}
}

func TestOwnership_CSVReadsBackAsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &Ownership{owners: map[data.CustomerID][]string{}}
		people := []string{"anna@partner.example", "=bram@partner.example", "-x@y", "carla@partner.example"}
		for range rapid.IntRange(0, 8).Draw(t, "rows") {
			id := rapid.SampledFrom([]string{"*", "c1", "=c2", "'-c3", "ü,\"quoted\"", "line\nbreak"}).Draw(t, "customer")
			o.add(id, rapid.SampledFrom(people).Draw(t, "owner"))
		}
		if rapid.Bool().Draw(t, "covered") {
			o.Cover([]Absence{{people[0], people[3]}})
		}
		again, err := ReadOwnership("owners.csv", bytes.NewReader(o.CSV()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(o, again, cmp.AllowUnexported(Ownership{})); diff != "" {
			t.Errorf("(-written +read):\n%s\n%s", diff, o.CSV())
		}
	})
}
