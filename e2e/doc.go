// Package e2e proves the whole product from outside: the server as it is
// shipped, driven by the vendor's SDK and by plain HTTP, with real connections
// through real listeners, on both databases, and killed in the middle of its
// work. It holds tests only and may import everything.
//
// Most tests run the product in their own process (app.Run); those that kill it
// or send it signals build the binary once and run it as a child. Every product
// gets addresses of its own out of 127.0.0.0/8, so tests may run side by side;
// who starts a product, a backend or a flow ends it with the test, and TestMain
// finds what is left.
package e2e
