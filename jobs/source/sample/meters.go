package sample

// meter is one Azure meter. A quantity counts 10^-4 units, a price 10^-12 EUR
// for a unit.
type meter struct {
	category string
	service  string
	unit     string
	daily    int64 // usual quantity of a day
	price    int64
	always   bool // runs day and night, weekends included
}

// meters returns the catalogue. The first meters are those that most use.
func meters() []meter {
	return []meter{
		{"Virtual Machines", "Virtual Machines Dsv5 Series", "1 Hour", 48_0000, 214_000_000_000, true},
		{"Storage", "Standard SSD Managed Disks", "1/Month", 1000, 118_272_000_000_000, true},
		{"Storage", "General Block Blob v2", "1 GB/Month", 41_0000, 17_640_000_000, true},
		{"Bandwidth", "Inter-Region", "1 GB", 35_5000, 18_126_000_000, false},
		{"SQL Database", "SQL Database Single Standard", "1/Day", 1_0000, 4_364_838_709_677, true},
		{"Virtual Network", "IP Addresses", "1 Hour", 72_0000, 4_482_000_000, true},
		{"Azure Monitor", "Log Analytics", "1 GB", 3_4000, 2_476_740_000_000, false},
		{"Azure App Service", "Azure App Service Premium v3 Plan", "1 Hour", 24_0000, 136_312_500_000, true},
		{"Key Vault", "Key Vault", "10K", 1_7000, 26_894_640_000, false},
		{"Azure Cosmos DB", "Azure Cosmos DB autoscale", "100 RU/s/Hour", 160_0000, 10_757_856_000, false},
		{"Functions", "Functions", "10", 9120_0000, 1_793_040, false},
		{"Backup", "Backup", "1/Month", 2000, 8_964_833_333_333, true},
		{"Microsoft Defender for Cloud", "Microsoft Defender for Servers", "1 Hour", 48_0000, 18_050_419_355, true},
		{"Azure OpenAI", "Azure OpenAI GPT4o", "1K", 820_0000, 2_241_300_000, false},
		{"Azure Kubernetes Service", "Azure Kubernetes Service Standard", "1 Hour", 24_0000, 89_648_000_000, true},
		{"Azure Data Factory v2", "Azure Data Factory v2", "1 Hour", 6_2500, 224_120_000_000, false},
	}
}

// meterSet is a set of meters by their number in the catalogue.
type meterSet uint16

func (m meterSet) has(n int) bool { return m>>n&1 == 1 }

func setOf(numbers ...int) meterSet {
	var m meterSet
	for _, n := range numbers {
		m |= 1 << n
	}
	return m
}

// heroMeters are six meters of six services.
func heroMeters() meterSet { return setOf(0, 1, 2, 3, 4, 7) }

// meters chooses what the i-th subscription uses: two to six meters, mostly
// from the front of the catalogue.
func (d dice) meters(i int) meterSet {
	n := len(meters())
	set := setOf(d.roll(5, forMeter, uint64(i)))
	for k := range 1 + d.roll(5, forMeter, uint64(i), 1) {
		r := d.roll(100, forMeter, uint64(i), 2, uint64(k))
		set |= setOf(r * r * n / 10_000)
	}
	return set
}
