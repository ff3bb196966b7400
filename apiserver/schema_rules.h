/*
 * schema_rules.h - the few x-kubernetes-validations rules this release understands.
 *
 * A rule is written in CEL, so that a real cluster takes it too, but only in one of the forms of the table in
 * schema_rules.c; any other text is refused when the schema is compiled. Used by schema.c and schema_validate.c.
 */
#ifndef BERTH_APISERVER_SCHEMA_RULES_H
#define BERTH_APISERVER_SCHEMA_RULES_H

#include "lib/json.h"

enum schema_rule_type {
	RULE_IMMUTABLE,	   /* self == oldSelf */
	RULE_DURATION_MAX, /* duration(self) <= duration('15m') */
	RULE_SORTED,	   /* self.isSorted() */
	RULE_EXACTLY_ONE,  /* [has(self.a), has(self.b)].exists_one(x, x) */
	RULE_NOT_BOTH,	   /* !(has(self.a) && has(self.b)) */
	RULE_LOCKED,	   /* !has(oldSelf.a) || !oldSelf.a || self.b == oldSelf.b */
};

#define SCHEMA_RULE_FIELDS_MAX 8

struct schema_rule {
	enum schema_rule_type type;
	const char *message;
	const char *fields[SCHEMA_RULE_FIELDS_MAX + 1]; /* NULL-terminated */
	int64_t limit_ms;
};

/* From {"rule", "message"}. E_INVALID for a form that is not in the table. */
int schema_rule_compile(struct arena *a, const struct json *from, struct schema_rule *ret, struct error *e);
/* True when the rule is about a change, and says nothing without an old value. */
bool schema_rule_needs_old(const struct schema_rule *r);
bool schema_rule_holds(const struct schema_rule *r, const struct json *self, const struct json *old);

#endif
