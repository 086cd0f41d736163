/* A request's environ as a dict.
 *
 * Owns the memory of the last environs' shapes. Clients that stay send the same keys again and again, and mostly the same values:
 * so a new environ is a copy of a dict that was made before, in which only what differs is set. Nothing of what one
 * request may hide from another can be seen through it: every key of the message is compared or set, and there are no others.
 */
#ifndef MAITRED_ENVIRON_H
#define MAITRED_ENVIRON_H

#include "message.h"
#include "python.h"

/* Shapes remembered by one thread. */
#define SHAPES_MAX 4
/* Longest value that is remembered, bytes. */
#define REMEMBERED_BYTES_MAX 256
/* A value that differed so often in a row is remembered in place of the old one. */
#define DIFFERENCES_MAX 16

/* One key of a shape and its value in the shape's dict. */
typedef struct {
    PyObject *key;
    uint32_t key_at;
    uint32_t key_length;
    uint32_t key_is_wide;
    uint32_t value_length;
    uint32_t value_is_wide;
    uint16_t is_remembered;
    uint16_t differences;
    uint8_t value[REMEMBERED_BYTES_MAX];
} Remembered;

typedef struct {
    /* Constants, `wsgi.input`, `wsgi.early_hints` and the shape's keys; those that are not remembered have None. NULL: no shape. */
    PyObject *dict;
    uint8_t *keys;
    uint32_t count;
    Remembered *pairs;
} Shape;

typedef struct {
    /* What is the same for all requests, and the keys of what is never remembered. */
    PyObject *constants;
    PyObject *input_key, *hints_key;
    Shape shapes[SHAPES_MAX];
    uint32_t latest;
    uint32_t oldest;
    /* How the last environ of an unknown shape looked: a shape is remembered when it comes the second time. */
    uint64_t stranger;
} Environs;

/* Takes a reference to `constants`. Returns -1 with an exception set. */
int environs_begin(Environs *environs, PyObject *constants);
/* Lets go of everything. Harmless when repeated. */
void environs_end(Environs *environs);
int environs_visit(Environs *environs, visitproc visit, void *arg);

/* The environ of a request with `input`, the body, and `hints`, `wsgi.early_hints`. NULL with an exception set. */
PyObject *environs_make(Environs *environs, const Request *request, PyObject *input, PyObject *hints);

#endif
