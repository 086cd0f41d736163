/* Reads a request's message. See message.h. */
#include "message.h"

#include <string.h>

typedef struct {
    const uint8_t *at;
    size_t left;
} Reader;

static const char *const CUT_SHORT = "the message is cut short";

/* The next `count` bytes, or NULL if there are not as many. */
static const uint8_t *take(Reader *reader, size_t count) {
    if (count > reader->left) return NULL;
    const uint8_t *taken = reader->at;
    reader->at += count;
    reader->left -= count;
    return taken;
}

static uint32_t little32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static int is_ascii(const uint8_t *bytes, size_t length) {
    uint64_t all = 0, some;
    for (; length >= sizeof some; bytes += sizeof some, length -= sizeof some) {
        memcpy(&some, bytes, sizeof some);
        all |= some;
    }
    for (size_t index = 0; index < length; index++) all |= bytes[index];
    return (all & 0x8080808080808080u) == 0;
}

/* UTF-8 without surrogates, in shortest form (RFC 3629). */
static int is_utf8(const uint8_t *bytes, size_t length) {
    for (size_t at = 0; at < length;) {
        uint8_t first = bytes[at++];
        if (first < 0x80) continue;
        size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || length - at < more) return 0;
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80, high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        for (; more; more--, low = 0x80, high = 0xbf) {
            uint8_t next = bytes[at++];
            if (next < low || next > high) return 0;
        }
    }
    return 1;
}

/* Reads a text whose type code is `code`. */
static const char *read_text(Reader *reader, uint8_t code, Text *text) {
    size_t width = code == 'z' ? 1 : 4;
    if (code != 'z' && code != 'a' && code != 'u') return "the message has something else in the place of a text";
    const uint8_t *size = take(reader, width);
    if (!size) return CUT_SHORT;
    text->length = width == 1 ? size[0] : little32(size);
    text->bytes = take(reader, text->length);
    if (!text->bytes) return CUT_SHORT;
    text->is_wide = code == 'u';
    if (text->is_wide && !is_utf8(text->bytes, text->length)) return "the message has a text that is not UTF-8";
    if (!text->is_wide && !is_ascii(text->bytes, text->length)) return "the message has a text that is not ASCII";
    return NULL;
}

/* An int: 'i' has 32 bits, 'l' a signed count of digits of 15 bits, the lowest first. */
static const char *read_unsigned(Reader *reader, uint8_t code, uint64_t *value) {
    const uint8_t *bytes = take(reader, 4);
    if (!bytes) return CUT_SHORT;
    uint32_t word = little32(bytes);
    if (word > INT32_MAX) return "the message has a negative size";
    if (code == 'i') {
        *value = word;
        return NULL;
    }
    if (word == 0 || word > 5) return "the message has an impossible size";
    bytes = take(reader, 2 * (size_t)word);
    if (!bytes) return CUT_SHORT;
    *value = 0;
    for (uint32_t index = word; index-- > 0;) {
        uint32_t digit = (uint32_t)bytes[2 * index] | (uint32_t)bytes[2 * index + 1] << 8;
        if (digit > 0x7fff || *value > (UINT64_MAX - digit) >> 15 || (digit == 0 && index == word - 1)) {
            return "the message has an impossible size";
        }
        *value = *value << 15 | digit;
    }
    return NULL;
}

static const char *read_body(Reader *reader, Request *request) {
    const uint8_t *code = take(reader, 1);
    if (!code) return CUT_SHORT;
    request->body_bytes = NULL;
    request->body_length = 0;
    switch (*code) {
    case 'N':
        request->body = BODY_NONE;
        return NULL;
    case 's': {
        const uint8_t *size = take(reader, 4);
        if (!size) return CUT_SHORT;
        request->body = BODY_INLINE;
        request->body_length = little32(size);
        request->body_bytes = take(reader, request->body_length);
        return request->body_bytes ? NULL : CUT_SHORT;
    }
    case 'i':
    case 'l':
        request->body = BODY_SPOOLED;
        return read_unsigned(reader, *code, &request->body_length);
    default:
        return "the message has no body where one belongs";
    }
}

static int text_is(const Text *text, const char *wanted, size_t length) {
    return text->length == length && memcmp(text->bytes, wanted, length) == 0;
}

const char *request_parse(const uint8_t *bytes, size_t length, Request *request) {
    static const char METHOD[] = "REQUEST_METHOD";
    Reader reader = {bytes, length};
    const uint8_t *start = take(&reader, 5);
    if (!start) return CUT_SHORT;
    if (start[0] != '(' || little32(start + 1) != 2) return "the message is not a tuple of two";
    const char *wrong = read_body(&reader, request);
    if (wrong) return wrong;
    const uint8_t *code = take(&reader, 1);
    if (!code) return CUT_SHORT;
    if (*code != '{') return "the message has no environ";
    int has_method = 0;
    request->is_head = 0;
    request->count = 0;
    for (;;) {
        code = take(&reader, 1);
        if (!code) return CUT_SHORT;
        if (*code == '0') break;
        if (request->count == PAIRS_MAX) return "the environ has too many keys";
        Pair *pair = &request->pairs[request->count++];
        wrong = read_text(&reader, *code, &pair->key);
        if (wrong) return wrong;
        code = take(&reader, 1);
        if (!code) return CUT_SHORT;
        wrong = read_text(&reader, *code, &pair->value);
        if (wrong) return wrong;
        if (text_is(&pair->key, METHOD, sizeof METHOD - 1)) {
            has_method = 1;
            request->is_head = text_is(&pair->value, "HEAD", 4);
        }
    }
    if (reader.left) return "the message has more than it should";
    return has_method ? NULL : "the environ has no REQUEST_METHOD";
}
