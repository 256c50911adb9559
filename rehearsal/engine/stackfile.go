package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"openhands-gcp/rehearsal/types"
	"openhands-gcp/release"
)

// stackFile is a stack file without what only the real stack can read: the encryption's header is dropped, and every secret is taken out, to be set
// to a marker with the rehearsal's own passphrase. So a stack whose secrets are encrypted by a key in KMS is rehearsed without the key.
type stackFile struct {
	config  map[string]any
	secrets []string // paths, as `pulumi config set --path` takes them
}

// tabbed is a line that begins with a tab, maybe after blanks.
var tabbed = regexp.MustCompile(`^ *\t`)

func readStackFile(path string) (*stackFile, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no stack file %s: name a stack that has one", path)
	}
	if err != nil {
		return nil, fmt.Errorf("stack file: %w", err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(raw, &document); err != nil {
		if n := slices.IndexFunc(strings.Split(string(raw), "\n"), func(line string) bool { return tabbed.MatchString(line) }); n >= 0 {
			return nil, fmt.Errorf("stack file %s: %w: line %d begins with a tab, and YAML takes blanks only", path, err, n+1)
		}
		return nil, fmt.Errorf("stack file %s: %w", path, err)
	}
	for _, key := range slices.Sorted(maps.Keys(document)) {
		if strings.Contains(key, ":") {
			return nil, fmt.Errorf("stack file %s: %s is beside config, where Pulumi does not read it: write `config:` in a line before it, and indent it "+
				"by two blanks", path, key)
		}
	}
	config, isObject := document["config"].(map[string]any)
	if !isObject && document["config"] != nil {
		return nil, fmt.Errorf("stack file %s: config has no keys: write each below it, indented by two blanks", path)
	}
	f := &stackFile{config: config}
	for _, key := range slices.Sorted(maps.Keys(f.config)) {
		rest, keep := f.takeSecrets(key, f.config[key])
		if f.config[key] = rest; !keep {
			delete(f.config, key)
		}
	}
	return f, nil
}

// takeSecrets returns the value without its secrets. keep is false where the value is a secret itself.
func (f *stackFile) takeSecrets(path string, value any) (rest any, keep bool) {
	switch value := value.(type) {
	case map[string]any:
		if _, secure := value["secure"]; secure && len(value) == 1 {
			f.secrets = append(f.secrets, path)
			return nil, false
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			rest, keep := f.takeSecrets(path+"."+key, value[key])
			if value[key] = rest; !keep {
				delete(value, key)
			}
		}
	case []any:
		for i, item := range value {
			value[i], _ = f.takeSecrets(fmt.Sprintf("%s[%d]", path, i), item) // the place stays, and is set again
		}
	}
	return value, true
}

// value returns a scalar as text, empty where the file does not have it.
func (f *stackFile) value(key string) string {
	if v, ok := f.config[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// protected are the types that a stack may protect, by the objects whose key deletionProtection says so.
var protected = map[string]string{
	"openhands:cluster": types.Cluster, "openhands:database": types.SQLInstance, "openhands:bucket": types.Bucket, "openhands:registry": types.Repository,
}

// protects are the types that the stack protects: in prod all of them, else those that the file says.
func (f *stackFile) protects() []string {
	var out []string
	if f.value("openhands:teardown") == "true" {
		return nil
	}
	if f.value("openhands:profile") == "single" {
		machine, _ := f.config["openhands:machine"].(map[string]any)
		if disk, _ := machine["dataDisk"].(map[string]any); disk["deletionProtection"] != false {
			out = append(out, types.Disk)
		}
		if registry, _ := f.config["openhands:registry"].(map[string]any); registry["deletionProtection"] == true {
			out = append(out, types.Repository)
		}
		return out
	}
	for _, key := range slices.Sorted(maps.Keys(protected)) {
		if f.line() == release.Canvas && (key == "openhands:database" || key == "openhands:bucket") {
			continue // the line has none
		}
		object, _ := f.config[key].(map[string]any)
		if f.value("openhands:profile") == "prod" || object["deletionProtection"] == true {
			out = append(out, protected[key])
		}
	}
	return out
}

// line is the line that the file names; empty where it leaves that to the profile.
func (f *stackFile) line() release.Line {
	app, _ := f.config["openhands:app"].(map[string]any)
	line, _ := app["line"].(string)
	return release.Line(line)
}

// otherProjects are those that bootstrap's stacks have.
func (f *stackFile) otherProjects() []string {
	var others []string
	stacks, _ := f.config["openhands-bootstrap:stacks"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(stacks)) {
		stack, _ := stacks[name].(map[string]any)
		if project, _ := stack["project"].(string); project != "" && project != f.value("gcp:project") {
			others = append(others, project)
		}
	}
	return others
}

// release is the release of the file, or of its profile. The zero Release where the program knows none, which it will say.
func (f *stackFile) release() release.Release {
	line := cmp.Or(f.line(), release.Server)
	if f.value("openhands:profile") == "single" {
		line = release.Canvas
	}
	app, _ := f.config["openhands:app"].(map[string]any)
	version, _ := app["release"].(string)
	r, _ := release.Find(line, cmp.Or(version, release.DefaultRelease(line)))
	return r
}

func (f *stackFile) write(path string) error {
	raw, err := yaml.Marshal(map[string]any{"config": f.config})
	if err != nil {
		return fmt.Errorf("copy of the stack file: %w", err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return fmt.Errorf("copy of the stack file: %w", err)
	}
	return nil
}
