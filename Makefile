.PHONY: rehearse
rehearse:
	go run ./tests/rehearsal/cmd/rehearse -stack=$(STACK) -steps=$(STEPS) -export=$(EXPORT)
