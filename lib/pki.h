/*
 * pki.h - a certificate authority, serving and client certificates, tokens; made with OpenSSL.
 *
 * Keys are ECDSA P-256, files are PEM, private ones mode 0600, written atomically. Used by the apiserver's `init` and
 * `issue` commands.
 */
#ifndef BERTH_LIB_PKI_H
#define BERTH_LIB_PKI_H

#include "lib/error.h"

/* Makes <dir>/ca.crt and <dir>/ca.key unless both exist. valid_days: 3650 for a CA. */
int pki_ca_ensure(const char *dir, const char *common_name, int valid_days, struct error *e);

struct pki_request {
	const char *common_name;  /* user name, or the server's name */
	const char *organization; /* group, NULL for none */
	const char *const *hosts; /* NULL-terminated DNS names and IP addresses for a serving certificate, or NULL */
	bool server, client;	  /* extended key usages */
	int valid_days;
};
/* Makes <dir>/<name>.crt and <name>.key signed by the CA in ca_dir; replaces them. */
int pki_issue(const char *ca_dir, const char *dir, const char *name, const struct pki_request *req, struct error *e);
/* True if the certificate exists, chains to the CA, and stays valid for at least min_days. */
bool pki_is_current(const char *ca_dir, const char *dir, const char *name, int min_days);
/* 256 random bits, base64url. */
void pki_token(char out[48]);

#endif
