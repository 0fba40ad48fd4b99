package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBounce_BelievesOnlyWhatNamesAMailThatLeft has notices of every kind about mails in
// every state.
func TestBounce_BelievesOnlyWhatNamesAMailThatLeft(t *testing.T) {
	l, c := newLedger(t)
	id := map[DeliveryState]string{}
	for _, state := range DeliveryStates() {
		m := mail("run", "anna@partner.example", c.now().Add(time.Hour))
		m.ID, m.Period = "id-"+string(state)+"@partner.example", "period "+string(state)
		must[int](t)(l.Enqueue(ctx, "run", []Mail{m}))
		d := must[Delivery](t)(l.Delivery(ctx, m.ID))
		if state != Pending {
			if err := l.Advance(ctx, &d, Pending, state, ""); err != nil {
				t.Fatal(err)
			}
		}
		id[state] = m.ID
	}
	anna := []string{"a.devries@elsewhere.example", "Anna@Partner.example"}
	for _, n := range []Notice{
		{Delivery: "nobody@partner.example", Addresses: anna, Hard: true},
		{Delivery: id[Sent], Addresses: []string{"eve@evil.example"}, Hard: true},
		{Delivery: id[Sent], Hard: true},
		{Delivery: strings.ToUpper(id[Sent]), Addresses: anna, Hard: true},
		{Delivery: "' OR 1=1 --", Addresses: anna, Hard: true},
	} {
		if out := must[Noticed](t)(l.Bounce(ctx, n)); out.Delivery != nil || out.Suppressed != "" {
			t.Errorf("%+v was believed", n)
		}
	}
	for _, state := range DeliveryStates() {
		out := must[Noticed](t)(l.Bounce(ctx, Notice{Delivery: id[state], Addresses: anna, Said: "4.4.1 timed out"}))
		if believed := out.Delivery != nil; believed != (state == Sent || state == Unknown) {
			t.Errorf("a notice about a mail that is %s: believed %v", state, believed)
		}
		if again := must[Noticed](t)(l.Bounce(ctx, Notice{Delivery: id[state], Addresses: anna})); again.Delivery != nil {
			t.Errorf("a second notice about a mail that was %s is believed", state)
		}
	}
	want := map[DeliveryState]int{Bounced: 3}
	for _, state := range DeliveryStates() {
		if state != Sent && state != Unknown && state != Bounced {
			want[state] = 1
		}
	}
	if diff := cmp.Diff(want, must[map[DeliveryState]int](t)(l.Counts(ctx, ""))); diff != "" {
		t.Errorf("states: want -, got +:\n%s", diff)
	}
}

func TestBounce_TwoForGoodEndMailToTheAddress(t *testing.T) {
	l, c := newLedger(t)
	sent := func(i int, to string) string {
		m := mail("run", to, c.now().Add(time.Hour))
		m.ID, m.Period = fmt.Sprintf("id%d@partner.example", i), fmt.Sprint("period ", i)
		must[int](t)(l.Enqueue(ctx, "run", []Mail{m}))
		d := must[Delivery](t)(l.Delivery(ctx, m.ID))
		if err := l.Advance(ctx, &d, Pending, Sent, "250"); err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	for i, step := range []struct {
		to         string
		hard       bool
		suppressed bool
	}{
		{"anna@partner.example", true, false},
		{"anna@partner.example", false, false}, // a full mailbox does not count
		{"bram@partner.example", true, false},  // nor does somebody else's
		{"anna@partner.example", true, true},
		{"anna@partner.example", true, false}, // told once
	} {
		out := must[Noticed](t)(l.Bounce(ctx, Notice{Delivery: sent(i, step.to), Addresses: []string{step.to}, Hard: step.hard, Said: "5.1.1 100% gone", SuppressAt: 2}))
		if out.Delivery == nil || (out.Suppressed != "") != step.suppressed {
			t.Errorf("step %d: %+v", i, out)
		}
	}
	for address, want := range map[string]bool{"anna@partner.example": true, "bram@partner.example": false} {
		if why, suppressed, err := l.Suppressed(ctx, address); err != nil || suppressed != want || want && !strings.Contains(why, "2 mails bounced for good, the last one said: 5.1.1 100% gone") {
			t.Errorf("%s is suppressed: %v %q, %v", address, suppressed, why, err)
		}
	}
}

func TestInbox_AMessageIsSeenOnce(t *testing.T) {
	l, _ := newLedger(t)
	if must[bool](t)(l.InboxSeen(ctx, "hash")) {
		t.Error("seen before it was")
	}
	for range 2 {
		if err := l.SeeInbox(ctx, "hash", "bounce"); err != nil {
			t.Fatal(err)
		}
		if !must[bool](t)(l.InboxSeen(ctx, "hash")) {
			t.Error("not seen")
		}
	}
}
