/*
 * channel.h - the conversation between the agent and the guest's PID 1 over one virtio-serial port.
 *
 * Frame: u32 length of the rest, u8 type, u32 stream, payload; little-endian; at most CHANNEL_FRAME_MAX bytes in all.
 * Stream 0 is the VM itself, stream 1 the app (the image's entrypoint), streams from 2 on are exec sessions numbered by
 * the agent. A payload of a message with fields is a list of them: u16 key, u32 length, bytes; unknown keys are
 * skipped, so either side may be newer. Raw data messages (OUTPUT, INPUT) carry bytes only.
 *
 * Order: guest sends HELLO; agent sends START once; guest sends STARTED, OUTPUT…, READY / UNREADY, STATS, EXIT. After
 * EXIT of stream 1 the guest waits for START again (restart in place) or POWEROFF. A restarted agent sends ATTACH and
 * the guest answers HELLO with its state. A VM that was suspended gets RESUME first, and answers RESUMED. Flow control:
 * the guest keeps the last 64 KiB of app output while nobody reads; the input of each exec session has a window of
 * CHANNEL_INPUT_WINDOW bytes, its output one when EXEC says so. A START or EXEC that fails is answered with ERROR and
 * then EXIT (CODE 127 not found, 126 not executable, 125 anything else). Exec sessions end with the agent's connection:
 * they get SIGHUP.
 *
 * Neither side trusts the other: a frame that is malformed or too long ends the agent's connection; the guest then
 * drops its input until a new connection, which it may only notice by an ATTACH that comes alone after half a second of
 * silence. So a new agent repeats ATTACH every second, and says nothing else, until HELLO comes. Nothing here
 * allocates. No dependency but libc, because the guest links it statically.
 */
#ifndef BERTH_LIB_CHANNEL_H
#define BERTH_LIB_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNEL_PORT_NAME "dev.berth.0"
#define CHANNEL_FRAME_MAX 65536U
#define CHANNEL_HEADER_SIZE 9U
#define CHANNEL_PAYLOAD_MAX (CHANNEL_FRAME_MAX - CHANNEL_HEADER_SIZE)
/* INPUT of one stream that INPUT_ACK has not answered yet: the agent never sends more. */
#define CHANNEL_INPUT_WINDOW 65536U
/* EXEC sessions at a time in one guest; an EXEC beyond them is answered with ERROR and EXIT. */
#define CHANNEL_EXEC_MAX 64U

enum channel_type {
	/* agent → guest */
	CHANNEL_ATTACH = 1, /* no fields: say HELLO again */
	CHANNEL_START,	    /* stream 1: run the app. ARG…, ENV…, CWD, USER, ADDRESS, GATEWAY, DNS…, HOSTNAME,
			     * VOLUME…, PROBE_*, TIME, ENTROPY */
	CHANNEL_EXEC,	/* stream n: ARG…, ENV… (over the app's), CWD, USER, TTY, COLUMNS, ROWS, STDIN, WINDOW */
	CHANNEL_INPUT,	/* stream n: raw bytes for stdin; an empty payload is end of file */
	CHANNEL_RESIZE, /* stream n: COLUMNS, ROWS */
	CHANNEL_SIGNAL, /* stream n: SIGNAL */
	CHANNEL_STATS_REQUEST,
	CHANNEL_POWEROFF, /* sync, unmount, power off */
	CHANNEL_ACK,	  /* stream n: BYTES more of its OUTPUT were passed on (only when EXEC gave a WINDOW) */
	CHANNEL_RESUME,	  /* the VM stood still and runs again: TIME_NS is what its clock has to say */
	/* guest → agent */
	CHANNEL_HELLO = 64, /* VERSION, BOOT_ID, KERNEL, UPTIME_MS, STATE ("waiting", "running", "exited"), READY, PID;
			       when exited also CODE or SIGNAL, OOM */
	CHANNEL_STARTED,    /* stream n: PID */
	CHANNEL_OUTPUT,	    /* stream n: u8 1 (stdout) or 2 (stderr), then raw bytes */
	CHANNEL_READY,	    /* stream 1: the readiness probe passed: UPTIME_MS */
	CHANNEL_UNREADY,    /* stream 1: it fails now: TEXT */
	CHANNEL_EXIT,	    /* stream n: CODE or SIGNAL, OOM */
	CHANNEL_STATS,	    /* CPU_US, MEMORY_BYTES, DISK_BYTES, NET_RX_BYTES, NET_TX_BYTES, PROCESSES, DROPPED_BYTES */
	CHANNEL_ERROR,	    /* stream n: TEXT; the request on that stream failed */
	CHANNEL_INPUT_ACK,  /* stream n: BYTES more of its INPUT were taken by the process */
	CHANNEL_RESUMED,    /* the clock is set: STATE and READY as in HELLO */
};

enum channel_key {
	CHANNEL_KEY_ARG = 1,
	CHANNEL_KEY_ENV,
	CHANNEL_KEY_CWD,
	CHANNEL_KEY_USER,
	CHANNEL_KEY_TTY,
	CHANNEL_KEY_COLUMNS,
	CHANNEL_KEY_ROWS,
	CHANNEL_KEY_STDIN,
	CHANNEL_KEY_SIGNAL,
	CHANNEL_KEY_ADDRESS /* "10.88.0.5/32" */,
	CHANNEL_KEY_GATEWAY /* "169.254.1.1" */,
	CHANNEL_KEY_DNS,
	CHANNEL_KEY_HOSTNAME,
	CHANNEL_KEY_VOLUME,
	CHANNEL_KEY_PROBE_KIND /* "tcp", "http", "none" */,
	CHANNEL_KEY_PROBE_PORT,
	CHANNEL_KEY_PROBE_PATH,
	CHANNEL_KEY_PROBE_PERIOD_MS,
	CHANNEL_KEY_PROBE_TIMEOUT_MS,
	CHANNEL_KEY_PROBE_FAILURES,
	CHANNEL_KEY_TIME_NS,
	CHANNEL_KEY_ENTROPY,
	CHANNEL_KEY_VERSION,
	CHANNEL_KEY_BOOT_ID,
	CHANNEL_KEY_KERNEL,
	CHANNEL_KEY_UPTIME_MS,
	CHANNEL_KEY_STATE,
	CHANNEL_KEY_READY,
	CHANNEL_KEY_PID,
	CHANNEL_KEY_CODE,
	CHANNEL_KEY_OOM,
	CHANNEL_KEY_TEXT,
	CHANNEL_KEY_CPU_US,
	CHANNEL_KEY_MEMORY_BYTES,
	CHANNEL_KEY_DISK_BYTES,
	CHANNEL_KEY_NET_RX_BYTES,
	CHANNEL_KEY_NET_TX_BYTES,
	CHANNEL_KEY_PROCESSES,
	CHANNEL_KEY_BYTES,
	CHANNEL_KEY_WINDOW,
	CHANNEL_KEY_DROPPED_BYTES,
};

struct channel_frame {
	uint8_t type;
	uint32_t stream;
	const uint8_t *payload;
	size_t payload_len;
};

/* ---- writing into a caller's buffer of CHANNEL_FRAME_MAX bytes ---- */
struct channel_writer {
	uint8_t *out;
	size_t len;
	bool over; /* something did not fit; the frame must not be sent */
};
void channel_begin(struct channel_writer *w, uint8_t *out, uint8_t type, uint32_t stream);
void channel_put(struct channel_writer *w, uint16_t key, const void *data, size_t len);
void channel_put_str(struct channel_writer *w, uint16_t key, const char *s);
void channel_put_u64(struct channel_writer *w, uint16_t key, uint64_t v);
void channel_put_raw(struct channel_writer *w, const void *data, size_t len);
/* Bytes of the whole frame, 0 when it did not fit. */
size_t channel_end(struct channel_writer *w);

/* ---- reading: bytes in, frames out ---- */
struct channel_reader {
	uint8_t buf[CHANNEL_FRAME_MAX];
	size_t len;
	bool broken;
};
/* Room for the next read(2): at least one byte unless broken. */
uint8_t *channel_reader_space(struct channel_reader *r, size_t *ret_room);
void channel_reader_added(struct channel_reader *r, size_t n);
/* 1: *ret is the next frame, valid until channel_reader_drop(); 0: more bytes needed; -1: broken for good. */
int channel_reader_next(struct channel_reader *r, struct channel_frame *ret);
void channel_reader_drop(struct channel_reader *r, const struct channel_frame *f);

/* ---- fields of a frame ---- */
struct channel_field {
	uint16_t key;
	const uint8_t *data;
	size_t len;
};
/* Walks the fields: start with *offset 0; false at the end or when the rest is malformed (*ret_bad true then). */
bool channel_next_field(const struct channel_frame *f, size_t *offset, struct channel_field *ret, bool *ret_bad);
/* The first field of that key as a number / copied as a string (truncated never: false when it does not fit or holds
 * NUL). */
bool channel_get_u64(const struct channel_frame *f, uint16_t key, uint64_t *ret);
bool channel_get_str(const struct channel_frame *f, uint16_t key, char *out, size_t size);

#endif
