package archive

import "tidemark/data"

// Each of these lists the columns of one row type in the layout's order, for both directions
// of a rowCoder.

func codeUsage(c *rowCoder, r *data.Usage) {
	text(c, &r.CustomerID)
	textOpt(c, &r.SubscriptionID)
	text(c, &r.Category)
	textOpt(c, &r.MeterID)
	textOpt(c, &r.Service)
	textOpt(c, &r.Region)
	textOpt(c, &r.Unit)
	text(c, &r.Currency)
	text(c, &r.ChargeCategory)
	textOpt(c, &r.BillingPeriod)
	decimalOpt(c, &r.Quantity)
	decimalOpt(c, &r.Cost)
	decimalOpt(c, &r.EffectiveCost)
	decimalOpt(c, &r.CostUSD)
	boolOpt(c, &r.PartnerCreditApplied)
	decimalOpt(c, &r.PartnerCreditRate)
}

func codeDaily(c *rowCoder, r *data.UsageDaily) {
	text(c, &r.CustomerID)
	textOpt(c, &r.SubscriptionID)
	text(c, &r.Category)
	textOpt(c, &r.Unit)
	text(c, &r.Currency)
	text(c, &r.ChargeCategory)
	decimalOpt(c, &r.Cost)
	decimalOpt(c, &r.EffectiveCost)
	decimalOpt(c, &r.CostUSD)
	decimalOpt(c, &r.Quantity)
	integer64(c, &r.Rows)
	integer64(c, &r.UsageRows)
	integer64(c, &r.CostRows)
	integer64(c, &r.USDRows)
	integer32(c, &r.Services)
}

func codePast(c *rowCoder, r *data.UsagePast) {
	textOpt(c, &r.SubscriptionID)
	textOpt(c, &r.Category)
	textOpt(c, &r.Currency)
	int32Opt(c, &r.Appeared)
	int32Opt(c, &r.FirstUsage)
	int32Opt(c, &r.LastUsage)
	textOpt(c, &r.Used)
	textOpt(c, &r.Cost)
}

func codeCustomer(c *rowCoder, r *data.Customer) {
	text(c, &r.CustomerID)
	textOpt(c, &r.Name)
	textOpt(c, &r.Domain)
	textOpt(c, &r.Country)
	int32Opt(c, &r.FirstSeen)
	textOpt(c, &r.Contact)
	textOpt(c, &r.Phone)
	textOpt(c, &r.Email)
	text(c, &r.Source)
	textOpt(c, &r.Refused)
	int32Opt(c, &r.RefusedSince)
	int32Opt(c, &r.RefusedNights)
}

func codeSubscription(c *rowCoder, r *data.Subscription) {
	text(c, &r.CustomerID)
	text(c, &r.SubscriptionID)
	textOpt(c, &r.PlanID)
	textOpt(c, &r.Name)
	textOpt(c, &r.Offer)
	text(c, &r.Status)
	int32Opt(c, &r.Created)
	textOpt(c, &r.CreatedBasis)
	int32Opt(c, &r.CommitmentEnd)
	boolOpt(c, &r.AutoRenew)
	int32Opt(c, &r.RenewedAt)
	int32Opt(c, &r.EndedAt)
	boolOpt(c, &r.Trial)
	int32Opt(c, &r.FirstUsage)
	int32Opt(c, &r.LastUsage)
}

func codeReport(c *rowCoder, r *data.Report) {
	text(c, &r.ReportID)
	text(c, &r.MessageID)
	text(c, &r.Role)
	text(c, &r.Recipient)
	integer32(c, &r.Edition)
	textOpt(c, &r.Job)
	textOpt(c, &r.Slot)
	integer32(c, &r.PeriodFrom)
	integer32(c, &r.PeriodTo)
	for _, p := range []*string{&r.Scope, &r.Versions, &r.KnownAt, &r.Seal} {
		text(c, p)
	}
	for _, p := range []**string{&r.Model, &r.Previous, &r.Config, &r.Ownership, &r.Recipients} {
		textOpt(c, p)
	}
	for _, p := range []*string{&r.Producer, &r.Request, &r.Document, &r.Digest, &r.EMLSHA256} {
		text(c, p)
	}
}

func codeScore(c *rowCoder, r *data.Score) {
	text(c, &r.CustomerID)
	text(c, &r.SubscriptionID)
	integer32(c, &r.Horizon)
	text(c, &r.State)
	decimalOpt(c, &r.Score)
	textOpt(c, &r.Band)
	text(c, &r.Model)
	int32Opt(c, &r.IdleDays)
	text(c, &r.Reasons)
	text(c, &r.Flags)
	textOpt(c, &r.Detail)
	for _, p := range []*string{&r.Versions, &r.KnownAt, &r.Producer} {
		text(c, p)
	}
}

func codeTraining(c *rowCoder, r *data.Training) {
	for _, p := range []*string{&r.TrainedAt, &r.Model, &r.Used, &r.Why} {
		text(c, p)
	}
	integer32(c, &r.Horizon)
	for _, p := range []*string{&r.Training, &r.Versions, &r.KnownAt, &r.Producer} {
		text(c, p)
	}
}
