/*
 * yaml.h - YAML documents as JSON values, and JSON values as YAML, with libyaml.
 *
 * Parsing takes the subset that Kubernetes tools write: block and flow collections, plain and quoted scalars with the
 * types of YAML 1.1 as kubectl reads them (yes is true, 017 is 15), anchors and aliases without cycles (which may add
 * 10,000 nodes), merge keys, several documents. Keys are taken as text: 80 is "80". Duplicate keys, collections as
 * keys, custom tags, infinities, input beyond 1 MiB or deeper than json.h allows are errors, with line and column.
 *
 * This file and yaml.c alone know libyaml. Anyone may include this file.
 */
#ifndef BERTH_LIB_YAML_H
#define BERTH_LIB_YAML_H

#include "lib/json.h"

#define YAML_MAX_BYTES (1024U * 1024)

/* *ret becomes a JSON array with one value per non-empty document. Errors: E_BAD_REQUEST, E_TOO_LARGE. */
int yaml_parse(struct arena *a, const char *text, size_t len, struct json **ret, struct error *e);
/* Block style, members in their order, as `kubectl -o yaml` prints. */
void yaml_write(const struct json *v, struct buf *out);

#endif
