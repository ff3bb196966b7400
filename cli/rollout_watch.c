/*
 * rollout_watch.c - asks for the objects, shows them, decides when to stop; see rollout_watch.h.
 */
#include "cli/rollout_watch.h"

#include "cli/bars.h"
#include "lib/codec.h"
#include "lib/units.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#define POLL_NS 300000000L
/* What is tried again may pass by itself: a registry that restarts, a node that is just joining. After so long it
 * counts as failed; by then the scheduler and the agents have tried several times (1 s, 2 s, 4 s, 8 s later). */
#define PATIENCE_MS 20000

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static int get(struct cli *c, struct arena *a, const char *path, struct json **ret, struct error *e)
{
	return kube_do(c->kube, &(struct kube_call){.method = "GET", .path = path}, a, ret, e);
}

/* Of a failed rollout the instances know more than the Container says. */
static int fail(struct cli *c, struct arena *a, const struct rollout_target *t, const struct json *container,
		const struct progress *p, struct error *e)
{
	_buf_ path = BUF_INIT(4096);
	struct json *list = NULL;
	const char *why = NULL;

	if (p->state == PROGRESS_FAILED) {
		buf_adds(&path, kube_path(a, &KUBE_INSTANCES, t->ns, NULL, NULL));
		buf_adds(&path, "?labelSelector=");
		percent_encode(arena_printf(a, "berth.dev/container=%s", t->name), &path);
		if (get(c, a, path.data, &list, NULL) == 0)
			why = progress_failure(a, container, json_get(list, "items"));
	}
	error_set(e, E_INTERNAL, "container.berth.dev/%s: %s%s%s%s", t->name, p->message, why ? " (" : "",
		  why ? why : "", why ? ")" : "");
	return CLI_FAILED;
}

struct watched {
	const struct rollout_target *target;
	int64_t failing_since; /* 0: it is not */
	bool done;
};

static void add_row(struct progress *all, const struct progress_row *row)
{
	if (all->count < PROGRESS_ROWS_MAX)
		all->rows[all->count++] = *row;
}

/* One look at one Container; its rows are added to all. *ret_message is in a. Returns CLI_FAILED for a failed rollout,
 * a negative code when it could not look. */
static int look(struct cli *c, struct arena *a, struct watched *w, struct progress *all, const char **ret_message,
		struct error *e)
{
	const struct rollout_target *t = w->target;
	struct json *container, *image = NULL;
	struct progress p;
	int r = get(c, a, kube_path(a, &KUBE_CONTAINERS, t->ns, t->name, NULL), &container, e);

	if (r)
		return r;
	const char *name = progress_image_name(a, container, t->generation);

	if (name)
		r = get(c, a, kube_path(a, &KUBE_IMAGES, NULL, name, NULL), &image, e);
	if (r && r != -E_NOT_FOUND)
		return r;
	*e = (struct error){0};
	progress_read(a, container, image, t->generation, &p);
	for (size_t i = 0; i < p.count; i++)
		add_row(all, &p.rows[i]);
	*ret_message = p.message;
	w->done = p.state == PROGRESS_DONE;
	if (p.state != PROGRESS_FAILING)
		w->failing_since = 0;
	else if (!w->failing_since)
		w->failing_since = time_mono_ms();
	if (p.state == PROGRESS_FAILED || (w->failing_since && time_mono_ms() - w->failing_since > PATIENCE_MS))
		return fail(c, a, t, container, &p, e);
	return 0;
}

static void show(struct bars *b, const struct progress *all)
{
	_buf_ out = BUF_INIT(1U << 20);

	bars_update(b, all->rows, all->count, bars_terminal_size(), &out);
	if (out.len)
		fwrite(out.data, 1, out.len, stderr);
	fflush(stderr);
}

/* One look at all; *ret_left is the first that is not done, and *ret_message what it waits for (in a). */
static int look_at_all(struct cli *c, struct arena *a, struct watched *list, size_t count, struct bars *b,
		       const struct rollout_target **ret_left, const char **ret_message, struct error *e)
{
	struct progress all = {0};
	int r = 0;

	*ret_left = NULL;
	for (size_t i = 0; i < count && !r; i++) {
		const char *message = "";

		r = look(c, a, &list[i], &all, &message, e);
		if (r < 0 && error_is_retryable(-r)) {
			message = arena_strdup(a, e->text);
			add_row(&all, &(struct progress_row){.label = list[i].target->name, .text = message});
			*e = (struct error){0};
			r = 0;
		}
		if (!list[i].done && !*ret_left) {
			*ret_left = list[i].target;
			*ret_message = message;
		} else if (list[i].done && !*ret_left) {
			*ret_message = message;
		}
	}
	if (all.count)
		show(b, &all);
	return r;
}

static int follow(struct cli *c, struct watched *list, size_t count, int64_t timeout_ms, struct error *e)
{
	int64_t begun = time_mono_ms();
	struct bars bars;

	bars_init(&bars, c->arena, bars_can_live());
	for (;;) {
		_arena_ a = arena_new();
		const struct rollout_target *left;
		const char *message = "";
		int r = look_at_all(c, a, list, count, &bars, &left, &message, e);

		if (r)
			return r;
		if (!left) {
			fprintf(stderr, "%s\n", count == 1 ? message : "all rollouts are done");
			return 0;
		}
		if (interrupted) {
			fprintf(stderr,
				"\nNot watching any more; the rollout goes on. To see how far it is: berthctl describe "
				"container %s -n %s\n",
				left->name, left->ns);
			return CLI_INTERRUPTED;
		}
		if (timeout_ms && time_mono_ms() - begun > timeout_ms) {
			error_set(e, E_TIMEOUT,
				  "timed out waiting for container.berth.dev/%s: %s (the rollout goes on)", left->name,
				  message);
			return CLI_TIMED_OUT;
		}
		nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
	}
}

int rollout_watch(struct cli *c, const struct rollout_target *targets, size_t count, int64_t timeout_ms,
		  struct error *e)
{
	/* A second Ctrl-C ends it at once, even while the server does not answer. */
	struct sigaction before, action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
	struct watched *list = arena_calloc(c->arena, (count + 1) * sizeof(*list));

	for (size_t i = 0; i < count; i++)
		list[i].target = &targets[i];
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, &before);
	int r = follow(c, list, count, timeout_ms, e);

	sigaction(SIGINT, &before, NULL);
	return r;
}
