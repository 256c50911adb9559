package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"openhands-gcp/infra/bootstrap"
)

// outputs are what people paste: variables for the repository and its environments, and the provider of secrets of each stack.
type outputs struct {
	github       string
	repositories pulumi.StringMap
	environments map[string]pulumi.StringInput // SERVICE_ACCOUNT, by environment
	secrets      pulumi.StringMap
}

func newOutputs(config *Config) *outputs {
	return &outputs{
		github: config.GitHub.Repository, repositories: pulumi.StringMap{}, environments: map[string]pulumi.StringInput{}, secrets: pulumi.StringMap{},
	}
}

func (o *outputs) repository(variable string, value pulumi.StringInput) {
	o.repositories[variable] = value
}

func (o *outputs) environment(environment string, account pulumi.StringInput) {
	o.environments[environment] = account
}

func (o *outputs) stack(stack string, key pulumi.StringOutput, identities map[string]*bootstrap.Identity) {
	o.secrets[stack] = pulumi.Sprintf("gcpkms://%s", key)
	for environment, identity := range identities {
		o.environment(environment, identity.Email)
	}
}

// makeEnvironment is the command that makes an environment. One that has rules keeps them: the call sets all of them anew, and would take reviewers away. One
// without rules gets them: GitHub makes an environment by itself when a workflow names it, and lets every branch in.
func makeEnvironment(repository, environment string) string {
	path := "repos/" + repository + "/environments/" + environment
	command := fmt.Sprintf("gh api %s --jq '.protection_rules | length > 0' 2>/dev/null | grep -qx true || gh api --method PUT %s", path, path)
	if !strings.HasSuffix(environment, previewSuffix) {
		// Without it, whoever can push a branch acts as the identity, by a workflow of their own. A preview is of a branch.
		command += " -F 'deployment_branch_policy[protected_branches]=true' -F 'deployment_branch_policy[custom_branch_policies]=false'"
	}
	return command
}

// export gives the values, and the commands of GitHub's CLI that set them. Reviewers are people, whom bootstrap does not know.
func (o *outputs) export(ctx *pulumi.Context) {
	environments, commands := pulumi.StringMapMap{}, pulumi.StringArray{}
	for _, variable := range slices.Sorted(maps.Keys(o.repositories)) {
		commands = append(commands, pulumi.Sprintf("gh variable set %s --repo %s --body %s", variable, o.github, o.repositories[variable]))
	}
	for _, environment := range slices.Sorted(maps.Keys(o.environments)) {
		environments[environment] = pulumi.StringMap{"SERVICE_ACCOUNT": o.environments[environment]}
		commands = append(commands,
			pulumi.String(makeEnvironment(o.github, environment)),
			pulumi.Sprintf("gh variable set SERVICE_ACCOUNT --env %s --repo %s --body %s", environment, o.github, o.environments[environment]))
	}
	ctx.Export("repositoryVariables", o.repositories)
	ctx.Export("environmentVariables", environments)
	ctx.Export("secretsProviders", o.secrets)
	ctx.Export("githubCommands", commands.ToStringArrayOutput().ApplyT(func(lines []string) string { return strings.Join(lines, "\n") }))
}
