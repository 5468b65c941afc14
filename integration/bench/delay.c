/*
 * A cable with a delay between two network namespaces, for kernels without netem: what goes into the
 * device at one end comes out of that at the other so many milliseconds later, in its order.
 *
 *     delay NAMESPACE NAMESPACE DEVICE MILLISECONDS
 *
 * A packet may be 64 KiB long: the devices hand over what the kernel has not yet cut up, with the
 * header that says how (struct virtio_net_hdr). Prints "ready" when both devices are there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_BYTES_MAX (65536 + 64)
/* What may be on its way in one direction; more is lost, as on any cable. */
#define PACKETS_MAX 8192

struct packet {
  long long due_ns;
  size_t length;
  unsigned char *bytes;
};

struct direction {
  int from, to;
  struct packet packets[PACKETS_MAX];
  unsigned first, count;
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int open_device(const char *name_space, const char *device) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", name_space);
  int net = open(path, O_RDONLY | O_CLOEXEC);
  if (net < 0 || setns(net, CLONE_NEWNET) < 0) fail(path);
  close(net);
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) fail("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  if (ioctl(tun, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
  if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0) fail("TUNSETOFFLOAD");
  return tun;
}

/* Takes in what has come. */
static void take_in(struct direction *way, long long delay_ns) {
  static unsigned char lost[PACKET_BYTES_MAX];
  for (;;) {
    int full = way->count == PACKETS_MAX;
    struct packet *packet = &way->packets[(way->first + way->count) % PACKETS_MAX];
    if (!full && packet->bytes == NULL) packet->bytes = malloc(PACKET_BYTES_MAX);
    if (!full && packet->bytes == NULL) fail("malloc");
    ssize_t length = read(way->from, full ? lost : packet->bytes, PACKET_BYTES_MAX);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length < 0) fail("read");
    if (full) continue;
    packet->length = length;
    packet->due_ns = now_ns() + delay_ns;
    way->count++;
  }
}

/* Lets out what is due; returns how long the next has to wait, or -1. */
static long long let_out(struct direction *way) {
  while (way->count > 0) {
    struct packet *packet = &way->packets[way->first];
    long long wait_ns = packet->due_ns - now_ns();
    if (wait_ns > 0) return wait_ns;
    /* What the device does not take is lost. */
    if (write(way->to, packet->bytes, packet->length) < 0 && errno == EBADFD) return -1;
    way->first = (way->first + 1) % PACKETS_MAX;
    way->count--;
  }
  return -1;
}

int main(int count, char **words) {
  static struct direction ways[2];
  if (count != 5) {
    fprintf(stderr, "usage: delay NAMESPACE NAMESPACE DEVICE MILLISECONDS\n");
    return 2;
  }
  long long delay_ns = atof(words[4]) * 1e6;
  ways[0].from = ways[1].to = open_device(words[1], words[3]);
  ways[1].from = ways[0].to = open_device(words[2], words[3]);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    long long wait_ns = -1;
    for (int index = 0; index < 2; index++) {
      take_in(&ways[index], delay_ns);
      long long next_ns = let_out(&ways[index]);
      if (next_ns >= 0 && (wait_ns < 0 || next_ns < wait_ns)) wait_ns = next_ns;
    }
    struct pollfd ends[2] = {{ways[0].from, POLLIN, 0}, {ways[1].from, POLLIN, 0}};
    struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
    if (ppoll(ends, 2, wait_ns < 0 ? NULL : &wait, NULL) < 0 && errno != EINTR) fail("ppoll");
  }
}
