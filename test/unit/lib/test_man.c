/*
 * test_man.c - option tables as manual pages.
 */
#include "lib/man.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct option_spec options[] = {
	{"state-dir", 's', OPT_STRING, NULL, "DIR", "Where \\things are - all of them"},
	{"verbose", 0, OPT_BOOL, NULL, NULL, ".dots and 'quotes'"},
	{0},
};

static void test_a_page(void **state)
{
	_buf_ out = BUF_INIT(MAN_PAGE_MAX);

	(void)state;
	man_begin(&out, "berth-x", 8, "[flags]", "Does x.\n\n  first\n  second\n\n");
	man_section(&out, "OPTIONS", NULL);
	man_options(&out, options);
	assert_string_equal(out.data, ".TH BERTH-X 8 " BERTH_RELEASED " \"berth " BERTH_VERSION "\" Berth\n"
				      ".SH NAME\nberth\\-x \\- does x\n"
				      ".SH SYNOPSIS\n.B berth\\-x\n[flags]\n"
				      ".SH DESCRIPTION\nDoes x.\n.PP\nfirst\n.br\nsecond\n"
				      ".SH OPTIONS\n"
				      ".TP\n\\fB\\-s\\fR, \\fB\\-\\-state\\-dir\\fR \\fIDIR\\fR\n"
				      "Where \\ethings are \\- all of them\n"
				      ".TP\n\\fB\\-\\-verbose\\fR\n"
				      "\\&.dots and 'quotes'\n");
	assert_false(out.over);
}

static void test_a_command(void **state)
{
	_buf_ out = BUF_INIT(MAN_PAGE_MAX);

	(void)state;
	man_command(&out, "berth-x stop [flags]", "'Ends it.", NULL);
	assert_string_equal(out.data, ".SS \"berth\\-x stop [flags]\"\n\\&'Ends it.\n");
}

static void test_what_asks_for_it(void **state)
{
	(void)state;
	assert_true(man_wanted(2, (char *[]){"x", "--man", NULL}));
	assert_false(man_wanted(3, (char *[]){"x", "--man", "y", NULL}));
	assert_false(man_wanted(1, (char *[]){"x", NULL}));
	assert_false(man_wanted(2, (char *[]){"x", "--manual", NULL}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_page),
		cmocka_unit_test(test_a_command),
		cmocka_unit_test(test_what_asks_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
