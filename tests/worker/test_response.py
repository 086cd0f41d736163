"""start_response, iterables, files, failures."""
import gzip
import os
import select
import signal
import struct
import tempfile
import unittest

from server import ABORT, BODY, FILE, HEAD, HINTS, LENT, REPLY_RECORD_BYTES, REPLY_RECORDS, WAKE, Fifo, Server


class Responses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().boot()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def setUp(self):
        self.server.log.text = ""

    def ask(self, path, query="", method="GET"):
        return self.server.ask(path, method, QUERY_STRING=query)

    def assert_refused(self, path, query, reason):
        self.server.log.text = ""
        answer = self.ask(path, query)
        self.assertEqual((answer.status, answer.kinds), (500, [HEAD]))
        self.assertIn(b"Server Error (500)", answer.body)
        self.assertEqual(int(answer.headers["content-length"]), len(answer.body))
        log = self.server.log.until(reason)
        self.assertIn("the application failed: GET " + path, log)

    def test_one_chunk_is_one_message_with_its_length(self):
        answer = self.ask("/")
        self.assertEqual(answer.kinds, [HEAD])
        self.assertEqual(answer.fields, b"Content-Length: 6\r\nContent-Type: text/plain\r\n\r\n")
        self.assertEqual(answer.body, b"hello\n")

    def test_lists_are_joined(self):
        answer = self.ask("/join")
        self.assertEqual((answer.kinds, answer.body), ([HEAD], b"abc"))
        self.assertEqual(answer.headers["content-length"], "3")

    def test_a_whole_django_response_is_one_message(self):
        answer = self.ask("/django-like")
        self.assertEqual((answer.kinds, answer.body), ([HEAD], b"whole page"))
        self.server.log.until("closed\n")

    def test_each_yield_leaves_before_the_next(self):
        with Fifo() as fifo:
            token = self.server.send("/stream", QUERY_STRING=fifo.name)
            for chunk in (b"one", b"two"):
                # The application waits for us: nothing else can have pushed the chunk out.
                self.assertEqual(self.server.receive().body, chunk)
                fifo.release()
            last = self.server.receive()
        self.assertEqual((last.token, last.kind, last.end, last.body), (token, BODY, True, b""))
        self.server.log.until("closed\n")

    def test_a_generator_streams(self):
        answer = self.ask("/lazy")
        self.assertEqual((answer.kinds, answer.body), ([HEAD, BODY], b"lazy"))
        self.assertNotIn("content-length", answer.headers)

    def test_an_empty_iterable(self):
        answer = self.ask("/empty")
        self.assertEqual((answer.kinds, answer.headers["content-length"]), ([HEAD], "0"))

    def test_the_last_declared_byte_ends_the_response(self):
        answer = self.ask("/declared")
        self.assertEqual([message.body for message in answer.messages], [b"abc", b"def"])
        # The iterable is heard out, then closed, once.
        self.server.log.until("after the end\nclosed\n")
        self.ask("/print")
        self.assertEqual(self.server.log.until("half a line").count("closed"), 1)

    def test_nothing_is_taken_beyond_the_declared_length(self):
        self.assertEqual(self.ask("/endless", "declared").body, b"abcd")
        self.server.log.until("closed\n")

    def test_head(self):
        answer = self.ask("/", method="HEAD")
        self.assertEqual((answer.body, answer.headers["content-length"]), (b"", "6"))
        answer = self.ask("/endless", method="HEAD")
        self.assertEqual((answer.kinds, answer.body), ([HEAD], b""))
        self.server.log.until("closed\n")
        self.assertNotIn("content-length", self.ask("/empty", method="HEAD").headers)
        self.assertEqual(self.ask("/raise", "key", method="HEAD").body, b"")

    def test_statuses_without_a_body(self):
        for status in ("204 No Content", "304 Not Modified"):
            answer = self.ask("/status", status)
            self.assertEqual((answer.status, answer.body), (int(status[:3]), b""))
            self.assertNotIn("content-length", answer.headers)

    def test_statuses(self):
        self.assertEqual(self.ask("/status", "404 Not Found").status, 404)
        self.assertEqual(self.ask("/status", "418 I'm a teapot").status, 418)
        self.assertEqual(self.ask("/status", "599").status, 599)
        for status in ("100 Continue", "abc", "2000 OK", "20", "200 OK\r\nX: y", "200 O\0K", "200 \u20ac"):
            self.assert_refused("/status", status, "ValueError")

    def test_a_reason_phrase_is_the_first_line_unless_it_is_the_usual_one(self):
        length = b"Content-Length: 4\r\nContent-Type: text/plain\r\n\r\n"
        self.assertEqual(self.ask("/status", "404 Gone fishing").fields, b":Gone fishing\r\n" + length)
        self.assertEqual(self.ask("/status", "200 caf\xe9").fields, b":caf\xe9\r\n" + length)
        long = "x" * 1000
        self.assertEqual(self.ask("/status", "200 " + long).fields, b":" + long.encode() + b"\r\n" + length)
        for status in ("200 OK", "404", "404 "):
            self.assertEqual(self.ask("/status", status).fields, length)
        for path in ("/reason-stream", "/reason-file", "/reason-write"):
            for method in ("GET", "HEAD"):
                self.assertTrue(self.ask(path, method=method).fields.startswith(b":Own words\r\n"), (path, method))

    def test_early_hints_leave_before_the_response(self):
        for query in ("list", "late", "bytes"):
            hints, *others = self.ask("/hints", query).messages
            self.assertEqual((hints.kind, hints.end, hints.status, hints.body), (HINTS, False, 103, b""))
            self.assertEqual(hints.fields, b"Link: </a.css>; rel=preload\r\nX-B: c\r\n\r\n")
            self.assertEqual((others[0].kind, others[0].status, others[-1].end), (HEAD, 200, True))
            self.assertEqual(b"".join(message.body for message in others), b"hinted")
        self.assertEqual(self.ask("/hints", "twice").kinds, [HINTS, HINTS, HEAD])

    def test_early_hints_after_the_start_or_the_end_of_the_response_are_nothing(self):
        self.assertEqual(self.ask("/hints", "after").kinds, [HEAD, BODY])
        for _ in range(3):
            self.assertEqual(self.ask("/hints", "kept").kinds, [HEAD])

    def test_early_hints_that_are_not_well_formed_are_refused(self):
        self.assert_refused("/hints", "broken", "a name is no token")
        self.assert_refused("/hints", "huge", "too large")

    def test_write(self):
        answer = self.ask("/write")
        self.assertEqual([m.body for m in answer.messages], [b"written ", b"twice ", b"and returned", b""])
        self.assertEqual((self.ask("/write", method="HEAD").body), b"")
        self.assertEqual(self.ask("/write-declared").body, b"abc")

    def test_a_kept_start_response_cannot_touch_the_next_response(self):
        for _ in range(2):
            answer = self.ask("/stale")
            self.assertEqual((answer.status, answer.body, answer.kinds), (200, b"fresh", [HEAD]))

    def test_header_injection_is_refused(self):
        for value in ("X=a\r\nSet-Cookie: b", "X=a\nb", "X=a\rb", "X\r\nY=a", "X=a\0b"):
            self.assert_refused("/header", value, "control character")

    def test_headers_are_latin_1(self):
        self.assertEqual(self.ask("/header", "X=caf\xe9").headers["x"], "caf\xe9")
        self.assert_refused("/header", "X=\u20ac", "ValueError")

    def test_names_are_tokens(self):
        for name in ("X Y", "X:", "X\xe9", ""):
            self.assert_refused("/bad-header", repr([(name, "a")]), "a name is no token")
        fields = self.ask("/bad-header", "iter([('X!#$%&*+-.^_`|~1', 'a')])").fields
        self.assertTrue(fields.endswith(b"\r\nX!#$%&*+-.^_`|~1: a\r\n\r\n"), fields)

    def test_headers_of_wrong_types_are_refused(self):
        self.assert_refused("/bad-header", "[('A', 1)]", "TypeError")
        self.assert_refused("/bad-header", "[(b'A', b'b')]", "TypeError")
        self.assert_refused("/bad-header", "None", "TypeError")
        self.assert_refused("/bad-header", "[('A', 'x' * 70000)]", "too large")

    def test_content_length_must_be_one_number(self):
        for value in ("-1", "1x", "", "+1", "\xb2"):
            self.assert_refused("/header", "Content-Length=" + value, "Content-Length must be given once")
        self.assert_refused("/bad-header", "[('Content-Length', '1'), ('content-length', '1')]", "given once")
        # A name or a value that only looks like it.
        self.assertEqual(self.ask("/header", "X-Content-Length=9").headers["content-length"], "1")
        self.assertEqual(self.ask("/header", "X=content-length: 9").headers["content-length"], "1")

    def test_exc_info_replaces_an_unsent_head(self):
        answer = self.ask("/exc-info")
        self.assertEqual((answer.status, answer.headers["x-replaced"], answer.body), (503, "yes", b"replaced"))

    def test_exc_info_after_the_head_raises_it(self):
        answer = self.ask("/exc-info-late")
        self.assertEqual((answer.kinds, answer.body), ([HEAD, ABORT], b"begun"))
        self.assertIn("LookupError: the late failure", self.server.log.until("the late failure\n"))

    def test_a_second_start_response_needs_exc_info(self):
        self.assert_refused("/twice", "", "AssertionError")

    def test_a_failure_is_a_500_and_a_traceback_in_the_log_only(self):
        self.assert_refused("/raise", "key", "KeyError: 'secret'")
        self.assertNotIn("<maitred>", self.server.log.text)
        self.assertIn('raise {"key": KeyError', self.server.log.text)
        self.assert_refused("/raise", "generator", "GeneratorExit")
        self.assertNotIn(b"secret", self.ask("/raise", "key").body)

    def test_a_failure_after_the_head_aborts(self):
        answer = self.ask("/raise-late")
        self.assertEqual((answer.kinds, answer.body), ([HEAD, ABORT], b"begun"))
        self.server.log.until("closed\n")
        self.assertIn("RuntimeError: late", self.server.log.text)

    def test_a_failure_in_close_is_logged(self):
        self.assertEqual(self.ask("/raise-in-close").body, b"x")
        self.server.log.until("RuntimeError: in close")

    def test_results_of_wrong_types_are_refused(self):
        self.assert_refused("/no-start", "", "did not call start_response")
        self.assert_refused("/none", "", "TypeError")
        for result in ("['text']", "[1]", "'text'", "b'bytes'", "iter(['text'])", "['a', 'b']"):
            self.assert_refused("/text", result, "TypeError")

    def test_print_and_errors_reach_the_log(self):
        self.ask("/print")
        log = self.server.log.until("half a line\n")
        self.assertIn("printed\n", log)
        self.assertIn("printed to stderr\n", log)


class Lent(unittest.TestCase):
    """Bodies that are large and whole: through the outbox with the native loop, in messages with the one in Python."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(threads=2, slots=3).boot()
        cls.is_native = os.environ["MAITRED_LOOP"] == "native"

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def ask(self, query, method="GET"):
        return self.server.ask("/pieces", method, QUERY_STRING=query)

    def test_large_bodies_lie_in_the_outbox_as_far_as_a_slot_reaches(self):
        for count, pieces, lends in (
            (16 * 1024, 1, False),
            (16 * 1024 + 1, 1, True),
            (65_536, 1, True),
            (65_536, 7, True),
            (128 * 1024, 3, True),
            (128 * 1024 + 1, 3, False),
        ):
            answer = self.ask("%d %d" % (count, pieces))
            self.assertEqual(answer.body, (b"0123456789" * (count // 10 + 1))[:count])
            self.assertEqual((answer.status, answer.headers["content-length"]), (203, str(count)))
            self.assertTrue(answer.fields.startswith(b":Guessed\r\n"), answer.fields)
            self.assertEqual(answer.kinds == [LENT], lends and self.is_native, (count, answer.kinds))
            self.server.give_back()

    def test_an_answer_without_a_body_lends_nothing(self):
        answer = self.ask("65536 1", "HEAD")
        self.assertEqual((answer.kinds, answer.headers["content-length"]), ([HEAD], "65536"))

    def test_a_length_of_the_applications_stays(self):
        answer = self.ask("65536 1 5")
        self.assertEqual((len(answer.body), answer.headers["content-length"]), (65_536, "5"))
        self.server.give_back()

    @unittest.skipUnless(os.environ["MAITRED_LOOP"] == "native", "the loop in Python lends nothing")
    def test_with_all_slots_lent_a_body_goes_in_messages(self):
        # One thread or the other takes each.
        kinds = [self.ask("20000 1").kinds for _ in range(2 * 16 + 1)]
        while self.server.lent_slots(0) != 0xFFFF or self.server.lent_slots(1) != 0xFFFF:
            kinds.append(self.ask("20000 1").kinds)
            self.assertLess(len(kinds), 10_000, "one thread takes all requests")
        self.assertEqual(kinds.count([LENT]), 32)
        self.assertEqual(len(self.ask("120000 2").body), 120_000)
        self.assertNotIn(LENT, self.ask("120000 2").kinds)
        self.server.give_back()
        self.assertEqual((self.server.lent_slots(0), self.server.lent_slots(1), self.server.lent_slots(2)), (0, 0, 0))
        self.assertEqual(self.ask("120000 2").kinds, [LENT])
        self.server.give_back()


@unittest.skipUnless(os.environ["MAITRED_LOOP"] == "native", "the loop in Python answers through the socket")
class Rings(unittest.TestCase):
    """Short answers, which go through memory."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(shards=2).boot()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def answer(self, count, shard=0):
        """An answer with a body of so many bytes, and whether it came through a ring."""
        before = self.server.through_rings
        token = self.server.send("/pieces", QUERY_STRING="%d 1" % count, shard=shard)
        answer = self.server.answer(token, shard)
        self.assertEqual((answer.status, answer.body), (203, (b"0123456789" * (count // 10 + 1))[:count]))
        return answer, self.server.through_rings > before

    def send_and_wait(self, count, query):
        """The tokens of so many requests, which have been answered when this returns."""
        done = self.server.slot()[3] + count
        tokens = {self.server.send("/pieces", QUERY_STRING=query) for _ in range(count)}
        self.server.until_slot(lambda slot: slot[3] == done)
        return tokens

    def test_an_answer_goes_through_a_ring_up_to_the_size_of_a_record(self):
        fits = REPLY_RECORD_BYTES - 4 - (self.answer(100)[0].messages[0].size - 100)
        for shard in (0, 1):
            # The last one lends its body and says no more than where.
            for count, goes_through in ((1, True), (fits, True), (fits + 1, False), (16_384, False), (16_385, True)):
                answer, went_through = self.answer(count, shard)
                self.assertEqual(went_through, goes_through, (count, answer.messages[0].size))
                self.server.give_back()

    def test_only_a_shard_that_sleeps_is_woken(self):
        self.server.fall_asleep()
        nap = self.server.naps()
        self.server.send("/pieces", QUERY_STRING="1 1")
        self.assertEqual(self.server.replies[0].recv(64), struct.pack("<QBBHI", 0, WAKE, 0, 0, 0))
        self.server.until(lambda: self.server.naps() == nap + 1, self.server.naps)
        self.server.receive()
        self.server.stay_awake()
        token = self.send_and_wait(1, "2 1").pop()
        self.assertEqual(select.select([self.server.replies[0]], [], [], 0)[0], [])
        self.assertEqual(self.server.answer(token).body, b"01")

    def test_a_process_that_the_application_has_forked_keeps_to_the_socket(self):
        before = self.server.through_rings
        token = self.server.send("/fork")
        answers = [self.server.receive(), self.server.receive()]
        self.assertEqual([answer.token for answer in answers], [token, token])
        bodies = sorted(int(answer.body) for answer in answers)
        os.kill(bodies[1], signal.SIGKILL)
        self.assertEqual((bodies[0], self.server.through_rings - before), (0, 1))

    def test_with_a_full_ring_answers_go_through_the_socket(self):
        before, count = self.server.through_rings, REPLY_RECORDS + 5
        self.server.stay_awake()
        # Nothing is read before all are answered.
        tokens = self.send_and_wait(count, "3 1")
        answers = [self.server.receive() for _ in range(count)]
        self.assertEqual({answer.token for answer in answers}, tokens)
        self.assertEqual(self.server.through_rings - before, REPLY_RECORDS)


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().boot()
        cls.file = tempfile.NamedTemporaryFile()
        cls.file.write(b"line\n0123456789")
        cls.file.flush()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.file.close()

    def ask(self, path, method="GET", name=None):
        return self.server.ask(path, method, QUERY_STRING=name or self.file.name)

    def passed(self, answer):
        """The bytes that a FILE message means."""
        message = answer.messages[-1]
        self.assertEqual((message.kind, len(message.descriptors)), (FILE, 1))
        offset, count = (int.from_bytes(message.body[at : at + 8], "little") for at in (0, 8))
        data = os.pread(message.descriptors[0], count, offset)
        os.close(message.descriptors[0])
        return data

    def test_a_plain_file_is_passed_from_where_it_stands(self):
        answer = self.ask("/file")
        self.assertEqual((answer.kinds, answer.headers["content-length"]), ([HEAD, FILE], "12"))
        self.assertEqual(self.passed(answer), b"e\n0123456789")
        self.server.log.until("closed\n")

    def test_what_was_read_ahead_is_still_sent(self):
        self.assertEqual(self.passed(self.ask("/file-buffered")), b"0123456789")

    def test_no_more_than_declared(self):
        self.assertEqual(self.passed(self.ask("/file-declared")), b"line")

    def test_head_and_empty_files_pass_nothing(self):
        answer = self.ask("/file", "HEAD")
        self.assertEqual((answer.kinds, answer.headers["content-length"]), ([HEAD], "12"))
        with tempfile.NamedTemporaryFile() as empty:
            answer = self.ask("/file", name=empty.name)
        self.assertEqual((answer.kinds, answer.headers["content-length"]), ([HEAD], "0"))

    def test_what_is_no_plain_file_is_read(self):
        self.assertEqual(self.ask("/file-in-memory").body, b"m" * 100000)
        self.assertEqual(self.ask("/file-pipe").body, b"through a pipe")
        with tempfile.NamedTemporaryFile() as packed:
            packed.write(gzip.compress(b"unpacked"))
            packed.flush()
            self.assertEqual(self.ask("/file-packed", name=packed.name).body, b"unpacked")


if __name__ == "__main__":
    unittest.main()
