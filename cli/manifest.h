/*
 * manifest.h - the objects in files: YAML or JSON, several documents, folders, standard input.
 */
#ifndef BERTH_CLI_MANIFEST_H
#define BERTH_CLI_MANIFEST_H

#include "cli/cli.h"

/* Reads "-" (standard input), a file, or a folder's *.yaml, *.yml and *.json in name order, for each path; Lists are
 * taken apart. *ret is an array of objects that have apiVersion, kind and metadata.name. Errors name the file and the
 * document. */
int manifest_read(struct cli *c, const struct option_list *paths, struct json **ret, struct error *e);

#endif
