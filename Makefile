# Every target works on a fresh clone with Go, Node and npm.
.DEFAULT_GOAL := help
SHELL := /bin/bash
OUT ?= out
FUZZTIME ?= 5s
# Real data that is not part of the repository; tests that need it run when it is there.
SHARED_DATA ?= $(abspath ../shared/data)
# charts: the tests that need the chart script, which make assets has built.
TAGS := charts $(if $(wildcard $(SHARED_DATA)/focus/focus_sample.csv),shareddata)
CHURN_DATA ?= $(SHARED_DATA)/churn
CHROMIUM ?= $(or $(shell command -v chromium),$(shell command -v chromium-browser),$(shell command -v google-chrome))

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: assets ## build bin/tidemark with the chart script inside
	go build -ldflags "-X main.version=$(or $(VERSION),dev)" -o bin/tidemark ./cmd/tidemark

demo: assets ## the whole pipeline on the built-in sample, into out/
	go run ./cmd/tidemark demo --out $(OUT)

fake-microsoft: ## Microsoft's side on loopback, to point tidemark at; ARGS="-customers 50 -fault 429%10", ARGS=-help tells all
	go run ./jobs/source/partnercenter/fakemicrosoft/serve $(ARGS)

# The packages with tests behind TAGS. The results of all others are those of go test ./..., which
# Go knows already where that was run.
TAGGED = $(addprefix ./,$(sort $(dir $(shell grep -rlE '^//go:build.*(charts|shareddata)' --include=*_test.go cmd data jobs reports transform))))

test: assets ## every test but the browser's
	go test $$(go list ./... | grep -vxFf <(go list $(TAGGED)))
	TIDEMARK_SHARED_DATA=$(SHARED_DATA) go test -tags "$(TAGS)" $(TAGGED)

test-browser: assets reports/compat/node_modules/.package-lock.json ## mails and page in headless Chromium, with axe-core and caniemail (needs chromium)
	@test -n "$(CHROMIUM)" || { echo "make test-browser: no chromium found; install it (Debian: apt-get install chromium)"; exit 1; }
	TIDEMARK_CHROMIUM=$(CHROMIUM) go test -count=1 -tags browser -run Browser ./reports/... ./cmd/...

test-kill: ## deliver to 300 people while the program is killed 50 times
	go test -count=1 -tags kill -run Kill -v ./cmd/tidemark

test-postfix: ## mail through a real Postfix on loopback (root; installs it on Debian)
	@command -v postfix >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postfix; }
	go test -count=1 -tags postfix -run Postfix ./reports/mail

test-postgres: ## the ledger's tests on a real Postgres on loopback (installs it on Debian)
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql; }
	go test -count=1 -tags postgres ./jobs/ledger

test-interop: ## the archive read by deltalake and DuckDB (Python; installs both into bin/interop)
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends python3-venv; }
	test -x bin/interop/bin/python || python3 -m venv bin/interop
	bin/interop/bin/python -m pip install -q --disable-pip-version-check -r data/archive/interop/requirements.txt
	TIDEMARK_PYTHON=$(CURDIR)/bin/interop/bin/python go test -count=1 -tags interop -run Interop -v ./cmd/tidemark

bench-archive: ## extraction to committed archive and verify, at 1 and 10 million rows
	TIDEMARK_PYTHON=$(wildcard $(CURDIR)/bin/interop/bin/python) go test -count=1 -timeout 60m -tags bench -run Bench -v ./cmd/tidemark

test-churn: ## the churn score on real account histories, in the folder CHURN_DATA (docs/churn.md)
	@test -d "$(CHURN_DATA)" || { echo "make test-churn: no folder $(CHURN_DATA); give that of the development sets: make test-churn CHURN_DATA=FOLDER"; exit 1; }
	TIDEMARK_CHURN_DATA="$(abspath $(CHURN_DATA))" go test -count=1 -tags churn -run 'Development' -v ./transform/churn ./cmd/tidemark

bench-charts: assets ## the charts of mails drawn here and in headless Chromium (needs chromium)
	TIDEMARK_CHROMIUM=$(CHROMIUM) go test -count=1 -tags bench -run Bench -v ./reports/chart/raster

bench-smtp: ## mails a second beside Postfix's smtp-source (root, needs postfix)
	go test -count=1 -tags postfix -run Rate -v ./reports/mail

test-speed: ## counted processor time against the bars (DESIGN.md)
	go test -count=1 -timeout 60m -tags speed -run Speed -v ./jobs

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
RELEASE ?= bin/release
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

release: assets ## archives for each of PLATFORMS with checksums, into bin/release
	@set -e; rm -rf $(RELEASE); programs=(); for p in $(PLATFORMS); do \
	  ext=; case $$p in windows/*) ext=.exe;; esac; file=bin/build/$${p/\//-}/tidemark$$ext; programs+=("$$p=$$file"); echo "build $$p"; \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} go build -trimpath -buildvcs=true -ldflags "-s -w -X main.version=$(VERSION)" -o $$file ./cmd/tidemark; done; \
	go run ./cmd/tidemark/deploy/release -out $(RELEASE) -version "$(VERSION)" -time "$$(git log -1 --format=%ct)" "$${programs[@]}"; cat $(RELEASE)/SHA256SUMS

test-release: ## two builds of this commit, in two folders and without a common cache, are equal
	rm -rf bin/twice
	git clone -q . bin/twice/one && $(MAKE) -C bin/twice/one release PLATFORMS=linux/amd64
	git clone -q . bin/twice/and/two && GOCACHE=$(CURDIR)/bin/twice/cache $(MAKE) -C bin/twice/and/two release PLATFORMS=linux/amd64
	diff -r bin/twice/one/bin/release bin/twice/and/two/bin/release
	cd bin/twice/one/bin/release && sha256sum -c SHA256SUMS && tar xzf *.tar.gz && ./tidemark-*/tidemark version
	rm -rf bin/twice

test-deploy: bin/deploy/machine ## the docs' other commands on a machine with systemd and in Docker, alert rules in promtool (root; installs them on Debian)
	@command -v promtool >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends prometheus; }
	@command -v systemd-analyze >/dev/null && command -v systemd-nspawn >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends systemd systemd-container; }
	@command -v dockerd >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends docker.io iptables; }
	@for p in openssl curl jq sqlite3; do command -v $$p >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends $$p; }; done
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends python3-venv; }
	test -x bin/deploy/bin/python || python3 -m venv bin/deploy
	bin/deploy/bin/python -m pip install -q --disable-pip-version-check -r cmd/tidemark/deploy/requirements.txt
	bin/deploy/bin/hadolint cmd/tidemark/deploy/Dockerfile
	$(MAKE) release VERSION=1.0.0 PLATFORMS=linux/$$(go env GOARCH) RELEASE=bin/deploy/release
	TIDEMARK_MACHINE=$(CURDIR)/bin/deploy/machine go test -count=1 -tags deploy -run Deploy -v ./cmd/tidemark

# A Debian of its own, whose files no test changes.
bin/deploy/machine:
	@command -v debootstrap >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends debootstrap debian-archive-keyring; }
	rm -rf $@.part && mkdir -p bin/deploy
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,sudo,procps,ca-certificates,openssh-server,openssh-client bookworm $@.part >$@.log || { tail $@.log; exit 1; }
	mv $@.part $@

lint: ## gofmt, vet, staticcheck, errcheck
	@files=$$(gofmt -l cmd data jobs reports templates/*.go transform); test -z "$$files" || { echo "gofmt: run gofmt -w on:"; echo "$$files"; exit 1; }
	go vet ./... && go vet -tags browser,charts,shareddata,churn,kill,postfix,postgres,interop,bench,speed,deploy ./...
	go tool staticcheck -tags browser,charts,shareddata,churn,kill,postfix,postgres,interop,bench,speed,deploy ./...
	go tool errcheck -ignoretests ./...

bench: ## transforms beside DuckDB on the same files, as the table of docs/benchmarks.md (needs a C compiler; 4 GB in bin/bench); ARGS=-help tells all
	mkdir -p bin/bench && cd transform/bench && go build -o ../../bin/bench/bench . && go build -tags ours -o ../../bin/bench/ours . && \
	  ../../bin/bench/bench run -data ../../bin/bench -ours ../../bin/bench/ours -table $(ARGS)

test-duckdb: ## metrics from rollups, from raw rows and by DuckDB agree to the last digit (needs a C compiler)
	staticcheck=$$(go tool -n staticcheck) && errcheck=$$(go tool -n errcheck) && cd transform/bench && \
	  go vet ./... && go vet -tags ours . && $$staticcheck ./... && $$errcheck -ignoretests ./... && go test -count=1 ./...

bench-go: assets ## Go's benchmarks, with memory
	go test -tags charts -run '^$$' -bench . -benchmem ./...

golden: assets ## rewrite the golden files; read the diff before you commit it
	go test ./reports -update
	go test -tags charts ./jobs -run Golden -update

# Up to Go 1.26 the end of -fuzztime can be reported as a failure (go.dev/issue/75804).
# The second time settles it: what was really found has been written as a seed by then.
fuzz: ## each fuzz target for FUZZTIME (default 5s)
	@set -e; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' cmd data jobs reports transform | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z]*' $$pkg/*_test.go | sed 's/^func //'); do \
	    echo "fuzz $$pkg $$f"; \
	    fuzz() { go test ./$$pkg -run "^$$f$$" -fuzz "^$$f$$" -fuzztime $(FUZZTIME) 2>&1; }; \
	    out=$$(fuzz) && echo "$$out" || { echo "$$out"; case "$$out" in *"context deadline exceeded"*) fuzz;; *) exit 1;; esac; }; \
	  done; done

reports/compat/node_modules/.package-lock.json: reports/compat/package-lock.json reports/compat/package.json
	cd reports/compat && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

assets: templates/assets/dist/echarts.min.js ## the chart script, from npm by its lock file

templates/assets/dist/echarts.min.js: templates/assets/package-lock.json templates/assets/package.json templates/assets/entry.js
	cp "$$(go mod download -json github.com/go-fonts/liberation | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p')/LICENSE-SIL" templates/assets/dist/LICENSE-liberation.txt
	chmod u+w templates/assets/dist/LICENSE-liberation.txt
	cd templates/assets && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build
	@touch $@

check: lint build test ## what must be green before a commit

clean: ## remove what the other targets made
	rm -rf bin $(OUT) templates/assets/node_modules reports/compat/node_modules templates/assets/dist/*.js templates/assets/dist/*.txt

.PHONY: help build release test-release test-deploy demo fake-microsoft test test-browser test-kill test-postfix test-postgres test-interop test-duckdb test-churn test-speed bench-archive bench-charts bench-smtp lint bench bench-go golden fuzz assets check clean
