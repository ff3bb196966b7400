/*
 * cmd_wait.c - berthctl wait: until a condition holds, a field has a value, or an object is gone.
 */
#include "cli/resource.h"
#include "lib/units.h"

#include <stdio.h>
#include <time.h>

#define POLL_NS 200000000L

static struct {
	const char *what;
	int64_t timeout_ms;
} opt = {.timeout_ms = 30000};

const struct option_spec cmd_wait_options[] = {
	{"for", 0, OPT_STRING, &opt.what, "WHAT", "condition=TYPE[=STATUS], field=.status.phase=VALUE, or delete"},
	{"timeout", 0, OPT_DURATION, &opt.timeout_ms, "TIME", "How long at most (default 30s)"},
	{0},
};

static const struct json *condition_find(const struct json *o, const char *type)
{
	const struct json *list = json_in(o, "status", "conditions");

	for (size_t i = 0; i < json_count(list); i++)
		if (streq(json_str(json_get(json_item(list, i), "type")), type))
			return json_item(list, i);
	return NULL;
}

static const struct json *field_find(struct arena *a, const struct json *o, const char *path)
{
	for (const char *p = path + strspn(path, "."); o && *p;) {
		size_t len = strcspn(p, ".");

		o = json_get(o, arena_strndup(a, p, len));
		p += len + (p[len] == '.');
	}
	return o;
}

/* What is waited for, taken apart. */
struct goal {
	enum { GOAL_CONDITION, GOAL_FIELD, GOAL_DELETE } kind;
	const char *left, *right;
};

static int goal_parse(struct arena *a, const char *text, struct goal *ret, struct error *e)
{
	const char *eq;

	if (text && streq(text, "delete")) {
		*ret = (struct goal){.kind = GOAL_DELETE};
		return 0;
	}
	if (text && (str_starts(text, "condition=") || str_starts(text, "field="))) {
		bool condition = *text == 'c';
		const char *rest = strchr(text, '=') + 1;

		eq = strchr(rest, '=');
		if (*rest && (eq || condition)) {
			*ret = (struct goal){.kind = condition ? GOAL_CONDITION : GOAL_FIELD,
					     .left = eq ? arena_strndup(a, rest, (size_t)(eq - rest)) : rest,
					     .right = eq ? eq + 1 : "True"};
			return 0;
		}
	}
	return error_set(e, E_BAD_REQUEST,
			 "--for: say condition=TYPE[=STATUS], field=.status.phase=VALUE, or delete (got \"%s\")",
			 text ? text : "");
}

static bool is_reached(struct arena *a, const struct goal *g, const struct json *o, const char **ret_now)
{
	const struct json *v;

	if (g->kind == GOAL_DELETE) {
		*ret_now = "it exists";
		return !o;
	}
	v = g->kind == GOAL_CONDITION ? json_get(condition_find(o, g->left), "status") : field_find(a, o, g->left);
	const char *text = !v ? "" : json_str(v) ? json_str(v) : json_to_string(a, v);

	*ret_now = !o ? "it does not exist" : arena_printf(a, "%s is \"%s\"", g->left, text);
	if (g->kind == GOAL_CONDITION && o && json_str(json_get(condition_find(o, g->left), "message")))
		*ret_now = arena_printf(a, "%s: %s", *ret_now,
					json_str(json_get(condition_find(o, g->left), "message")));
	return o && streq(text, g->right);
}

static int wait_one(struct cli *c, const struct target *t, const struct goal *g, int64_t deadline, struct error *e)
{
	const char *path = kube_path(c->arena, &t->resource, resource_namespace(c, &t->resource), t->name, NULL);
	const char *label = resource_label(c, &t->resource, t->name);

	for (;;) {
		_arena_ a = arena_new();
		struct json *o = NULL;
		const char *now = "";
		int r = kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, a, &o, e);

		if (r && r != -E_NOT_FOUND && !error_is_retryable(-r))
			return r;
		if ((!r || r == -E_NOT_FOUND) && is_reached(a, g, r ? NULL : o, &now)) {
			*e = (struct error){0};
			printf("%s %s\n", label, g->kind == GOAL_DELETE ? "deleted" : "condition met");
			return 0;
		}
		if (r && r != -E_NOT_FOUND)
			now = arena_strdup(a, e->text);
		if (time_mono_ms() > deadline)
			return error_set(e, E_TIMEOUT, "timed out waiting for %s: %s", label, now);
		*e = (struct error){0};
		nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
	}
}

int cmd_wait(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct target *targets;
	struct goal g = {.kind = GOAL_DELETE};
	size_t count;
	int n, r = cli_parse(c, "wait", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("wait", n, 1, -1, e);
	if (!r)
		r = goal_parse(c->arena, opt.what, &g, e);
	if (!r)
		r = cli_connect(c, e);
	if (!r)
		r = targets_parse(c, args, n, &targets, &count, e);
	int64_t deadline = time_mono_ms() + opt.timeout_ms;

	for (size_t i = 0; !r && i < count; i++)
		r = targets[i].name ? wait_one(c, &targets[i], &g, deadline, e)
				    : error_set(e, E_BAD_REQUEST, "say which: berthctl wait %s/NAME", args[0]);
	return r;
}
