"""The harness's own tests: what it parses, sums and compares. They need neither wrk nor any server."""

import asyncio
import gzip
import http.server
import random
import socket
import subprocess
import sys
import threading
import unittest
import unittest.mock

import attack
import files
import overload
import reload
import report
import server
import soak
import tree
import wrk

WRK_REPORT = """Running 4s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   747.00us    1.20ms  30.11ms   95.00%
    Req/Sec    61.66k     2.01k   64.00k    75.00%
  Latency Distribution
     50%  747.00us
     75%    1.00ms
     90%    2.00ms
     99%    1.27s 
  246640 requests in 4.00s, 30.00MB read
  Socket errors: connect 0, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 7
Requests/sec:  61660.25
Transfer/sec:      7.50MB
"""
BURN = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass\n"


class WrkTests(unittest.TestCase):
    """Reading wrk's report."""

    def test_report_is_read_in_milliseconds_with_all_errors(self):
        self.assertEqual(wrk.parse(WRK_REPORT), (246640, 61660.25, 0.747, 1270.0, 12))


    def test_a_run_without_a_request_has_no_latency_and_one_with_requests_must(self):
        latency = WRK_REPORT.index("     50%"), WRK_REPORT.index("  246640")
        silent = WRK_REPORT[: latency[0]] + WRK_REPORT[latency[1] :]
        self.assertEqual(wrk.parse(silent.replace("246640 requests", "0 requests"))[2:4], (0.0, 0.0))
        with self.assertRaises(ValueError):
            wrk.parse(silent)

    def test_cpu_of_both_sides_is_summed(self):
        self.assertEqual(wrk.Sample(100.0, 10.0, 1.0, 2.0, 0, 2.5).both_us, 12.5)


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers every fifth request with 503."""

    protocol_version = "HTTP/1.1"
    served = 0

    def do_GET(self):  # noqa: N802 (the base class's name)
        Refusing.served += 1
        self.send_response(503 if Refusing.served % 5 == 0 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Nothing is logged."""


class AttackTests(unittest.TestCase):
    """Attacks and what they are measured by."""

    def test_every_attack_is_carried_out_by_a_method_of_its_name(self):
        for name in attack.ATTACKS:
            self.assertTrue(callable(getattr(attack.Attackers, name)), name)

    def test_healthy_clients_count_what_is_refused_and_what_nobody_answers(self):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as listening:
            threading.Thread(target=listening.serve_forever, daemon=True).start()
            with unittest.mock.patch("os.sched_setaffinity"):
                latencies, lost = attack.healthy(listening.server_port, False, 0.1)
            listening.shutdown()
        self.assertEqual((len(latencies), lost), (40, 8))
        with unittest.mock.patch("os.sched_setaffinity"):
            self.assertEqual(attack.healthy(server.free_port(), False, 0.05)[1], 20)

    def test_p99_leaves_one_in_a_hundred_out(self):
        self.assertEqual(attack.p99(range(1000)), 990)


class OverloadTests(unittest.TestCase):
    """Clients that do not wait for ever."""

    def test_each_outcome_is_told_from_the_others(self):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as listening:
            threading.Thread(target=listening.serve_forever, daemon=True).start()
            clients = overload.Clients(listening.server_port)

            async def ask():
                begun, _ = await clients.open_loop(200, 0.5)
                clients.close()
                return begun

            begun = asyncio.run(ask())
            listening.shutdown()
        self.assertEqual(sum(clients.outcomes.values()), 100)
        self.assertTrue(clients.outcomes["200"] > 0 and clients.outcomes["503"] > 0)
        self.assertEqual(len(clients.served), clients.outcomes["200"])
        self.assertTrue(all(ended > begun and latency > 0 for ended, latency in clients.served))

    def test_a_client_loses_its_patience(self):
        with socket.create_server(("127.0.0.1", 0)) as silent, unittest.mock.patch("overload.PATIENCE_SECONDS", 0.1):
            clients = overload.Clients(silent.getsockname()[1])
            asyncio.run(clients.request())
        asyncio.run(clients.request())
        self.assertEqual(clients.outcomes, {"late": 1, "broken": 1})

    def test_quantiles(self):
        self.assertEqual((overload.quantile(range(100), 0.99), overload.quantile([5.0], 0.5)), (99, 5.0))
        self.assertEqual(overload.quantile([], 0.5), float("inf"))


class SoakTests(unittest.TestCase):
    """What became of each request of the soak."""

    def test_a_request_is_excused_by_the_log_alone(self):
        log = (
            'WARN a worker died with a request shard=0 request="GET /bytes?n=3&id=12" cause=signal 9 (SIGKILL)\n'
            'WARN a worker died with a request shard=0 request="GET /hello?id=7" cause=signal 9 (SIGKILL)\n'
            "INFO something else id=99\n"
        )
        self.assertEqual(soak.excused(log), {12, 7})

    def test_answers_are_judged_by_what_was_asked(self):
        load = soak.Soak(None, 0, b"page", random.Random(1))
        stream = b"".join(bytes([97 + number]) * 3000 for number in range(5))
        right = [("hello", b"Hello, world!"), ("static", b"page"), ("large", bytes(soak.LARGE_BYTES)), ("stream", stream)]
        for kind, body in right:
            self.assertEqual(load.judge(kind, "200", body, b""), "ok", kind)
            self.assertEqual(load.judge(kind, "200", body[:-1], b""), "wrong", kind)
            self.assertEqual(load.judge(kind, "502", b"", b""), "502", kind)
        self.assertEqual([load.judge("upload", "200", b"sent", sent) for sent in (b"sent", b"other")], ["ok", "wrong"])

    def test_bodies_are_read_by_their_length_or_in_chunks_and_never_in_part(self):
        async def read(answer, fields):
            reader = asyncio.StreamReader()
            reader.feed_data(answer)
            reader.feed_eof()
            caller = soak.Caller(None, 0, False)
            caller.pair = reader, None
            with unittest.mock.patch.object(reader, "at_eof", return_value=False):
                return await caller.body(fields)

        whole = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        self.assertEqual(asyncio.run(read(whole, {})), b"abcde")
        self.assertEqual(asyncio.run(read(b"abcde", {"content-length": "5"})), b"abcde")
        for part, fields in ((whole[:-4], {}), (b"abcd", {"content-length": "5"})):
            with self.assertRaises(soak.Cut):
                asyncio.run(read(part, fields))


class ReloadTests(unittest.TestCase):
    """Load on a server that reloads."""

    def test_the_longest_time_without_an_answer_is_kept(self):
        client = reload.Client(0)

        async def answered():
            return "200"

        async def asked():
            for pause in (0.0, 0.05, 0.0):
                await asyncio.sleep(pause)
                await client.request()

        client.exchange = answered
        asyncio.run(asked())
        self.assertGreaterEqual(client.longest_gap, 0.05)
        self.assertEqual(client.outcomes["200"], 3)


class FilesTests(unittest.TestCase):
    """The works on files."""

    def test_every_work_has_bars_on_failures_latency_and_cost(self):
        for name, work in files.WORKS.items():
            metrics = [bar.metric for bar in work.bars()]
            self.assertLessEqual({"errors", "p99_ms"}, set(metrics), name)
            self.assertTrue({"cpu_us", "both_us"} & set(metrics), name)
            self.assertLessEqual(set(metrics) - {"errors"}, set(work.metrics), name)

    def test_the_page_is_of_20_kib_and_always_the_same(self):
        self.assertEqual((len(files.page()), files.page()), (20 * 1024, files.page()))
        self.assertLess(len(gzip.compress(files.page())), 10 * 1024)

    def test_a_server_that_does_other_work_is_not_measured(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listener:
            threading.Thread(target=listener.serve_forever, daemon=True).start()
            peer = server.Server("peer", [], listener.server_port, None)
            files.must_answer(peer, files.WORKS["static"])
            for name in ("packed", "missing"):
                with self.assertRaises(server.ServerFailed):
                    files.must_answer(peer, files.WORKS[name])
            listener.shutdown()


class TreeTests(unittest.TestCase):
    """Summing over processes."""

    def test_a_name_with_parentheses_and_spaces_does_not_shift_the_fields(self):
        fields = ["S", "7", *["0"] * 9, "100", "50", "20", "30", *["0"] * 4, "999", *["0"] * 30]
        stat = tree.parse_stat(f"42 (a) (b c) {' '.join(fields)}")
        self.assertEqual((stat.pid, stat.parent, stat.started_ticks), (42, 7, 999))
        self.assertEqual(stat.cpu_seconds * tree.TICKS_PER_SECOND, 150)
        self.assertEqual(stat.reaped_cpu_seconds * tree.TICKS_PER_SECOND, 50)

    def test_cpu_counts_the_whole_tree_and_its_dead(self):
        # A parent that burns 0.1 s itself and reaps a child that burnt 0.2 s, then says so and waits for its end.
        child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN.format(0.2)!r}])\n"
        program = child + BURN.format(0.1) + "print('done', flush=True); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            parent.stdout.readline()
            self.assertGreaterEqual(tree.cpu_seconds([parent.pid]), 0.28)
            self.assertGreater(tree.pss_bytes([parent.pid]), 100_000)
            parent.stdin.close()

    def test_switches_of_a_process_that_sleeps_grow(self):
        program = "import sys, time\nfor _ in range(20): time.sleep(0.005)\nprint(flush=True); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sleeper:
            before = tree.switches([sleeper.pid])
            sleeper.stdout.readline()
            self.assertGreaterEqual(tree.switches([sleeper.pid]) - before, 10)
            sleeper.stdin.close()


class ReportTests(unittest.TestCase):
    """Rows and verdicts."""

    def setUp(self):
        fast = [wrk.Sample(rate, 5.0, 1.0, 2.0, 0) for rate in (100.0, 900.0, 200.0)]
        slow = [wrk.Sample(100.0, 10.0, 1.0, 2.0, 1) for _ in range(3)]
        self.rows = report.rows({"maitred": fast, "nginx": slow}, ("rate", "cpu_us", "p99_ms"))

    def test_rows_are_medians_with_ratios(self):
        own, peer = self.rows
        self.assertEqual((own["rate"], peer["rate_ratio"], peer["cpu_us_ratio"]), (200.0, 2.0, 0.5))
        self.assertEqual(own["rate_ratio"], 1.0)
        self.assertEqual((own["errors"], peer["errors"]), (0, 3))
        self.assertIn("| nginx | 100 | 10 |", report.markdown("Title", self.rows))

    def test_the_ratio_is_that_of_rounds_and_not_of_medians(self):
        """The machine was slow in two rounds of three, which met both."""
        own = [wrk.Sample(rate, 1.0, 1.0, 1.0, 0) for rate in (300.0, 100.0, 110.0)]
        peer = [wrk.Sample(rate, 1.0, 1.0, 1.0, 0) for rate in (150.0, 55.0, 60.0)]
        made = report.rows({"maitred": own, "nginx": peer}, ("rate",))
        self.assertAlmostEqual(made[1]["rate_ratio"], 11 / 6)
        self.assertTrue(report.Bar("rate", ">=", 1.83, ("nginx",)).verdict(made)[0])
        self.assertFalse(report.Bar("rate", ">=", 1.834, ("nginx",)).verdict(made)[0])

    def test_bars_compare_with_the_best_peer_and_stay_silent_without_it(self):
        self.assertTrue(report.Bar("cpu_us", "<=", 0.5, ("nginx",)).verdict(self.rows)[0])
        self.assertFalse(report.Bar("rate", ">=", 2.1, ("nginx",)).verdict(self.rows)[0])
        self.assertIsNone(report.Bar("rate", ">=", 1.0, ("granian",)).verdict(self.rows))
        self.assertIsNone(report.Bar("rate", ">=", 1.0).verdict(self.rows[1:]))
        self.assertFalse(report.Bar("rate", "<=", 100.0).verdict(self.rows)[0])


if __name__ == "__main__":
    unittest.main()
