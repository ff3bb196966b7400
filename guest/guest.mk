# The guest: berth-init, its kernel and its initramfs; and libguest.a, the same sources built for tests on the host.
#
# berth-init is static and optimised for size in every BUILD: it runs in a machine without libraries. The kernel is
# fetched once into $(O)/guest-cache; from then on nothing here needs a network.

GUEST_CACHE := $(O)/guest-cache
GUEST_SRC   := $(wildcard guest/*.c)
GUEST_INIT_CFLAGS := -std=gnu11 $(CFLAGS_WARN) -Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
                     -fstack-protector-strong -D_FORTIFY_SOURCE=2
GUEST_INIT_OBJ := $(patsubst %.c,$(B)/obj-init/%.o,$(GUEST_SRC) lib/channel.c)

$(B)/libguest.a: $(call obj,$(filter-out guest/main.c,$(GUEST_SRC)))
	@rm -f $@; ar rcs $@ $^

$(B)/obj-init/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $< (guest)"
	@gcc -D_GNU_SOURCE -I. -DBERTH_VERSION='"$(VERSION)"' $(GUEST_INIT_CFLAGS) -MMD -MP -c $< -o $@

$(B)/guest/berth-init: $(GUEST_INIT_OBJ)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@gcc -static -Wl,--gc-sections -s -o $@ $^

$(GUEST_CACHE)/vmlinux: guest/fetch-kernel
	@echo "  FETCH $@"
	@guest/fetch-kernel $(GUEST_CACHE)
	@touch $@

$(B)/guest/vmlinux: $(GUEST_CACHE)/vmlinux
	@mkdir -p $(@D)
	@ln -f $< $@

$(B)/guest/initramfs.cpio: $(B)/guest/berth-init $(B)/guest/vmlinux guest/modules.order guest/make-initramfs
	@echo "  CPIO  $@"
	@guest/make-initramfs $< $(GUEST_CACHE)/modules guest/modules.order $@

.PHONY: guest
guest: $(B)/guest/initramfs.cpio ## Build the guest's init, kernel and initramfs

-include $(GUEST_INIT_OBJ:.o=.d)

# The program of manifests/hello, static so that its image needs no libraries.
$(B)/hello/hello: manifests/hello/hello.c
	@mkdir -p $(@D)
	@echo "  CC    $< (static)"
	@gcc -std=gnu11 -D_GNU_SOURCE $(CFLAGS_WARN) -Os -static -s -pthread -o $@ $<
