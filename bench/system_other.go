//go:build !linux

package main

import (
	"errors"
	"net"
	"os"
	"runtime"
	"time"
)

var errLinux = errors.New("this is measured on Linux only")

func syncData(f *os.File) error { return f.Sync() }

func stampArrivals(*net.TCPConn) error { return errLinux }

func readStamped(*net.TCPConn, []byte) (int, time.Time, error) { return 0, time.Time{}, errLinux }

func kernel() string { return runtime.GOOS + " " + runtime.GOARCH }
