// Command cut measures how fast and how sharply a reject ends the flows of an
// endpoint: the answer, the last byte that came through, and the resets, at one,
// a thousand and ten thousand live flows, with the kernel's engine, with the user
// space engine, and without any privilege.
//
//	go run ./bench/cut           the whole, about fifteen minutes, as root
//	go run ./bench/cut -quick    a part of it in about one, and nothing is kept
//
// bench/README.md says what is measured and how.
package main
