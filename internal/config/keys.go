package config

import (
	"reflect"
	"slices"
	"strings"
)

// fieldsOf returns the keys of a struct type and the fields they stand for.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i, key := range keysOf(t) {
		fields[key] = i
	}
	return fields
}

// keysOf returns the keys of a struct type in the order of its fields. Every
// field has a key.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i], _, _ = strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
	}
	return keys
}

// unknownKey says that a key of a struct type is unknown and which one may be
// meant. It finds out when it is printed, which most need not be. Next to
// secrets it repeats the key only when it resembles a known one: in a mapping
// that is spelled badly the secret itself may stand where a key should.
type unknownKey struct {
	key string
	in  reflect.Type
}

func (u unknownKey) String() string {
	key, keys := u.key, keysOf(u.in)
	if near := nearest(key, keys); near != "" {
		return "unknown key " + quote(key) + "; did you mean " + near + "?"
	}
	if slices.ContainsFunc(reflect.VisibleFields(u.in), func(f reflect.StructField) bool { return f.Type == secretType }) {
		return "unknown key (not shown, it may be a secret); the keys here are " + strings.Join(keys, ", ")
	}
	return "unknown key " + quote(key) + "; the keys here are " + strings.Join(keys, ", ")
}

// nearest returns the key that the word most likely stands for, or "". Spelling
// with other separators or capitals is always near; otherwise a third of the
// letters may differ.
func nearest(word string, keys []string) string {
	const longest = 64 // no key is near to a word longer than this
	if len(word) > longest {
		return ""
	}
	fold := strings.NewReplacer("_", "", "-", "", ".", "", " ", "")
	folded := strings.ToLower(fold.Replace(word))
	best, found := len(folded)/3+1, ""
	for _, key := range keys {
		if d := distance(folded, fold.Replace(key)); d < best {
			best, found = d, key
		}
	}
	return found
}

// distance counts the letters to insert, remove, replace or swap with their
// neighbour to get from a to b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
