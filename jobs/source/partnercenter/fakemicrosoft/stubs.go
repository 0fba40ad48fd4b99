package fakemicrosoft

import "net/http"

type insights struct{}

func (s *Server) serveInsights(w http.ResponseWriter, _ *http.Request, _ token) {
	apiError(w, 404, "1000", "Not found.")
}
