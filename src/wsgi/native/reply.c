/* The answer that is one message: head and body, or head and where in the outbox the body lies. See loop.h. */
#include "loop.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Bodies up to here are copied behind their head, larger ones are gathered by the kernel. */
#define COPIED_BYTES_MAX 4096

static const char LENGTH_LINE[] = "Content-Length: ";

/* Puts "Content-Length: N" before the field lines at `at`. Returns where it begins. */
static uint8_t *write_length(uint8_t *at, uint64_t number) {
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number);
    at -= sizeof LENGTH_LINE - 1;
    memcpy(at, LENGTH_LINE, sizeof LENGTH_LINE - 1);
    return at;
}

/* Puts ":REASON" before what begins at `at`. Returns where it begins. */
static uint8_t *write_reason(uint8_t *at, const Exchange *exchange) {
    *--at = '\n';
    *--at = '\r';
    at -= exchange->reason_bytes;
    memcpy(at, exchange->reason, exchange->reason_bytes);
    *--at = ':';
    return at;
}

static void write_header(uint8_t *at, uint64_t token, uint8_t kind, int status, uint32_t fields) {
    uint16_t code = (uint16_t)status;
    memcpy(at, &token, 8);
    at[8] = kind;
    at[9] = FLAG_END;
    memcpy(at + 10, &code, 2);
    memcpy(at + 12, &fields, 4);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "messages are little endian");

/* Sends one packet. 1: sent; 0: it can't be sent, and worker/response.py finds out why; -1: a signal's handler raised. */
static int send_packet(int socket, struct iovec *parts, size_t count) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    /* With room in the socket this takes no longer than letting go of the GIL and getting it back. The plain call costs the kernel less. */
    ssize_t length = count == 1 ? send(socket, parts->iov_base, parts->iov_len, flags) : sendmsg(socket, &message, flags);
    if (length >= 0) return 1;
    while (errno == EAGAIN || errno == EINTR) {
        if (PyErr_CheckSignals() < 0) return -1;
        PyThreadState *state = PyEval_SaveThread();
        ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        int error = errno;
        PyEval_RestoreThread(state);
        if (sent >= 0) return 1;
        errno = error;
    }
    return 0;
}

/* Sends the whole answer, through the ring if it is short. As send_packet(). */
static int send_reply(Exchange *exchange, struct iovec *parts, size_t count) {
    Loop *loop = exchange->loop;
    int socket = loop->replies[exchange->shard];
    exchange->is_over = 1;
    if (count == 1 && rings_push(&loop->rings, exchange->shard, socket, parts->iov_base, parts->iov_len)) return 1;
    int sent = send_packet(socket, parts, count);
    exchange->is_over = sent > 0;
    return sent;
}

typedef struct {
    PyObject *list;
    int is_list;
    Py_ssize_t count;
} Chunks;

/* The chunk at `index`, if it is bytes. */
static PyObject *chunk_at(const Chunks *chunks, Py_ssize_t index, char **bytes, Py_ssize_t *length) {
    PyObject *chunk = chunks->is_list ? PyList_GetItem(chunks->list, index) : PyTuple_GetItem(chunks->list, index);
    if (!is_exactly(chunk, &PyBytes_Type)) return NULL;
    return PyBytes_AsStringAndSize(chunk, bytes, length) < 0 ? NULL : chunk;
}

/* Bytes of all chunks, or SIZE_MAX if they are more than `most` or one of them is not bytes. */
static size_t count_bytes(const Chunks *chunks, size_t most) {
    size_t total = 0;
    char *bytes;
    Py_ssize_t length;
    for (Py_ssize_t index = 0; index < chunks->count; index++) {
        if (!chunk_at(chunks, index, &bytes, &length) || (size_t)length > most - total) return SIZE_MAX;
        total += (size_t)length;
    }
    return total;
}

/* Puts all chunks, which were counted, one behind the other. */
static void copy_chunks(const Chunks *chunks, uint8_t *at) {
    char *bytes;
    Py_ssize_t length;
    for (Py_ssize_t index = 0; index < chunks->count; index++) {
        if (!chunk_at(chunks, index, &bytes, &length)) return;
        memcpy(at, bytes, (size_t)length);
        at += length;
    }
}

/* Sends the head before `end`, to which `fields` points, with a body that a shard finds in `slot`. As reply_send(). */
static int send_lent(Exchange *exchange, int slot, uint8_t *fields, uint8_t *end, uint64_t total) {
    Loop *loop = exchange->loop;
    const uint64_t place[3] = {loop->outbox.generation, loop->outbox.offset + (uint64_t)slot * OUTBOX_SLOT_BYTES, total};
    write_header(fields - HEADER_BYTES, exchange->token, KIND_LENT, exchange->status, (uint32_t)(end - fields));
    memcpy(end, place, sizeof place);
    struct iovec part = {fields - HEADER_BYTES, (size_t)(end - fields) + HEADER_BYTES + sizeof place};
    int sent = send_reply(exchange, &part, 1);
    if (sent <= 0) outbox_give_back(&loop->outbox, slot);
    return sent;
}

int reply_send(Exchange *exchange, PyObject *result) {
    Chunks chunks = {.list = result, .is_list = is_exactly(result, &PyList_Type)};
    if (!exchange->status || (!chunks.is_list && !is_exactly(result, &PyTuple_Type))) return 0;
    Loop *loop = exchange->loop;
    uint8_t *fields = loop->buffers->out + FIELDS_AT, *const body = fields + exchange->fields;
    size_t room = PAYLOAD_BYTES_MAX - HEAD_EXTRA_BYTES - exchange->fields;
    chunks.count = chunks.is_list ? PyList_Size(result) : PyTuple_Size(result);
    size_t total = count_bytes(&chunks, room > OUTBOX_SLOT_BYTES ? room : OUTBOX_SLOT_BYTES);
    if (total == SIZE_MAX) return 0;
    int status = exchange->status, slot = -1;
    int has_body = !exchange->is_head && status != 204 && status != 304;
    if (has_body && total > OUTBOX_BODY_BYTES_MIN && room >= 3 * sizeof(uint64_t)) slot = outbox_take(&loop->outbox);
    if (slot < 0 && total > room) return 0;
    /* RFC 9110 sections 15.3.5, 15.4.5. And no body may mean that the application left it out because of HEAD: then its length is not known. */
    int wants_length = status != 204 && status != 304 && !exchange->has_length && (total || !exchange->is_head);
    if (wants_length) fields = write_length(fields, total);
    if (exchange->reason_bytes) fields = write_reason(fields, exchange);
    if (slot >= 0) {
        copy_chunks(&chunks, loop->outbox.slots + (size_t)slot * OUTBOX_SLOT_BYTES);
        return send_lent(exchange, slot, fields, body, total);
    }
    char *bytes = NULL;
    Py_ssize_t length = 0;
    PyObject *gathered = has_body && chunks.count == 1 && total > COPIED_BYTES_MAX ? chunk_at(&chunks, 0, &bytes, &length) : NULL;
    if (!has_body) total = 0;
    if (total && !gathered) copy_chunks(&chunks, body);
    write_header(fields - HEADER_BYTES, exchange->token, KIND_HEAD, status, (uint32_t)(body - fields));
    struct iovec parts[2] = {{fields - HEADER_BYTES, (size_t)(body - fields) + HEADER_BYTES}, {bytes, total}};
    if (!gathered) parts[0].iov_len += total;
    /* The list, and who holds the exchange, may change in another thread while this one waits for room. */
    Py_IncRef(gathered);
    int sent = send_reply(exchange, parts, gathered ? 2 : 1);
    Py_DecRef(gathered);
    return sent;
}
