/*
 * version.c - the version and the commit a program was built from; see base.h. The only file that knows the commit.
 */
#include "commit.h"
#include "lib/base.h"

#include <stdio.h>

void version_print(const char *program)
{
	printf("%s %s (commit %s)\n", program, BERTH_VERSION, BERTH_COMMIT);
}

const char *version_commit(void)
{
	return BERTH_COMMIT;
}
