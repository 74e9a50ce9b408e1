// Package resolver is the private DNS server: in each network it answers, with
// authority, for the names of the endpoints that are accepted there, and for
// nothing else. It asks no other server.
//
// A Resolver holds the names, a Server is one address that answers. A query is
// answered from the names of the network whose listener took it, and no answer
// depends on another network. What shares a netattach.Network shares its names:
// all networks attached to the host are one here, as their addresses are.
//
// The wire format is that of github.com/miekg/dns; the sockets are served by
// this package itself. In that library's Server (v1.1.73) WriteTimeout is never
// applied, so that a client which does not read would hold up a stop for ever;
// each UDP query starts a goroutine and each TCP client is let in, without a
// limit; and its Shutdown is an error until the serving goroutine has come up.
//
// There is no rate limit. An answer is at most one record for the client and one
// of the zone longer than its question (FuzzReply says how many bytes), so the
// server is of no use for amplification, and the socket's own buffer is the only
// queue.
//
// It may import the standard library, the DNS library and netattach. A Server
// owns the goroutines that Start began; Close waits for them.
package resolver

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport-net/sallyport/internal/netattach"
)

// DefaultSuffix is the zone where the operator names none; what the API shows as
// dns_names ends in it.
const DefaultSuffix = "sallyport.internal"

// Options configure a Resolver.
type Options struct {
	// Suffix is the zone: the end of all names, with or without a final dot; ""
	// stands for DefaultSuffix.
	Suffix string
	// Log receives what goes wrong while serving; nil discards it.
	Log *slog.Logger
}

// Resolver holds the names of all networks. It is safe for concurrent use.
type Resolver struct {
	zone       string // lower case, with the final dot
	nameServer string // the target of the NS record
	mailbox    string // RNAME of the SOA record
	log        *slog.Logger
	idle       time.Duration // idleTimeout, but in tests

	mu     sync.RWMutex
	tables map[netattach.Network]*table // only those with names
}

// table is what one network resolves.
type table struct {
	addresses map[string]netip.Addr
	// parents counts the names under each name between them and the zone. Such a
	// name exists without records (RFC 8020): were it denied, a resolver that asks
	// label by label (RFC 9156) would never get to the endpoint.
	parents map[string]int
}

// New returns a Resolver without names. That the suffix is a domain name is
// checked by Start.
func New(opt Options) *Resolver {
	if opt.Suffix == "" {
		opt.Suffix = DefaultSuffix
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	zone := dns.CanonicalName(opt.Suffix)
	return &Resolver{
		zone: zone, nameServer: "ns." + zone, mailbox: "hostmaster." + zone,
		log: opt.Log, idle: idleTimeout, tables: make(map[netattach.Network]*table),
	}
}

// Set makes name resolve to addr in the network, from the next query on; the
// same again changes nothing, another address replaces the one before. Upper and
// lower case are the same, a final dot may be there. The error says that the name
// is no domain name under the suffix, or that the address is none. The number of
// names is not limited here: it is that of the endpoints the caller carries.
func (r *Resolver) Set(network netattach.Network, name string, addr netip.Addr) error {
	key, err := r.key(name)
	if err != nil {
		return err
	}
	if !addr.IsValid() || addr.IsUnspecified() {
		return fmt.Errorf("dns name %q: %q is no address to resolve to", name, addr)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tables[network]
	if t == nil {
		t = &table{addresses: make(map[string]netip.Addr), parents: make(map[string]int)}
		r.tables[network] = t
	}
	if _, there := t.addresses[key]; !there {
		r.eachParent(key, func(parent string) { t.parents[parent]++ })
	}
	t.addresses[key] = addr.Unmap().WithZone("")
	return nil
}

// Remove makes name unknown in the network: once it has returned, no answer that
// is made names its address. A name that is not there is fine.
func (r *Resolver) Remove(network netattach.Network, name string) {
	key := dns.CanonicalName(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tables[network]
	if t == nil {
		return
	}
	if _, there := t.addresses[key]; !there {
		return
	}
	delete(t.addresses, key)
	r.eachParent(key, func(parent string) {
		if t.parents[parent]--; t.parents[parent] == 0 {
			delete(t.parents, parent)
		}
	})
	if len(t.addresses) == 0 {
		delete(r.tables, network)
	}
}

// key is how a name is looked up.
func (r *Resolver) key(name string) (string, error) {
	key := dns.CanonicalName(name)
	if _, ok := dns.IsDomainName(key); !ok || key == r.zone || !dns.IsSubDomain(r.zone, key) {
		return "", fmt.Errorf("dns name %q is not one under %s", name, r.zone)
	}
	if key == r.nameServer {
		return "", fmt.Errorf("dns name %q is that of the name server", name)
	}
	return key, nil
}

// eachParent calls fn with every name above key and below the zone.
func (r *Resolver) eachParent(key string, fn func(parent string)) {
	for off, end := dns.NextLabel(key, 0); !end && key[off:] != r.zone; off, end = dns.NextLabel(key, off) {
		fn(key[off:])
	}
}

// lookup returns the address of a name, and whether the name exists: one with
// others under it does, without an address.
func (r *Resolver) lookup(network netattach.Network, key string) (addr netip.Addr, exists bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.tables[network]
	if t == nil {
		return netip.Addr{}, false
	}
	if addr, exists = t.addresses[key]; exists {
		return addr, true
	}
	return netip.Addr{}, t.parents[key] > 0
}
