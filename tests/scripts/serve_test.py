"""The server as clients meet it: OpenAI's routes, streams, errors, limits, signals. Run over a model that answers nonsense."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
BINARY = Path(os.environ.get("REFORM_BINARY", ROOT / "build/release/bin/reform"))
MODEL = ROOT / "tests/golden/tiny_llama3.gguf"
KEY = "0123456789abcdef"


class Served:
    """A running server with one context, `tale`."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory()
        place = Path(self.folder.name)
        (place / "heads.json").write_text('{"heads": ["v0.0", "q1.1"]}')
        (place / "keys").write_text(KEY + "\n")
        (place / "tale.txt").write_text("The lighthouse of Velm burns whale oil. Its keeper is called Ottilie Brandt.\n" * 8)
        environment = {**os.environ, "HOME": self.folder.name, "XDG_CACHE_HOME": str(place / "cache")}
        common = ["--model", MODEL, "--store", place / "store", "-t", "1"]
        subprocess.run([BINARY, "ingest", "tale", place / "tale.txt", *common, "--heads", place / "heads.json", "-q"],
                       check=True, env=environment, stdout=subprocess.DEVNULL)
        options = [str(o).replace("KEYS", str(place / "keys")) for o in options]
        self.process = subprocess.Popen([BINARY, "serve", *common, "--chat-template", "chatml", "--heads", place / "heads.json",
                                         "--port", "0", "--json", *options],
                                        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read())
        self.port = json.loads(line)["port"]

    def reform(self, *arguments):
        done = subprocess.run([BINARY, *arguments, "--store", Path(self.folder.name) / "store", "--json"], check=True, capture_output=True)
        return json.loads(done.stdout)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        said = self.process.communicate(timeout=30)
        self.folder.cleanup()
        return self.process.returncode, said

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def call(self, method, path, body=None, headers=None):
        """(status, object or text, headers)"""
        connection = self.connect()
        data = None if body is None else json.dumps(body) if not isinstance(body, (str, bytes)) else body
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        is_json = response.getheader("Content-Type", "").startswith("application/json")
        return response.status, json.loads(text) if is_json else text, response.headers

    def raw(self, data):
        """What comes back to these bytes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: s.recv(65536), b""))


def chat(model="reform:tale", content="Who keeps the lighthouse?", **more):
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 8, **more}


def chunks(text):
    lines = [line[len("data: "):] for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines[:-1]], lines[-1]


class ServeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = Served("--queue", "4")

    @classmethod
    def tearDownClass(cls):
        cls.served.stop()

    def call(self, *args, **kwargs):
        return self.served.call(*args, **kwargs)

    def test_models_are_the_bare_one_and_the_contexts(self):
        status, models, _ = self.call("GET", "/v1/models")
        self.assertEqual((status, [m["id"] for m in models["data"]]), (200, ["tiny_llama3", "reform:tale"]))
        self.assertEqual(self.call("GET", "/v1/models/reform:tale")[1]["object"], "model")
        self.assertEqual(self.call("GET", "/v1/models/reform:other")[0], 404)

    def test_a_context_answers_with_its_passages(self):
        status, said, _ = self.call("POST", "/v1/chat/completions", chat())
        self.assertEqual(status, 200)
        message = said["choices"][0]["message"]
        self.assertEqual(message["role"], "assistant")
        passage = message["annotations"][0]["passage"]
        self.assertEqual((passage["context"], Path(passage["file"]).name), ("tale", "tale.txt"))
        self.assertIn("whale oil", passage["quote"])
        usage = said["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        self.assertLessEqual(usage["completion_tokens"], 8)

    def test_a_stream_says_what_the_whole_says_and_ends(self):
        for model in ("tiny_llama3", "reform:tale"):
            whole = self.call("POST", "/v1/chat/completions", chat(model))[1]
            status, text, headers = self.call("POST", "/v1/chat/completions",
                                              chat(model, stream=True, stream_options={"include_usage": True}))
            self.assertEqual((status, headers["Content-Type"]), (200, "text/event-stream"))
            parts, last = chunks(text)
            self.assertEqual(last, "[DONE]")
            self.assertEqual(len({p["id"] for p in parts}), 1)
            deltas = [p["choices"][0]["delta"] for p in parts if p["choices"]]
            self.assertEqual(deltas[0]["role"], "assistant")
            self.assertEqual("".join(d.get("content", "") for d in deltas), whole["choices"][0]["message"]["content"])
            self.assertEqual([d for d in deltas if "annotations" in d] != [], model == "reform:tale")
            self.assertEqual(parts[-2]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"])
            for usage in (parts[-1]["usage"], whole["usage"]):  # the second prompt is not run again
                usage.pop("prompt_tokens_details")
            self.assertEqual(parts[-1]["usage"], whole["usage"])

    def test_the_answer_does_not_depend_on_who_asked_before(self):
        first = self.call("POST", "/v1/chat/completions", chat())[1]["choices"]
        self.call("POST", "/v1/chat/completions", chat(content="What does it burn?", temperature=1.5, seed=3))
        self.assertEqual(self.call("POST", "/v1/chat/completions", chat())[1]["choices"], first)
        drawn = [self.call("POST", "/v1/chat/completions", chat(temperature=20, top_p=1, top_k=0, min_p=0, seed=seed))[1]["choices"] for seed in (3, 3, 4)]
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])

    def test_stop_and_completions(self):
        whole = self.call("POST", "/v1/completions", {"model": "tiny_llama3", "prompt": "Once", "max_tokens": 12})[1]["choices"][0]
        text = whole["text"]
        self.assertGreater(len(text), 4)
        cut = self.call("POST", "/v1/completions", {"model": "tiny_llama3", "prompt": "Once", "max_tokens": 12, "stop": text[3:5]})[1]
        self.assertEqual(cut["choices"][0]["text"], text[:text.index(text[3:5])])
        self.assertEqual(cut["choices"][0]["finish_reason"], "stop")
        self.assertEqual(self.call("POST", "/v1/completions", {"model": "reform:tale", "prompt": "a"})[0], 400)

    def test_the_same_prompt_again_is_not_run_again(self):
        said = [self.call("POST", "/v1/chat/completions", chat(content="Who burns oil?"))[1] for _ in range(2)]
        cached = [s["usage"]["prompt_tokens_details"]["cached_tokens"] for s in said]
        self.assertEqual(cached, [0, said[1]["usage"]["prompt_tokens"]])
        self.assertEqual(said[0]["choices"], said[1]["choices"])

    def test_an_answer_can_be_json_that_fits_a_schema(self):
        schema = {"type": "object", "properties": {"z": {"type": "boolean"}, "a": {"enum": ["x", "y"]}}, "required": ["z", "a"]}
        form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
        for model in ("tiny_llama3", "reform:tale"):
            asked = {**chat(model, response_format=form), "max_tokens": 100}
            choice = self.call("POST", "/v1/chat/completions", asked)[1]["choices"][0]
            value = json.loads(choice["message"]["content"])
            self.assertEqual((list(value), choice["finish_reason"]), (["z", "a"], "stop"))
            self.assertIn(value["a"], ("x", "y"))
        any_object = {**chat("tiny_llama3", response_format={"type": "json_object"}, temperature=1), "max_tokens": 300}
        choice = self.call("POST", "/v1/chat/completions", any_object)[1]["choices"][0]
        self.assertTrue(choice["message"]["content"].startswith("{"))
        if choice["finish_reason"] == "stop":
            self.assertIsInstance(json.loads(choice["message"]["content"]), dict)
        schema["properties"]["a"]["pattern"] = "x"
        status, said, _ = self.call("POST", "/v1/chat/completions", chat(response_format=form))
        self.assertEqual((status, said["error"]["param"]), (400, "response_format"))
        self.assertIn("/properties/a: 'pattern'", said["error"]["message"])

    def test_log_probabilities_come_with_the_tokens(self):
        asked = chat("tiny_llama3", logprobs=True, top_logprobs=3)
        choice = self.call("POST", "/v1/chat/completions", asked)[1]["choices"][0]
        content = choice["logprobs"]["content"]
        self.assertEqual(len(content), 8)
        for token in content:
            self.assertEqual(token["logprob"], token["top_logprobs"][0]["logprob"])
            self.assertEqual(len(token["top_logprobs"]), 3)
        text = b"".join(bytes(t["bytes"]) for t in content).decode(errors="replace")
        self.assertTrue(text.startswith(choice["message"]["content"][:4]))
        parts, _ = chunks(self.call("POST", "/v1/chat/completions", {**asked, "stream": True})[1])
        streamed = [t for p in parts for t in ((p["choices"][0].get("logprobs") or {}).get("content") or [])]
        self.assertEqual(streamed, content)
        said = self.call("POST", "/v1/completions", {"model": "tiny_llama3", "prompt": "The keeper", "max_tokens": 4, "logprobs": 2})[1]
        of = said["choices"][0]["logprobs"]
        self.assertTrue(all(len(top) == 2 for top in of["top_logprobs"]), of)
        self.assertEqual({len(of[k]) for k in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}, {4})
        self.assertEqual(of["text_offset"], sorted(of["text_offset"]))
        self.assertEqual(self.call("POST", "/v1/chat/completions", chat(top_logprobs=3))[1]["error"]["param"], "top_logprobs")
        empty = self.call("POST", "/v1/chat/completions", {**asked, "stop": choice["message"]["content"][:1]})[1]["choices"][0]
        self.assertEqual((empty["message"]["content"], empty["logprobs"]["content"]), ("", []))

    def test_answers_are_made_side_by_side(self):
        # The first one is long, and the others end before it.
        ended = []

        def ask(name, n):
            self.call("POST", "/v1/chat/completions", {**chat("tiny_llama3", content=name, temperature=1), "max_tokens": n})
            ended.append(name)
        threads = [threading.Thread(target=ask, args=("long", 400))] + [threading.Thread(target=ask, args=(f"q{i}", 2)) for i in range(3)]
        for thread in threads:
            thread.start()
            while len(ended) == 0 and self.call("GET", "/ready")[1]["answers"] == 0:
                pass
        for thread in threads:
            thread.join()
        self.assertEqual(len(ended), 4)

    def test_metrics_count_what_was_done(self):
        self.call("POST", "/v1/chat/completions", chat())
        self.call("POST", "/search", {"contexts": "tale", "question": "Who?"})
        self.call("GET", "/contexts/../../etc/passwd")
        status, text, headers = self.call("GET", "/metrics")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        self.assertGreater(float(values['reform_tokens_total{kind="prompt"}']), 0)
        self.call("GET", "/contexts/tale")
        self.assertIn('reform_requests_total{path="/contexts/{name}",status="200"}', self.call("GET", "/metrics")[1])
        self.assertGreater(float(values['reform_tokens_total{kind="answer"}']), 0)
        self.assertGreaterEqual(float(values['reform_requests_total{path="/search",status="200"}']), 1)
        self.assertGreaterEqual(float(values['reform_requests_total{path="other",status="404"}']), 1)
        self.assertGreaterEqual(float(values['reform_phase_seconds_count{phase="gather"}']), 1)
        self.assertEqual(float(values["reform_answers_limit"]), 4)
        for name in ("reform_memory_bytes", "reform_memory_peak_bytes"):
            self.assertTrue(any(key.startswith(name + "{") and float(v) > 0 for key, v in values.items()), name)
        self.assertGreater(float(values["reform_store_bytes"]), 0)

    def test_a_text_is_cut_into_tokens(self):
        status, said, _ = self.call("POST", "/tokenize", {"text": "The lighthouse é"})
        self.assertEqual((status, said["n_tokens"], len(said["ids"])), (200, len(said["pieces"]), len(said["pieces"])))
        self.assertEqual(self.call("POST", "/tokenize", {"text": ""})[1]["n_tokens"], 0)
        self.assertEqual(self.call("POST", "/tokenize", {})[1]["error"]["param"], "text")
        self.assertEqual(self.call("POST", "/tokenize", {"text": "a", "texts": "a"})[1]["error"]["param"], "texts")

    def test_the_description_lists_what_there_is(self):
        status, said, _ = self.call("GET", "/openapi.json")
        self.assertEqual((status, said["openapi"][:3]), (200, "3.1"))
        for path, methods in said["paths"].items():
            for method in methods:
                got, _, _ = self.call(method.upper(), re.sub(r"\{[^}]*\}", "nobody", path), "{}" if method in ("post", "put") else None)
                self.assertNotIn(got, (405, 500, 501), (method, path))
            wrong = self.call("PATCH", re.sub(r"\{[^}]*\}", "tale", path), "{}")
            self.assertEqual(wrong[0], 405, path)
            allowed = {m.strip().lower() for m in wrong[2]["Allow"].split(",")}
            self.assertEqual(allowed, set(methods), path)

    def test_native_routes_say_what_json_says(self):
        listed = self.call("GET", "/contexts")[1]
        self.assertIn("tale", [c["name"] for c in listed["contexts"]])
        self.assertEqual(self.call("GET", "/contexts/tale")[1]["context"]["state"], "complete")
        self.assertEqual(self.call("GET", "/contexts/nope")[0], 404)
        found = self.call("POST", "/search", {"contexts": ["tale"], "question": "Who keeps it?", "top": 1})[1]
        self.assertEqual((found["verb"], len(found["sources"])), ("search", 1))
        asked = self.call("POST", "/ask", {"contexts": "tale", "question": "Who keeps it?", "max_tokens": 4})[1]
        self.assertEqual((asked["verb"], asked["contexts"]), ("ask", ["tale"]))
        self.assertEqual(self.call("POST", "/ask", {"contexts": "nope", "question": "Who?"})[0], 404)
        self.assertEqual(self.call("POST", "/search", {"contexts": [], "question": "Who?"})[0], 400)
        self.assertEqual(self.call("GET", "/health")[0], 200)
        self.assertEqual(self.call("GET", "/ready")[0], 200)

    def test_a_prompt_longer_than_the_window_becomes_a_context(self):
        story = "".join(f"On day {i} the keeper of Velm burnt {i * 7} cups of whale oil.\n\n" for i in range(300))
        long = chat("tiny_llama3", f"Answer from the diary.\n\n{story}How many cups on day 77?", stream=True)
        status, text, _ = self.call("POST", "/v1/chat/completions", long)
        self.assertEqual(status, 200)
        parts, last = chunks(text)
        self.assertEqual(last, "[DONE]")
        self.assertTrue(any("progress" in p.get("reform", {}) for p in parts))
        passages = [a["passage"] for p in parts for a in p["choices"][0]["delta"].get("annotations", [])]
        content = long["messages"][0]["content"].encode()
        for passage in passages:
            self.assertEqual(passage["file"], "messages[0]")
            self.assertEqual(passage["begin_line"], content[:passage["begin_byte"]].count(b"\n") + 1)
            self.assertEqual(content[passage["begin_byte"]:passage["end_byte"]].decode(), passage["quote"])
        said = parts[-1]["reform"]
        self.assertLess(said["long_prompt"]["seen_tokens"], said["long_prompt"]["prompt_tokens"])
        # Another question on it reads nothing, and a conversation that grows appends.
        other = chat("tiny_llama3", f"Answer from the diary.\n\n{story}How many cups on day 5?")
        again = self.call("POST", "/v1/chat/completions", other)[1]["reform"]
        self.assertEqual(again["context"], said["context"])
        more = other["messages"] + [{"role": "assistant", "content": "35"}, {"role": "user", "content": f"And here?\n\n{story}Which day?"}]
        grown = self.call("POST", "/v1/chat/completions", {**other, "messages": more})[1]
        self.assertIn("reform", grown, grown)
        grown = grown["reform"]
        self.assertEqual(grown["context"], said["context"])
        known = self.served.reform("show", said["context"])["context"]
        self.assertEqual([f.split("#")[0] for f in known["files"]], ["messages[0] (user)", "messages[2] (user)"])
        # What users sent is nobody else's.
        for path in (f"/contexts/{said['context']}", f"/v1/models/reform:{said['context']}"):
            self.assertEqual(self.call("GET", path)[0], 404)
        self.assertEqual(self.call("POST", "/v1/chat/completions", chat(f"reform:{said['context']}"))[0], 404)
        self.assertEqual(self.call("POST", "/ask", {"contexts": said["context"], "question": "Who?"})[0], 404)
        self.assertEqual([c["name"] for c in self.call("GET", "/contexts")[1]["contexts"]], ["tale"])
        # The shorter one may not see what came later.
        first = self.call("POST", "/v1/chat/completions", other)[1]["reform"]
        self.assertNotEqual(first["context"], said["context"])
        self.assertEqual(len(self.call("GET", "/v1/models")[1]["data"]), 2)

    def test_a_long_conversation_about_a_context_asks_both(self):
        story = "".join(f"On day {i} the keeper of Velm burnt {i * 7} cups of whale oil.\n\n" for i in range(300))
        turns = [{"role": "user", "content": "Remember:\n\n" + story}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Who keeps it?"}]
        status, said, _ = self.call("POST", "/v1/chat/completions", {**chat(), "messages": turns, "gather_tokens": 200})
        self.assertEqual(status, 200, said)
        self.assertEqual(said["reform"]["contexts"], ["tale", said["reform"]["context"]])
        self.assertTrue(said["reform"]["context"].startswith("prompt-"))
        files = {(a["passage"]["context"], Path(a["passage"]["file"]).name) for a in said["choices"][0]["message"]["annotations"]}
        self.assertLessEqual(files, {("tale", "tale.txt"), (said["reform"]["context"], "messages[0]")})
        self.assertTrue(files)

    def test_what_is_not_there_is_said_without_what_is(self):
        for method, path, body in (("GET", "/contexts/none", None), ("POST", "/search", {"contexts": ["tale", "none"], "question": "q"}),
                                   ("DELETE", "/contexts/none", None), ("POST", "/v1/chat/completions", chat("reform:none"))):
            status, said, _ = self.call(method, path, body)
            self.assertEqual((status, said["error"]["message"]), (404, 'no context "none"; GET /contexts lists what there is'), path)

    def test_errors_name_the_field(self):
        for body, status, param in ((chat("nope"), 404, "model"), (chat("reform:nope"), 404, "model"), (chat(n=2), 400, "n"),
                                    (chat(max_tokens=100_000), 400, None), ("{", 400, None),
                                    (chat(stream=True, max_tokens=100_000), 400, None)):
            got, said, _ = self.call("POST", "/v1/chat/completions", body)
            self.assertEqual((got, said["error"]["param"]), (status, param), body)
        self.assertEqual(self.call("GET", "/made/up")[0], 404)
        status, _, headers = self.call("DELETE", "/contexts")
        self.assertEqual((status, headers["Allow"]), (405, "GET"))

    def test_strangers_are_refused(self):
        body = chat()
        self.assertEqual(self.call("POST", "/v1/chat/completions", body, {"Content-Type": "text/plain"})[0], 415)
        self.assertEqual(self.call("POST", "/v1/chat/completions", body, {"Content-Encoding": "gzip"})[0], 415)
        self.assertEqual(self.call("POST", "/v1/chat/completions", body, {"Host": "evil.example"})[0], 403)
        self.assertEqual(self.call("POST", "/v1/chat/completions", body, {"Origin": "http://evil.example"})[0], 403)

    def test_hostile_bytes_give_an_error_and_the_server_goes_on(self):
        large = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        for data in (b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", large % (1 << 40),
                     large % 100 + b"{", large.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"fffffffffffffff\r\n{"):
            self.assertNotIn(b" 500 ", self.served.raw(data)[:20], data[:60])
        self.assertEqual(self.call("GET", "/health")[0], 200)

    def test_a_body_is_never_the_next_request(self):
        inner = b"GET /contexts HTTP/1.1\r\nHost: localhost\r\n\r\n"
        outer = b"POST /ask HTTP/1.1\r\nHost: evil.example\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(inner)
        self.assertEqual(self.served.raw(outer + inner).count(b"HTTP/1.1"), 1)
        self.assertEqual(self.served.raw(inner + inner).count(b"HTTP/1.1"), 1)

    def test_forms_without_a_limit_are_refused(self):
        for headers, status in (({"Transfer-Encoding": "chunked"}, 411), ({"Range": "bytes=0-9"}, 416), ({"Content-Encoding": "gzip"}, 415)):
            self.assertEqual(self.call("GET", "/health", headers=headers)[0], status)
        self.assertEqual(self.call("GET", "/contexts/" + "a" * 2000)[0], 414)
        head = b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n{}"
        for length, status in ((b"99999999999999999999", b"413"), (b"20000000", b"413"), (b"-1", b"400")):
            self.assertIn(status, self.served.raw(head % length)[:16])
        for twice in (b"Host: evil.example", b"Origin: http://evil.example\r\nOrigin: http://localhost", b"Content-Length: 3"):
            said = self.served.raw(b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n" + twice + b"\r\n\r\n{}")
            self.assertRegex(said[:16], b" 40[03] ")

    def test_one_more_than_the_queue_takes_is_told_to_come_back(self):
        long = chat("tiny_llama3", max_tokens=64, temperature=2, stop=[])
        came = []
        threads = [threading.Thread(target=lambda: came.append(self.call("POST", "/v1/chat/completions", long))) for _ in range(24)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual({status for status, _, _ in came}, {200, 429})
        self.assertTrue(all(int(h["Retry-After"]) >= 1 for status, _, h in came if status == 429))


class EndsTest(unittest.TestCase):
    def test_a_signal_ends_it_and_tells_those_who_wait(self):
        served = Served()
        connection = served.connect()
        connection.request("POST", "/v1/chat/completions", json.dumps(chat("tiny_llama3", max_tokens=400, stream=True, temperature=2)),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.readline()
        status, (_, err) = served.stop()
        text = response.read().decode()
        self.assertEqual(status, 0, err)
        self.assertTrue("[DONE]" in text or "shutting down" in text, text[-300:])

    def test_keys_are_asked_for_and_strangers_need_one(self):
        served = Served("--api-key-file", "KEYS")
        self.addCleanup(served.stop)
        status, said, headers = served.call("GET", "/v1/models")
        self.assertEqual((status, said["error"]["type"], headers["WWW-Authenticate"]), (401, "authentication_error", "Bearer"))
        self.assertEqual(served.call("GET", "/v1/models", headers={"Authorization": f"Bearer {KEY}"})[0], 200)
        done = subprocess.run([BINARY, "serve", "--model", MODEL, "--host", "0.0.0.0"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--api-key-file", done.stderr)

    def test_long_prompts_can_be_refused(self):
        served = Served("--implicit-contexts", "off")
        self.addCleanup(served.stop)
        status, said, _ = served.call("POST", "/v1/chat/completions", chat("tiny_llama3", "word " * 20_000 + "?"))
        self.assertEqual(status, 400)
        self.assertRegex(said["error"]["message"], r"\d+ tokens .* window of \d+")

    def test_a_port_that_is_taken_is_said(self):
        with socket.create_server(("127.0.0.1", 0)) as taken, tempfile.TemporaryDirectory() as folder:
            port = str(taken.getsockname()[1])
            done = subprocess.run([BINARY, "serve", "--model", MODEL, "--port", port, "--store", folder, "--chat-template", "chatml"],
                                  capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": folder})
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertTrue(re.search(rf"127\.0\.0\.1:{port}: .*--port", done.stderr), done.stderr)


if __name__ == "__main__":
    unittest.main()
