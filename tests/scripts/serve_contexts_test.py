"""The server's routes that change contexts: uploads in each form, their progress, pins, checks, archives, what is refused."""
import http.client
import json
import select
import socket
import unittest
from pathlib import Path
from urllib.parse import quote

from serve_test import KEY, Served, chat, chunks

PAGE = {"X-Reform": "1"}  # what no page's form can send
PLAIN = {"Content-Type": "text/plain; charset=utf-8", **PAGE}
ARCHIVE = {"Content-Type": "application/octet-stream"}
TALE = "The lighthouse of Velm burns whale oil. Its keeper is called Ottilie Brandt.\n" * 8
LONG = "".join(f"On day {i} the keeper of Velm burnt {i * 7} cups of whale oil.\n" for i in range(3000))


def texts(*named, **options):
    return {"texts": [{"file": file, "text": text} for file, text in named], **options}


def form(*named, boundary="XyZ"):
    """(body, headers) of a form of files, as curl -F and browsers send it."""
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file}"\r\n\r\n{text}\r\n' for file, text in named]
    return "".join(parts) + f"--{boundary}--\r\n", {"Content-Type": f"multipart/form-data; boundary={boundary}", **PAGE}


class ContextsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = Served()

    @classmethod
    def tearDownClass(cls):
        cls.served.stop()

    def call(self, *args, **kwargs):
        return self.served.call(*args, **kwargs)

    def ok(self, *args, **kwargs):
        status, said, _ = self.call(*args, **kwargs)
        self.assertEqual(status, 200, said)
        return said

    def export(self, name):
        connection = self.served.connect()
        connection.request("GET", f"/contexts/{quote(name)}/export")
        response = connection.getresponse()
        data = response.read()
        connection.close()
        self.assertEqual(response.status, 200, data)
        return data, response.headers

    def names(self):
        return [c["name"] for c in self.ok("GET", "/contexts")["contexts"]]

    def test_the_same_texts_are_the_same_context_in_each_form(self):
        two = (("a.txt", TALE), ("dir/b.txt", "Velm lies on the island of Hest. " * 20))
        body, headers = form(*two)
        said = [self.ok("PUT", "/contexts/by-json", texts(*two)), self.ok("POST", "/contexts/by-form", body, headers)]
        self.ok("PUT", "/contexts/by-text?file=a.txt", TALE, PLAIN)
        said.append(self.ok("PUT", "/contexts/by-text?file=dir%2Fb.txt&append=true", two[1][1], PLAIN))
        for one in said:
            self.assertEqual((one["verb"], one["context"]["files"]), ("ingest", ["a.txt", "dir/b.txt"]))
            self.assertEqual((one["context"]["state"], one["context"]["n_tokens"]), ("complete", said[0]["context"]["n_tokens"]))
        self.assertEqual([one["outcome"] for one in said], ["ingested", "ingested", "appended"])
        asked = [self.ok("POST", "/v1/chat/completions", chat(f"reform:by-{how}"))["choices"][0]["message"] for how in ("json", "form", "text")]
        for message in asked:
            self.assertEqual(message["content"], asked[0]["content"])
            self.assertEqual(message["annotations"][0]["passage"]["file"], "a.txt")

    def test_the_same_text_again_is_not_read_and_another_is_refused(self):
        self.ok("PUT", "/contexts/again", texts(("a.txt", TALE)))
        again = self.ok("PUT", "/contexts/again", texts(("a.txt", TALE)))
        self.assertEqual((again["outcome"], again["tokens_run"]), ("unchanged", 0))
        status, said, _ = self.call("PUT", "/contexts/again", texts(("a.txt", TALE + "More.")))
        self.assertEqual((status, said["error"]["code"]), (409, "exists"))
        replaced = self.ok("PUT", "/contexts/again", texts(("b.txt", TALE + "More."), replace=True))
        self.assertEqual((replaced["outcome"], replaced["context"]["files"]), ("replaced", ["b.txt"]))
        self.assertEqual(self.served.reform("show", "again")["context"]["id"], replaced["context"]["id"])

    def test_progress_is_a_stream_that_ends_with_the_object(self):
        body = texts(("long.txt", LONG), chunk_tokens=1024, cache_tokens=512)
        status, text, headers = self.call("PUT", "/contexts/progress", body, {"Accept": "text/event-stream"})
        self.assertEqual((status, headers["Content-Type"]), (200, "text/event-stream"))
        events, last = chunks(text)
        self.assertEqual(last, "[DONE]")
        done = events.pop()
        self.assertEqual((done["outcome"], done["context"]["chunk_tokens"]), ("ingested", 1024))
        progress = [event["reform"]["progress"] for event in events]
        self.assertTrue(progress)
        for p in progress:
            self.assertEqual(set(p), {"phase", "tokens_done", "tokens_total", "eta_s"})
            self.assertLess(abs(p["tokens_total"] / done["context"]["n_tokens"] - 1), 0.2)
        self.assertEqual([p["tokens_done"] for p in progress], sorted(p["tokens_done"] for p in progress))
        # The same again, as a field asks for it; what fails at once has a status of its own.
        events, last = chunks(self.ok("PUT", "/contexts/progress", {**body, "stream": True}))
        self.assertEqual((events[-1]["outcome"], last), ("unchanged", "[DONE]"))
        self.assertEqual(self.call("PUT", "/contexts/progress", texts(("a", "other"), stream=True))[0], 409)

    def test_a_client_that_goes_away_stops_it_and_the_same_request_goes_on(self):
        body = json.dumps(texts(("long.txt", LONG), chunk_tokens=64, cache_tokens=64, stream=True))
        with socket.create_connection(("127.0.0.1", self.served.port), timeout=60) as s:
            s.sendall(b"PUT /contexts/left HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                      % (len(body), body.encode()))
            read = b""
            while read.count(b"data: ") < 20:
                read += s.recv(4096)
        while (known := self.ok("GET", "/contexts/left")["context"])["state"] == "busy":
            pass
        self.assertEqual(known["state"], "partial")
        self.assertGreater(known["n_tokens"], 0)
        events, last = chunks(self.ok("PUT", "/contexts/left", body))
        self.assertEqual((last, events[-1]["outcome"]), ("[DONE]", "resumed"))
        self.assertLess(events[-1]["tokens_run"], events[-1]["context"]["n_tokens"])

    def test_an_unfinished_append_gives_way_to_another_text_at_once(self):
        self.ok("PUT", "/contexts/grown", texts(("a.txt", TALE), chunk_tokens=64, cache_tokens=64))
        body = json.dumps(texts(("long.txt", LONG), append=True, stream=True))
        with socket.create_connection(("127.0.0.1", self.served.port), timeout=60) as s:
            s.sendall(b"PUT /contexts/grown HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                      % (len(body), body.encode()))
            read = b""
            while read.count(b"data: ") < 20:
                read += s.recv(4096)
        while (known := self.ok("GET", "/contexts/grown")["context"])["state"] == "busy":
            pass
        self.assertEqual(known["state"], "partial")
        said = self.ok("PUT", "/contexts/grown", texts(("b.txt", "Hest is an island. " * 9), append=True))
        self.assertEqual((said["context"]["state"], said["context"]["files"]), ("complete", ["a.txt", "b.txt"]))

    def test_pins_checks_and_removal(self):
        self.ok("PUT", "/contexts/kept", texts(("a.txt", TALE)))
        self.assertEqual(self.ok("PUT", "/contexts/kept/pin")["pinned"], ["kept"])
        self.assertTrue(self.ok("GET", "/contexts/kept")["context"]["pinned"])
        self.assertEqual(self.ok("DELETE", "/contexts/kept/pin")["unpinned"], ["kept"])
        self.assertFalse(self.served.reform("show", "kept")["context"]["pinned"])
        checked = self.ok("POST", "/contexts/kept/verify", "{}")
        self.assertEqual((checked["verb"], checked["contexts"][0]["state"]), ("verify", "ok"))
        self.assertEqual(self.ok("DELETE", "/contexts/kept")["removed"], ["kept"])
        for method, path in (("DELETE", "/contexts/kept"), ("PUT", "/contexts/kept/pin"), ("DELETE", "/contexts/kept/pin"),
                             ("POST", "/contexts/kept/verify"), ("GET", "/contexts/kept/export")):
            self.assertEqual(self.call(method, path, headers=PAGE)[0], 404, (method, path))

    def test_an_archive_gives_the_same_answers_elsewhere(self):
        self.ok("PUT", "/contexts/na%C3%AFve", texts(("a.txt", TALE)))
        data, headers = self.export("naïve")
        self.assertEqual(headers["Content-Type"], "application/octet-stream")
        self.assertEqual(headers["Content-Disposition"], "attachment; filename=\"na__ve.reform\"; filename*=UTF-8''na%C3%AFve.reform")
        file = Path(self.served.folder.name) / "by-command.reform"
        self.served.reform("export", "naïve", file, "--force")
        self.assertEqual(data, file.read_bytes())
        other = Served()
        self.addCleanup(other.stop)
        status, said, _ = other.call("POST", "/contexts/copy/import", data, ARCHIVE)
        self.assertEqual((status, said["outcome"], said["context"]["name"]), (200, "imported", "copy"), said)
        self.assertEqual(other.call("POST", "/contexts/copy/import", data, ARCHIVE)[1]["outcome"], "unchanged")
        first = self.ok("POST", "/v1/chat/completions", chat("reform:naïve"))["choices"][0]["message"]
        second = other.call("POST", "/v1/chat/completions", chat("reform:copy"))[1]["choices"][0]["message"]
        self.assertEqual(first["content"], second["content"])
        # What is damaged, cut short, or followed by more does not appear.
        for damaged in (data[:-100], data[:1000], data[:5000] + b"x" + data[5001:], data + b"x", b"", TALE.encode()):
            status, said, _ = other.call("POST", "/contexts/bad/import", damaged, ARCHIVE)
            self.assertEqual((status, said["error"]["code"]), (400, "corrupt"), said)
        self.assertEqual(other.call("POST", "/contexts/tale/import", data, ARCHIVE)[0], 409)
        self.assertEqual(other.call("POST", "/contexts/bad/import", data, PLAIN)[0], 415)
        self.assertEqual(other.call("POST", "/contexts/..%2Fbad/import", data, ARCHIVE)[0], 404)
        half = b"POST /contexts/bad/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
        self.assertIn(b"broke off", other.raw(half % len(data) + data[:5000]))
        self.assertEqual(sorted(c["name"] for c in other.call("GET", "/contexts")[1]["contexts"]), ["copy", "tale"])

    def test_an_export_that_finds_damage_ends_so_that_the_client_notices(self):
        made = self.ok("PUT", "/contexts/damaged", texts(("long.txt", LONG[:60_000])))["context"]
        place = Path(self.served.folder.name) / "store/contexts" / made["id"]
        largest = max((f for f in place.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)  # a checkpoint
        with largest.open("r+b") as file:
            file.seek(largest.stat().st_size // 2)
            file.write(b"\xaa" * 64)
        connection = self.served.connect()
        connection.request("GET", "/contexts/damaged/export")
        with self.assertRaises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()
        self.assertEqual(self.ok("POST", "/contexts/damaged/verify", "{}")["n_damaged"], 1)

    def test_hostile_names_are_labels_or_refused(self):
        before = sorted(Path(self.served.folder.name).rglob("*.txt"))
        for name in ("..", ".", "%00", "a%00b", "a%0Ab", "x" * 200, "%20a", "a%20", "%E2%80%AE", "%20"):
            self.assertEqual(self.call("PUT", f"/contexts/{name}", texts(("a.txt", TALE)))[0], 400, name)
        for name in ("..%2Fx", "a/b", "%2Fetc%2Fpasswd"):
            self.assertEqual(self.call("PUT", f"/contexts/{name}", texts(("a.txt", TALE)))[0], 404, name)
        said = self.ok("PUT", "/contexts/%E2%80%9Cn%3F%23%26%E2%80%9D", texts(("../../x.txt", TALE), ("/etc/passwd", TALE), ("-", TALE)))
        self.assertEqual((said["context"]["name"], said["context"]["files"]), ("“n?#&”", ["../../x.txt", "/etc/passwd", "-"]))
        body, headers = form(("..\\..\\boot.ini", TALE))
        self.assertEqual(self.ok("PUT", "/contexts/labels", body, headers)["context"]["files"], ["..\\..\\boot.ini"])
        for file in ("", "a\0b", "a\nb", "x" * 600, "a\u202eb"):
            self.assertEqual(self.call("PUT", "/contexts/bad", texts((file, TALE)))[0], 400, file)
        self.assertEqual(sorted(Path(self.served.folder.name).rglob("*.txt")), before)
        self.assertNotIn("bad", self.names())

    def test_contexts_of_long_prompts_are_nobodys(self):
        name = "prompt-" + "0" * 32
        for method, path in (("PUT", ""), ("DELETE", ""), ("PUT", "/pin"), ("DELETE", "/pin"), ("POST", "/verify"), ("GET", "/export"),
                             ("POST", "/import")):
            status, said, _ = self.call(method, f"/contexts/{name}{path}", texts(("a.txt", TALE)))
            self.assertEqual((status, said["error"]["code"]), (404, "not_found"), (method, path))

    def test_what_is_wrong_is_named(self):
        for body, param in ((texts(("a", TALE), chunk_tokens=1), "chunk_tokens"), (texts(("a", TALE), heads="x.json"), "heads"),
                            (texts(("a", TALE), append=True, replace=True), "replace"), ({"texts": []}, None), ("{", None),
                            (texts(("a", TALE), policy="made up"), None), (texts(("a", " \n ")), None), (texts(("a", "")), None)):
            status, said, _ = self.call("PUT", "/contexts/wrong", body)
            self.assertEqual((status, said["error"]["param"]), (400, param), said)
        for path, body, headers in (("wrong", TALE, PLAIN), ("wrong?file=a&made_up=1", TALE, PLAIN), ("wrong?file=a&file=b", TALE, PLAIN),
                                    ("wrong?file=a", b"\xff\xfe", PLAIN), ("wrong?append=true", json.dumps(texts(("a", TALE))), {}),
                                    ("wrong", "--XyZ\r\nno head", form()[1]), ("wrong", form(("a", TALE))[0][:-8], form()[1]), ("wrong", *form())):
            status, said, _ = self.call("PUT", f"/contexts/{path}", body, headers)
            self.assertEqual(status, 400, said)
        self.assertEqual(self.ok("PUT", "/contexts/lossy?file=a&lossy=true", b"\xff" + TALE.encode(), PLAIN)["outcome"], "ingested")
        self.assertNotIn("wrong", self.names())

    def test_another_sites_page_can_send_nothing(self):
        body, headers = form(("a", TALE))
        for said in ({"Content-Type": "text/plain"}, {"Content-Type": headers["Content-Type"]}):
            for method in ("POST", "PUT"):
                self.assertEqual(self.call(method, "/contexts/form?file=a", body, said)[0], 403)
        for kind in ("application/x-www-form-urlencoded", ""):
            self.assertEqual(self.call("POST", "/contexts/form?file=a", body, {"Content-Type": kind, **PAGE})[0], 415)
        self.assertEqual(self.call("POST", "/contexts/tale/verify", headers={"Content-Type": "text/plain"})[0], 403)
        for method, path in (("PUT", ""), ("POST", ""), ("DELETE", ""), ("PUT", "/pin"), ("DELETE", "/pin"), ("POST", "/verify"),
                             ("GET", "/export"), ("POST", "/import")):
            for stranger in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
                self.assertEqual(self.call(method, f"/contexts/tale{path}", "{}", {**PAGE, **stranger})[0], 403, (method, path))
        self.assertEqual(self.call("OPTIONS", "/contexts/tale", headers={"Access-Control-Request-Method": "PUT"})[0], 405)

    def test_a_body_that_breaks_off_or_has_no_length_is_refused(self):
        head = b"PUT /contexts/broken?file=a HTTP/1.1\r\nHost: localhost\r\nX-Reform: 1\r\nContent-Type: text/plain\r\n%s\r\n"
        self.assertIn(b"broke off", self.served.raw(head % b"Content-Length: 1000\r\n" + b"abc"))
        self.assertIn(b" 411 ", self.served.raw(head % b"")[:16])
        self.assertIn(b" 411 ", self.served.raw(head % b"Transfer-Encoding: chunked\r\n" + b"3\r\nabc\r\n0\r\n\r\n")[:16])
        self.assertIn(b" 415 ", self.served.raw(head % b"Content-Encoding: gzip\r\nContent-Length: 3\r\n" + b"abc")[:16])
        self.assertIn(b" 413 ", self.served.raw(head % b"Content-Length: 99999999999\r\n" + b"abc")[:16])
        self.assertNotIn("broken", self.names())


class LimitsTest(unittest.TestCase):
    def test_an_upload_has_a_limit_of_its_own(self):
        served = Served("--max-upload", "20MiB")
        self.addCleanup(served.stop)
        # A client that has sent all of it reads why it was not taken.
        status, said, _ = served.call("PUT", "/contexts/large?file=a", b"a" * (21 << 20), PLAIN)
        self.assertEqual((status, said["error"]["code"]), (413, "usage"))
        self.assertIn("--max-upload", said["error"]["message"])
        self.assertEqual(served.call("PUT", "/contexts/large", b" " * (17 << 20))[0], 413)  # JSON
        status, said, _ = served.call("PUT", "/contexts/large?file=a", b"\xff" * (17 << 20), PLAIN)
        self.assertEqual((status, said["error"]["code"]), (400, "bad_text"))

    def test_a_key_is_asked_for_and_stands_for_the_header(self):
        served = Served("--api-key-file", "KEYS")
        self.addCleanup(served.stop)
        key = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain"}
        self.assertEqual(served.call("PUT", "/contexts/key?file=a", TALE, PLAIN)[0], 401)
        self.assertEqual(served.call("PUT", "/contexts/key?file=a", TALE, key)[0], 200)
        for method, path in (("DELETE", ""), ("PUT", "/pin"), ("DELETE", "/pin"), ("POST", "/verify"), ("GET", "/export"), ("POST", "/import")):
            self.assertEqual(served.call(method, f"/contexts/key{path}")[0], 401, (method, path))
        self.assertEqual(served.call("POST", "/contexts/key/verify", headers=key)[0], 200)

    def test_only_so_many_uploads_are_read_at_a_time(self):
        served = Served()
        self.addCleanup(served.stop)
        head = b"PUT /contexts/slow?file=a HTTP/1.1\r\nHost: localhost\r\nX-Reform: 1\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"
        slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(12)]
        for s in slow:
            self.addCleanup(s.close)
            s.sendall(head)
        refused = []
        while len(refused) < 4:
            ready, _, _ = select.select([s for s in slow if s not in refused], [], [])
            refused += ready
        for s in refused:
            self.assertRegex(s.recv(4096), b"(?s) 429 .*Retry-After: ")
        self.assertEqual(served.call("POST", "/v1/chat/completions", chat())[0], 200)  # questions do not wait for them

    def test_the_servers_end_is_told_to_who_still_sends_and_to_who_waits(self):
        served = Served()
        head = b"PUT /contexts/slow%s?file=a&stream=true HTTP/1.1\r\nHost: localhost\r\nX-Reform: 1\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
        with socket.create_connection(("127.0.0.1", served.port)) as sends, socket.create_connection(("127.0.0.1", served.port)) as waits:
            waits.sendall(head % (b"2", len(LONG) * 4) + LONG.encode() * 4)
            self.assertIn(b" 200 ", waits.recv(4096))
            sends.sendall(head % (b"1", 1000) + b"abc")
            status, (_, err) = served.stop()
            self.assertEqual(status, 0, err)
            said = b"".join(iter(lambda: waits.recv(65536), b""))
            self.assertTrue(b"shutting down" in said or b"[DONE]" in said, said[-300:])
            self.assertRegex(b"".join(iter(lambda: sends.recv(65536), b"")), b"(?s)^$|503.*shutting down")


if __name__ == "__main__":
    unittest.main()
