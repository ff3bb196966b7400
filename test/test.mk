# How Berth is tested: unit tests, fuzz targets, lint. End-to-end tests and benchmarks stand in test/e2e and test/bench.
#
# test/unit/<component>/test_<file>.c is one program each, linked with lib<component>.a, liblib.a, cmocka and every other
# .c file of its folder (fixtures). Nothing is listed by hand.

UNIT_SRC        := $(wildcard test/unit/*/test_*.c)
UNIT_COMPONENTS := $(sort $(foreach s,$(UNIT_SRC),$(word 3,$(subst /, ,$(s)))))
UNIT_TARGETS    := $(addprefix unit-,$(UNIT_COMPONENTS))
UNIT_PROGRAMS   := $(patsubst test/unit/%.c,$(B)/test/%,$(UNIT_SRC))
unit_programs    = $(filter $(B)/test/$(1)/%,$(UNIT_PROGRAMS))
component_lib    = $(if $(filter lib,$(1)),,$(B)/lib$(1).a)

# The component of a program is the folder it lies in.
define unit_component
UNIT_FIXTURES_$(1) := $$(call obj,$$(filter-out test/unit/$(1)/test_%,$$(wildcard test/unit/$(1)/*.c)))
$$(call unit_programs,$(1)): $(B)/test/%: $(B)/obj/test/unit/%.o $$(UNIT_FIXTURES_$(1)) $(call component_lib,$(1)) $(B)/liblib.a
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS_$(1)) $$(LIBS_lib) -lcmocka
unit-$(1): $$(call unit_programs,$(1))
	@test/run-unit $$(sort $$^)
endef
$(foreach c,$(UNIT_COMPONENTS),$(eval $(call unit_component,$(c))))
.SECONDARY: $(patsubst test/unit/%.c,$(B)/obj/test/unit/%.o,$(UNIT_SRC))

.PHONY: unit $(UNIT_TARGETS)
unit: $(UNIT_PROGRAMS) ## Build and run all unit and golden tests (unit-<component>: one component's)
	@test/run-unit $(sort $^)

# ---- fuzz targets: test/fuzz/fuzz_<name>.c, its corpus in test/fuzz/corpus/<name>/, `Links: <component>` in its header
FUZZ_SECONDS ?= 60
FUZZ_SRC     := $(wildcard test/fuzz/fuzz_*.c)
FUZZ_NAMES   := $(patsubst test/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
fuzz_links    = $(shell sed -n 's/^ \* Links: *\([a-z]*\).*/\1/p' test/fuzz/fuzz_$(1).c)

ifeq ($(BUILD),fuzz)
define fuzz_program
$(B)/fuzz/$(1): $(B)/obj/test/fuzz/fuzz_$(1).o $(call component_lib,$(call fuzz_links,$(1))) $(B)/liblib.a
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(LIBS_$(call fuzz_links,$(1))) $$(LIBS_lib)
.PHONY: fuzz-$(1)
fuzz-$(1): $(B)/fuzz/$(1)
	@test/run-fuzz $$< test/fuzz/corpus/$(1) $(FUZZ_SECONDS)
endef
$(foreach n,$(FUZZ_NAMES),$(eval $(call fuzz_program,$(n))))
.SECONDARY: $(call obj,$(FUZZ_SRC))
.PHONY: fuzz
fuzz: $(addprefix $(B)/fuzz/,$(FUZZ_NAMES))
	@test/run-fuzz --all $(B)/fuzz test/fuzz/corpus $(FUZZ_SECONDS) $(FUZZ_NAMES)
else
.PHONY: fuzz $(addprefix fuzz-,$(FUZZ_NAMES))
fuzz: ## Run every fuzz target for FUZZ_SECONDS (60) each (fuzz-<name>: one of them)
	@$(MAKE) --no-print-directory BUILD=fuzz $@
$(addprefix fuzz-,$(FUZZ_NAMES)):
	@$(MAKE) --no-print-directory BUILD=fuzz $@
endif

# ---- the look of the code
.PHONY: lint fmt
lint: ## Check the rules of docs/architecture.md and the house style
	@hack/lint
fmt: ## Format all C files with clang-format
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i
