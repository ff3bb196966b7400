/*
 * lua.h - berth.lua, carried inside the program.
 *
 * Used by haproxy_process.c.
 */
#ifndef BERTH_GATEWAY_LUA_H
#define BERTH_GATEWAY_LUA_H

/* NUL-terminated. */
extern const char gateway_lua[];

#endif
