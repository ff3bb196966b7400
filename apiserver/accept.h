/*
 * accept.h - choosing among media types by an Accept header, as Kubernetes does: the first clause that can be served.
 *
 * Quality values and unknown parameters are ignored. Used by discovery.c and openapi.c.
 */
#ifndef BERTH_APISERVER_ACCEPT_H
#define BERTH_APISERVER_ACCEPT_H

#include "lib/base.h"

#define ACCEPT_LENGTH_MAX 4096

/* offers: media types, some with parameters that a clause has to name too ("application/json;as=Table;v=v1"). The index
 * of the offer for the first clause that fits one; a clause without an "as" parameter fits only offers without one.
 * NULL, "" and wildcards fit the offer numbered otherwise. -1 when nothing fits. */
int accept_choose(const char *accept, const char *const *offers, size_t count, int otherwise);

#endif
