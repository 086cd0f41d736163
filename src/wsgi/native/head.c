/* Field lines from the arguments of `start_response`. See loop.h.
 *
 * Takes well-formed heads only. What is refused here is not wrong yet: worker/response.py looks at it again, and says what is.
 */
#include "loop.h"

#include <string.h>

/* Characters of a field name (RFC 9110 section 5.6.2), in upper case for letters; 0 for all others. */
static const uint8_t NAME[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*', ['+'] = '+', ['-'] = '-', ['.'] = '.',
    ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['A'] = 'A', ['B'] = 'B', ['C'] = 'C', ['D'] = 'D', ['E'] = 'E', ['F'] = 'F', ['G'] = 'G', ['H'] = 'H', ['I'] = 'I', ['J'] = 'J',
    ['K'] = 'K', ['L'] = 'L', ['M'] = 'M', ['N'] = 'N', ['O'] = 'O', ['P'] = 'P', ['Q'] = 'Q', ['R'] = 'R', ['S'] = 'S', ['T'] = 'T',
    ['U'] = 'U', ['V'] = 'V', ['W'] = 'W', ['X'] = 'X', ['Y'] = 'Y', ['Z'] = 'Z',
    ['a'] = 'A', ['b'] = 'B', ['c'] = 'C', ['d'] = 'D', ['e'] = 'E', ['f'] = 'F', ['g'] = 'G', ['h'] = 'H', ['i'] = 'I', ['j'] = 'J',
    ['k'] = 'K', ['l'] = 'L', ['m'] = 'M', ['n'] = 'N', ['o'] = 'O', ['p'] = 'P', ['q'] = 'Q', ['r'] = 'R', ['s'] = 'S', ['t'] = 'T',
    ['u'] = 'U', ['v'] = 'V', ['w'] = 'W', ['x'] = 'X', ['y'] = 'Y', ['z'] = 'Z',
};
static const char LENGTH_NAME[] = "CONTENT-LENGTH";
#define LENGTH_NAME_BYTES (sizeof LENGTH_NAME - 1)
/* Digits that fit 64 bits whatever they are. */
#define LENGTH_DIGITS_MAX 19

/* The bytes of a str whose characters are all ASCII, or NULL. */
static const uint8_t *ascii(PyObject *text, size_t *length) {
    Py_ssize_t count;
    if (!is_exactly(text, &PyUnicode_Type)) return NULL;
    const uint8_t *bytes = (const uint8_t *)PyUnicode_AsUTF8AndSize(text, &count);
    if (!bytes) {
        /* A lone surrogate. */
        PyErr_Clear();
        return NULL;
    }
    *length = (size_t)count;
    return bytes;
}

/* Whether a byte may stand in a value or a reason phrase (RFC 9110 section 5.5) and is ASCII. */
static int is_plain(uint8_t byte) { return (byte >= 0x20 && byte < 0x7f) || byte == '\t'; }

/* "200 OK": a final status (RFC 9110 section 15) and its reason phrase, which is noted. 0 if it is no such thing. */
static int read_status(Exchange *exchange, PyObject *text) {
    size_t length;
    const uint8_t *bytes = ascii(text, &length);
    if (!bytes || length < 3 || (length > 3 && bytes[3] != ' ')) return 0;
    int code = 0;
    for (int index = 0; index < 3; index++) {
        if (bytes[index] < '0' || bytes[index] > '9') return 0;
        code = 10 * code + bytes[index] - '0';
    }
    exchange->reason_bytes = 0;
    if (length > 4 && !(length == 6 && memcmp(bytes, "200 OK", 6) == 0)) {
        length -= 4;
        if (length > REASON_BYTES_MAX) return 0;
        for (size_t index = 0; index < length; index++) {
            if (!is_plain(bytes[4 + index])) return 0;
        }
        memcpy(exchange->reason, bytes + 4, length);
        exchange->reason_bytes = length;
    }
    return code < 200 ? 0 : code;
}

/* Copies a name; tells whether it is Content-Length. 0 if it has another character than a name has. */
static int write_name(uint8_t *out, const uint8_t *name, size_t length, int *is_length) {
    int differs = length != LENGTH_NAME_BYTES;
    for (size_t index = 0; index < length; index++) {
        uint8_t upper = NAME[name[index]];
        if (!upper) return 0;
        differs = differs || upper != LENGTH_NAME[index];
        out[index] = name[index];
    }
    *is_length = !differs;
    return length > 0;
}

/* Copies a value. 0 if it has a control character, or is not ASCII. */
static int write_value(uint8_t *out, const uint8_t *value, size_t length) {
    int is_other = 0;
    for (size_t index = 0; index < length; index++) {
        uint8_t byte = value[index];
        is_other |= ((byte < 0x20) & (byte != '\t')) | (byte >= 0x7f);
        out[index] = byte;
    }
    return !is_other;
}

/* One number and nothing else. */
static int read_length(const uint8_t *value, size_t length, uint64_t *number) {
    if (length == 0 || length > LENGTH_DIGITS_MAX) return 0;
    *number = 0;
    for (size_t index = 0; index < length; index++) {
        if (value[index] < '0' || value[index] > '9') return 0;
        *number = 10 * *number + (uint64_t)(value[index] - '0');
    }
    return 1;
}

int head_write(Exchange *exchange, PyObject *status, PyObject *headers) {
    int code = read_status(exchange, status);
    if (!code || !is_exactly(headers, &PyList_Type)) return 0;
    uint8_t *const start = exchange->loop->buffers->out + FIELDS_AT;
    /* Room for the lines that may come to it, and for the empty line. */
    size_t left = PAYLOAD_BYTES_MAX - HEAD_EXTRA_BYTES - 2;
    uint8_t *at = start;
    int has_length = 0;
    Py_ssize_t count = PyList_Size(headers);
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *pair = PyList_GetItem(headers, index);
        if (!is_exactly(pair, &PyTuple_Type) || PyTuple_Size(pair) != 2) return 0;
        size_t name_length = 0, value_length = 0;
        const uint8_t *name = ascii(PyTuple_GetItem(pair, 0), &name_length);
        const uint8_t *value = ascii(PyTuple_GetItem(pair, 1), &value_length);
        if (!name || !value || name_length > left || value_length > left || name_length + value_length + 4 > left) return 0;
        left -= name_length + value_length + 4;
        int is_length;
        if (!write_name(at, name, name_length, &is_length)) return 0;
        if (is_length && (has_length++ || !read_length(value, value_length, &exchange->length))) return 0;
        at += name_length;
        *at++ = ':';
        *at++ = ' ';
        if (!write_value(at, value, value_length)) return 0;
        at += value_length;
        *at++ = '\r';
        *at++ = '\n';
    }
    *at++ = '\r';
    *at++ = '\n';
    exchange->fields = (size_t)(at - start);
    exchange->has_length = has_length;
    exchange->status = code;
    return 1;
}
