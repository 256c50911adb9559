package golden

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"gopkg.in/yaml.v3"
)

// Text is the plan as YAML: the tree in a comment, and then a mapping of every resource's place in it to its inputs and options.
func (p *Plan) Text(stackFile string) (string, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The plan of the stack file %s: written by `make golden`, compared by `make test`.\n#\n", stackFile)
	for _, line := range slices.Sorted(slices.Values(p.Logs)) {
		fmt.Fprintf(&b, "# %s\n#\n", line)
	}
	children := p.children()
	root := children[""][0]
	document := &yaml.Node{Kind: yaml.MappingNode}
	fmt.Fprintf(&b, "# %s\n", root.URN.Name())
	var walk func(r *Resource, place, indent string)
	walk = func(r *Resource, place, indent string) {
		for i, child := range children[r.URN] {
			branch, below := "├── ", "│   "
			if i == len(children[r.URN])-1 {
				branch, below = "└── ", "    "
			}
			fmt.Fprintf(&b, "# %s%s%s\n", indent, branch, Label(child.URN))
			at := place + Label(child.URN)
			put(document, at, p.describe(child))
			walk(child, at+" / ", indent+below)
		}
	}
	walk(root, "", "")
	put(document, "outputs of the stack", object(p.Outputs[root.URN], false))
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return "", fmt.Errorf("plan of %s: %w", stackFile, err)
	}
	return resourceLine.ReplaceAllString(longKey.ReplaceAllString(b.String(), "$1:\n  "), "\n\n$1"), encoder.Close()
}

// longKey is how YAML writes a key of more than 128 characters, which a place in the tree can have.
var longKey = regexp.MustCompile(`(?m)^\? (.+)\n: `)

// resourceLine begins a resource. An empty line goes before it.
var resourceLine = regexp.MustCompile(`\n([^\s#])`)

// describe returns a resource's type, options and inputs.
func (p *Plan) describe(r *Resource) *yaml.Node {
	req := r.request
	n := &yaml.Node{Kind: yaml.MappingNode}
	put(n, "type", text(r.Type()))
	if reference := req.GetProvider(); reference != "" && req.GetCustom() {
		provider := reference[:strings.LastIndex(reference, "::")] // what follows is its id
		put(n, "provider", text(resource.URN(provider).Name()))
	}
	for _, flag := range []struct {
		name    string
		set, on bool // set to false is another thing than not set: it overrides what is inherited
	}{
		{"protect", req.Protect != nil, req.GetProtect()},
		{"deleteBeforeReplace", req.GetDeleteBeforeReplaceDefined(), req.GetDeleteBeforeReplace()},
		{"retainOnDelete", req.RetainOnDelete != nil, req.GetRetainOnDelete()},
	} {
		if flag.set || flag.on {
			put(n, flag.name, &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatBool(flag.on)})
		}
	}
	if with := req.GetDeletedWith(); with != "" {
		put(n, "deletedWith", text(Label(resource.URN(with))))
	}
	if id := req.GetImportId(); id != "" {
		put(n, "import", text(id))
	}
	if t := req.GetCustomTimeouts(); t != nil && t.GetCreate()+t.GetUpdate()+t.GetDelete() != "" {
		put(n, "timeouts", list([]string{"create " + t.GetCreate(), "update " + t.GetUpdate(), "delete " + t.GetDelete()}))
	}
	for _, option := range []struct {
		name  string
		items []string
	}{
		{"ignoreChanges", req.GetIgnoreChanges()},
		{"replaceOnChanges", req.GetReplaceOnChanges()},
		{"secretOutputs", req.GetAdditionalSecretOutputs()},
		{"aliases", aliases(req)},
		{"beforeUpdate", req.GetHooks().GetBeforeUpdate()},
		{"onError", req.GetHooks().GetOnError()},
		{"waitsFor", p.waitsFor(r)},
	} {
		if len(option.items) > 0 {
			put(n, option.name, list(option.items))
		}
	}
	if len(r.Inputs) > 0 {
		put(n, "inputs", object(r.Inputs, false))
	}
	if outputs := p.Outputs[r.URN]; len(outputs) > 0 {
		put(n, "outputs", object(outputs, false))
	}
	return n
}

// aliases are the program's own. Those of a provider's resource that name only another type are the SDK's, for resources of older providers.
func aliases(req *pulumirpc.RegisterResourceRequest) []string {
	var out []string
	for _, alias := range req.GetAliases() {
		spec := alias.GetSpec()
		if req.GetCustom() && spec != nil && spec.GetName()+spec.GetProject()+spec.GetStack()+spec.GetParentUrn() == "" && !spec.GetNoParent() {
			continue
		}
		if spec == nil {
			out = append(out, alias.GetUrn())
			continue
		}
		out = append(out, fmt.Sprintf("type %q, name %q, parent %q, no parent %t", spec.GetType(), spec.GetName(), spec.GetParentUrn(), spec.GetNoParent()))
	}
	return out
}

func put(mapping *yaml.Node, key string, value *yaml.Node) {
	mapping.Content = append(mapping.Content, text(key), value)
}

func list(items []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, item := range items {
		n.Content = append(n.Content, text(item))
	}
	return n
}

func object(properties resource.PropertyMap, secret bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range properties.StableKeys() {
		put(n, string(key), value(properties[key], secret))
	}
	return n
}

// value writes a value. Of a secret it writes where it comes from. One that comes from nowhere, such as a checksum, is told by the beginning of its own
// checksum, so that a change of it shows: the secrets of the golden stacks are references, so there is nothing to guess.
func value(v resource.PropertyValue, secret bool) *yaml.Node {
	switch {
	case v.IsSecret():
		return value(v.SecretValue().Element, true)
	case v.IsObject():
		return object(v.ObjectValue(), secret)
	case v.IsArray():
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v.ArrayValue() {
			n.Content = append(n.Content, value(item, secret))
		}
		return n
	case v.IsResourceReference():
		return text("${" + Label(v.ResourceReferenceValue().URN) + "}")
	case v.IsString() && secret && strings.Contains(v.StringValue(), "${"):
		return text("(secret) " + v.StringValue())
	case secret:
		sum := sha256.Sum256([]byte(fmt.Sprint(v.V)))
		return text("(secret) sha256 " + hex.EncodeToString(sum[:4]))
	case v.IsString():
		return text(v.StringValue())
	case v.IsNumber():
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(v.NumberValue(), 'f', -1, 64)}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v.V)}
}

// longText is the number of lines above which a text is told by its length and its checksum: a script has a file of its own to be read in.
const longText = 40

func text(s string) *yaml.Node {
	if lines := strings.Count(s, "\n"); lines > longText {
		sum := sha256.Sum256([]byte(s))
		s = fmt.Sprintf("%d lines, sha256 %s", lines, hex.EncodeToString(sum[:8]))
	}
	n := &yaml.Node{}
	n.SetString(s)
	return n
}
