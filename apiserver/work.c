/*
 * work.c - a queue and its threads; see work.h.
 */
#include "apiserver/work.h"
#include <pthread.h>

#define WORK_THREADS_MAX 16

struct job {
	void (*run)(void *arg);
	void *arg;
	struct job *next;
};

struct work {
	pthread_t threads[WORK_THREADS_MAX];
	unsigned count;
	pthread_mutex_t lock; /* guards the queue and stopping */
	pthread_cond_t queued;
	struct job *first, **last;
	bool stopping;
};

static void *work_run(void *arg)
{
	struct work *w = arg;

	pthread_mutex_lock(&w->lock);
	while (w->first || !w->stopping) {
		struct job *job = w->first;
		if (!job) {
			pthread_cond_wait(&w->queued, &w->lock);
			continue;
		}
		w->first = job->next;
		if (!w->first)
			w->last = &w->first;
		pthread_mutex_unlock(&w->lock);
		job->run(job->arg);
		free(job);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct work *work_start(unsigned threads)
{
	struct work *w = xcalloc(1, sizeof(*w));

	w->count = threads < WORK_THREADS_MAX ? threads : WORK_THREADS_MAX;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->queued, NULL);
	for (unsigned i = 0; i < w->count; i++)
		if (pthread_create(&w->threads[i], NULL, work_run, w) != 0)
			abort();
	return w;
}

void work_submit(struct work *w, void (*run)(void *arg), void *arg)
{
	struct job *job = xmalloc(sizeof(*job));

	*job = (struct job){.run = run, .arg = arg};
	pthread_mutex_lock(&w->lock);
	*w->last = job;
	w->last = &job->next;
	pthread_cond_signal(&w->queued);
	pthread_mutex_unlock(&w->lock);
}

void work_stop(struct work *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->queued);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->count; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->queued);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
