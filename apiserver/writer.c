/*
 * writer.c - group commit, and others' writes; see writer.h.
 *
 * While one transaction is being synced the next one gathers in the queue, so the batch grows with the load by itself.
 */
#include "apiserver/writer.h"
#include "apiserver/clock.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/units.h"
#include <pthread.h>

#define BATCH_MAX 512
#define COMPLAIN_MS 1000 /* at most one line about failing commits in this time */

static struct metric commit_seconds = METRIC_HISTOGRAM("berth_apiserver_store_commit_seconds",
						       "Time of one store transaction, sync included", NULL);
static struct metric commit_writes = METRIC_COUNTER("berth_apiserver_store_writes_total",
						    "Writes asked of the store, by result", "result");

struct writer {
	struct store *store;
	struct cache *cache;
	pthread_t thread;
	struct store_follower follower;
	pthread_mutex_t lock; /* guards the queue, news and stopping */
	pthread_cond_t queued;
	struct commit *first, **last;
	bool news; /* others may have written */
	bool stopping;
	int64_t complained_ms; /* the thread's own */
};

/* Waits for work; false at the end. */
static bool take_batch(struct writer *w, struct commit **batch, size_t *ret_count, bool *ret_news)
{
	size_t n = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->first && !w->news && !w->stopping)
		pthread_cond_wait(&w->queued, &w->lock);
	while (w->first && n < BATCH_MAX) {
		batch[n++] = w->first;
		w->first = w->first->next;
	}
	if (!w->first)
		w->last = &w->first;
	bool go_on = n > 0 || !w->stopping;
	*ret_news = w->news;
	w->news = false;
	*ret_count = n;
	pthread_mutex_unlock(&w->lock);
	return go_on;
}

/* ---- others' writes ---- */

static void on_news(void *user)
{
	struct writer *w = user;

	pthread_mutex_lock(&w->lock);
	w->news = true;
	pthread_cond_signal(&w->queued);
	pthread_mutex_unlock(&w->lock);
}

/* On the writer's thread, inside commit() or catch_up(). */
static int apply_foreign(void *user, const struct store_entry *entry)
{
	struct writer *w = user;
	const struct kind *k = object_kind_of_key(entry->key);
	_object_ o = k ? object_load(k, entry->revision, entry->value, entry->len) : NULL;

	if (o)
		cache_apply(w->cache, &(struct cache_write){o, entry->deleted}, 1);
	else
		log_warn("another apiserver's object is of no known kind, left out", "key", entry->key, NULL);
	return 0;
}

/* ---- the thread ---- */

static void complain(struct writer *w, const char *what, const struct error *e)
{
	int64_t now = time_mono_ms();

	if (w->complained_ms && now - w->complained_ms < COMPLAIN_MS)
		return;
	w->complained_ms = now;
	log_error(what, "error", e->text, NULL);
}

/* Lets the store have a batch, and the cache what came of it. */
static void store_batch(struct writer *w, struct commit *const *batch, size_t count)
{
	struct store_write *writes[BATCH_MAX];
	struct cache_write applied[BATCH_MAX];
	size_t accepted = 0;
	double begin = clock_seconds();
	struct error e;

	for (size_t i = 0; i < count; i++)
		writes[i] = &batch[i]->write;
	if (w->store->ops->commit(w->store, writes, count, &e) < 0)
		complain(w, "commit failed", &e);
	metric_observe(&commit_seconds, NULL, clock_seconds() - begin);
	for (size_t i = 0; i < count; i++) {
		if (writes[i]->result != 0)
			continue;
		object_publish(batch[i]->object, writes[i]->revision, writes[i]->stored);
		applied[accepted++] = (struct cache_write){batch[i]->object, writes[i]->remove};
	}
	metric_add(&commit_writes, "committed", (double)accepted);
	metric_add(&commit_writes, "refused", (double)(count - accepted));
	cache_apply(w->cache, applied, accepted);
}

static int catch_up(struct writer *w, bool must)
{
	struct error e;
	int code = w->store->ops->catch_up(w->store, must, &e);

	if (code < 0)
		complain(w, "others' writes could not be read", &e);
	return code;
}

static void commit_batch(struct writer *w, struct commit *const *batch, size_t count)
{
	struct commit *real[BATCH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (batch[i]->write.key)
			real[n++] = batch[i];
	int refreshed = n == count || catch_up(w, true) == 0 ? -E_CONFLICT : -E_UNAVAILABLE;
	for (size_t i = 0; i < count; i++)
		if (!batch[i]->write.key)
			batch[i]->write.result = refreshed;
	if (n > 0)
		store_batch(w, real, n);
	for (size_t i = 0; i < count; i++)
		batch[i]->done(batch[i]);
}

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	struct commit *batch[BATCH_MAX];
	size_t count;
	bool news;

	while (take_batch(w, batch, &count, &news)) {
		if (news)
			catch_up(w, false);
		if (count > 0)
			commit_batch(w, batch, count);
	}
	return NULL;
}

struct writer *writer_start(struct store *store, struct cache *cache)
{
	struct writer *w = xcalloc(1, sizeof(*w));

	w->store = store;
	w->cache = cache;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->queued, NULL);
	w->follower = (struct store_follower){.visit = apply_foreign, .news = on_news, .user = w};
	store->ops->follow(store, &w->follower);
	if (pthread_create(&w->thread, NULL, writer_run, w) != 0)
		abort();
	return w;
}

void writer_submit(struct writer *w, struct commit *c)
{
	c->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->last = c;
	w->last = &c->next;
	pthread_cond_signal(&w->queued);
	pthread_mutex_unlock(&w->lock);
}

void writer_stop(struct writer *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->queued);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->store->ops->follow(w->store, NULL);
	pthread_cond_destroy(&w->queued);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
