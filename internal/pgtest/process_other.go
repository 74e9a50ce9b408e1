//go:build !linux

package pgtest

import (
	"os"
	"syscall"
)

// attributes asks for nothing: only Linux ends a child with its parent.
func attributes(int, int) *syscall.SysProcAttr { return nil }

func lockOwner(string) (*os.File, error) { return nil, nil }

func abandoned(string) bool { return false }
