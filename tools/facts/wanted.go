package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// versionOf finds which version of a provider the program is written for: the one of the provider's SDK.
func versionOf(path, provider string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the program's go.mod, which tells the version: %w. Name a version with -version", err)
	}
	file, err := modfile.ParseLax(path, raw, nil)
	if err != nil {
		return "", err
	}
	for _, require := range file.Require {
		if strings.Contains(require.Mod.Path+"/", "/pulumi-"+provider+"/sdk/") {
			return strings.TrimPrefix(require.Mod.Version, "v"), nil
		}
	}
	return "", fmt.Errorf("%s requires no SDK of provider %s. Name a version with -version", path, provider)
}

// presentFile finds the facts file of a provider, of whatever version. Without one, it is empty.
func presentFile(dir, provider string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("the directory of the facts files: %w. Name it with -facts", err)
	}
	// A digit follows: the files of a provider named gcp-beta are not those of gcp.
	files, err := filepath.Glob(filepath.Join(dir, provider+"-[0-9]*.json"))
	if err != nil {
		return "", err
	}
	switch len(files) {
	case 0:
		return "", nil
	case 1:
		return files[0], nil
	}
	return "", fmt.Errorf("%s hold facts of the same provider: remove all but the one whose types are wanted", strings.Join(files, " and "))
}

// wantedTypes are the types named on the command line or those of the present facts file, and those to add.
func wantedTypes(o options, present string) ([]string, error) {
	types := o.types
	if len(types) == 0 && present != "" {
		raw, err := os.ReadFile(present)
		if err != nil {
			return nil, err
		}
		known := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &known); err != nil {
			return nil, fmt.Errorf("the present facts %s, which tell the types: %w. Mend the file, or name the types with -types", present, err)
		}
		types = slices.Collect(maps.Keys(known))
	}
	types = slices.Concat(types, o.add)
	slices.Sort(types)
	types = slices.Compact(types)
	if len(types) == 0 {
		return nil, fmt.Errorf("no facts of provider %s in %s, and no types named: name them with -types", o.provider, o.facts)
	}
	for _, typ := range types {
		if !strings.HasPrefix(typ, o.provider+":") || strings.Count(typ, ":") != 2 {
			return nil, fmt.Errorf("%q is no type of provider %s: a type is written as in %s:module/thing:Thing", typ, o.provider, o.provider)
		}
	}
	return types, nil
}
