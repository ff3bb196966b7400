# make install: programs, guest, units, completions and manual pages below $(DESTDIR)$(PREFIX). make man: the pages alone.

PREFIX ?= /usr/local
SHARE   = $(DESTDIR)$(PREFIX)/share
UNITS   = $(DESTDIR)/etc/systemd/system

# Commands of a daemon that have flags of their own: their parts follow its own in its page.
MAN_COMMANDS_berth-apiserver := init issue migrate
MAN_COMMANDS_berth-agent     := image cleanup
MAN_COMMANDS_berth-gateway   := stop
MAN_PAGES := $(foreach p,$(notdir $(PROGRAMS)),$(B)/man/$(p).$(if $(filter berthctl,$(p)),1,8))

.PHONY: man install
man: $(MAN_PAGES) ## Render the manual pages from the programs' own tables of flags
$(filter %.8,$(MAN_PAGES)): $(B)/man/%.8: $(B)/bin/%
	@mkdir -p $(@D)
	@$< --man > $@.new
	@$(if $(MAN_COMMANDS_$*),echo .SH COMMANDS >> $@.new; for c in $(MAN_COMMANDS_$*); do $< $$c --man >> $@.new || exit 1; done)
	@mv $@.new $@
$(filter %.1,$(MAN_PAGES)): $(B)/man/%.1: $(B)/bin/%
	@mkdir -p $(@D)
	@$< --man > $@.new && mv $@.new $@

install: all man ## Install programs, guest, systemd units, completions and manual pages (PREFIX, DESTDIR)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/berth $(UNITS) $(SHARE)/bash-completion/completions \
	  $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d $(SHARE)/man/man1 $(SHARE)/man/man8
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin/
	ln -sf berthctl $(DESTDIR)$(PREFIX)/bin/kubectl-berth
	install -m 644 $(B)/guest/vmlinux $(B)/guest/initramfs.cpio $(DESTDIR)$(PREFIX)/lib/berth/
	for u in manifests/systemd/*.service; do \
	  sed 's#/usr/local/#$(PREFIX)/#g' $$u > $(UNITS)/$${u##*/} && chmod 644 $(UNITS)/$${u##*/} || exit 1; done
	$(B)/bin/berthctl completion bash > $(SHARE)/bash-completion/completions/berthctl
	$(B)/bin/berthctl completion zsh > $(SHARE)/zsh/site-functions/_berthctl
	$(B)/bin/berthctl completion fish > $(SHARE)/fish/vendor_completions.d/berthctl.fish
	install -m 644 $(filter %.1,$(MAN_PAGES)) $(SHARE)/man/man1/
	install -m 644 $(filter %.8,$(MAN_PAGES)) $(SHARE)/man/man8/
