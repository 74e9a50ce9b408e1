package main

import (
	"context"
	"fmt"
)

// table is how much there is beside what is decided about.
type table struct{ services, endpoints int }

func (t table) String() string {
	return whole(t.services) + " services, " + whole(t.endpoints) + " endpoints"
}

// smallServices times endpointsEach is enough for 32 connections to decide about
// endpoints of their own, and next to nothing for a table.
const smallServices = 26

// part is one server's worth of measures.
type part struct {
	name string
	run  func(context.Context) error
}

func (b *bench) parts() []part {
	if b.opt.size {
		return b.sizeParts()
	}
	return []part{
		{"small", func(ctx context.Context) error { return b.small(ctx, "") }},
		{"large", func(ctx context.Context) error { return b.large(ctx, "") }},
		{"memory", b.memory},
		{"postgres-small", func(ctx context.Context) error { return b.onPostgres(ctx, b.small) }},
		{"postgres-large", func(ctx context.Context) error { return b.onPostgres(ctx, b.large) }},
	}
}

// onPostgres runs a part on a database of its own, or says why it cannot.
func (b *bench) onPostgres(ctx context.Context, run func(context.Context, string) error) error {
	url, drop, why := postgres(ctx)
	if why != "" {
		b.say("  left out: %s", why)
		return nil
	}
	defer drop()
	version, err := postgresVersion(ctx, url)
	if err != nil {
		return err
	}
	b.report.Facts.PostgreSQL = version
	return run(ctx, url)
}

// groups are what both tables have.
type groups struct{ unattached, attached, hot *group }

func (b *bench) fill(ctx context.Context, s *server, services, hot int) (g groups, t table, err error) {
	w := b.world(s)
	if err := w.login(ctx, &consumer); err != nil {
		return g, t, err
	}
	plans := []struct {
		to **group
		plan
	}{
		{&g.unattached, plan{name: "u", services: services, endpoints: endpointsEach, vpc: vpcNone, subnet: subnetNone}},
		{&g.attached, plan{name: "a", services: smallServices, endpoints: endpointsEach, vpc: vpcHost, subnet: subnetHost}},
		{&g.hot, plan{name: "h", services: 1, endpoints: hot, vpc: vpcNone, subnet: subnetNone}},
	}
	for _, p := range plans {
		if *p.to, err = w.make(ctx, p.plan); err != nil {
			return g, t, err
		}
		t.services += len((*p.to).services)
		t.endpoints += len((*p.to).endpoints)
	}
	return g, t, nil
}

// small measures an almost empty table, and cuts.
func (b *bench) small(ctx context.Context, database string) error {
	s, err := b.fresh(ctx, "small", database)
	if err != nil {
		return err
	}
	defer b.drop(s)
	g, t, err := b.fill(ctx, s, smallServices, b.opt.hotSmall)
	if err != nil {
		return err
	}
	if err := b.decide(ctx, s, t, "unattached", g.unattached); err != nil {
		return err
	}
	if err := b.decide(ctx, s, t, "confirmed by the data plane", g.attached); err != nil {
		return err
	}
	if err := b.read(ctx, s, t, readings(g.unattached, g.hot)[:4]); err != nil {
		return err
	}
	return b.cut(ctx, s)
}

// large measures a full table, with the baselines in the same rounds.
func (b *bench) large(ctx context.Context, database string) error {
	s, err := b.fresh(ctx, "large", database)
	if err != nil {
		return err
	}
	defer b.drop(s)
	g, t, err := b.fill(ctx, s, b.opt.services, b.opt.hotLarge)
	if err != nil {
		return err
	}
	var beside []rival
	if database == "" {
		disk, err := newBareDisk(s.dir, b.disk)
		if err != nil {
			return err
		}
		defer disk.close()
		rows := map[int]*row{}
		for _, c := range conns {
			rows[c] = &row{Section: "baselines", Name: naiveName, Store: "SQLite", Table: whole(t.endpoints) + " endpoints", Conns: c, Unit: perSecond}
		}
		plain, err := newNaive(ctx, s.dir, t.endpoints, rows)
		if err != nil {
			return err
		}
		defer plain.close()
		beside = append(beside, disk, plain)
		defer func() {
			for _, r := range append([]*row{b.disk}, rows[1], rows[8], rows[32]) {
				b.add(r)
				b.show(r)
			}
		}()
	}
	if err := b.decide(ctx, s, t, "unattached", g.unattached, beside...); err != nil {
		return err
	}
	if err := b.decide(ctx, s, t, "confirmed by the data plane", g.attached); err != nil {
		return err
	}
	if err := b.read(ctx, s, t, readings(g.unattached, g.hot)); err != nil {
		return err
	}
	if err := s.restart(ctx); err != nil {
		return err
	}
	b.number("memory", fmt.Sprintf("start with %s, %s", t, b.storeName(s)), "s", s.started.Seconds())
	_, err = b.resident(ctx, s, "after a restart, "+t.String(), nil)
	return err
}

// naiveName is the row of the program that one writes first.
const naiveName = "naive program: a transaction per decision, in process"

// peer is what the nearest peer does on this machine without audit, by
// connections.
var peer = map[int]float64{1: 951, 8: 2379, 32: 2710}

// compare adds the ratios between rows: what holds on a machine of another speed.
func (b *bench) compare() {
	const decided = "accept/reject, unattached"
	for _, c := range conns {
		tables := b.find("decisions", decided, c)
		if len(tables) == 0 {
			continue
		}
		last := tables[len(tables)-1]
		if len(tables) > 1 {
			b.ratio("decisions: large table to small table", c, last, tables[0].median(value))
		}
		for _, r := range b.find("baselines", naiveName, c) {
			b.ratio("decisions: to the naive program", c, last, r.median(value))
		}
		b.ratio("decisions: to bare commits on the disk", c, last, b.disk.median(value))
		b.ratio("decisions: to the nearest peer, which keeps no audit", c, last, peer[c])
	}
}

// find returns the rows of SQLite with the name, in their order.
func (b *bench) find(section, name string, c int) []*row {
	var out []*row
	for _, r := range b.report.Rows {
		if r.Section == section && r.Name == name && r.Store == "SQLite" && r.Conns == c && len(r.Rounds) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// ratio adds the ratio of a row to what it is compared with.
func (b *bench) ratio(name string, c int, over *row, under float64) {
	if under == 0 {
		return // it was not measured
	}
	r := &row{Section: "ratios", Name: name, Conns: c, Unit: fold, Rounds: []sample{{Value: over.median(value) / under}}}
	b.add(r)
	b.show(r)
}
