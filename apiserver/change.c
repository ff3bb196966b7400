/*
 * change.c - read, compute, commit, repeat; see change.h.
 */
#include "apiserver/change.h"
#include "apiserver/status.h"
#include "apiserver/work.h"
#include <pthread.h>

#define ATTEMPTS_MAX 1000 /* each means that somebody else's write went through */

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t told;
	bool committed;
};

static void change_step(struct change *ch);

static void finish(struct change *ch, int code, const struct error *e)
{
	buf_free(&ch->text);
	ch->done(ch, code, e);
}

static void retry_job(void *arg)
{
	change_step(arg);
}

/* A race was lost: what compute saw is no longer so. */
static bool is_lost_race(int result)
{
	return result == -E_CONFLICT || result == -E_ALREADY_EXISTS || result == -E_NOT_FOUND;
}

static int commit_error(const struct change *ch, int result, struct error *e)
{
	if (result == -E_NO_SPACE)
		return error_set(
			e, E_NO_SPACE,
			"the store is full: free space on the disk of the apiserver, or of etcd, and try again");
	if (result == -E_TIMEOUT)
		return error_set(
			e, E_TIMEOUT,
			"the store did not answer in time and may yet carry the write out: read the object again "
			"before you try again");
	if (result == -E_UNAVAILABLE)
		return error_set(e, E_UNAVAILABLE,
				 "the store does not answer, and nothing was written: try again later");
	if (result == -E_TOO_LARGE)
		return error_set(e, E_TOO_LARGE, "the object is larger than the store takes: make it smaller");
	if (is_lost_race(result))
		return error_modified(e, ch->kind, ch->name ? ch->name : "");
	return error_set(e, -result, "the write could not be stored");
}

/* What the writer made of it. True when it is to be tried again. */
static bool settle(struct change *ch, int *ret_code, struct error *e)
{
	int result = ch->commit.write.result;

	if (result == 0) {
		ch->after = ch->commit.object;
		*ret_code = 0;
		return false;
	}
	object_unref(ch->commit.object);
	if (is_lost_race(result) && ++ch->attempts < ATTEMPTS_MAX)
		return true;
	*ret_code = commit_error(ch, result, e);
	return false;
}

static void committed(struct commit *c)
{
	struct change *ch = c->user;
	struct error e = {0};
	int code;

	if (ch->blocking) {
		struct waiter *w = ch->waiter;
		pthread_mutex_lock(&w->lock);
		w->committed = true;
		pthread_cond_signal(&w->told);
		pthread_mutex_unlock(&w->lock);
	} else if (settle(ch, &code, &e)) {
		work_submit(ch->server->work, retry_job, ch);
	} else {
		finish(ch, code, &e);
	}
}

/* Fills the commit from what compute decided. */
static void prepare_commit(struct change *ch)
{
	struct commit *c = &ch->commit;
	size_t at;

	if (!ch->text.max)
		ch->text = BUF_INIT(BUF_UNLIMITED);
	buf_reset(&ch->text);
	object_text(ch->next, &ch->text, &at);
	const char *name = json_str_or(json_in(ch->next, "metadata", "name"), "");
	*c = (struct commit){
		.write = {.key = object_store_key(ch->arena, ch->kind, ch->ns, name),
			  .require = ch->require_namespace ? arena_printf(ch->arena, "/namespaces//%s", ch->ns) : NULL,
			  .expect = ch->live ? ch->live->revision : STORE_ABSENT,
			  .remove = ch->action == CHANGE_REMOVE,
			  .value = ch->text.data,
			  .len = ch->text.len,
			  .revision_at = at},
		.object = object_new(ch->kind, ch->next),
		.done = committed,
		.user = ch,
	};
}

/* Was it refused for a state that another apiserver may have changed by now? */
static bool is_to_refresh(struct change *ch, int code)
{
	return is_lost_race(code) && ch->server->store->ops->shared && !ch->refreshed;
}

/* A commit that writes nothing and then counts as a lost race. */
static void prepare_refresh(struct change *ch)
{
	ch->refreshed = true;
	ch->commit = (struct commit){.done = committed, .user = ch};
}

/* Reads and computes. 1: a commit is prepared; 0: nothing to write; negative: refused. */
static int compute(struct change *ch, struct error *e)
{
	if (ch->chosen_name)
		ch->name = NULL;
	object_unref(ch->live);
	ch->live = ch->name ? cache_get(ch->server->cache, ch->kind, object_key(ch->arena, ch->kind, ch->ns, ch->name))
			    : NULL;
	ch->chosen_name = !ch->name;
	ch->action = CHANGE_NONE;
	ch->next = NULL;
	int code = ch->compute(ch, ch->live ? object_tree(ch->arena, ch->live) : NULL, e);
	if (is_to_refresh(ch, code)) {
		prepare_refresh(ch);
		return 1;
	}
	if (code < 0)
		return code;
	if (ch->action == CHANGE_NONE || ch->dry_run)
		return 0;
	prepare_commit(ch);
	return 1;
}

static void change_step(struct change *ch)
{
	struct error e = {0};
	int code = compute(ch, &e);

	if (code == 1)
		writer_submit(ch->server->writer, &ch->commit);
	else
		finish(ch, code, &e);
}

void change_start(struct change *ch)
{
	ch->blocking = false;
	change_step(ch);
}

int change_run(struct change *ch, struct error *e)
{
	struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
	bool again = true;
	int code = 0;

	ch->blocking = true;
	ch->waiter = &w;
	while (again) {
		again = false;
		code = compute(ch, e);
		if (code != 1)
			break;
		w.committed = false;
		writer_submit(ch->server->writer, &ch->commit);
		pthread_mutex_lock(&w.lock);
		while (!w.committed)
			pthread_cond_wait(&w.told, &w.lock);
		pthread_mutex_unlock(&w.lock);
		again = settle(ch, &code, e);
	}
	buf_free(&ch->text);
	return code;
}

void change_clear(struct change *ch)
{
	object_unref(ch->live);
	object_unref(ch->after);
	ch->live = ch->after = NULL;
}
