package sample

import (
	"fmt"
	"strings"
)

func placeNames() []string {
	return []string{"Polder", "Delta", "Zuiderzee", "Veluwe", "Kennemer", "Waterland", "Maasvallei", "Amstel", "Oosterschelde", "Hanze",
		"Rijnmond", "Twentse", "Gooise", "Achterhoek", "Westland", "Dommel", "Kempen", "IJsselmeer", "Biesbosch", "Drentse",
		"Harbour", "Northgate", "Riverside", "Oakfield", "Whitecliff", "Kingsway", "Millbrook", "Eastlake", "Brightwater", "Stonebridge",
		"Van Dijk", "De Boer", "Jansen", "Bakker & Zn", "Visser", "Mulder", "Smit", "Peeters"}
}

func tradeNames() []string {
	return []string{"Techniek", "Bouw", "Zorg", "Advies", "Transport", "Installaties", "Verzekeringen", "Groothandel", "Agro", "Makelaars",
		"Foods", "Energy", "Retail", "Analytics", "Engineering", "Dental", "Marine", "Legal", "Packaging", "Media",
		"Software", "Onderwijs", "Accountants"}
}

// strangeCustomers are names as they occur in other scripts, and as they occur
// when somebody tries what a report does with them.
func strangeCustomers() []string {
	return []string{
		"山田商事株式会社",
		"</script><script>alert(1)</script>",
		"Ελληνικές Ναυτιλίες ΑΕ",
		"=cmd|' /C calc'!A0",
		"شركة البحر للتجارة",
		"Evil\r\nBcc: x@y.example",
		"🚀 Raket Software 🇳🇱",
		strings.Repeat("Zeer Lange Naam ", 12) + "Holding",
	}
}

func strangeSubscriptions() []string {
	return []string{
		"__f__window.X=1__f__",
		"Производство",
		"<!--<script>",
		"A$& {b} {c}",
		`"><img src=x onerror=alert(1)>`,
		"本番環境 🗾",
	}
}

// The n-th strange name of customers goes to customer firstStrange+n*strangeStep.
const (
	firstStrange = 5
	strangeStep  = 4
	nameStride   = 131 // has no factor in common with the number of combinations
)

// strange returns the strange name that the k-th customer or subscription has.
func strange(names []string, k int) (string, bool) {
	n := k - firstStrange
	if n < 0 || n%strangeStep != 0 || n/strangeStep >= len(names) {
		return "", false
	}
	return names[n/strangeStep], true
}

// plainName returns the k-th ordinary company name; no two are the same.
func (d dice) plainName(k int) string {
	places, trades := placeNames(), tradeNames()
	n := len(places) * len(trades)
	j := (k*nameStride + d.roll(n, forCustomer)) % n
	name := places[j/len(trades)] + " " + trades[j%len(trades)]
	if k >= n {
		name = fmt.Sprintf("%s %d", name, 1+k/n)
	}
	return name
}

// slug returns the part of a domain that stands for a company.
func slug(name string) string {
	return strings.ToLower(strings.NewReplacer(" & ", "-", " ", "-").Replace(name))
}

func people() []string {
	return []string{"Sanne Visser", "Daan de Wit", "Emma Jacobs", "Bram Hendriks", "Julia Smit", "Lucas Meijer", "Noor Bos", "Oliver Hughes",
		"Amelia Clarke", "Finn Dekker", "Yara Özdemir", "Jürgen Köhler", "Zoë van den Berg", "Mees Kuipers"}
}

// address returns the mail address of a person in plain ASCII letters.
func address(person, domain string) string {
	local := strings.NewReplacer(" ", ".", "Ö", "o", "ö", "o", "ü", "u", "ë", "e").Replace(person)
	return strings.ToLower(local) + "@" + domain
}
