/* Reply rings: the way of short answers to a shard, without a call of the kernel unless the shard sleeps. See loop.h; the shard's side and the
 * layout are src/sys/reply_rings.rs.
 *
 * Owns the mapping and, of each ring of its line, the tail. A record counts from the moment when the tail has passed it, so whoever is killed before
 * has said nothing.
 */
#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define PAGE_BYTES 4096
/* Of a ring, with its two counters. */
#define RING_BYTES ((size_t)(REPLY_RECORDS + 1) * REPLY_RECORD_BYTES)
#define LINES_MAX ((PAGE_BYTES - 64) / 8 * 64)
/* How often a shard is tried to be woken while the kernel has no memory for that, a millisecond apart. */
#define WAKE_TRIES 1000

/* A shard's page: whether it sleeps, and from which lines there is something. */
typedef struct {
    /* Odd while it sleeps. */
    _Atomic uint32_t naps;
    uint8_t unused[60];
    _Atomic uint64_t lines[LINES_MAX / 64];
} Bell;
_Static_assert(sizeof(Bell) == PAGE_BYTES, "a bell has a page");

typedef struct {
    _Atomic uint64_t tail;
    uint8_t unused[120];
    _Atomic uint64_t head;
} Ring;
_Static_assert(sizeof(Ring) <= REPLY_RECORD_BYTES, "the counters lie where a record would");

int rings_map(Rings *rings, int descriptor, size_t begin, size_t lines, size_t line) {
    struct stat status;
    if (fstat(descriptor, &status) < 0 || (size_t)status.st_size < begin) return 0;
    size_t bytes = (size_t)status.st_size - begin, stride = PAGE_BYTES + lines * RING_BYTES;
    if (!bytes || bytes % stride || lines > LINES_MAX) return 0;
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, (off_t)begin);
    if (map == MAP_FAILED) return 0;
    *rings = (Rings){.map = map, .map_bytes = bytes, .stride = stride, .shards = bytes / stride, .line = line};
    return 1;
}

void rings_unmap(Rings *rings) {
    if (rings->map) munmap(rings->map, rings->map_bytes);
    rings->map = NULL;
    rings->shards = 0;
}

/* Wakes the shard behind `socket`. A full socket has messages that do. */
static void ring_bell(Bell *bell, uint32_t nap, int socket) {
    static const uint8_t WAKE[HEADER_BYTES] = {[8] = KIND_WAKE};
    for (int tries = 0; send(socket, WAKE, sizeof WAKE, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN; tries++) {
        /* Or the server is gone. Whoever comes next tries it too. */
        if ((errno != ENOBUFS && errno != ENOMEM && errno != EINTR) || tries == WAKE_TRIES) return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    /* Nobody else need wake it from this nap. Not before it is woken: whoever is stopped in between would leave it asleep. */
    atomic_compare_exchange_strong(&bell->naps, &nap, nap + 1);
}

int rings_push(Rings *rings, uint64_t shard, int socket, const uint8_t *bytes, size_t length) {
    if (shard >= rings->shards || length > REPLY_RECORD_BYTES - sizeof(uint32_t)) return 0;
    uint8_t *page = (uint8_t *)rings->map + shard * rings->stride;
    Bell *bell = (Bell *)page;
    Ring *ring = (Ring *)(page + PAGE_BYTES + rings->line * RING_BYTES);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) >= REPLY_RECORDS) return 0;
    uint8_t *record = (uint8_t *)ring + (1 + tail % REPLY_RECORDS) * REPLY_RECORD_BYTES;
    uint32_t count = (uint32_t)length;
    memcpy(record, &count, sizeof count);
    memcpy(record + sizeof count, bytes, length);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    /* In this order, and in the other one at the shard: one of the two sees the other. */
    atomic_fetch_or(&bell->lines[rings->line / 64], UINT64_C(1) << rings->line % 64);
    uint32_t nap = atomic_load(&bell->naps);
    if (nap & 1) ring_bell(bell, nap, socket);
    return 1;
}
