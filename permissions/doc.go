// Package permissions says what Google's IAM must allow to whoever deploys, previews or watches a stack: the permission of every call for every type of
// resource, and the roles that hold them. It knows nothing of Pulumi, and asks no cloud.
package permissions
