/*
 * lua.c - embeds berth.lua; see lua.h. gateway.mk names the dependency.
 */
#include "gateway/lua.h"

__asm__(".pushsection .rodata\n"
	".global gateway_lua\n"
	"gateway_lua:\n"
	".incbin \"gateway/berth.lua\"\n"
	".byte 0\n"
	".popsection\n");
