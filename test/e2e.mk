# End-to-end tests, the whole check, and benchmarks.

.PHONY: e2e check bench
e2e: all $(B)/hello/hello ## End-to-end tests with real VMs (root); E2E="-k name" picks some
	@BUILD=$(BUILD) /usr/bin/python3 -m pytest -q -p no:cacheprovider test/e2e $(E2E)

check: ## All tests: unit and golden ones, the same under sanitizers, end-to-end
	@test/run-check $(BUILD)

$(B)/bench/%: $(B)/obj/test/bench/%.o $(B)/liblib.a
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $< $(BENCH_COMPONENT) $(B)/liblib.a $(LIBS_lib)
$(B)/bench/place: BENCH_COMPONENT := $(B)/libscheduler.a
$(B)/bench/place: $(B)/libscheduler.a

bench: ## Benchmarks beside their peers in one run (root); SECTIONS="start warm api memory place"
	@hack/deps bench
	@$(MAKE) --no-print-directory BUILD=release all build/release/hello/hello build/release/bench/fanout build/release/bench/sync_rate build/release/bench/place
	@BUILD=release test/bench/bench.py $(SECTIONS)
