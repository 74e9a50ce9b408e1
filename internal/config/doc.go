// Package config reads Sallyport's configuration: one YAML file, a few
// environment variables over it, defaults under it.
//
// [Load] and [Parse] return either a complete, checked [Config] or [Errors]
// with everything that is wrong, each with file, line, key and what to do.
// docs/configuration.md is the reference of the keys; a test holds it to the
// types of this package.
//
// It may import the standard library and go.yaml.in/yaml/v3, and nothing else of
// this repository, so that every other package may depend on it. It starts no
// goroutine and keeps no state: a Config is a value that its reader owns.
package config
