"""Requests that come through memory: who is woken for them, and what goes on beside them. Of the native loop alone."""
import os
import signal
import struct
import time
import unittest

from server import MESSAGE_BYTES_MAX, REPLY_RECORDS, REQUEST_RECORD_BYTES, REQUEST_RECORDS, Fifo, Server, encode, environ

# Of a line of the scoreboard.
LIFE = 48
BODY = b"hello\n"


def message(token, path="/", shard=0, **more):
    return struct.pack("<QQ", token, shard) + encode((None, environ("GET", path, **more)))


@unittest.skipUnless(os.environ["MAITRED_LOOP"] == "native", "the loop in Python takes all from the inbox")
class Requests(unittest.TestCase):
    def test_a_thread_that_sleeps_is_counted_and_woken_by_one_ring(self):
        with Server(shards=2).boot() as server:
            requests = server.requests
            for number in range(1, 2 * REQUEST_RECORDS):
                server.until_asleep(server.worker)
                self.assertEqual((requests.sleepers(), requests.rung()), (1, False))
                requests.sleepers(0)
                self.assertTrue(requests.put(number % 2, message(number, shard=number % 2)))
                requests.ring()
                self.assertEqual(server.answer(number, number % 2).body, BODY)

    def test_a_ring_for_nothing_leaves_it_as_it_was(self):
        with Server().boot() as server:
            server.until_asleep(server.worker)
            server.requests.sleepers(0)
            server.requests.ring()
            server.until(lambda: server.requests.sleepers() == 1, server.requests.sleepers)
            server.until_asleep(server.worker)
            self.assertFalse(server.requests.rung())

    def test_what_wakes_it_otherwise_takes_it_off_the_count(self):
        with Server().boot() as server, Fifo() as fifo:
            server.until_asleep(server.worker)
            server.inbox.send(message(1, "/wait", QUERY_STRING=fifo.name))
            server.log.until("waiting\n")
            self.assertEqual(server.requests.sleepers(), 0)
            fifo.release()
            self.assertEqual(server.answer(1).body, b"waited")

    def test_who_was_rung_for_while_it_got_up_takes_the_ring_later(self):
        with Server().boot() as server, Fifo() as fifo:
            server.until_asleep(server.worker)
            # As if a shard had counted it off and had not come to ring.
            server.requests.sleepers(0)
            server.inbox.send(message(1, "/wait", QUERY_STRING=fifo.name))
            server.log.until("waiting\n")
            server.requests.ring()
            fifo.release()
            self.assertEqual(server.answer(1).body, b"waited")
            server.until_asleep(server.worker)
            self.assertEqual((server.requests.sleepers(), server.requests.rung()), (1, False))

    def test_what_has_waited_is_taken_without_a_ring_in_its_order(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), Server(threads=threads).boot() as server, Fifo() as fifo:
                for number in range(threads):
                    server.inbox.send(message(1 + number, "/wait", QUERY_STRING=fifo.name))
                    server.log.until("waiting\n" * (1 + number))
                # As many as there may be answers in a ring: what goes through the socket is heard later.
                numbers = range(11, 10 + REPLY_RECORDS)
                for number in numbers:
                    self.assertTrue(server.requests.put(0, message(number)))
                fifo.release()
                heard = [server.receive() for _ in range(REPLY_RECORDS)]
                self.assertEqual([one.token for one in heard if one.body == BODY], list(numbers))
                for _ in range(threads - 1):
                    fifo.release()
                    self.assertEqual(server.receive().body, b"waited")

    def test_the_inbox_does_not_wait_for_the_rings(self):
        with Server().boot() as server, Fifo() as fifo:
            server.send("/wait", QUERY_STRING=fifo.name)
            server.log.until("waiting\n")
            for number in range(20):
                self.assertTrue(server.requests.put(0, message(100 + number)))
            server.inbox.send(message(1))
            # It is looked at once a millisecond.
            time.sleep(0.002)
            fifo.release()
            self.assertEqual(server.receive().body, b"waited")
            self.assertEqual([server.receive().token for _ in range(21)], [1, *range(100, 120)])

    def test_rings_and_inbox_take_turns_while_requests_take_long(self):
        with Server().boot() as server, Fifo() as fifo:
            server.inbox.send(message(1, "/wait", QUERY_STRING=fifo.name))
            server.log.until("waiting\n")
            for number in range(3):
                self.assertTrue(server.requests.put(0, message(10 + number, "/wait", QUERY_STRING=fifo.name)))
                server.inbox.send(message(20 + number, "/wait", QUERY_STRING=fifo.name))
            heard = []
            for number in range(7):
                server.log.until("waiting\n" * (1 + number))
                # Longer than the rings go first.
                time.sleep(0.002)
                fifo.release()
                heard.append(server.receive().token)
            self.assertEqual([token // 10 for token in heard], [0, 1, 2, 1, 2, 1, 2])

    def test_of_two_that_are_woken_neither_takes_the_others_wake_up(self):
        with Server().boot() as server, Fifo() as fifo:
            other, _ = server.fork(2, 1)
            cpu = min(os.sched_getaffinity(0))
            for process in (server.worker, other):
                os.sched_setaffinity(process, {cpu})
            for number in range(1, 41, 2):
                for process in (server.worker, other):
                    server.until_asleep(process)
                self.assertEqual(server.requests.sleepers(), 2)
                server.requests.sleepers(1)
                for kind in range(2):
                    if kind == number // 2 % 2:
                        self.assertTrue(server.requests.put(0, message(number)))
                        server.requests.ring()
                    else:
                        server.inbox.send(message(number + 1, "/wait", QUERY_STRING=fifo.name))
                self.assertEqual(server.receive().token, number)
                fifo.release()
                self.assertEqual(server.receive().token, number + 1)

    def test_who_lies_down_looks_for_a_packet_for_which_another_was_woken(self):
        with Server().boot() as server, Fifo() as fifo, Fifo() as other_fifo:
            other, log = server.fork(2, 1)
            cpu = min(os.sched_getaffinity(0))
            for process in (server.worker, other):
                os.sched_setaffinity(process, {cpu})
            for number in range(0, 100, 5):
                # One of the two is busy, and the other asleep.
                server.inbox.send(message(number + 1, "/wait", QUERY_STRING=other_fifo.name))
                server.until(lambda: number + 1 in (server.slot(0)[0], server.slot(1)[0]), lambda: "nobody takes it")
                server.until_asleep(other if server.slot(0)[0] == number + 1 else server.worker)
                self.assertEqual(server.requests.sleepers(), 1)
                server.requests.sleepers(0)
                server.inbox.send(message(number + 2))
                self.assertTrue(server.requests.put(0, message(number + 3, "/wait", QUERY_STRING=fifo.name)))
                server.requests.ring()
                other_fifo.release()
                heard = {server.receive().token for _ in range(2)}
                self.assertEqual(heard, {number + 1, number + 2})
                fifo.release()
                self.assertEqual(server.receive().token, number + 3)
                for process in (server.worker, other):
                    server.until_asleep(process)

    def test_a_sign_of_life_is_given_by_taking_what_nobody_was_woken_for(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), Server(threads=threads).boot() as server:
                server.ask("/")
                server.until_asleep(server.worker)
                server.requests.sleepers(0)
                self.assertTrue(server.requests.put(0, message(7)))
                os.pwrite(server.scoreboard.fileno(), struct.pack("<Q", 1), LIFE)
                os.kill(server.worker, signal.SIGURG)
                self.assertEqual(server.answer(7).body, BODY)

    def test_a_process_that_the_application_has_forked_answers_and_ends(self):
        with Server().boot() as server:
            token = server.send("/fork")
            answers = [server.receive(), server.receive()]
            self.assertEqual([answer.token for answer in answers], [token, token])
            self.assertEqual(server.ask("/").body, BODY)
            self.assertEqual(server.until_slot(lambda slot: slot[0] == 0)[3:], (2, server.worker, 1))
            child = max(int(answer.body) for answer in answers)

            def status():
                with open("/proc/%d/status" % child) as file:
                    return file.read()

            server.until(lambda: "zombie" in status(), status)

    def test_processes_that_are_idle_have_their_turns(self):
        with Server().boot() as server:
            server.fork(2, 1)
            server.until(lambda: self.ask_both(server) == 2, lambda: "one of the two is never woken")

    def ask_both(self, server):
        """How many of two processes have served a request by now, of which there is one more."""
        server.ask("/")
        return sum(server.slot(line)[3] > 0 for line in range(2))

    def test_messages_that_are_none_are_refused(self):
        with Server().boot() as server:
            for length in (0, 15, REQUEST_RECORD_BYTES - 15, MESSAGE_BYTES_MAX, 0xFFFFFFFF):
                self.assertTrue(server.requests.put(0, message(7), length))
                self.assertEqual(server.ask("/").body, BODY, length)
                server.log.until("no header")
                server.log.text = ""

    def test_without_rings_all_comes_through_the_inbox(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), Server(threads=threads, requests=False).boot() as server:
                for _ in range(20):
                    self.assertEqual(server.ask("/").body, BODY)
                server.inbox.close()
                self.assertEqual(server.wait(server.worker), 0)
