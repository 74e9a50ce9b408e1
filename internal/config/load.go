package config

import (
	"fmt"
	"io"
	"os"
)

// maxFile bounds the configuration file, in bytes. 4 MiB hold more than ten
// thousand networks; what is longer is another file given by mistake.
const maxFile = 4 << 20

// environment lists the keys that a variable may set, over the file. Everything
// else has structure, which a variable would only spell badly.
var environment = []struct {
	name, path string
	field      func(*Config) *string
}{
	{"SALLYPORT_LISTEN", "listen", func(c *Config) *string { return &c.Listen }},
	{"SALLYPORT_PUBLIC_URL", "public_url", func(c *Config) *string { return &c.PublicURL }},
	{"SALLYPORT_DATA_DIR", "data_dir", func(c *Config) *string { return &c.DataDir }},
	{"SALLYPORT_DATABASE", "database", func(c *Config) *string { return &c.Database }},
	{"SALLYPORT_REGION", "region", func(c *Config) *string { return &c.Region }},
	{"SALLYPORT_LANGUAGE", "language", func(c *Config) *string { return &c.Language }},
}

// Load reads the file at path, at most 4 MiB, puts the environment over it and
// checks the result. No path means no file: defaults and environment alone.
//
// env returns the value of a variable, "" for one that is not set; os.Getenv
// fits, and nil means no environment. A caller with flags answers for the
// variable that a flag stands for, so flags win over both.
//
// The error is [Errors] where the content is wrong, and wraps the error of the
// operating system where the file cannot be read.
func Load(path string, env func(string) string) (*Config, error) {
	if path == "" {
		return parse(nil, "defaults", env)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open configuration: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1)) // one more, so that parse sees it is too long
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(data, path, env)
}

// Parse reads and checks a configuration without looking at the environment.
// name stands for the file in messages. The error is [Errors].
func Parse(data []byte, name string) (*Config, error) {
	return parse(data, name, nil)
}

// parse is the one way from text to Config: defaults < file < environment, then
// what follows from them, then the checks, so that a message always speaks about
// the value that would be used.
func parse(data []byte, name string, env func(string) string) (*Config, error) {
	c, f := defaults(), newFindings(name)
	root := f.syntax(data)
	if len(f.list) > 0 {
		return nil, f.err()
	}
	if root != nil {
		f.decode(root, c)
	}
	if env != nil {
		for _, v := range environment {
			if value := env(v.name); value != "" {
				*v.field(c), f.env[v.path] = value, v.name
			}
		}
	}
	complete(c, f)
	validate(c, f)
	if err := f.err(); err != nil {
		return nil, err
	}
	return c, nil
}
