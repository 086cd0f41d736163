"""The life of zygote and workers: scoreboard, signals, end, imports."""
import json
import os
import signal
import tempfile
import unittest

from server import Fifo, Server

IDLE, SERVING, LEAVING = 0, 1, 2


class Scoreboard(unittest.TestCase):
    def test_a_slot_tells_what_its_thread_does(self):
        with Server(shards=2).boot() as server, Fifo() as fifo:
            token, _, started, done, pid, state = server.until_slot(lambda slot: slot[5] == SERVING)
            self.assertEqual((token, started, done, pid), (0, 0, 0, server.worker))
            token = server.send("/wait", shard=1, QUERY_STRING=fifo.name)
            server.log.until("waiting\n")
            held, shard, started, done, _, state = server.slot()
            self.assertEqual((held, shard, done, state), (token, 1, 0, SERVING))
            self.assertGreater(started, 0)
            fifo.release()
            self.assertEqual(server.answer(token, shard=1).body, b"waited")
            slot = server.until_slot(lambda slot: slot[0] == 0)
            self.assertEqual(slot[2:4], (0, 1))

    def test_a_copy_that_the_application_forks_answers_and_ends(self):
        """It has its parent's place, and would take the next requests as well."""
        for threads in (1, 2):
            with self.subTest(threads=threads), Server(threads=threads).boot() as server:
                for _ in range(3):
                    token = server.send("/fork")
                    answers = [server.receive(), server.receive()]
                    self.assertEqual([answer.token for answer in answers], [token, token])
                    child = max(int(answer.body) for answer in answers)
                    with open("/proc/%d/status" % child) as status:
                        lines = lambda: status.seek(0) or status.read()
                        server.until(lambda: "zombie" in lines(), lines)
                for _ in range(40):
                    self.assertEqual(server.ask("/").body, b"hello\n")
                # Nobody else counts.
                served = lambda: sum(server.slot(line)[3] for line in range(threads))
                server.until(lambda: served() == 43, served)

    def test_a_dead_worker_leaves_the_token_that_it_held(self):
        with Server().boot() as server:
            token = server.send("/die")
            self.assertEqual(server.wait(server.worker), 9)
            self.assertEqual(server.slot()[0], token)
            # Another worker in the same slot begins anew, and takes what nobody had.
            waiting = server.send("/")
            worker, _ = server.fork(2, 0)
            self.assertEqual(server.answer(waiting).body, b"hello\n")
            self.assertEqual(server.slot()[4], worker)



class Ends(unittest.TestCase):
    def test_the_end_of_the_inbox_comes_after_what_is_queued(self):
        for threads in (1, 3):
            with self.subTest(threads=threads), Server(threads=threads).boot() as server, Fifo() as fifo:
                tokens = {server.send("/wait", QUERY_STRING=fifo.name)}
                server.log.until("waiting\n")
                tokens.update(server.send("/") for _ in range(8))
                server.inbox.close()
                fifo.release()
                self.assertEqual({server.receive().token for _ in range(9)}, tokens)
                self.assertEqual(server.wait(server.worker), 0)
                self.assertEqual(server.slot()[5], LEAVING)

    def test_an_idle_worker_leaves_on_sigterm(self):
        for threads in (1, 3):
            with self.subTest(threads=threads), Server(threads=threads).boot() as server:
                server.ask("/")
                server.until_slot(lambda slot: slot[0] == 0)
                os.kill(server.worker, signal.SIGTERM)
                self.assertEqual(server.wait(server.worker), 0)
                self.assertEqual(server.slot()[5], LEAVING)

    def test_a_busy_worker_answers_first_and_takes_no_more(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), Server(threads=threads).boot() as server, Fifo() as fifo:
                held = {server.send("/wait", QUERY_STRING=fifo.name) for _ in range(threads)}
                for index in range(threads):
                    server.until_slot(lambda slot: slot[0] in held and slot[2], index)
                os.kill(server.worker, signal.SIGTERM)
                server.until_slot(lambda slot: slot[5] == LEAVING)
                later = server.send("/")
                for _ in range(threads):
                    fifo.release()
                self.assertEqual({server.receive().token for _ in range(threads)}, held)
                self.assertEqual(server.wait(server.worker), 0)
                server.fork(2, 1)
                self.assertEqual(server.answer(later).body, b"hello\n")

    def test_sigterm_at_any_moment_loses_nothing(self):
        with Server().boot() as server:
            worker, number = server.worker, 1
            for _ in range(20):
                tokens = {server.send("/") for _ in range(6)}
                os.kill(worker, signal.SIGTERM)
                number += 1
                successor, _ = server.fork(number, (number + 1) % 2)
                self.assertEqual({server.receive().token for _ in range(6)}, tokens)
                # Repeated, as the supervisor does.
                os.kill(worker, signal.SIGTERM)
                server.wait(worker)
                worker = successor

    def test_a_thread_that_is_woken_while_it_is_to_leave_does_not_drop_the_message(self):
        with Server(threads=2).boot() as server, Fifo() as fifo:
            # Of idle workers the one that has waited for longest is woken.
            server.until_asleep(server.worker)
            idle, _ = server.fork(2, 1)
            server.until_slot(lambda slot: slot[5] == SERVING, 2)
            server.until_asleep(idle)
            held = server.send("/stall", QUERY_STRING=fifo.name)
            server.log.until("stalling\n")
            server.until_asleep(server.worker)
            # The main thread, which will tell the others to leave, waits for the GIL; behind it, soon, who is woken by the message.
            woken = server.send("/")
            server.until_asleep(server.worker)
            fifo.release()
            server.until_slot(lambda slot: slot[5] == LEAVING)
            self.assertEqual(server.answer(woken).body, b"hello\n")
            fifo.release()
            self.assertEqual(server.answer(held).body, b"stalled")
            self.assertEqual(server.wait(server.worker), 0)

    def test_signals_of_the_terminal_are_for_the_server(self):
        with Server().boot() as server:
            server.ask("/")
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                os.kill(server.worker, number)
                os.kill(server.zygote.pid, number)
            self.assertEqual(server.ask("/").status, 200)
            server.fork(2, 1)

    def test_sigabrt_shows_the_stacks_of_all_threads(self):
        with Server(threads=2).boot() as server, Fifo() as fifo:
            server.send("/wait", QUERY_STRING=fifo.name)
            server.log.until("waiting\n")
            # The dump looks at other threads' frames without stopping them: at those of a running one it can crash.
            server.until_asleep(server.worker)
            os.kill(server.worker, signal.SIGABRT)
            log = server.log.until("do_wait")
            self.assertIn("Fatal Python error: Aborted", log)
            self.assertEqual(server.wait(server.worker), -signal.SIGABRT)

    def test_an_application_that_exits_is_answered_for(self):
        for threads in (1, 2):
            for query, code in (("exit", 1), ("interrupt", 1)):
                with self.subTest(threads=threads, query=query), Server(threads=threads).boot() as server:
                    self.assertEqual(server.ask("/raise", QUERY_STRING=query).status, 500)
                    self.assertEqual(server.wait(server.worker), code)

    def test_a_worker_without_a_server_goes_quietly(self):
        with Server().boot() as server:
            server.ask("/")
            server.log.text = ""
            for reply in server.replies:
                reply.close()
            server.send("/")
            server.send("/lazy")
            log = server.log
            _, status = os.waitpid(server.worker, 0)
            self.assertEqual((status, log.rest()), (0, ""))
            server.workers.clear()
            log.close()

    def test_the_zygote_goes_with_the_control_socket_and_leaves_no_zombies(self):
        with Server().boot() as server:
            server.fork(2, 1)
            with open("/proc/%d/task/%d/children" % (server.zygote.pid, server.zygote.pid)) as children:
                self.assertEqual(children.read(), "")
            server.control.close()
            self.assertEqual(server.zygote.wait(), 0)


class Threads(unittest.TestCase):
    def test_threads_work_at_the_same_time(self):
        with Server(threads=2).boot() as server:
            tokens = {server.send("/meet"), server.send("/meet")}
            replies = [server.receive(), server.receive()]
            self.assertEqual({reply.token for reply in replies}, tokens)
            self.assertEqual({reply.body for reply in replies}, {b"maitred-0", b"maitred-1"})
            keys = "wsgi.multithread"
            self.assertEqual(server.ask("/environ", QUERY_STRING=keys).body, b"True")


    def test_other_threads_run_while_the_loop_waits(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), Server(threads=threads).boot() as server, Fifo() as fifo:
                server.ask("/ticking", QUERY_STRING=fifo.name)
                # No request comes: the ticks come from a thread that needs the GIL.
                self.assertEqual([fifo.take() for _ in range(3)], [b"."] * 3)


class Surroundings(unittest.TestCase):
    def test_the_application_finds_a_neutral_process(self):
        with Server(pythonpath=["/nowhere/first", "/nowhere/second"]).boot() as server:
            argv, path, directory, draw, _ = eval(server.ask("/facts").body)
            self.assertEqual((argv, path), (["maitred"], ["/nowhere/first", "/nowhere/second"]))
            self.assertEqual(directory, os.path.dirname(os.path.abspath(__file__)))
            os.kill(server.worker, signal.SIGKILL)
            server.wait(server.worker)
            server.fork(2, 1)
            self.assertNotEqual(eval(server.ask("/facts").body)[3], draw)

    def test_programs_of_the_application_inherit_nothing_of_ours(self):
        with Server().boot() as server:
            self.assertEqual(server.ask("/child").body, b"0\nTrue set()\n")


class Imports(unittest.TestCase):
    def failure(self, wsgi, files=None, **settings):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in (files or {}).items():
                with open(os.path.join(directory, name), "w") as file:
                    file.write(text)
            with Server(wsgi, chdir=directory, **settings) as server:
                report = server.report()
                self.assertEqual(server.zygote.wait(), 0)
        self.assertEqual(report["type"], "import_failed", report)
        self.assertNotIn("<maitred>", report["traceback"])
        self.assertNotIn("importlib", report["traceback"])
        return report["kind"], report["traceback"]

    def test_success_names_the_application(self):
        with Server("probe") as server:
            report = server.report()
            self.assertEqual((report["app"], report["django"]), ("probe:application", None))
            self.assertTrue(report["python"].startswith("3."))

    def test_factories(self):
        with Server("probe:factory('ab', times=2)").boot() as server:
            self.assertEqual(server.ask("/").body, b"abab")

    def test_a_missing_module(self):
        kind, text = self.failure("nosuch.wsgi")
        self.assertEqual(kind, "import")
        self.assertIn("ModuleNotFoundError: No module named 'nosuch'", text)

    def test_a_module_that_fails(self):
        kind, text = self.failure("broken", {"broken.py": "def f():\n    raise OSError('no database')\n\nf()\n"})
        self.assertEqual(kind, "import")
        self.assertRegex(text, r"broken.py\", line 4[^\0]*broken.py\", line 2, in f\n    raise OSError")
        self.assertTrue(text.rstrip().endswith("OSError: no database"))

    def test_a_module_that_exits_or_does_not_parse(self):
        self.assertIn("SystemExit: 5", self.failure("broken", {"broken.py": "raise SystemExit(5)\n"})[1])
        self.assertIn("SyntaxError", self.failure("broken", {"broken.py": "def (\n"})[1])

    def test_a_missing_attribute(self):
        files = {"there.py": "number = 3\n"}
        self.assertEqual(
            self.failure("there:app", files), ("attribute", "module 'there' has no attribute 'app'\n")
        )
        self.assertEqual(self.failure("there:number", files)[0], "attribute")
        self.assertEqual(self.failure("there:f(x)", files)[0], "attribute")

    def test_a_huge_traceback_still_fits(self):
        kind, text = self.failure("broken", {"broken.py": "raise OSError('\\N{SNOWMAN}' * 100000)\n"})
        self.assertEqual(kind, "import")
        self.assertTrue(text.endswith("\u2603\n"))

    def test_a_missing_directory(self):
        with Server("probe", chdir="/nowhere/at/all") as server:
            report = server.report()
            self.assertIn("/nowhere/at/all", report["traceback"])

    def test_no_name_and_no_django(self):
        kind, text = self.failure(None, environment={"DJANGO_SETTINGS_MODULE": ""})
        self.assertEqual(kind, "import")
        self.assertIn("DJANGO_SETTINGS_MODULE is not set", text)

    def test_without_preload_each_worker_imports(self):
        with Server("probe", preload=False).boot() as server:
            self.assertEqual(server.ask("/").body, b"hello\n")
        with Server("nosuch", preload=False).boot() as server:
            self.assertIn("No module named 'nosuch'", server.log.rest())
            self.assertEqual(server.wait(server.worker), 3)

    def test_django_is_found_and_asked(self):
        # A stand-in with Django's names: the worker's part is what it asks, not what Django does.
        files = {
            "django/__init__.py": "def get_version():\n    return '5.2'\n",
            "django/conf.py": (
                "class settings:\n    configured = True\n    WSGI_APPLICATION = 'site_wsgi.application'\n"
                "    STATIC_URL = '/static/'\n    STATIC_ROOT = 'collected'\n"
            ),
            "django/db.py": (
                "class connections:\n    def all(initialized_only):\n        return [connection]\n"
                "class connection:\n    connection = None\n    def close():\n        print('connections closed', flush=True)\n"
            ),
            "site_wsgi.py": "import django.conf, django.db\nfrom probe import application\n",
        }
        here = os.path.dirname(os.path.abspath(__file__))
        with tempfile.TemporaryDirectory() as directory:
            os.mkdir(os.path.join(directory, "django"))
            for name, text in files.items():
                with open(os.path.join(directory, name), "w") as file:
                    file.write(text)
            environment = {"DJANGO_SETTINGS_MODULE": "settings"}
            with Server(None, chdir=directory, pythonpath=[here], environment=environment) as server:
                report = server.report()
                self.assertEqual(report["app"], "site_wsgi:application", json.dumps(report))
                facts = report["django"]
                self.assertEqual((facts["version"], facts["static_url"]), ("5.2", "/static/"))
                self.assertEqual(facts["static_root"], os.path.join(os.path.realpath(directory), "collected"))
                server.zygote_log.until("connections closed\n")


if __name__ == "__main__":
    unittest.main()
