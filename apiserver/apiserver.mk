# The apiserver carries api-spec/ inside: one byte array per file, see apiserver/embed and apiserver/kind_table.c.

API_SPEC := $(sort $(wildcard api-spec/*.yaml api-spec/standard/*.yaml))

$(B)/gen/api_spec.h: $(API_SPEC) apiserver/embed
	@mkdir -p $(@D)
	@echo "  EMBED api-spec"
	@apiserver/embed $(API_SPEC) > $@.tmp && mv $@.tmp $@
$(B)/obj/apiserver/kind_table.o: $(B)/gen/api_spec.h

# The default roles too, see apiserver/access_defaults.c.
ACCESS_SPEC := $(sort $(wildcard api-spec/access/*.yaml))

$(B)/gen/access_spec.h: $(ACCESS_SPEC) apiserver/embed
	@mkdir -p $(@D)
	@echo "  EMBED api-spec/access"
	@apiserver/embed $(ACCESS_SPEC) > $@.tmp && mv $@.tmp $@
$(B)/obj/apiserver/access_defaults.o: $(B)/gen/access_spec.h
