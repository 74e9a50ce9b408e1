// Package sqlstore keeps the truth in SQL: SQLite in one file by default,
// PostgreSQL where several servers share one database. The statements are the
// same on both; what differs stands in sqlite.go, postgres.go and migrations/.
//
// One writer goroutine owns the draft of the read model and commits what callers
// hand in, as many as are waiting in one durable transaction. Reads are answered
// from the model and touch no database, but for the question which revision the
// shared one is at. The package imports the domain and the read model; every
// goroutine is started by Open and gone when Close returns.
package sqlstore
