package fakemicrosoft

import "net/http"

type insights struct{}

func (s *Server) serveInsights(w http.ResponseWriter, _ *http.Request, _ token) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) serveAnalytics(w http.ResponseWriter, _ *http.Request, _ token, _ []string) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) partnerSummary(w http.ResponseWriter, _ token) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) customerRecords(w http.ResponseWriter, _ token) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) customerSummary(w http.ResponseWriter, _ token, _ *Customer) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) subscriptionRecords(w http.ResponseWriter, _ token, _ *Customer) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) subscriptionSummary(w http.ResponseWriter, _ token, _ *Customer, _ *Subscription) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) meterRecords(w http.ResponseWriter, _ token, _ *Customer, _ *Subscription) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) resourceRecords(w http.ResponseWriter, _ token, _ *Customer, _ *Subscription) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) legacyRecords(w http.ResponseWriter, _ *Customer, _ *Subscription) {
	apiError(w, 404, "1000", "Not found.")
}
func (s *Server) utilizations(w http.ResponseWriter, _ *http.Request, _ *Customer, _ *Subscription) {
	apiError(w, 404, "1000", "Not found.")
}
