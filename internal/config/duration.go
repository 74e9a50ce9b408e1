package config

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// day is the one unit that Go's durations lack; 24 hours, as no key here means a
// date.
const day = 24 * time.Hour

// maxDays bounds a number of days so that it stays a duration; no key takes more
// than a week.
const maxDays = 10_000

// duration reads a time span. A bare number is refused, because nobody can tell
// seconds from milliseconds by looking at it; 0 is the same in both.
func (f *findings) duration(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		f.wrong(n, path, wanted(v.Type()))
		return
	}
	d, ok := parseDuration(n.Value)
	if !ok {
		f.at(path, "%s is not a time span; write number and unit, for example 500ms, 5s, 1h30m or 7d", quote(n.Value))
		return
	}
	v.SetInt(int64(d))
}

// parseDuration takes what Go takes, and a whole number of days.
func parseDuration(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= maxDays {
			return time.Duration(n) * day, true
		}
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// short writes a span without the parts that are zero: 1m instead of 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
