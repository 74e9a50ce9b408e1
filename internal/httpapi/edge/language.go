package edge

import (
	"net/http"
	"strconv"
	"strings"
)

// language returns the language a client asks for: X-Language, else the most
// wanted one of Accept-Language, else the fallback.
func language(h http.Header, fallback string) string {
	if l := languageOf(h.Get("X-Language")); l != "" {
		return l
	}
	accept := h.Get("Accept-Language")
	best, bestQuality := fallback, 0.0
	for accept != "" {
		var item string
		item, accept, _ = strings.Cut(accept, ",")
		tag, params, _ := strings.Cut(item, ";")
		quality := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			quality, _ = strconv.ParseFloat(q, 64) // what is no number is not wanted
		}
		if l := languageOf(strings.TrimSpace(tag)); l != "" && quality > bestQuality {
			best, bestQuality = l, quality
		}
	}
	return best
}

// languageOf returns English or Chinese for any tag of the two, else "".
func languageOf(tag string) string {
	if len(tag) < 2 || len(tag) > 2 && tag[2] != '-' && tag[2] != '_' {
		return ""
	}
	switch {
	case strings.EqualFold(tag[:2], "zh"):
		return Chinese
	case strings.EqualFold(tag[:2], "en"):
		return English
	}
	return ""
}
