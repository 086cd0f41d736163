/* Request rings: the way of short requests from the shards, without a call of the kernel unless there are none. See loop.h; the shards' side, the layout
 * and the reasons are src/sys/request_rings.rs.
 *
 * Owns the mapping and what this thread owes the bell. A thread that is about to sleep counts itself first and looks once more; whoever puts a request
 * in takes one off that count and rings. Who wakes has either been rung for, and takes that ring, or takes its own count off. Where it has none of either
 * somebody is about to ring for it: then it is counted already when it sleeps next.
 */
#define _GNU_SOURCE
#include "loop.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_BYTES 4096
#define RING_BYTES (PAGE_BYTES + (size_t)REQUEST_RECORDS * REQUEST_RECORD_BYTES)
/* Of a state: who has the record. */
#define OWNER_BITS 16
#define READY UINT64_C(0xffff)
#define LINES_MAX 0xfffd

typedef struct {
    _Atomic uint64_t state;
    uint32_t length;
    uint32_t unused;
    uint8_t message[REQUEST_RECORD_BYTES - 16];
} Record;
_Static_assert(sizeof(Record) == REQUEST_RECORD_BYTES, "a record is as long as the shards think");

typedef struct {
    _Atomic uint64_t head;
    uint8_t unused[PAGE_BYTES - 8];
    Record records[REQUEST_RECORDS];
} Ring;
_Static_assert(sizeof(Ring) == RING_BYTES, "a ring is as long as the shards think");

static _Atomic uint32_t *sleepers(const Requests *requests) { return (_Atomic uint32_t *)requests->map; }

static Ring *ring_of(const Requests *requests, size_t shard) { return (Ring *)((uint8_t *)requests->map + PAGE_BYTES + shard * RING_BYTES); }

int requests_map(Requests *requests, int descriptor, int bell, size_t lines, size_t line) {
    struct stat status;
    if (fstat(descriptor, &status) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    size_t bytes = (size_t)status.st_size;
    if (bytes < PAGE_BYTES || (bytes - PAGE_BYTES) % RING_BYTES || lines > LINES_MAX) {
        PyErr_Format(PyExc_ValueError, "request rings of %zd bytes for %zd threads", (Py_ssize_t)bytes, (Py_ssize_t)lines);
        return -1;
    }
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (map == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    *requests = (Requests){
        .map = map, .map_bytes = bytes, .shards = (bytes - PAGE_BYTES) / RING_BYTES, .bell = bell, .lines = (uint32_t)lines, .line = line};
    return 0;
}

void requests_unmap(Requests *requests) {
    if (requests->map) munmap(requests->map, requests->map_bytes);
    requests->map = NULL;
}

/* The oldest record of a ring that waits, or NULL. `*state` says what it says. */
static Record *oldest(Ring *ring, uint64_t *state) {
    /* As often as others can be faster, but not for ever, should one of them have written nonsense. */
    for (int tries = 0; tries < 16 * REQUEST_RECORDS; tries++) {
        uint64_t head = atomic_load(&ring->head), position = head + REQUEST_RECORDS;
        Record *record = &ring->records[position % REQUEST_RECORDS];
        *state = atomic_load(&record->state);
        uint64_t seen = *state >> OWNER_BITS;
        if (seen == position && (*state & READY) == READY) return record;
        if (seen < position) {
            if (atomic_load(&ring->head) == head) return NULL;
            continue;
        }
        /* Another thread has it, or had it and did not get to say so here. */
        atomic_compare_exchange_strong(&ring->head, &head, head + 1);
    }
    return NULL;
}

ssize_t requests_take(Requests *requests, Slot *slot, uint8_t *in) {
    for (size_t tried = 0; tried < requests->shards; tried++) {
        Ring *ring = ring_of(requests, requests->next);
        requests->next = requests->next + 1 < requests->shards ? requests->next + 1 : 0;
        uint64_t state;
        Record *record;
        while ((record = oldest(ring, &state))) {
            uint64_t position = state & ~READY, head = (state >> OWNER_BITS) - REQUEST_RECORDS;
            if (!atomic_compare_exchange_strong(&record->state, &state, position | (requests->line + 1))) continue;
            atomic_compare_exchange_strong(&ring->head, &head, head + 1);
            uint32_t length = record->length;
            uint64_t header[2];
            memcpy(header, record->message, sizeof header);
            int is_whole = length >= HEADER_BYTES && length <= sizeof record->message;
            if (is_whole) {
                /* In this order: whoever sees the token sees the shard. */
                slot->shard = header[1];
                slot->token = header[0];
                memcpy(in, record->message + HEADER_BYTES, length - HEADER_BYTES);
            }
            /* From here on the scoreboard alone tells of it. */
            atomic_store(&record->state, position);
            return is_whole ? (ssize_t)(length - HEADER_BYTES) : -1;
        }
    }
    return REQUESTS_NONE;
}

int requests_has_waiting(const Requests *requests) {
    uint64_t state;
    for (size_t shard = 0; shard < requests->shards; shard++) {
        if (oldest(ring_of(requests, shard), &state)) return 1;
    }
    return 0;
}

int requests_lie_down(Requests *requests) {
    if (requests->is_owed) {
        requests->is_owed = 0;
    } else {
        /* No more than there are threads: what the dead have left behind grows no further. */
        uint32_t count = atomic_load(sleepers(requests));
        while (count < requests->lines && !atomic_compare_exchange_weak(sleepers(requests), &count, count + 1)) {
        }
    }
    return !requests_has_waiting(requests);
}

/* Takes a ring of the bell, if there is one. */
static int hear(const Requests *requests) {
    uint64_t rings;
    return read(requests->bell, &rings, sizeof rings) == sizeof rings;
}

/* Takes one off the count of those who sleep. 0: there is none. */
static int count_off(Requests *requests) {
    uint32_t count = atomic_load(sleepers(requests));
    while (count) {
        if (atomic_compare_exchange_weak(sleepers(requests), &count, count - 1)) return 1;
    }
    return 0;
}

int requests_get_up(Requests *requests, int is_rung) {
    if (is_rung && hear(requests)) return 1;
    if (count_off(requests)) return 0;
    int is_heard = hear(requests);
    requests->is_owed = !is_heard;
    return is_heard;
}

int requests_has_sleepers(const Requests *requests) { return atomic_load(sleepers(requests)) != 0; }

void requests_wake(Requests *requests) {
    const uint64_t once = 1;
    /* In this order: whoever is killed in between has rung once too often, and not once too little. */
    if (write(requests->bell, &once, sizeof once) == sizeof once) count_off(requests);
}
