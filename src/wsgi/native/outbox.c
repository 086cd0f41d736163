/* The thread's slots in the outbox, through which bodies go that are large and whole. See loop.h; the server's side is src/sys/outbox.rs.
 *
 * Owns the two mappings: the words of all threads, of which this one writes its own, and the slots of this thread.
 */
#include "loop.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define WORD_BYTES 64
#define PAGE_BYTES 4096
#define LINE_BYTES ((size_t)OUTBOX_SLOTS * OUTBOX_SLOT_BYTES)

size_t outbox_map(Outbox *outbox, int descriptor, size_t lines, size_t line, uint64_t generation) {
    size_t words = (lines * WORD_BYTES + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    struct stat status;
    /* Of another layout: messages do. */
    if (fstat(descriptor, &status) < 0 || line >= lines || (size_t)status.st_size < words + lines * LINE_BYTES) return 0;
    void *map = mmap(NULL, words, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (map == MAP_FAILED) return 0;
    outbox->offset = words + line * LINE_BYTES;
    void *slots = mmap(NULL, LINE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, (off_t)outbox->offset);
    if (slots == MAP_FAILED) {
        munmap(map, words);
        return 0;
    }
    outbox->map = map;
    outbox->map_bytes = words;
    outbox->lent = (_Atomic uint32_t *)((uint8_t *)map + line * WORD_BYTES);
    outbox->slots = slots;
    outbox->generation = generation;
    return words + lines * LINE_BYTES;
}

void outbox_unmap(Outbox *outbox) {
    if (!outbox->map) return;
    munmap(outbox->slots, LINE_BYTES);
    munmap(outbox->map, outbox->map_bytes);
    outbox->map = NULL;
}

int outbox_take(Outbox *outbox) {
    if (!outbox->map) return -1;
    uint32_t lent = atomic_load_explicit(outbox->lent, memory_order_acquire);
    for (int slot = 0; slot < OUTBOX_SLOTS; slot++) {
        if (lent & 1u << slot) continue;
        atomic_fetch_or_explicit(outbox->lent, 1u << slot, memory_order_relaxed);
        return slot;
    }
    return -1;
}

void outbox_give_back(Outbox *outbox, int slot) { atomic_fetch_and(outbox->lent, ~(1u << slot)); }
