/* A request's message, taken apart.
 *
 * Owns the reading of what src/wsgi/messages.rs writes behind a message's header: the `marshal` tuple `(body, environ)`, in the few
 * types that src/wsgi/marshal.rs emits. Makes no Python objects and copies nothing: what it finds points into the message.
 */
#ifndef MAITRED_MESSAGE_H
#define MAITRED_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/* As in base/bounds.rs and worker/protocol.py. */
#define MESSAGE_BYTES_MAX (64 * 1024)
#define HEADER_BYTES 16
/* A message has at most FIELDS_MAX (base/bounds.rs) keys made from fields and a dozen others. */
#define PAIRS_MAX 256

/* A text as it lies in the message: ASCII, or UTF-8 if `is_wide`. */
typedef struct {
    const uint8_t *bytes;
    uint32_t length;
    uint32_t is_wide;
} Text;

typedef struct {
    Text key;
    Text value;
} Pair;

typedef enum { BODY_NONE, BODY_INLINE, BODY_SPOOLED } BodyKind;

typedef struct {
    BodyKind body;
    /* BODY_INLINE: the bytes and how many; BODY_SPOOLED: how many there are in the descriptor. */
    const uint8_t *body_bytes;
    uint64_t body_length;
    int is_head;
    uint32_t count;
    Pair pairs[PAIRS_MAX];
} Request;

/* Takes `length` bytes apart. Returns NULL, or what is wrong with them; never reads beyond them. */
const char *request_parse(const uint8_t *bytes, size_t length, Request *request);

#endif
