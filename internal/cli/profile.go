package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxProfileFile bounds the file of profiles, in bytes: some hundred profiles
// with every setting.
const maxProfileFile = 256 << 10

// defaultProfile is the profile that is used where none is named. It need not
// exist.
const defaultProfile = "default"

// The variables that choose the profile and its file.
const (
	envProfile    = "SALLYPORT_PROFILE"
	envConfigHome = "XDG_CONFIG_HOME"
	envHome       = "HOME"
)

// profilePath returns where profiles are kept, "" where no home is known.
func profilePath(env func(string) string) string {
	if dir := env(envConfigHome); filepath.IsAbs(dir) { // the XDG specification ignores relative ones
		return filepath.Join(dir, program, "config.yaml")
	}
	if home := env(envHome); home != "" {
		return filepath.Join(home, ".config", program, "config.yaml")
	}
	return ""
}

// profileSource reads the profile that is asked for, or the default one, which
// may be absent. warn takes a sentence about a file that others can read.
func profileSource(name string, env func(string) string, warn func(format string, args ...any)) (source, error) {
	none := source{from: func(string) string { return "" }}
	asked := name
	if asked == "" {
		asked = env(envProfile)
	}
	path := profilePath(env)
	if path == "" {
		if asked != "" {
			return none, settingf("profile %s: neither %s nor %s says where profiles are", asked, envConfigHome, envHome)
		}
		return none, nil
	}
	data, err := readProfiles(path, warn)
	if errors.Is(err, fs.ErrNotExist) && asked == "" {
		return none, nil
	}
	if err != nil {
		return none, settingf("read profiles: %v", err)
	}
	profiles, err := parseProfiles(data)
	if err != nil {
		return none, settingf("%s: %v", path, err)
	}
	chosen := asked
	if chosen == "" {
		chosen = defaultProfile
	}
	values, ok := profiles[chosen]
	if !ok && asked != "" {
		return none, settingf("%s: there is no profile %s, only: %s", path, asked, listed(slices.Sorted(maps.Keys(profiles))))
	}
	return source{values: values, from: func(key string) string { return fmt.Sprintf("%s of profile %s", key, chosen) }}, nil
}

func readProfiles(path string, warn func(format string, args ...any)) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		warn("warning: %s may be read by others (mode %04o) and may hold secrets; run: chmod 600 %s", path, mode, path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxProfileFile+1))
	if err == nil && len(data) > maxProfileFile {
		err = fmt.Errorf("%s is longer than %d KiB", path, maxProfileFile>>10)
	}
	return data, err
}

// quotedValue is how the yaml library repeats a value that it cannot use or takes
// for the name of an anchor, which may be a secret; goType is a name of ours.
var (
	quotedValue = regexp.MustCompile("(?s)`.*`|'.*'")
	goType      = regexp.MustCompile(` in type .*| into .*`)
)

// profileFile is the file of profiles.
type profileFile struct {
	Profiles map[string]map[string]string `yaml:"profiles"`
}

// parseProfiles reads the file. Its errors never repeat a value.
func parseProfiles(data []byte) (map[string]map[string]string, error) {
	var file profileFile
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		text := err.Error()
		if many, ok := errors.AsType[*yaml.TypeError](err); ok && len(many.Errors) > 0 {
			text = many.Errors[0] // one mistake is put right at a time
		}
		text = goType.ReplaceAllString(quotedValue.ReplaceAllString(text, "a value"), "")
		return nil, fmt.Errorf("is not of the form profiles: {NAME: {KEY: VALUE}}: %s", strings.TrimPrefix(text, "yaml: "))
	}
	known := make([]string, len(settings))
	for i, s := range settings {
		known[i] = s.key
	}
	for name, values := range file.Profiles {
		for key := range values {
			if !slices.Contains(known, key) {
				return nil, fmt.Errorf("profile %s: unknown key %s, one of %s is needed", name, key, strings.Join(known, ", "))
			}
		}
	}
	return file.Profiles, nil
}

// listed joins names for a message, at most ten of them.
func listed(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
