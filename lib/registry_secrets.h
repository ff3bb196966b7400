/*
 * registry_secrets.h - reads image pull Secrets from the API server at the moment they are needed.
 *
 * Nothing is kept: a Secret that was changed counts from the next pull on, and a process holds the values no longer
 * than that. Thread-safe and blocking, for worker threads; has a connection of its own. Used by scheduler and agent.
 */
#ifndef BERTH_LIB_REGISTRY_SECRETS_H
#define BERTH_LIB_REGISTRY_SECRETS_H

#include "lib/kube.h"
#include "lib/registry_keys.h"

struct registry_secrets;
/* Errors: as kube_new(). */
int registry_secrets_new(const struct kube_config *cfg, const char *user_agent, struct registry_secrets **ret,
			 struct error *e);
void registry_secrets_free(struct registry_secrets *s); /* NULL-safe */

/* names: [{namespace, name}], as in Image.spec.pullSecrets, or NULL. A Secret that is missing or of no use becomes the
 * keys' problem. Errors: those of an API server that cannot be asked. */
int registry_secrets_read(struct registry_secrets *s, const struct json *names, struct arena *a,
			  struct registry_keys *ret, struct error *e);

#endif
