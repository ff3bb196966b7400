# make install: programs, guest, units and completions below $(DESTDIR)$(PREFIX).

PREFIX ?= /usr/local
.PHONY: install
install: all ## Install programs, guest, systemd units and completion (PREFIX, DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/berth $(DESTDIR)/etc/systemd/system \
	  $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin/
	ln -sf berthctl $(DESTDIR)$(PREFIX)/bin/kubectl-berth
	install -m 644 $(B)/guest/vmlinux $(B)/guest/initramfs.cpio $(DESTDIR)$(PREFIX)/lib/berth/
	install -m 644 manifests/systemd/*.service $(DESTDIR)/etc/systemd/system/
	$(B)/bin/berthctl completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/berthctl
