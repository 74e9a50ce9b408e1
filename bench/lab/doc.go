// Package lab is what the measurements of the data plane share: networks of their
// own (Linux network namespaces, so root is needed), a generator of load that
// runs as processes of its own and is written so that it costs little, the
// product as a process, and the pages that results are kept on.
//
// Nothing of it touches the addresses, rules or settings of the machine's own
// network. It may import anything. Processes belong to who starts them; the
// goroutines it starts end with the process or the call that they belong to.
package lab
