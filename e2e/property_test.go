package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

const (
	// propertySteps are those of a run by default, of all sequences together: as
	// many as fit a minute with the race detector on two processors.
	propertySteps = 10_000
	// propertyShort are those with -short.
	propertyShort = 1_500
	// propertyFull is after how many steps everything is compared; between them
	// one list is, drawn at random, after every step.
	propertyFull = 500
	// maxUnconfirmed is how often a decision is repeated that the data plane has
	// not confirmed in time, which takes seconds each.
	maxUnconfirmed = 10
	// propertyKept is how many of the last requests a failure shows.
	propertyKept = 25
)

// Two owners and two consumers do at random what the API allows and what it
// refuses, on both databases, beside a model of what should come of it. If this
// fails, some list, count, filter, order or page shows something that is not so,
// or a rule holds only where nobody has looked.
//
// A failure prints the seed of its sequence and the step. To see it again:
//
//	SALLYPORT_PROPERTY_SEED=<seed> SALLYPORT_PROPERTY_STEPS=<4 × step> go test ./e2e -run TestProperty
//
// The seed of the environment replaces those of all sequences, and the number of
// steps is shared by four.
func TestProperty(t *testing.T) {
	t.Parallel()
	steps := propertySteps
	if testing.Short() {
		steps = propertyShort
	}
	steps = fromEnvironment(t, "SALLYPORT_PROPERTY_STEPS", steps)
	const sequences = 4
	for n := range sequences {
		db := databases[n%len(databases)]
		if n >= len(databases) {
			db = databases[0] // it is the one that most run
		}
		t.Run(db.name+"-"+strconv.Itoa(n+1), func(t *testing.T) {
			t.Parallel()
			seed := fromEnvironment(t, "SALLYPORT_PROPERTY_SEED", n+1)
			p := newProperty(t, db, uint64(seed))
			for p.step = 1; p.step <= steps/sequences; p.step++ {
				p.turn()
				p.compareOne()
				if p.step%propertyFull == 0 {
					p.compareAll()
				}
			}
			p.compareAll()
			p.restart()
			p.compareAll()
			t.Logf("seed %d: %d steps; in the end %d services, %d endpoints; answers %v", seed, p.step-1, len(p.services), len(p.endpoints), p.answers)
		})
	}
}

func fromEnvironment(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// property is one sequence of steps, with the model of what it has made.
type property struct {
	*rand.Rand
	t       *testing.T
	world   *world
	product *product
	seed    uint64
	step    int
	answers map[string]int // by status and code
	clock   atomic.Int64   // microseconds
	users   []user         // two owners, two consumers
	callers []*caller
	last    []string // requests

	public    []*modelService
	services  []*modelService
	endpoints []*modelEndpoint
}

// The actors.
const (
	owners = 2
	actors = 4
)

func newProperty(t *testing.T, db database, seed uint64) *property {
	t.Helper()
	w := newWorld(t)
	w.Database = db.url(t)
	w.Services, w.Endpoint = modelServices, modelEndpoints
	p := &property{Rand: rand.New(rand.NewPCG(seed, seed)), t: t, world: w, seed: seed, answers: map[string]int{}}
	// The clock stands still within a step and often over several, so that the
	// order of equal times is seen too. It is ahead of the real one, from which the
	// server's deadlines for reading are counted.
	p.clock.Store(time.Now().Add(time.Hour).UnixMicro())
	w.now = p.now
	accounts := []account{
		{user: user{domain: "second", domainID: "22c2a94d3e84f5fa1c6e9d27483b5102", project: "22f4c7e05ad24b0e8a63d2b15c7f9e42", name: "sue", password: "sue-test-password", access: "SPSECOND" + w.Run, secret: "second-secret-of-the-tests-000001"}},
		{user: user{domain: "fourth", domainID: "44c2a94d3e84f5fa1c6e9d27483b5104", project: "44f4c7e05ad24b0e8a63d2b15c7f9e44", name: "fay", password: "fay-test-password", access: "SPFOURTH" + w.Run, secret: "fourth-secret-of-the-tests-000001"}},
	}
	w.further(accounts...)
	p.users = []user{w.provider(), accounts[0].user, w.consumer(), accounts[1].user}
	p.product = w.start(t)
	for _, u := range p.users {
		p.callers = append(p.callers, p.product.as(t, u).login())
	}
	p.findPublic()
	return p
}

// restart stops the product and starts it again on its data. Nobody may see that.
func (p *property) restart() {
	p.t.Helper()
	p.product.stop()
	p.product = p.world.start(p.t)
	for _, c := range p.callers {
		c.url = p.product.url
	}
}

// findPublic takes the operator's own services into the model.
func (p *property) findPublic() {
	var list struct {
		Services []tfPublic `json:"endpoint_services"`
	}
	p.get(0, "vpc-endpoint-services/public", &list)
	for _, s := range list.Services {
		at, err := time.Parse(time.RFC3339, s.Created)
		if err != nil {
			p.fatalf("created_at: %v", err)
		}
		p.public = append(p.public, &modelService{
			owner: -1, id: s.ID, system: s.Name, kind: s.ServiceType, policy: s.ServiceType == "gateway", created: at, updated: at,
		})
	}
}

// now is the clock of the product and of its callers.
func (p *property) now() time.Time { return time.UnixMicro(p.clock.Load()).UTC() }

// fatalf ends the test with what is needed to see the failure again.
func (p *property) fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("seed %d, step %d: %s\nthe last requests were:\n%s", p.seed, p.step, fmt.Sprintf(format, args...), strings.Join(p.last, "\n"))
}

// outcome is what an answer has to be.
type outcome struct {
	status int
	code   string
}

var (
	fine    = outcome{200, ""}
	empty   = outcome{204, ""}
	noSuch  = outcome{404, "EndPoint.0005"} // service
	noSuchE = outcome{404, "EndPoint.2006"} // endpoint
)

func bad400(number string) outcome { return outcome{400, "EndPoint." + number} }

var quotaUsed = outcome{400, "Endpoint.1018"}

// send sends a request that changes something, and wants the outcome that the
// model foresees. It reports whether there is a change to be taken over.
func (p *property) send(actor int, method, path string, in any, want outcome, out any) bool {
	p.t.Helper()
	c := p.callers[actor]
	text, err := json.Marshal(in)
	if err != nil {
		p.fatalf("%v", err)
	}
	version := "/v1/"
	if strings.HasSuffix(path, "/upgrade") || strings.HasSuffix(path, "/add-server-resources") {
		version = "/v2/"
	}
	if len(p.last) == propertyKept {
		p.last = p.last[1:]
	}
	p.last = append(p.last, fmt.Sprintf("%d %s as %s: %s %s %s -> %v", p.step, p.now().Format("15:04:05.000000"), c.user.domain, method, path, text, want))
	a, err := c.try(method, version+c.project+"/"+path, text, nil)
	for range maxUnconfirmed {
		if err != nil || a.status != http.StatusGatewayTimeout {
			break
		}
		// The machine was too slow to cut in time; repeating is safe.
		a, err = c.try(method, version+c.project+"/"+path, text, nil)
	}
	if err != nil {
		p.fatalf("%v", err)
	}
	code := ""
	if a.status >= 400 {
		code = a.code(p.t)
	}
	p.answers[strings.TrimSpace(strconv.Itoa(a.status)+" "+code)]++
	if a.status != want.status || code != want.code {
		p.fatalf("%s %s %s is answered %s, want %v", method, path, text, a, want)
	}
	if out != nil && a.status == 200 {
		if err := json.Unmarshal(a.body, out); err != nil {
			p.fatalf("%s: %v", a, err)
		}
	}
	return a.status < 300
}

// get reads something that has to be there.
func (p *property) get(actor int, path string, out any) {
	p.t.Helper()
	c := p.callers[actor]
	a, err := c.try(http.MethodGet, "/v1/"+c.project+"/"+path, nil, nil)
	if err != nil || a.status != 200 {
		p.fatalf("%s reads %s: %s, %v", c.user.domain, path, a, err)
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		p.fatalf("%s: %s: %v", path, a, err)
	}
}

// same wants an answer to be what the model says.
func (p *property) same(what string, got, want any) {
	p.t.Helper()
	if !reflect.DeepEqual(got, want) {
		p.fatalf("%s is not as the model has it (-model +server):\n%s", what, gocmp.Diff(want, got))
	}
}

// Drawing.

// one draws an item of a list.
func one[T any](p *property, list []T) T { return list[p.IntN(len(list))] }

// chance is true in n of a hundred cases.
func (p *property) chance(n int) bool { return p.IntN(100) < n }

// anyOf draws an item, or nil where there is none.
func anyOf[T any](p *property, list []*T) *T {
	if len(list) == 0 {
		return nil
	}
	return list[p.IntN(len(list))]
}

// actorOf is mostly the owner of something, and now and then anybody.
func (p *property) actorOf(owner int) int {
	if owner < 0 || p.chance(5) {
		return p.IntN(actors)
	}
	return owner
}

// turn does one step.
func (p *property) turn() {
	p.t.Helper()
	if p.chance(60) {
		p.clock.Add(p.Int64N(2_000_000))
	}
	total := 0
	for _, s := range propertyTurns {
		total += s.weight
	}
	n := p.IntN(total)
	for _, s := range propertyTurns {
		if n -= s.weight; n < 0 {
			s.do(p)
			return
		}
	}
}

// propertyTurns are the kinds of steps and how often they are drawn.
var propertyTurns = []struct {
	weight int
	do     func(*property)
}{
	{5, (*property).createService},
	{6, (*property).updateService},
	{2, (*property).renameService},
	{3, (*property).deleteService},
	{2, (*property).upgradeService},
	{1, (*property).addResources},
	{9, (*property).permit},
	{3, (*property).permitBatch},
	{2, (*property).forbidBatch},
	{2, (*property).describePermission},
	{28, (*property).createEndpoint},
	{20, (*property).decide},
	{5, (*property).note},
	{5, (*property).filter},
	{3, (*property).policy},
	{3, (*property).routeTables},
	{1, (*property).upgradeEndpoint},
	{14, (*property).tag},
	{7, (*property).deleteEndpoint},
}
