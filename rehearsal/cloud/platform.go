package cloud

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openhands-gcp/rehearsal/types"
)

var (
	accountID = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])$`)
	roleName  = regexp.MustCompile(`^(roles/[A-Za-z0-9.]+|projects/[^/]+/roles/[A-Za-z0-9_.]+)$`)
	workload  = regexp.MustCompile(`^serviceAccount:([^\[\]]+\.svc\.id\.goog)\[([a-z0-9-]+)/([a-z0-9-]+)\]$`)
)

func createService(r *Request) error {
	if !strings.HasSuffix(r.Inputs.Str("service"), ".googleapis.com") {
		return fmt.Errorf("service: %q is not an API", r.Inputs.Str("service"))
	}
	r.ID = r.in() + "/" + r.Inputs.Str("service")
	r.Outputs["project"] = r.in()
	return nil
}

func removeService(r *Request) (string, error) {
	if !r.Inputs.Is("disableOnDestroy") {
		return "disableOnDestroy is false: others in the project may use the API", nil
	}
	return "", nil
}

func checkAccount(r *Request) error {
	id := r.Inputs.Str("accountId")
	if len(id) < 6 {
		return fmt.Errorf("accountId: %q has %d characters, at least 6 are needed", id, len(id))
	}
	return named("accountId", id, accountID, 30)
}

func createAccount(r *Request) error {
	email := fmt.Sprintf("%s@%s.iam.gserviceaccount.com", r.Inputs.Str("accountId"), r.in())
	if r.Old == nil && r.outside(email) {
		return fmt.Errorf("accountId: the configuration names %s, which the stack creates itself: what is granted to it there may come before it exists", email)
	}
	r.ID = fmt.Sprintf("projects/%s/serviceAccounts/%s", r.in(), email)
	r.Outputs["email"], r.Outputs["member"], r.Outputs["name"] = email, "serviceAccount:"+email, r.ID
	r.Outputs["project"], r.Outputs["uniqueId"] = r.in(), "100000000000000000000"
	return nil
}

// member is the rule about the grant of a role to one member. The input on names what it is granted on: an object of onType, or the project where
// onType is empty.
func member(api, on, onType string) Rule {
	return Rule{API: api, Check: func(r *Request) error {
		if err := r.checkRole(); err != nil {
			return err
		}
		if onType != "" {
			if _, err := r.Need(onType, on, r.Inputs.Str(on)); err != nil {
				return err
			}
		} else if r.Inputs.Str(on) != r.in() {
			return fmt.Errorf("%s: %q is not this project", on, r.Inputs.Str(on))
		}
		return r.checkMember("member", r.Inputs.Str("member"))
	}, Create: func(r *Request) error {
		r.ID = strings.Join([]string{r.Inputs.Str(on), r.Inputs.Str("role"), r.Inputs.Str("member")}, "/")
		if title := r.Inputs.Str("condition.title"); title != "" {
			r.ID += "/" + title
		}
		r.Outputs["etag"] = etag
		return nil
	}}
}

// etag is that of every policy: nothing compares it.
const etag = "BwYAAAAAAAA="

func (r *Request) checkRole() error {
	role := r.Inputs.Str("role")
	if !roleName.MatchString(role) {
		return fmt.Errorf("role: %q is not a role", role)
	}
	if strings.HasPrefix(role, "projects/") {
		_, err := r.Need(types.CustomRole, "role", role)
		return err
	}
	return nil
}

// checkMember checks an IAM member, which must exist where it is of this project.
func (r *Request) checkMember(path, member string) error {
	if match := workload.FindStringSubmatch(member); match != nil {
		for _, o := range r.All(types.Cluster) {
			if o.Inputs.Str("workloadIdentityConfig.workloadPool") == match[1] {
				r.NeedObject(o, "Workload Identity pool "+match[1])
				return nil
			}
		}
		// https://github.com/terraform-google-modules/terraform-google-kubernetes-engine/issues/916
		return fmt.Errorf("%s: Identity Pool does not exist (%s): no cluster has it yet", path, match[1])
	}
	sort, address, _ := strings.Cut(member, ":")
	switch sort {
	case "serviceAccount":
		if strings.HasSuffix(address, "@compute-system.iam.gserviceaccount.com") {
			if address != computeAgent {
				return fmt.Errorf("%s: Service account %s does not exist", path, address)
			}
			return r.Enabled("compute") // Google makes it with the API
		}
		ours := slices.ContainsFunc(append([]string{r.Project}, r.cloud.Others...), func(project string) bool {
			return strings.HasSuffix(address, "@"+project+".iam.gserviceaccount.com")
		})
		if !ours || r.outside(address) {
			return nil
		}
		_, err := r.Need(types.Account, path, address)
		return err
	case "user", "group", "domain":
		return nil
	case "principal", "principalSet":
		return r.checkPrincipal(path, member)
	}
	return fmt.Errorf("%s: %q is not an IAM member", path, member)
}

// outside reports whether the configuration names a service account.
func (r *Request) outside(email string) bool {
	if r.cloud.Configuration == nil {
		return false
	}
	named := regexp.MustCompile(`serviceAccount:` + regexp.QuoteMeta(email) + `\b`)
	return named.MatchString(r.cloud.Configuration())
}

func checkLoginMember(r *Request) error {
	if err := r.checkRole(); err != nil {
		return err
	}
	return r.checkMember("member", r.Inputs.Str("member"))
}

func createLoginMember(r *Request) error {
	r.ID = fmt.Sprintf("projects/%s/iap_web/%s/%s/%s", r.Project, r.Inputs.Str("role"), r.Inputs.Str("member"), r.Inputs.Str("condition.title"))
	r.Outputs["project"], r.Outputs["etag"] = r.Project, etag
	return nil
}
