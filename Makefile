# Berth's one Makefile. `make help` lists what it can do.
#
# Every .c file in a component's folder is part of that component: <component>/main.c is its program, all the others
# form lib<component>.a, which unit tests and fuzz targets link too. Nothing is listed by hand.

VERSION := 0.1.0
# When that version was made, for manual pages.
RELEASED := 2026-11-25
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

# debug, release, asan, tsan, fuzz or cov; each has its own folder, so they never mix.
BUILD ?= debug
# Where everything built goes.
O     ?= build
B     := $(O)/$(BUILD)

# A folder with a main.c is a component; the guest's program is not for this host and has rules of its own.
COMPONENTS := $(filter-out guest,$(patsubst %/main.c,%,$(wildcard */main.c)))
program_name = $(if $(filter cli,$(1)),berthctl,berth-$(1))
PROGRAMS   := $(foreach c,$(COMPONENTS),$(B)/bin/$(call program_name,$(c)))

PKGS_lib := libmicrohttpd libcurl yajl yaml-0.1 libuv uuid libcrypto libssl gnutls zlib
PKGS_apiserver := sqlite3 zlib
PKGS_agent := libvirt libvirt-qemu libarchive
PKGS := $(PKGS_lib) $(PKGS_apiserver) $(PKGS_agent) cmocka

CC     ?= cc
CFLAGS_WARN := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wno-format-truncation -Wno-unknown-warning-option -Werror
CFLAGS_debug   := -O1 -g
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE
CFLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
CFLAGS_tsan    := -O1 -g -fsanitize=thread
CFLAGS_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
CFLAGS_cov     := -O0 -g --coverage
LDFLAGS_release := -pie -Wl,-z,relro,-z,now
LDFLAGS_asan    := -fsanitize=address,undefined
LDFLAGS_tsan    := -fsanitize=thread
LDFLAGS_fuzz    := -fsanitize=address,undefined
LDFLAGS_cov     := --coverage
ifeq ($(BUILD),fuzz)
CC := clang
endif

CPPFLAGS += -D_GNU_SOURCE -I. -I$(B)/gen -DBERTH_VERSION='"$(VERSION)"' -DBERTH_RELEASED='"$(RELEASED)"' $(shell pkg-config --cflags $(PKGS))
CFLAGS   += -std=gnu11 $(CFLAGS_WARN) $(CFLAGS_$(BUILD)) -pthread -fno-common
LDFLAGS  += $(LDFLAGS_$(BUILD)) -pthread
LIBS_lib := $(shell pkg-config --libs $(PKGS_lib)) -lm
LIBS_apiserver := $(shell pkg-config --libs $(PKGS_apiserver))
LIBS_agent := $(shell pkg-config --libs $(PKGS_agent))

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
SRC_lib := $(wildcard lib/*.c)
$(foreach c,$(COMPONENTS),$(eval SRC_$(c) := $(filter-out $(c)/main.c,$(wildcard $(c)/*.c))))

.DEFAULT_GOAL := all
.PHONY: all help
all: $(PROGRAMS) $(B)/guest/initramfs.cpio ## Build every program and the guest

help: ## Show this list
	@awk -F':.*## ' '/^[a-z][a-zA-Z0-9_-]*:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- objects and libraries -------------------------------------------------------------------------------------------
$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# Only this file knows the commit, so only it is built again when the commit changes.
$(B)/gen/commit.h: FORCE
	@mkdir -p $(@D)
	@echo '#define BERTH_COMMIT "$(COMMIT)"' | cmp -s - $@ || echo '#define BERTH_COMMIT "$(COMMIT)"' > $@
.PHONY: FORCE
$(B)/obj/lib/version.o: $(B)/gen/commit.h

$(B)/liblib.a: $(call obj,$(SRC_lib))
	@rm -f $@; ar rcs $@ $^
define component
$(B)/lib$(1).a: $$(call obj,$$(SRC_$(1)))
	@rm -f $$@; ar rcs $$@ $$^
endef
$(foreach c,$(COMPONENTS),$(eval $(call component,$(c))))

define program
$(B)/bin/$(2): $(B)/obj/$(1)/main.o $(B)/lib$(1).a $(B)/liblib.a
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS_$(1)) $$(LIBS_lib)
endef
$(foreach c,$(COMPONENTS),$(eval $(call program,$(c),$(call program_name,$(c)))))

-include $(wildcard $(addsuffix /*.mk,$(COMPONENTS) guest manifests test))

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
