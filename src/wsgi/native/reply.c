/* The answer that is one message: head and body. See loop.h. */
#include "loop.h"

#include <errno.h>
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

static void write_header(uint8_t *at, uint64_t token, int status, uint32_t fields) {
    uint16_t code = (uint16_t)status;
    memcpy(at, &token, 8);
    at[8] = KIND_HEAD;
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

/* The chunk at `index`, if it is bytes. */
static PyObject *chunk_at(PyObject *chunks, int is_list, Py_ssize_t index, char **bytes, Py_ssize_t *length) {
    PyObject *chunk = is_list ? PyList_GetItem(chunks, index) : PyTuple_GetItem(chunks, index);
    if (!is_exactly(chunk, &PyBytes_Type)) return NULL;
    return PyBytes_AsStringAndSize(chunk, bytes, length) < 0 ? NULL : chunk;
}

int reply_send(Exchange *exchange, PyObject *result) {
    int is_list = is_exactly(result, &PyList_Type);
    if (!exchange->status || (!is_list && !is_exactly(result, &PyTuple_Type))) return 0;
    Loop *loop = exchange->loop;
    uint8_t *const body = loop->buffers->out + FIELDS_AT + exchange->fields;
    size_t room = PAYLOAD_BYTES_MAX - HEAD_EXTRA_BYTES - exchange->fields, total = 0;
    Py_ssize_t count = is_list ? PyList_Size(result) : PyTuple_Size(result);
    PyObject *gathered = NULL;
    char *bytes = NULL;
    Py_ssize_t length;
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *chunk = chunk_at(result, is_list, index, &bytes, &length);
        if (!chunk || (size_t)length > room - total) return 0;
        if (count == 1 && length > COPIED_BYTES_MAX) {
            gathered = chunk;
        } else {
            memcpy(body + total, bytes, (size_t)length);
        }
        total += (size_t)length;
    }
    uint8_t *fields = loop->buffers->out + FIELDS_AT;
    int status = exchange->status;
    if (status == 204 || status == 304) {
        /* RFC 9110 sections 15.3.5, 15.4.5. */
        total = 0;
    } else {
        /* No body may mean that the application left it out because of HEAD: then its length is not known. */
        if (!exchange->has_length && (total || !exchange->is_head)) fields = write_length(fields, total);
        if (exchange->is_head) total = 0;
    }
    if (exchange->reason_bytes) fields = write_reason(fields, exchange);
    write_header(fields - HEADER_BYTES, exchange->token, status, (uint32_t)(body - fields));
    struct iovec parts[2] = {{fields - HEADER_BYTES, (size_t)(body - fields) + HEADER_BYTES}, {bytes, total}};
    int is_one = !gathered || !total;
    if (is_one) parts[0].iov_len += total;
    /* The list, and who holds the exchange, may change in another thread while this one waits for room. */
    Py_IncRef(gathered);
    exchange->is_over = 1;
    int sent = send_packet(loop->replies[exchange->shard], parts, is_one ? 1 : 2);
    exchange->is_over = sent > 0;
    Py_DecRef(gathered);
    return sent;
}
