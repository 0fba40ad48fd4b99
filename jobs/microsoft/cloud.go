package microsoft

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Endpoints are the hosts of a cloud, each an address such as
// "https://graph.microsoft.com" without a path.
type Endpoints struct {
	Login string // Microsoft Entra
	API   string // Partner Center REST
	Graph string // Microsoft Graph
}

// Clouds are the clouds that [HostsOf] knows.
func Clouds() []string { return []string{"global", "usgov", "china"} }

// HostsOf returns the hosts of a national cloud, by Microsoft's lists of
// Partner Center REST addresses and of Entra and Graph deployments.
func HostsOf(cloud string) (Endpoints, error) {
	switch cloud {
	case "", "global":
		return Endpoints{"https://login.microsoftonline.com", "https://api.partnercenter.microsoft.com", "https://graph.microsoft.com"}, nil
	case "usgov":
		return Endpoints{"https://login.microsoftonline.us", "https://api.partnercenter.microsoft.com", "https://graph.microsoft.us"}, nil
	case "china":
		return Endpoints{"https://login.chinacloudapi.cn", "https://partner.partnercenterapi.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"}, nil
	}
	return Endpoints{}, fmt.Errorf("cloud %q is not known: want %s", cloud, strings.Join(Clouds(), ", "))
}

// Or returns e with the addresses of other where e has none.
func (e Endpoints) Or(other Endpoints) Endpoints {
	for _, p := range []struct{ to, from *string }{{&e.Login, &other.Login}, {&e.API, &other.API}, {&e.Graph, &other.Graph}} {
		if *p.to == "" {
			*p.to = *p.from
		}
	}
	return e
}

// ParseHost reads the address of a host that tokens or secrets are sent to.
func ParseHost(name, text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("endpoints.%s %q is not the address of a host: want https://HOST", name, text)
	}
	if err := MustEncrypt(u); err != nil {
		return nil, fmt.Errorf("endpoints.%s: %w", name, err)
	}
	return u, nil
}

// MustEncrypt refuses an address that would be sent in the clear to another
// machine.
func MustEncrypt(u *url.URL) error {
	if u.Scheme == "https" {
		return nil
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	if u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%s://%s is not encrypted: want https", u.Scheme, u.Host)
}
