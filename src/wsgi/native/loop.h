/* The loop of one worker thread and the request that it has in hand.
 *
 * Owns what the other files share: `Loop`, which is made once a thread, and `Exchange`, the `start_response` of one request. The common
 * answers are made here: a list or tuple of bytes behind a well-formed head, together no larger than a message. Everything else
 * goes to Python (worker/native.py, worker/response.py), which is also the reference for what happens here.
 */
#ifndef MAITRED_LOOP_H
#define MAITRED_LOOP_H

#include <stdatomic.h>

#include "environ.h"
#include "message.h"
#include "python.h"

/* As in worker/protocol.py. */
#define PAYLOAD_BYTES_MAX (MESSAGE_BYTES_MAX - HEADER_BYTES)
#define KIND_HEAD 1
#define KIND_LENT 10
#define KIND_WAKE 11
#define FLAG_END 1

/* As in base/bounds.rs. */
#define OUTBOX_BODY_BYTES_MIN (16 * 1024)
#define OUTBOX_SLOT_BYTES (128 * 1024)
#define OUTBOX_SLOTS 16
#define REPLY_RECORDS 31
#define REPLY_RECORD_BYTES 1024
#define REQUEST_RECORDS 64
#define REQUEST_RECORD_BYTES 2048

/* Longest reason phrase that is dealt with here. */
#define REASON_BYTES_MAX 64
/* Bytes that a head may have beside its field lines: a line with the length and one with the reason phrase. */
#define HEAD_EXTRA_BYTES (48 + REASON_BYTES_MAX + 3)
/* Where field lines are put: before them there is room for the header and for those. */
#define FIELDS_AT 192

/* A thread's line in the scoreboard: see worker/scoreboard.py. Others read it at any time. */
typedef struct {
    _Atomic uint64_t token;
    _Atomic uint64_t shard;
    _Atomic uint64_t started_ns;
    _Atomic uint64_t done;
    _Atomic uint32_t pid;
    _Atomic uint32_t state;
    /* Written by the supervisor: the request that is to be interrupted. */
    _Atomic uint64_t interrupt;
    /* Written by the supervisor for the worker's main thread. */
    _Atomic uint64_t life;
    uint64_t unused;
} Slot;
_Static_assert(sizeof(Slot) == 64, "a line of the scoreboard");
_Static_assert(HEADER_BYTES + HEAD_EXTRA_BYTES <= FIELDS_AT, "a head fits before its field lines");

/* The thread's part of the outbox; without a map there is none. */
typedef struct {
    void *map;
    size_t map_bytes;
    /* A bit for each slot that a shard has. */
    _Atomic uint32_t *lent;
    uint8_t *slots;
    /* Where the slots begin in the outbox. */
    uint64_t offset;
    uint64_t generation;
} Outbox;

/* The rings of all threads and shards; without a map there are none. */
typedef struct {
    void *map;
    size_t map_bytes;
    /* Bytes from one shard's rings to those of the next. */
    size_t stride;
    size_t shards;
    size_t line;
} Rings;

/* The request rings of all shards; without a map there are none. */
typedef struct {
    void *map;
    size_t map_bytes;
    size_t shards;
    /* From which of them the next request is taken, if there is one. */
    size_t next;
    uint64_t line;
    uint32_t lines;
    /* An eventfd. */
    int bell;
    /* Somebody has rung, or is about to, while this thread was about to get up anyway. */
    int is_owed;
} Requests;

typedef struct Loop Loop;

/* What the application knows as `start_response`. It outlives its request if the application keeps it; then it is harmless. */
typedef struct {
    PyObject ob_base;
    Loop *loop;
    /* The Python object that has taken over; NULL as long as nothing out of the ordinary has been asked. */
    PyObject *response;
    uint64_t token;
    uint64_t shard;
    int is_head;
    /* 0: start_response() has not been called. */
    int status;
    /* The reason phrase, if it is not OK's; else of no length. */
    size_t reason_bytes;
    uint8_t reason[REASON_BYTES_MAX];
    int has_length;
    uint64_t length;
    /* Bytes of field lines at FIELDS_AT in the loop's buffer, with the empty line. */
    size_t fields;
    int is_over;
} Exchange;

/* Apart from the loop, so that pages which no message reaches are never touched. */
typedef struct {
    Request request;
    uint8_t in[MESSAGE_BYTES_MAX];
    uint8_t out[FIELDS_AT + MESSAGE_BYTES_MAX];
} Buffers;

struct Loop {
    PyObject ob_base;
    int inbox;
    /* An epoll descriptor to wait on, or -1: then the inbox itself is waited for. */
    int idle;
    /* The process has no other thread that serves; then `idle` is the loop's own. */
    int is_alone;
    /* When the inbox was looked at last, and whether there was something. */
    uint64_t looked_ns;
    int had_packet;
    /* When the thread has lined up with those that wait last. */
    uint64_t lined_up_ns;
    /* The rings are looked at before the inbox, however long ago that was. */
    int is_rings_turn;
    /* This is a process that the application has forked. */
    int is_forked;
    int is_running;
    /* Written by other threads too. */
    atomic_int is_leaving;
    Slot *slot;
    void *map;
    size_t map_bytes;
    Outbox outbox;
    Rings rings;
    Requests requests;
    int *replies;
    size_t replies_count;
    PyObject *application;
    PyObject *bytes_io;
    /* "maitred.input_file" */
    PyObject *file_key;
    /* Hooks in worker/native.py. */
    PyObject *make_response, *deliver, *failed, *answer, *refuse, *settle, *open_body, *close_body;
    Environs environs;
    /* The request in hand, whose head may be written to the buffer. Not counted. */
    Exchange *current;
    Buffers *buffers;
};

/* exchange.c */
int exchange_types(PyObject *module);
Exchange *exchange_new(Loop *loop, uint64_t token, uint64_t shard, int is_head);
/* What the application knows as `wsgi.early_hints`. NULL with an exception set. */
PyObject *exchange_hints(Exchange *exchange);
/* The exchange's `Response`, made if need be; borrowed. NULL with an exception set. */
PyObject *exchange_response(Exchange *exchange);

/* head.c: writes the field lines of a well-formed head to the loop's buffer. 0: leave it to Python. Sets no exception. */
int head_write(Exchange *exchange, PyObject *status, PyObject *headers);

/* outbox.c */

/* Maps a thread's line of so many. Returns where the slots of all lines end; 0: it can't be had, which slows answers and nothing else. */
size_t outbox_map(Outbox *outbox, int descriptor, size_t lines, size_t line, uint64_t generation);
void outbox_unmap(Outbox *outbox);
/* A slot that no shard has, which one has from now on; -1: none is free. */
int outbox_take(Outbox *outbox);
/* The slot was not lent after all. */
void outbox_give_back(Outbox *outbox, int slot);

/* rings.c */

/* Maps the rings that lie from `begin` on. 0: there are none. */
int rings_map(Rings *rings, int descriptor, size_t begin, size_t lines, size_t line);
void rings_unmap(Rings *rings);
/* Passes a message to a shard and wakes it through its `socket` if it sleeps. 0: it has to go through the socket. */
int rings_push(Rings *rings, uint64_t shard, int socket, const uint8_t *bytes, size_t length);

/* requests.c */

/* Maps the rings in `descriptor`, with a bell, for the line of a thread out of so many. 0, or -1 with an exception. */
int requests_map(Requests *requests, int descriptor, int bell, size_t lines, size_t line);
void requests_unmap(Requests *requests);
/* Takes a request: notes it in `slot`, and puts what is behind its header into `in`. Returns how much that is; -1: the message has no header. */
#define REQUESTS_NONE (-2)
ssize_t requests_take(Requests *requests, Slot *slot, uint8_t *in);
/* From now on the thread is woken by the bell. 0: there is a request, don't sleep. In either case the thread has to get up again. */
int requests_lie_down(Requests *requests);
/* `is_rung`: the bell was readable. Returns whether the thread has heard it. */
int requests_get_up(Requests *requests, int is_rung);
int requests_has_waiting(const Requests *requests);
/* Whether threads sleep for which nobody has rung. */
int requests_has_sleepers(const Requests *requests);
/* Rings for one of them, if there is any. */
void requests_wake(Requests *requests);

/* reply.c: answers with `result` if it is an ordinary one. 1: sent; 0: leave it to Python; -1: an exception is set. */
int reply_send(Exchange *exchange, PyObject *result);

/* loop.c */
int loop_type(PyObject *module);

#endif
