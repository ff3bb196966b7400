/*
 * setup.h - credentials: the CA, certificates, tokens and kubeconfigs of a cluster.
 *
 * Layout of a state folder: pki/ca.{crt,key}, pki/apiserver.{crt,key}, pki/node-client.{crt,key}, tokens.csv,
 * admin.kubeconfig, scheduler.kubeconfig, gateway.kubeconfig. Kubeconfigs are complete in themselves (inline data).
 * Used by main.c.
 */
#ifndef BERTH_APISERVER_SETUP_H
#define BERTH_APISERVER_SETUP_H

#include "lib/options.h"

struct setup {
	const char *state_dir;
	struct option_list addresses; /* IP addresses and DNS names */
	int64_t port;
	const char *server; /* NULL: https://<first address>:<port> */
	const char *out;    /* NULL: for init the state folder */
};

/* Makes what is missing or about to run out; changes nothing else. Serving certificates follow the addresses. */
int setup_init(const struct setup *s, const char *const *args, int nargs, struct error *e);
/* args: "node" or "gateway", and a name. Makes serving.{crt,key}, ca.crt and kubeconfig for a node, kubeconfig and
 * ca.crt for a gateway, in `out`. */
int setup_issue(const struct setup *s, const char *const *args, int nargs, struct error *e);

#endif
