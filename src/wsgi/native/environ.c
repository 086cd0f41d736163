/* Makes environs. See environ.h. */
#include "environ.h"

#include <stdlib.h>
#include <string.h>

/* Keys of the server's own and of fields that most clients send. They are interned, as they are in the application's code, so that
 * looking them up compares pointers. Names that a client makes up never are: what is interned may stay for ever. */
static const char *const WELL_KNOWN[] = {
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT",
    "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_USER_AGENT",
    "HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE", "HTTP_AUTHORIZATION", "HTTP_CACHE_CONTROL", "HTTP_CONNECTION",
    "HTTP_COOKIE", "HTTP_DNT", "HTTP_FORWARDED", "HTTP_IF_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_ORIGIN",
    "HTTP_PRAGMA", "HTTP_PRIORITY", "HTTP_RANGE", "HTTP_REFERER", "HTTP_SEC_CH_UA", "HTTP_SEC_CH_UA_MOBILE",
    "HTTP_SEC_CH_UA_PLATFORM", "HTTP_SEC_FETCH_DEST", "HTTP_SEC_FETCH_MODE", "HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_USER",
    "HTTP_UPGRADE_INSECURE_REQUESTS", "HTTP_VIA", "HTTP_X_CSRFTOKEN", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO", "HTTP_X_REAL_IP", "HTTP_X_REQUESTED_WITH", "HTTP_X_REQUEST_ID",
};

/* Values that are nobody's business once their request is over. */
static const char *const SECRET[] = {"HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_PROXY_AUTHORIZATION", "HTTP_X_CSRFTOKEN"};

static int is_among(const Text *text, const char *const *names, size_t count) {
    for (size_t index = 0; index < count; index++) {
        if (strlen(names[index]) == text->length && memcmp(names[index], text->bytes, text->length) == 0) return (int)index;
    }
    return -1;
}

static PyObject *make_text(const Text *text) {
    const char *bytes = (const char *)text->bytes;
    if (text->is_wide) return PyUnicode_DecodeUTF8(bytes, text->length, NULL);
    return PyUnicode_DecodeLatin1(bytes, text->length, NULL);
}

static PyObject *make_key(const Text *text) {
    int known = is_among(text, WELL_KNOWN, sizeof WELL_KNOWN / sizeof *WELL_KNOWN);
    return known < 0 ? make_text(text) : PyUnicode_InternFromString(WELL_KNOWN[known]);
}

/* Sets `key` to `text` in `dict`. */
static int set_text(PyObject *dict, PyObject *key, const Text *text) {
    PyObject *value = make_text(text);
    if (!value) return -1;
    int result = PyDict_SetItem(dict, key, value);
    Py_DecRef(value);
    return result;
}

int environs_begin(Environs *environs, PyObject *constants) {
    memset(environs, 0, sizeof *environs);
    environs->input_key = PyUnicode_InternFromString("wsgi.input");
    environs->hints_key = PyUnicode_InternFromString("wsgi.early_hints");
    if (!environs->input_key || !environs->hints_key) return -1;
    Py_IncRef(constants);
    environs->constants = constants;
    return 0;
}

static void shape_end(Shape *shape) {
    for (uint32_t index = 0; index < shape->count; index++) CLEAR(shape->pairs[index].key);
    CLEAR(shape->dict);
    free(shape->pairs);
    free(shape->keys);
    memset(shape, 0, sizeof *shape);
}

void environs_end(Environs *environs) {
    for (int index = 0; index < SHAPES_MAX; index++) shape_end(&environs->shapes[index]);
    CLEAR(environs->constants);
    CLEAR(environs->input_key);
    CLEAR(environs->hints_key);
}

int environs_visit(Environs *environs, visitproc visit, void *arg) {
    VISIT(environs->constants);
    for (int index = 0; index < SHAPES_MAX; index++) VISIT(environs->shapes[index].dict);
    return 0;
}

static int shape_fits(const Shape *shape, const Request *request) {
    if (!shape->dict || shape->count != request->count) return 0;
    for (uint32_t index = 0; index < shape->count; index++) {
        const Remembered *mine = &shape->pairs[index];
        const Text *key = &request->pairs[index].key;
        if (key->length != mine->key_length || key->is_wide != mine->key_is_wide ||
            memcmp(key->bytes, shape->keys + mine->key_at, key->length) != 0) {
            return 0;
        }
    }
    return 1;
}

static Shape *find_shape(Environs *environs, const Request *request) {
    for (uint32_t offset = 0; offset < SHAPES_MAX; offset++) {
        uint32_t index = (environs->latest + offset) % SHAPES_MAX;
        if (shape_fits(&environs->shapes[index], request)) {
            environs->latest = index;
            return &environs->shapes[index];
        }
    }
    return NULL;
}

/* Remembers `text`, which is `value`, as what `pair` has. */
static int remember(Shape *shape, Remembered *pair, const Text *text, PyObject *value) {
    if (PyDict_SetItem(shape->dict, pair->key, value) < 0) return -1;
    memcpy(pair->value, text->bytes, text->length);
    pair->value_length = text->length;
    pair->value_is_wide = text->is_wide;
    pair->differences = 0;
    return 0;
}

/* Sets what each request has of its own. */
static int set_own(Environs *environs, PyObject *environ, PyObject *input, PyObject *hints) {
    if (PyDict_SetItem(environ, environs->input_key, input) < 0) return -1;
    return PyDict_SetItem(environ, environs->hints_key, hints);
}

/* The environ of a request whose keys are those of `shape`. */
static PyObject *make_from(Environs *environs, Shape *shape, const Request *request, PyObject *input, PyObject *hints) {
    PyObject *environ = PyDict_Copy(shape->dict);
    if (!environ) return NULL;
    for (uint32_t index = 0; index < request->count; index++) {
        Remembered *pair = &shape->pairs[index];
        const Text *text = &request->pairs[index].value;
        if (pair->is_remembered && text->length == pair->value_length && text->is_wide == pair->value_is_wide &&
            memcmp(text->bytes, pair->value, text->length) == 0) {
            pair->differences = 0;
            continue;
        }
        PyObject *value = make_text(text);
        if (!value) goto failed;
        int result = PyDict_SetItem(environ, pair->key, value);
        if (result == 0 && pair->is_remembered && ++pair->differences >= DIFFERENCES_MAX &&
            text->length <= REMEMBERED_BYTES_MAX) {
            result = remember(shape, pair, text, value);
        }
        Py_DecRef(value);
        if (result < 0) goto failed;
    }
    if (set_own(environs, environ, input, hints) == 0) return environ;
failed:
    Py_DecRef(environ);
    return NULL;
}

/* Fills the empty `shape` with the keys and values of `request`. Returns 1, 0 if its keys are not each one of their own, or -1. */
static int learn(Environs *environs, Shape *shape, const Request *request) {
    size_t key_bytes = 0;
    for (uint32_t index = 0; index < request->count; index++) key_bytes += request->pairs[index].key.length;
    shape->keys = malloc(key_bytes + 1);
    shape->pairs = calloc(request->count, sizeof *shape->pairs);
    if (!shape->keys || !shape->pairs) {
        PyErr_NoMemory();
        return -1;
    }
    shape->dict = PyDict_Copy(environs->constants);
    if (!shape->dict || set_own(environs, shape->dict, Py_None, Py_None) < 0) return -1;
    Py_ssize_t others = PyDict_Size(shape->dict);
    uint32_t at = 0;
    for (uint32_t index = 0; index < request->count; index++) {
        Remembered *pair = &shape->pairs[index];
        const Text *key = &request->pairs[index].key, *text = &request->pairs[index].value;
        memcpy(shape->keys + at, key->bytes, key->length);
        pair->key_at = at;
        pair->key_length = key->length;
        pair->key_is_wide = key->is_wide;
        at += key->length;
        pair->key = make_key(key);
        if (!pair->key) return -1;
        shape->count = index + 1;
        pair->is_remembered = is_among(key, SECRET, sizeof SECRET / sizeof *SECRET) < 0;
        if (pair->is_remembered && text->length <= REMEMBERED_BYTES_MAX) {
            PyObject *value = make_text(text);
            if (!value) return -1;
            int result = remember(shape, pair, text, value);
            Py_DecRef(value);
            if (result < 0) return -1;
        } else {
            /* Longer than anything that could be equal to it. */
            pair->value_length = UINT32_MAX;
            if (PyDict_SetItem(shape->dict, pair->key, Py_None) < 0) return -1;
        }
    }
    /* Of two equal keys the last counts, and a constant counts more than either: not for a dict in which each has its place. */
    return PyDict_Size(shape->dict) == others + (Py_ssize_t)request->count;
}

/* Remembers the shape of `request` if it is the one that came last, too. */
static int notice(Environs *environs, const Request *request) {
    uint64_t look = request->count;
    for (uint32_t index = 0; index < request->count; index++) {
        const Text *key = &request->pairs[index].key;
        for (uint32_t at = 0; at < key->length; at++) look = (look ^ key->bytes[at]) * 0x100000001b3;
        look = (look ^ 0xff) * 0x100000001b3;
    }
    if (look != environs->stranger) {
        environs->stranger = look;
        return 0;
    }
    Shape *shape = &environs->shapes[environs->oldest];
    shape_end(shape);
    int result = learn(environs, shape, request);
    if (result <= 0) {
        shape_end(shape);
        return result;
    }
    environs->latest = environs->oldest;
    environs->oldest = (environs->oldest + 1) % SHAPES_MAX;
    return 0;
}

PyObject *environs_make(Environs *environs, const Request *request, PyObject *input, PyObject *hints) {
    Shape *shape = find_shape(environs, request);
    if (shape) return make_from(environs, shape, request, input, hints);
    PyObject *environ = PyDict_New();
    if (!environ) return NULL;
    for (uint32_t index = 0; index < request->count; index++) {
        PyObject *key = make_key(&request->pairs[index].key);
        int result = key ? set_text(environ, key, &request->pairs[index].value) : -1;
        Py_DecRef(key);
        if (result < 0) goto failed;
    }
    if (PyDict_Update(environ, environs->constants) == 0 && set_own(environs, environ, input, hints) == 0 &&
        notice(environs, request) == 0) {
        return environ;
    }
failed:
    Py_DecRef(environ);
    return NULL;
}
