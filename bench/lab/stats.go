package lab

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// Quantile returns the smallest of the sorted values that the share q of them is
// not above, and 0 of none.
func Quantile[T cmp.Ordered](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	const rounding = 1e-9 // of the product of the share and the number
	i := int(math.Ceil(q*float64(len(sorted))-rounding)) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// Median returns the middle of the values, that of the two middle ones where
// their number is even, and 0 of none.
func Median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Number writes three significant digits of what is small, and whole numbers with
// commas between their thousands of what is not.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case a < 1000 && a == math.Trunc(a):
		return strconv.Itoa(int(v))
	case a < 1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case a < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	s := strconv.Itoa(int(math.Round(v)))
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Range writes the smallest and the largest of the values.
func Range(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	return Number(slices.Min(values)) + "–" + Number(slices.Max(values))
}
