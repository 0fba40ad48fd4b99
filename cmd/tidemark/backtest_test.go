package main

import "testing"

// TestParseOrigins_RefusesBeforeItCounts asks for more days than a machine can hold.
func TestParseOrigins_RefusesBeforeItCounts(t *testing.T) {
	for _, text := range []string{"2026-09-01:7:99999999999", "yesterday:7:99999999999", "2026-09-01:9999999:3", "2026-09-01:0:3"} {
		if days, err := parseOrigins(text); err == nil || days != nil {
			t.Errorf("%s: %d days, %v", text, len(days), err)
		}
	}
	if days, err := parseOrigins("2026-09-01:7:3"); err != nil || len(days) != 3 || days[2]-days[0] != 14 {
		t.Errorf("%v, %v", days, err)
	}
}
