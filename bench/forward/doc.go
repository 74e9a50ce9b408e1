// Command forward measures the data plane side by side with HAProxy, nginx and
// the bare network: bulk, requests, new connections, memory and datagrams, all
// in one run and in rounds that alternate.
//
//	go run ./bench/forward           the whole, about six minutes, as root
//	go run ./bench/forward -quick    the same in about one, and nothing is kept
//
// bench/README.md says what is measured and how.
package main
