// Package iam is the identity API: the part of IAM, which is Keystone version 3,
// that clients need to log in, to find their project and to find the services.
//
// It may import the domain (internal/sallyport), internal/identity and
// internal/httpapi/edge, and no other family. It starts no goroutines.
package iam
