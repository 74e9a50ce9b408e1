package lab_test

import (
	"testing"

	"github.com/sallyport-net/sallyport/bench/lab"
)

// Every number on a page goes through these few functions.
func TestNumbers(t *testing.T) {
	ten := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, tt := range []struct {
		q    float64
		want int
	}{{0, 1}, {.1, 1}, {.5, 5}, {.51, 6}, {.99, 10}, {1, 10}} {
		if got := lab.Quantile(ten, tt.q); got != tt.want {
			t.Errorf("the quantile %v of 1 to 10 is %d, want %d", tt.q, got, tt.want)
		}
	}
	if got := lab.Median([]float64{9, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v, want 2.5", got)
	}
	for v, want := range map[float64]string{
		0: "0", 7: "7", .1234: "0.123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234.5: "1,235", 1234567: "1,234,567", -1234.6: "-1,235", -123456.7: "-123,457",
	} {
		if got := lab.Number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

// Goals decide what a page says is met.
func TestGoals(t *testing.T) {
	for _, tt := range []struct {
		goal lab.Goal
		v    float64
		want string
	}{
		{lab.Goal{Limit: .8}, .8, "met"},
		{lab.Goal{Limit: .8}, .6, "missed by 25 %"},
		{lab.Goal{Limit: 8, Most: true}, 8, "met"},
		{lab.Goal{Limit: 8, Most: true}, 8.01, "missed by 1 %"},
		{lab.Goal{Limit: 0, Most: true}, 1, "missed"},
	} {
		if got := tt.goal.Judge(tt.v); got != tt.want {
			t.Errorf("%v against %q: %q, want %q", tt.v, tt.goal, got, tt.want)
		}
	}
}
