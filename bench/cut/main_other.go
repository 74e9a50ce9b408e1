//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench/cut: network namespaces are a thing of Linux; this is measured there only")
	os.Exit(1) //nolint:forbidigo // the end of main
}
