/*
 * cmd_apply.c - berthctl apply: server-side apply of manifests, field manager "berthctl".
 */
#include "cli/apply.h"
#include "cli/manifest.h"

static struct {
	struct option_list files;
	bool force, dry_run;
} opt;

const struct option_spec cmd_apply_options[] = {
	{"filename", 'f', OPT_LIST, &opt.files, "FILE", "File, folder, or - for standard input (may be repeated)"},
	{"force-conflicts", 0, OPT_BOOL, &opt.force, NULL, "Take over fields that another manager set"},
	{"dry-run", 0, OPT_BOOL, &opt.dry_run, NULL, "Let the server check, but store nothing"},
	{0},
};

int cmd_apply(struct cli *c, int argc, char **argv, struct error *e)
{
	const char **args;
	struct json *objects;
	int n, r = cli_parse(c, "apply", false, argc, argv, &args, &n, e);

	if (!r)
		r = cli_want_args("apply", n, 0, 0, e);
	if (!r && !opt.files.count)
		r = error_set(e, E_BAD_REQUEST, "say what to apply: berthctl apply -f FILE");
	if (!r)
		r = manifest_read(c, &opt.files, &objects, e);
	if (!r)
		r = cli_connect(c, e);
	for (size_t i = 0; !r && i < json_count(objects); i++)
		r = apply_object(c, json_item(objects, i),
				 &(struct apply_options){.force = opt.force, .dry_run = opt.dry_run}, NULL, e);
	return r;
}
