/*
 * Loads one iSCSI LUN with a fixed number of outstanding commands, and prints what came of it as one
 * line of JSON. One client for every server, so that only the servers differ.
 *
 *     load URL randread|randwrite|seqread|seqwrite|fill BLOCK_BYTES QUEUE_DEPTH SECONDS SEED
 *
 * fill writes the whole LUN once, in order; the others run for SECONDS and wrap at the end.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#define LATENCY_SAMPLES (1u << 22)
#define QUEUE_DEPTH_MAX 256

struct load {
	struct iscsi_context *iscsi;
	int lun;
	bool writing, sequential, once;
	uint32_t sector_bytes, block_bytes;
	uint64_t blocks, next_block, random_state;
	double deadline;
	unsigned outstanding;
	uint64_t operations;
	uint32_t *latency_us;
};

/* One of the outstanding commands, with the buffer that its data come from or go to. */
struct slot {
	struct load *load;
	unsigned char *buffer;
	double started;
};

static double now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(struct load *load, const char *what) {
	const char *reason = load->iscsi ? iscsi_get_error(load->iscsi) : "";
	fprintf(stderr, "load: %s: %s\n", what, reason);
	exit(1);
}

/* xorshift64*, which is plenty for choosing blocks. */
static uint64_t random_number(struct load *load) {
	load->random_state ^= load->random_state >> 12;
	load->random_state ^= load->random_state << 25;
	load->random_state ^= load->random_state >> 27;
	return load->random_state * 0x2545F4914F6CDD1DULL;
}

static uint64_t choose_block(struct load *load) {
	if (!load->sequential) return random_number(load) % load->blocks;
	uint64_t block = load->next_block++;
	if (load->next_block == load->blocks && !load->once) load->next_block = 0;
	return block;
}

static bool is_over(const struct load *load) {
	return load->once ? load->next_block == load->blocks : now() >= load->deadline;
}

static void start_command(struct slot *slot);

static void command_done(struct iscsi_context *iscsi, int status, void *data, void *private_data) {
	struct slot *slot = private_data;
	struct load *load = slot->load;
	(void)iscsi;
	if (status != SCSI_STATUS_GOOD) fail(load, "a command failed");
	scsi_free_scsi_task(data);
	double microseconds = (now() - slot->started) * 1e6;
	load->latency_us[load->operations % LATENCY_SAMPLES] = (uint32_t)microseconds;
	load->operations++;
	load->outstanding--;
	if (!is_over(load)) start_command(slot);
}

static void start_command(struct slot *slot) {
	struct load *load = slot->load;
	uint32_t length = load->block_bytes;
	uint64_t lba = choose_block(load) * (length / load->sector_bytes);
	struct scsi_task *task;
	slot->started = now();
	load->outstanding++;
	if (load->writing) {
		task = iscsi_write16_task(load->iscsi, load->lun, lba, slot->buffer, length,
			load->sector_bytes, 0, 0, 0, 0, 0, command_done, slot);
	} else {
		task = iscsi_read16_task(load->iscsi, load->lun, lba, length, load->sector_bytes,
			0, 0, 0, 0, 0, command_done, slot);
		if (task) scsi_task_add_data_in_buffer(task, (int)length, slot->buffer);
	}
	if (!task) fail(load, "cannot queue a command");
}

static void log_in(struct load *load, const char *text) {
	struct iscsi_context *iscsi = iscsi_create_context("iqn.2026-11.org.platter:load");
	load->iscsi = iscsi;
	if (!iscsi) fail(load, "cannot make a context");
	struct iscsi_url *url = iscsi_parse_full_url(iscsi, text);
	if (!url) fail(load, "bad URL");
	iscsi_set_targetname(iscsi, url->target);
	iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
	iscsi_set_header_digest(iscsi, ISCSI_HEADER_DIGEST_NONE);
	iscsi_set_noautoreconnect(iscsi, 1);
	if (iscsi_full_connect_sync(iscsi, url->portal, url->lun) != 0) fail(load, "cannot log in");
	int on = 1;
	setsockopt(iscsi_get_fd(iscsi), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	load->lun = url->lun;
	iscsi_destroy_url(url);
}

static void read_capacity(struct load *load) {
	struct scsi_task *task = iscsi_readcapacity16_sync(load->iscsi, load->lun);
	if (!task || task->status != SCSI_STATUS_GOOD) fail(load, "READ CAPACITY(16)");
	struct scsi_readcapacity16 *capacity = scsi_datain_unmarshall(task);
	if (!capacity) fail(load, "READ CAPACITY(16) answer");
	load->sector_bytes = capacity->block_length;
	load->blocks = (capacity->returned_lba + 1) / (load->block_bytes / load->sector_bytes);
	scsi_free_scsi_task(task);
}

static int compare(const void *left, const void *right) {
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	return a < b ? -1 : a > b;
}

static void report(struct load *load, double seconds) {
	uint64_t samples = load->operations < LATENCY_SAMPLES ? load->operations : LATENCY_SAMPLES;
	qsort(load->latency_us, samples, sizeof *load->latency_us, compare);
	printf("{\"operations\":%" PRIu64 ",\"seconds\":%.6f,\"bytes\":%" PRIu64
		",\"p50Us\":%" PRIu32 ",\"p99Us\":%" PRIu32 "}\n",
		load->operations, seconds, load->operations * load->block_bytes,
		load->latency_us[samples / 2], load->latency_us[samples * 99 / 100]);
}

/*
 * libiscsi sends header and data of each command apart. Corked, all commands that are due leave in as few
 * segments as they fit in: otherwise sending alone keeps a processor busy below 80,000 writes a second.
 */
static void service(struct load *load, int socket, int events) {
	bool sending = events & POLLOUT;
	int cork = 1;
	if (sending) setsockopt(socket, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork);
	if (iscsi_service(load->iscsi, events) != 0) fail(load, "connection lost");
	cork = 0;
	if (sending) setsockopt(socket, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork);
}

static void run(struct load *load, unsigned queue_depth) {
	static struct slot slots[QUEUE_DEPTH_MAX];
	for (unsigned i = 0; i < queue_depth && !is_over(load); i++) {
		slots[i].load = load;
		slots[i].buffer = malloc(load->block_bytes);
		if (!slots[i].buffer) fail(load, "out of memory");
		for (uint32_t at = 0; at < load->block_bytes; at++) {
			slots[i].buffer[at] = (unsigned char)random_number(load);
		}
		start_command(&slots[i]);
	}
	while (load->outstanding > 0) {
		struct pollfd descriptor = {
			.fd = iscsi_get_fd(load->iscsi),
			.events = (short)iscsi_which_events(load->iscsi),
		};
		if (poll(&descriptor, 1, 10000) == 0) fail(load, "no answer for 10 s");
		service(load, descriptor.fd, descriptor.revents);
	}
}

int main(int count, char **arguments) {
	static struct load load;
	if (count != 7) {
		fprintf(stderr, "usage: load URL MODE BLOCK_BYTES QUEUE_DEPTH SECONDS SEED\n");
		return 2;
	}
	const char *mode = arguments[2];
	unsigned queue_depth = (unsigned)atoi(arguments[4]);
	load.block_bytes = (uint32_t)atoi(arguments[3]);
	load.once = strcmp(mode, "fill") == 0;
	load.sequential = load.once || strncmp(mode, "seq", 3) == 0;
	load.writing = load.once || strstr(mode, "write") != NULL;
	load.random_state = strtoull(arguments[6], NULL, 10) * 2 + 1;
	load.latency_us = calloc(LATENCY_SAMPLES, sizeof *load.latency_us);
	if (queue_depth < 1 || queue_depth > QUEUE_DEPTH_MAX) fail(&load, "bad queue depth");
	if (load.block_bytes == 0 || !load.latency_us) fail(&load, "bad block size");
	log_in(&load, arguments[1]);
	read_capacity(&load);
	double started = now();
	load.deadline = started + atof(arguments[5]);
	run(&load, queue_depth);
	double seconds = now() - started;
	iscsi_logout_sync(load.iscsi);
	report(&load, seconds);
	return 0;
}
