/*
 * admission_rbac.c - roles and bindings beyond their schema; see admission.h.
 *
 * Source: k8s.io/kubernetes pkg/apis/rbac/validation, pkg/apis/rbac/v1/defaults.go.
 */
#include "apiserver/admission.h"
#include "apiserver/rbac.h"
#include "apiserver/selector.h"
#include "apiserver/status.h"

static void check_rule(struct write_rules *w, const struct json *rule, size_t i)
{
	const char *field = arena_printf(w->arena, "rules[%zu]", i);
	bool urls = json_count(json_get(rule, "nonResourceURLs")) > 0;
	bool resources = json_count(json_get(rule, "resources")) > 0,
	     groups = json_count(json_get(rule, "apiGroups")) > 0;

	if (json_count(json_get(rule, "verbs")) == 0)
		cause_add(w->arena, w->causes, "FieldValueRequired", arena_printf(w->arena, "%s.verbs", field),
			  "Required value: verbs must contain at least one value");
	if (urls && w->kind->namespaced)
		cause_add(w->arena, w->causes, "FieldValueInvalid", arena_printf(w->arena, "%s.nonResourceURLs", field),
			  "Invalid value: namespaced rules cannot apply to non-resource URLs");
	else if (urls && (resources || groups || json_count(json_get(rule, "resourceNames"))))
		cause_add(w->arena, w->causes, "FieldValueInvalid", arena_printf(w->arena, "%s.nonResourceURLs", field),
			  "Invalid value: rules cannot apply to both regular resources and non-resource URLs");
	else if (!urls && !groups)
		cause_add(w->arena, w->causes, "FieldValueRequired", arena_printf(w->arena, "%s.apiGroups", field),
			  "Required value: resource rules must supply at least one api group");
	else if (!urls && !resources)
		cause_add(w->arena, w->causes, "FieldValueRequired", arena_printf(w->arena, "%s.resources", field),
			  "Required value: resource rules must supply at least one resource");
}

static void check_selectors(struct write_rules *w, const struct json *list)
{
	for (size_t i = 0; i < json_count(list); i++) {
		const char *text = rbac_selector_text(w->arena, json_item(list, i));
		const char *field = arena_printf(w->arena, "aggregationRule.clusterRoleSelectors[%zu]", i);
		struct selector *s;
		struct error why = {0};
		if (!*text)
			cause_add(w->arena, w->causes, "FieldValueRequired", field,
				  "Required value: a selector without conditions would select every role");
		else if (selector_parse_labels(w->arena, text, &s, &why) < 0)
			cause_add(w->arena, w->causes, "FieldValueInvalid", field, "Invalid value: %s", why.text);
	}
}

void admission_role_create(struct write_rules *w, struct json *obj)
{
	const struct json *rules = json_get(obj, "rules");

	for (size_t i = 0; i < json_count(rules); i++)
		check_rule(w, json_item(rules, i), i);
	check_selectors(w, json_in(obj, "aggregationRule", "clusterRoleSelectors"));
}

void admission_role_update(struct write_rules *w, const struct json *live, struct json *next)
{
	(void)live;
	admission_role_create(w, next);
}

void admission_binding_create(struct write_rules *w, struct json *obj)
{
	struct json *subjects = json_get(obj, "subjects");

	for (size_t i = 0; i < json_count(subjects); i++) {
		struct json *s = json_item(subjects, i);
		bool account = streq(json_str(json_get(s, "kind")), "ServiceAccount");
		const char *ns = json_str_or(json_get(s, "namespace"), ""), *wanted = account ? "" : RBAC_GROUP;
		const char *group = json_str_or(json_get(s, "apiGroup"), wanted);
		if (!json_is(s, JSON_OBJECT))
			continue; /* the schema says so in its own words */
		if (!streq(*group ? group : wanted, wanted))
			cause_add(w->arena, w->causes, "FieldValueNotSupported",
				  arena_printf(w->arena, "subjects[%zu].apiGroup", i),
				  "Unsupported value: \"%s\": supported values: \"%s\"", group, wanted);
		if (account && !*ns && w->kind->namespaced)
			json_set_str(w->arena, s, "namespace", w->ns);
		else if (account && !*ns)
			cause_add(w->arena, w->causes, "FieldValueRequired",
				  arena_printf(w->arena, "subjects[%zu].namespace", i), "Required value");
		if (account)
			json_unset(s, "apiGroup");
		else
			json_set_str(w->arena, s, "apiGroup", wanted);
	}
}

void admission_binding_update(struct write_rules *w, const struct json *live, struct json *next)
{
	(void)live;
	admission_binding_create(w, next);
}
