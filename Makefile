# The commands that people type. `make help` lists them.

PROGRAM ?=
PAGE ?=
STACK  ?= $(if $(PROGRAM)$(PAGE),home,dev prod team single)
STEPS  ?=
EXPORT ?=
CLUSTER ?=
FROM ?=
SCENARIO ?=
FILE ?=
V ?=
PROVIDER ?= gcp random
ADD ?=
SOURCE ?=
INSTANCE ?=
LOGIN_AS ?=
JSON ?=
REPORT ?=
PREVIEW ?=
FORMAT ?= terminal
CHECK ?=
ONLY ?=

TOOLS := tools/go.mod tools/go.sum

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# REPORT is a file for what preview-report says of the change, as a comment in Markdown.
# A rehearsal that fails has said why. make would write `*** [rehearse] Error 1` below that, unless it ends by this signal, about which shells say nothing.
.PHONY: rehearse
rehearse: ## a stack's life, or with FROM=git:HEAD a change of it, on a simulated cloud: STACK=dev, STEPS=preview,up, SCENARIO=upgrade, EXPORT=file.json, REPORT=file.md, CLUSTER=real, PROGRAM=bootstrap, PAGE=docs/zero-to-production.md, V=1
	@go build -o bin/compile ./rehearsal/cmd/compile
	@( $(if $(and $(EXPORT),$(word 2,$(STACK))),echo "EXPORT needs one stack: make rehearse STACK=dev EXPORT=$(EXPORT)" >&2; exit 1;) \
		$(if $(and $(FILE),$(word 2,$(STACK))),echo "FILE is of one stack: make rehearse STACK=remote FILE=$(FILE)" >&2; exit 1;) \
		$(if $(and $(REPORT),$(word 2,$(STACK))),echo "REPORT needs one stack: make rehearse STACK=dev FROM=git:HEAD REPORT=$(REPORT)" >&2; exit 1;) \
		$(if $(filter-out real,$(CLUSTER)),echo "CLUSTER=$(CLUSTER): write CLUSTER=real or leave it out" >&2; exit 1;) \
		bin/compile $(if $(CLUSTER),tests/cluster,.) ./$(if $(CLUSTER),,rehearsal/)cmd/rehearse bin/rehearse$(if $(CLUSTER),-cluster) || exit 1; \
		for stack in $(STACK); do \
			failed=; rm -f bin/rehearsal/$$stack.preview.json; \
			bin/rehearse$(if $(CLUSTER),-cluster) -stack=$$stack -steps=$(STEPS) -from=$(FROM) -scenario=$(SCENARIO) -file=$(FILE) -export=$(EXPORT) -program=$(PROGRAM) -page=$(PAGE) \
				$(if $(REPORT),-preview=bin/rehearsal/$$stack.preview.json) $(if $(V),-verbose) || failed=1; \
			$(if $(REPORT),go run ./cmd/preview-report -stack=$$stack bin/rehearsal/$$stack.preview.json > $(REPORT) || failed=1;) \
			[ -z "$$failed" ] || exit 1; \
		done ) || { kill -PIPE $$PPID; exit 1; }

# STACK has a default for rehearsals, which is none for what asks about one stack.
one_stack = $(if $(filter 1,$(words $(STACK))),,echo "name one stack: make $@ STACK=prod" >&2; exit 1)

.PHONY: check
check: ## a person's way through the stack that stands, after pulumi up: STACK=prod, INSTANCE=ann, LOGIN_AS=<service account>, JSON=1
	@$(one_stack)
	@go build -o bin/check ./cmd/check
	@bin/check -stack="$(STACK)" -instance="$(INSTANCE)" -as="$(LOGIN_AS)" $(if $(JSON),-json)

.PHONY: doctor
doctor: ## ask the real project, before the first resource exists, whether `pulumi up` will pass: STACK=prod, JSON=1. It only reads
	@$(one_stack)
	@go build -o bin/compile ./rehearsal/cmd/compile
	@bin/compile . . bin/openhands >&2 && bin/compile . ./cmd/doctor bin/doctor >&2
	@bin/doctor -stack=$(STACK) $(if $(JSON),-json)

# With PREVIEW, of what `pulumi preview --json` has written of the real stack. Without, of the same change on the simulated cloud, which needs no account:
# from FROM, the branch main where it is not named, to what is in the work tree.
.PHONY: report
report: ## what a change means to people, in colours: STACK=prod, and PREVIEW=preview.json of the real stack, or FROM=git:main; FORMAT=markdown, json
	@$(if $(word 2,$(STACK)),echo "name one stack: make report STACK=prod" >&2; exit 1)
	@failed=; $(if $(PREVIEW),,go build -o bin/compile ./rehearsal/cmd/compile && bin/compile . ./rehearsal/cmd/rehearse bin/rehearse >&2 && \
		rm -f bin/rehearsal/$(STACK).preview.json && mkdir -p bin/rehearsal || exit 1; \
		bin/rehearse -stack=$(STACK) -steps=plan -from=$(or $(FROM),git:main) -preview=bin/rehearsal/$(STACK).preview.json >&2 || failed=1; \
		[ -s bin/rehearsal/$(STACK).preview.json ] || exit 1;) \
		go run ./cmd/preview-report -stack=$(STACK) -format=$(FORMAT) $(or $(PREVIEW),bin/rehearsal/$(STACK).preview.json) && [ -z "$$failed" ]

.PHONY: recordings
recordings: ## what the real CLI says of changes, for the tests of the report: write it anew, or with CHECK=1 say whether it is old; ONLY=database
	go run ./rehearsal/cmd/record $(if $(CHECK),-check) -only="$(ONLY)"

.PHONY: test
test: lint ## lint, and all tests but the rehearsals
	go test $(TESTFLAGS) ./...

.PHONY: lint
lint: bin/staticcheck bin/actionlint ## formatting, module files, vet, staticcheck, the workflows
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		if [ -n "$$unformatted" ]; then echo "gofmt -w these files:"; echo "$$unformatted"; exit 1; fi
	go mod tidy -diff
	go -C tools mod tidy -diff
	go vet ./...
	bin/staticcheck ./...
	bin/actionlint -shellcheck= -pyflakes=

# The first run builds a Kubernetes control plane from source. The packages share it, and start it one after the other.
.PHONY: test-cluster
test-cluster: bin/staticcheck ## the objects, roles, admission and network policies against a real Kubernetes API server; needs python3 too
	go -C tests/cluster mod tidy -diff
	go -C tests/cluster/kwok mod tidy -diff
	go -C tests/cluster vet ./...
	cd tests/cluster && ../../bin/staticcheck ./...
	go -C tests/cluster test -p 1 -timeout 45m $(TESTFLAGS) ./...

# The server, its database, its bucket and a conversation, from the packages that the application is published as. It needs root: the server gets a user,
# a file system and a network of its own.
.PHONY: test-app
test-app: bin/staticcheck ## the real OpenHands on what the program deploys; needs Linux, root, Python 3.12 or 3.13, PostgreSQL, Chromium, tmux, git
	go -C tests/app mod tidy -diff
	go -C tests/app vet ./...
	cd tests/app && ../../bin/staticcheck ./...
	cd infra/app/cleanup && PYTHONDONTWRITEBYTECODE=1 python3 -W error -m unittest -q
	cd check && PYTHONDONTWRITEBYTECODE=1 python3 -W error -m unittest -q
	go -C tests/app test -timeout 45m $(TESTFLAGS) ./...

# Real file systems on a loop device, real firewalls between namespaces. It needs root.
.PHONY: test-machine
test-machine: ## what a machine does when it boots; needs Linux, root, cloud-init, systemd, iptables, iproute2, e2fsprogs, python3, the Docker CLI
	go vet -tags machine .
	go test -tags machine -run 'Boot' $(TESTFLAGS) .

# The steps of the workflows, in a copy of the repository: the real CLI on the simulated cloud, a real registry, stand-ins for gh, gcloud and docker.
.PHONY: test-delivery
test-delivery: ## run what the workflows run; needs jq, git and shellcheck
	shellcheck .github/scripts/*.sh
	go vet -tags delivery ./tests/delivery
	go test -tags delivery ./tests/delivery -count=1 -timeout 20m $(TESTFLAGS)

# Each stack takes half a minute to a minute, two at a time; TESTFLAGS='-run /dev/us-' takes those of a profile whose names have something in them.
.PHONY: test-stacks
test-stacks: ## rehearse good stacks, whose rehearsal must pass: every region, and every boolean and enum flipped, in every profile
	go test ./tests/stacks -count=1 -timeout 3h $(TESTFLAGS) -args -rehearse

.PHONY: golden
golden: ## write the plans in tests/golden anew, for a change that is meant: git diff shows what it does
	go test . ./bootstrap -run TestPlansAreGolden -update

# The command compiles the provider, in the version that go.mod has of its SDK. SOURCE is a directory to keep its source in, for the next time.
.PHONY: facts
facts: ## the simulated cloud's facts anew, from the providers' source: PROVIDER=gcp, ADD=gcp:redis/instance:Instance, SOURCE=directory
	@$(if $(and $(ADD)$(SOURCE),$(word 2,$(PROVIDER))),echo "ADD and SOURCE need one provider: make facts PROVIDER=gcp ADD=$(ADD)"; exit 1)
	@set -e; for provider in $(PROVIDER); do \
		go -C tools/facts run . -provider=$$provider -add="$(ADD)" -source=$(if $(SOURCE),$(abspath $(SOURCE))); \
	done

.PHONY: test-facts
test-facts: bin/staticcheck ## the command behind make facts, on providers made for the test; needs git
	go -C tools/facts mod tidy -diff
	go -C tools/facts vet ./...
	cd tools/facts && ../../bin/staticcheck ./...
	go -C tools/facts test -p 2 $(TESTFLAGS) ./...

.PHONY: docs
docs: ## write what tests write into docs/ and README.md anew
	go test ./stacks -run 'TestConfigurationReference|TestQuotasOfTheProfiles' -update
	go test . -run 'TestReadmeListsTheResources|TestDoctorsTables|TestPermissionsPage' -update
	go test ./report -run TestTheExample -update

.PHONY: bench
bench: ## preview time against the engine's floor, and simulated deployment time
	go run ./rehearsal/cmd/bench

# Each picture is what a rehearsal shows, at 80 and at 160 columns. FROM is the stack file with another value.
.PHONY: pictures
pictures: ## draw the pictures in docs/pictures anew
	@go build -o bin/compile ./rehearsal/cmd/compile && bin/compile . ./rehearsal/cmd/rehearse bin/rehearse && go build -o bin/picture ./rehearsal/cmd/picture
	@mkdir -p docs/pictures
	@{ cat Pulumi.prod.yaml; printf '  openhands:database:\n    tier: db-custom-1-3840\n'; } > bin/Pulumi.changed.yaml
	@{ cat Pulumi.prod.yaml; printf '  openhands:bucket:\n    location: EU\n'; } > bin/Pulumi.refused.yaml
	@{ cat Pulumi.dev.yaml; printf '  openhands:database:\n    version: POSTGRES_16\n'; } > bin/Pulumi.failed.yaml
	@set -e; picture() { \
			for columns in 80 160; do \
				CLICOLOR_FORCE=1 COLUMNS=$$columns bin/rehearse -stack=$$2 $$3 | bin/picture > docs/pictures/$$1-$$columns.svg; \
			done; \
		}; \
		picture dev dev; picture prod prod; \
		for change in changed refused; do picture $$change prod -from=bin/Pulumi.$$change.yaml; done; \
		picture failed dev -from=bin/Pulumi.failed.yaml

INSTANCES ?= 10,30,100,300
.PHONY: bench-instances
bench-instances: ## how long the engine takes with many instances on a real API server: INSTANCES=10,300
	go -C tests/cluster test ./stack -count=1 -timeout 60m -tags=bench -run TestHowManyInstances -v -args -instances=$(INSTANCES)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

bin/staticcheck: $(TOOLS)
	go -C tools build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck

bin/actionlint: $(TOOLS)
	go -C tools build -o ../bin/actionlint github.com/rhysd/actionlint/cmd/actionlint

# What the workflow `images` takes. trivy reads JSON by Go's experimental package, and takes many minutes to compile.
IMAGE_TOOLS := tools/images/go.mod tools/images/go.sum

bin/crane: $(IMAGE_TOOLS)
	go -C tools/images build -o ../../bin/crane github.com/google/go-containerregistry/cmd/crane

bin/trivy: $(IMAGE_TOOLS)
	GOEXPERIMENT=jsonv2 go -C tools/images build -o ../../bin/trivy github.com/aquasecurity/trivy/cmd/trivy

.PHONY: bin/images
bin/images:
	go build -o bin/images ./cmd/images
