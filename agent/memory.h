/*
 * memory.h - keeps what the process holds resident near what it uses.
 *
 * libvirt's client brings some seventy libraries whose start-up code, read once, would stay mapped for ever.
 */
#ifndef BERTH_AGENT_MEMORY_H
#define BERTH_AGENT_MEMORY_H

/* Gives back free heap, and lets go of clean pages of program files; what is needed comes back from the page cache. */
void memory_trim(void);

#endif
