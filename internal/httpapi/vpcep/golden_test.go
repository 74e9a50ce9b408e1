package vpcep

import (
	"flag"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/httpapi/familytest"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/golden")

// goldens are the conversations of testdata/golden by the name of their file,
// which begins with the name of the operation, and the statuses they must have:
// -update rewrites the files, and never these.
var goldens = familytest.Goldens{
	// The examples of the three editions of the reference.
	"AcceptOrRejectEndpoint-example-2018":         {200},
	"AcceptOrRejectEndpoint-example-2018-refused": {400},
	"AcceptOrRejectEndpoint-example-2022":         {200},
	"AcceptOrRejectEndpoint-example-zh":           {200},
	"AcceptOrRejectEndpoint-example-zh-refused":   {400},

	"AcceptOrRejectEndpoint-again":       {200, 200, 200, 200, 200, 200},
	"AcceptOrRejectEndpoint-refused":     {400, 400, 400, 400, 400, 400, 400, 404, 400, 400},
	"AcceptOrRejectEndpoint-precedence":  {400, 400, 400, 400, 400, 404, 400, 200},
	"AcceptOrRejectEndpoint-not-allowed": {401, 403, 403, 404},
	"AcceptOrRejectEndpoint-unconfirmed": {504},

	"ListServiceConnections":         {200},
	"ListServiceConnections-filters": {200, 200, 200, 200, 200},
	"ListServiceConnections-refused": {400, 400, 400, 400, 400, 400, 404, 404, 400},

	"CreateEndpointService":         {200},
	"CreateEndpointService-lenient": {200},
	"CreateEndpointService-refused": {400, 400, 400, 400, 400, 400, 400, 400, 400, 403},
	"CreateEndpointService-quota":   {200, 400},

	"ListEndpointService":               {200, 200},
	"ListEndpointService-filters":       {200, 200, 200, 200, 200, 200, 200, 400, 400},
	"ListServicePublicDetails":          {200, 200},
	"ListServiceDescribeDetails":        {200, 200, 400, 404, 404, 400},
	"ListServiceDetails":                {200},
	"ListServiceDetails-not-found":      {404, 404, 404, 400},
	"UpdateEndpointService":             {200, 200, 200},
	"UpdateEndpointService-refused":     {400, 400, 400, 400, 404},
	"UpdateEndpointServiceName":         {200, 400, 200},
	"DeleteEndpointService":             {204, 404, 404},
	"DeleteEndpointService-in-use":      {400},
	"ListServicePermissionsDetails":     {200, 200, 400, 404},
	"AddOrRemoveServicePermissions":     {200, 200, 200, 200},
	"AddOrRemoveServicePermissions-bad": {400, 400, 400, 400, 404},

	"CreateEndpoint":               {200},
	"CreateEndpoint-no-approval":   {200},
	"CreateEndpoint-gateway":       {200},
	"CreateEndpoint-own-account":   {200},
	"CreateEndpoint-refused":       {400, 400, 400, 400, 400, 400, 400, 400, 400},
	"ListEndpoints":                {200, 200, 200, 200},
	"ListEndpointInfoDetails":      {200, 200, 200},
	"ListEndpointInfoDetails-gone": {404, 404, 400},
	"DeleteEndpoint":               {204, 404, 204, 200, 204},
	"ListQuotaDetails":             {200, 200, 400},
	"ListVersionDetails":           {200},
	"ListSpecifiedVersionDetails":  {200, 404},
	"errors-of-the-edge":           {404, 405, 400, 400, 500},

	"BatchAddEndpointServicePermissions":            {200, 200},
	"BatchAddEndpointServicePermissions-refused":    {400, 400, 400, 400, 404, 403},
	"BatchRemoveEndpointServicePermissions":         {200, 200},
	"BatchRemoveEndpointServicePermissions-refused": {400, 400, 400, 404},
	"UpdateEndpointServicePermissionDesc":           {200, 200},
	"UpdateEndpointServicePermissionDesc-refused":   {400, 400, 404, 404, 400},
	"UpdateEndpointConnectionsDesc":                 {200, 200},
	"UpdateEndpointConnectionsDesc-refused":         {400, 400, 400, 400, 400, 400, 404, 200},
	"UpdateEndpointWhite":                           {200, 200, 200, 200},
	"UpdateEndpointWhite-refused":                   {400, 400, 400, 400, 400, 400, 404},
	"UpdateEndpointRoutetable":                      {200},
	"UpdateEndpointRoutetable-refused":              {400, 400, 400, 400, 400, 200, 400, 404},
	"UpdateEndpointPolicy":                          {200, 200, 200, 200},
	"UpdateEndpointPolicy-refused":                  {400, 400, 400, 400, 400, 400, 404},
	"DeleteEndpointPolicy":                          {200, 200, 400, 400, 404},
	"BatchAddOrRemoveResourceInstance":              {204, 204, 200, 204, 200, 204},
	"BatchAddOrRemoveResourceInstance-refused":      {400, 400, 400, 400, 400, 400, 400, 404, 404},
	"ListQueryProjectResourceTags":                  {200, 200, 200, 404},
	"ListResourceInstances":                         {200, 200, 200, 200, 200, 200, 200, 200},
	"ListResourceInstances-refused":                 {400, 400, 400, 400, 400, 400, 400, 400},
	"AddEndpointServiceServerResource":              {204, 204},
	"AddEndpointServiceServerResource-refused":      {400, 400, 400, 404},
	"UpgradeEndpointService":                        {204, 200, 204, 200, 204},
	"UpgradeEndpointService-refused":                {400, 404, 404, 403},
	"UpgradeEndpoint":                               {202, 202},
	"UpgradeEndpoint-refused":                       {400, 400, 400, 404},
	"CreateEndpointService-vip":                     {200},
	"CreateEndpointService-udp":                     {200, 400, 200},
	"UpdateEndpointService-approval":                {200, 200, 200},
	"AddOrRemoveServicePermissions-keeps":           {200, 200, 400},
	"CreateEndpoint-professional":                   {200, 400, 400},
	"CreateEndpoint-policy":                         {200},
}

// day2018 is the day of the older examples of the reference.
var day2018 = world{
	created: time.Date(2018, 1, 30, 7, 42, 1, 174e6, time.UTC),
	now:     time.Date(2018, 1, 30, 7, 42, 1, 174e6, time.UTC),
}

// worlds are those of the conversations that are not held today.
var worlds = map[string]world{
	"AcceptOrRejectEndpoint-example-2018":         day2018,
	"AcceptOrRejectEndpoint-example-2018-refused": day2018,
	"AcceptOrRejectEndpoint-example-zh":           day2018,
	"AcceptOrRejectEndpoint-example-zh-refused":   day2018,
}

// If this failed, an answer would have changed for clients. Every file is also
// documentation: what is sent, and what comes back.
func TestGoldens(t *testing.T) {
	for name := range worlds {
		if goldens[name] == nil {
			t.Errorf("%s has a world and is not among the goldens", name)
		}
	}
	familytest.Player{NoNull: true, Serve: func(t *testing.T, name string) *httptest.Server { //nolint:thelper // it is no helper of a test, but a part of one
		if w, ok := worlds[name]; ok {
			return serve(t, w)
		}
		return serve(t, today)
	}}.Play(t, goldens, *update)
}
