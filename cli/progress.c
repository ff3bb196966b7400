/*
 * progress.c - statuses to rows and a verdict; see progress.h. Who writes the statuses, and when, stands in
 * docs/architecture.md.
 */
#include "cli/progress.h"

#include "lib/naming.h"

#define FAILURES_SHOWN 3

static const struct json *condition(const struct json *o, const char *type)
{
	const struct json *list = json_in(o, "status", "conditions");

	for (size_t i = 0; i < json_count(list); i++)
		if (streq(json_str(json_get(json_item(list, i), "type")), type))
			return json_item(list, i);
	return NULL;
}

static bool is_true(const struct json *cond)
{
	return streq(json_str(json_get(cond, "status")), "True");
}

static bool has_reason(const struct json *cond, const char *reason)
{
	return streq(json_str(json_get(cond, "reason")), reason);
}

static const char *message_of(const struct json *cond)
{
	return json_str_or(json_get(cond, "message"), "");
}

static const char *name_of(const struct json *o)
{
	return json_str_or(json_in(o, "metadata", "name"), "");
}

/* Is the status about this generation, and its image known? Before that, what it says of rollout and prefetch is still
 * about the Revision before. */
static bool is_current(const struct json *container, int64_t generation)
{
	return json_int_or(json_in(container, "status", "observedGeneration"), 0) >= generation &&
	       is_true(condition(container, "ImageResolved"));
}

const char *progress_image_name(struct arena *a, const struct json *container, int64_t generation)
{
	const char *digest = json_str(json_in(container, "status", "imageDigest"));

	return digest && is_current(container, generation) ? image_object_name(a, digest) : NULL;
}

/* ---- rows ---- */

static struct progress_row *add_row(struct progress *p, const char *label)
{
	if (p->count == PROGRESS_ROWS_MAX)
		return NULL;
	p->rows[p->count] = (struct progress_row){.label = label, .text = ""};
	return &p->rows[p->count++];
}

/* One row per Location: the mean of its nodes. */
static void add_prefetch(struct arena *a, const struct json *container, const struct json *image, struct progress *p)
{
	const struct json *nodes = json_in(image, "status", "nodes");
	size_t count = json_count(nodes);

	for (size_t i = 0; i < count; i++) {
		const char *location = json_str_or(json_get(json_item(nodes, i), "location"), ""), *failure = NULL;
		int64_t total = 0, ready = 0, percent = 0;
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = streq(json_str(json_get(json_item(nodes, k), "location")), location);
		if (seen)
			continue;
		for (size_t k = i; k < count; k++) {
			const struct json *n = json_item(nodes, k);
			const char *phase = json_str_or(json_get(n, "phase"), "");

			if (!streq(json_str_or(json_get(n, "location"), ""), location))
				continue;
			total++;
			ready += streq(phase, "Ready");
			percent += streq(phase, "Ready") ? 100 : json_int_or(json_get(n, "percent"), 0);
			if (streq(phase, "Failed"))
				failure = json_str_or(json_get(n, "message"), "failed");
		}
		struct progress_row *row = add_row(p, arena_printf(a, "%s prefetch %s", name_of(container), location));

		if (!row)
			return;
		row->percent = (int)(percent / total);
		row->text = failure ? failure
				    : arena_printf(a, "%lld of %lld nodes", (long long)ready, (long long)total);
	}
}

static void add_rollout(struct arena *a, const struct json *container, struct progress *p)
{
	const struct json *r = json_in(container, "status", "rollout");
	int64_t updated = json_int_or(json_get(r, "updated"), 0), total = json_int_or(json_get(r, "total"), 0);
	bool complete = streq(json_str(json_get(r, "phase")), "Complete");
	struct progress_row *row = add_row(p, arena_printf(a, "%s rollout", name_of(container)));

	if (!row)
		return;
	row->percent = complete ? 100 : total ? (int)(updated * 100 / total) : 0;
	if (complete)
		row->text = arena_printf(a, "%s", json_str_or(json_in(container, "status", "updatedRevision"), ""));
	else
		row->text = arena_printf(a, "%lld of %lld instances, step %lld (%lld%%): %s", (long long)updated,
					 (long long)total, (long long)json_int_or(json_get(r, "step"), 0) + 1,
					 (long long)json_int_or(json_get(r, "stepPercentage"), 0),
					 json_str_or(json_get(r, "message"), ""));
}

/* ---- the verdict ---- */

static void judge(struct arena *a, const struct json *container, struct progress *p)
{
	const struct json *prefetched = condition(container, "Prefetched"),
			  *going = condition(container, "Progressing");
	const char *phase = json_str_or(json_in(container, "status", "rollout", "phase"), "");
	const char *revision = json_str_or(json_in(container, "status", "updatedRevision"), "");

	if (has_reason(going, "Halted")) {
		p->state = PROGRESS_FAILED;
		p->message = arena_printf(a, "the rollout of %s is %s", revision, message_of(going));
	} else if (has_reason(prefetched, "PrefetchFailed")) {
		p->state = PROGRESS_FAILING;
		p->message = message_of(prefetched);
	} else if (has_reason(prefetched, "NoNodes")) {
		p->state = PROGRESS_FAILING;
		p->message = "no node that is ready takes it: see `berthctl get nodes`, and spec.placement";
	} else if (!is_true(prefetched)) {
		p->message = message_of(prefetched);
	} else if (streq(phase, "Complete")) {
		p->state = PROGRESS_DONE;
		p->message = arena_printf(a, "%s is rolled out", revision);
	} else if (streq(phase, "Paused")) {
		p->state = PROGRESS_DONE;
		p->message = arena_printf(a, "the rollout of %s is paused: %s", revision, message_of(going));
	} else {
		p->message = message_of(going);
	}
}

void progress_read(struct arena *a, const struct json *container, const struct json *image, int64_t generation,
		   struct progress *ret)
{
	const struct json *resolved = condition(container, "ImageResolved");

	*ret = (struct progress){.state = PROGRESS_GOING, .message = "waiting for the scheduler"};
	if (is_current(container, generation)) {
		add_prefetch(a, container, image, ret);
		add_rollout(a, container, ret);
		judge(a, container, ret);
		return;
	}
	struct progress_row *row = add_row(ret, arena_printf(a, "%s image", name_of(container)));

	if (json_int_or(json_in(container, "status", "observedGeneration"), 0) >= generation) {
		ret->state = has_reason(resolved, "ResolveFailed") ? PROGRESS_FAILING : PROGRESS_GOING;
		ret->message = message_of(resolved);
	}
	row->text = ret->message;
}

/* ---- why ---- */

const char *progress_failure(struct arena *a, const struct json *container, const struct json *instances)
{
	const char *revision = json_str_or(json_in(container, "status", "updatedRevision"), ""), *text = NULL;
	size_t found = 0;

	for (size_t i = 0; i < json_count(instances) && found < FAILURES_SHOWN; i++) {
		const struct json *o = json_item(instances, i), *ready = condition(o, "Ready");

		if (!streq(json_str(json_in(o, "status", "phase")), "Failed") ||
		    !streq(json_str(json_in(o, "spec", "revision")), revision))
			continue;
		text = arena_printf(a, "%s%s%s: %s: %s", text ? text : "", text ? "; " : "", name_of(o),
				    json_str_or(json_get(ready, "reason"), "Failed"), message_of(ready));
		found++;
	}
	return text;
}
