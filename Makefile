# Two commands: `make up` runs Wharf on this machine, `make test` proves that it works.
.DEFAULT_GOAL := help
BIN := .venv/bin

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/  make \1\t/' | expand -t 28

up:              ## install what is missing, start everything, say where it is
	@deploy/bootstrap.sh up
down:            ## stop what `make up` started; the data stay
	@deploy/bootstrap.sh down
status:          ## what runs, and whether it is healthy
	@deploy/bootstrap.sh status
logs:            ## follow the logs (PROGRAM=core for one)
	@PROGRAM=$(PROGRAM) deploy/bootstrap.sh logs
renew-tls:       ## give nginx the renewed certificate; nothing is restarted
	@deploy/bootstrap.sh renew-tls
trial-tls:       ## a certificate authority of your own, for trying HTTPS
	@deploy/bootstrap.sh trial-tls
rotate-token-key: ## a new key for signing tokens (takes seven minutes; every token stays good)
	@deploy/bootstrap.sh rotate-token-key

dev:             ## make .venv with the development tools
	@deploy/bootstrap.sh dev
check: dev       ## format, lint, types, import contracts, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check
test:            ## all tests, against real servers that they start themselves
	@deploy/bootstrap.sh test
conformance:     ## the OCI conformance suite against a platform of its own (needs Go)
	@deploy/bootstrap.sh run -m tests.conformance
bench:           ## Wharf's speed beside a bare stock registry's, and that of long lists, to bench/results/ (QUICK=1 for a glance)
	@deploy/bootstrap.sh run -m bench $(if $(QUICK),--quick)
test-clients:    ## clients generated from Harbor's contract and from our own document (needs Java, which it installs)
	@deploy/bootstrap.sh run -m tests.clients
compose-check:   ## docker-compose.yml tried for real, with two composes and an engine of its own (needs Go)
	@deploy/bootstrap.sh compose-check
torture:         ## the kill test in earnest: 500 kills (KILLS=2000 for hours)
	@WHARF_TEST_KILLS=$(or $(KILLS),500) deploy/bootstrap.sh test tests/e2e/test_kill.py

.PHONY: help up down status logs renew-tls trial-tls rotate-token-key dev check test conformance test-clients bench compose-check torture
