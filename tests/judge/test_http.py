"""The HTTP back end against a real server on this machine."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import backends
from counterfactory.judge.backends.base import GenerationSettings
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.runner import run

KEY = "sk-secret-0123"


class Server(ThreadingHTTPServer):
    """Answers questions about even numbers; fails as it is told; counts what it sees."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fail: list[int] = []  # status codes to give before anything else
        self.wait, self.echo = 0.0, True
        self.lock, self.now, self.most = threading.Lock(), 0, 0
        self.bodies: list[dict] = []
        self.headers: list[dict] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append({"path": self.path, **body})
            self.server.headers.append(dict(self.headers))
            status = self.server.fail.pop(0) if self.server.fail else 200
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        time.sleep(self.server.wait)
        with self.server.lock:
            self.server.now -= 1
        if status != 200:
            self.reply(status, {"error": f"no, {self.headers.get('Authorization')}"})
        elif self.path == "/v1/chat/completions":
            said = self.answer(body["messages"][-1]["content"])
            usage = {"prompt_tokens": 5, "completion_tokens": 1}
            self.reply(200, {"choices": [{"message": {"role": "assistant", "content": said}}], "usage": usage})
        elif self.path == "/v1/completions":
            logprobs = self.echoed(body["prompt"]) if body.get("echo") and self.server.echo else None
            self.reply(200, {"choices": [{"text": self.answer(body["prompt"]), "logprobs": logprobs}]})
        else:
            self.reply(404, {"error": "no such path"})

    def answer(self, text):
        numbers = [int(word) for word in text.replace("?", " ").split() if word.isdigit()]
        return "Yes" if numbers and numbers[-1] % 2 == 0 else "No"

    def echoed(self, text):
        """Words with their leading space are tokens; the right answer is likelier."""
        tokens = [*text.replace(" ", "\0 ").split("\0"), " end"]
        offsets = [sum(map(len, tokens[:i])) for i in range(len(tokens))]
        right = " " + self.answer(text)
        values = [None, *(-0.5 if token == right else -2.0 for token in tokens[1:])]
        top = [None, *({right: -0.5, token: v} for token, v in zip(tokens[1:], values[1:], strict=True))]
        return {"tokens": tokens, "token_logprobs": values, "text_offset": offsets, "top_logprobs": top}

    def reply(self, status, content):
        raw = json.dumps(content).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0.01")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def backend(server):
    found = backends.openai(server.url, "stub", api_key=KEY, backoff=0.01, concurrency=3)
    yield found
    found.close()


def even(n: int = 8) -> ItemSet:
    items = [Item(f"q{i}", prompt=f"Is {i} even?", choices=("No", "Yes"), target=int(i % 2 == 0)) for i in range(n)]
    return ItemSet("even", "1", items)


def test_busy_servers_are_asked_again(server, backend):
    server.fail = [429, 429]
    answer = backend.generate(["Is 2 even?"], GenerationSettings())[0]
    assert (answer.text, answer.error, answer.prompt_tokens, len(server.bodies)) == ("Yes", None, 5, 3)
    server.fail = [503, 408, 500]
    assert backend.generate(["Is 3 even?"], GenerationSettings())[0].text == "No"


def test_no_more_requests_at_once_than_asked_for(server, backend):
    server.wait = 0.03
    answers = backend.generate([f"Is {i} even?" for i in range(12)], GenerationSettings())
    assert [a.text for a in answers] == ["Yes", "No"] * 6
    assert server.most == 3


def test_runs_keep_errors_apart_and_ask_them_again(server, tmp_path):
    backend = backends.openai(server.url, "stub", api_key=KEY, backoff=0.001, concurrency=1, retries=1, logprobs="off")
    server.fail = [500] * 4  # two items give up
    first = run(even(), backend, "generate", tmp_path)
    assert first.value("errors") == 0.25 and first.value("acc") == 0.75 and first.value("unparsed") == 0.25
    again = run(even(), backend, "generate", tmp_path)
    assert again.value("errors") == 0 and again.value("acc") == 1 and len(server.bodies) == 12
    backend.close()


def test_scores_that_fail_are_errors_too(server, tmp_path):
    backend = backends.openai(server.url, "stub", backoff=0.001, concurrency=1, retries=0, logprobs="on")
    server.fail = [500] * 2  # both choices of one item
    first = run(even(), backend, "loglikelihood", tmp_path)
    assert first.value("errors") == 1 / 8 and first.value("acc") == 7 / 8
    assert "brier" not in [row["metric"] for row in first.report.rows]
    again = run(even(), backend, "loglikelihood", tmp_path)
    assert again.value("errors") == 0 and again.value("acc") == 1 and again.value("brier") < 0.5
    backend.close()


def test_no_secret_on_disk_or_in_messages(server, backend, tmp_path):
    run(even(), backend, "generate", tmp_path / "a")
    assert all(h["Authorization"] == f"Bearer {KEY}" for h in server.headers)
    server.fail = [401]
    with pytest.raises(CounterfactoryError, match="refuses") as refused:
        backend.generate(["Is 2 even?"], GenerationSettings())
    assert "***" in str(refused.value) and KEY not in str(refused.value)
    with_user = backends.openai(server.url.replace("//", "//me:hidden@"), "stub", backoff=0.001, retries=0, api_key=KEY)
    server.fail = [500] * 99
    run(even(), with_user, "generate", tmp_path / "b", command="again")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"even" in written and b"500 " in written and KEY.encode() not in written and b"hidden" not in written
    with_user.close()


def test_scores_come_from_echoed_prompts(server, backend):
    assert backend.capabilities == {"generate", "loglikelihood"}
    yes, no, long = backend.loglikelihood([("Is 2 even?", " Yes"), ("Is 2 even?", " No"), ("Is 3 even?", " No end")])
    assert (yes.logprob, yes.greedy, no.logprob, no.greedy) == (-0.5, True, -2.0, False)
    assert (long.logprob, long.completion_tokens, long.prompt_tokens) == (-2.5, 2, 3)
    result = run(even(), backend, "loglikelihood")
    assert result.value("acc") == 1.0 and "acc_pmi" not in result.answers.marks


def test_servers_that_do_not_echo_cannot_score(server, backend):
    server.echo = False
    assert backend.capabilities == {"generate"}
    with pytest.raises(CounterfactoryError, match="cannot do 'loglikelihood'"):
        run(even(), backend, "loglikelihood")


def test_settings_and_conversations_reach_the_server(server, backend):
    how = GenerationSettings(max_tokens=7, temperature=0.5, seed=3, stop=("s",))
    talk = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is 4 even?"})
    assert backend.generate([talk], how)[0].text == "Ye"
    body = server.bodies[-1]
    assert body["messages"] == [dict(m) for m in talk]
    assert (body["max_tokens"], body["temperature"], body["seed"], body["stop"]) == (7, 0.5, 3, ["s"])
    plain = backends.openai(server.url, "stub", endpoint="completions", extra={"min_p": 0.1})
    plain.generate(["Is 4 even?"], GenerationSettings())
    assert server.bodies[-1]["path"] == "/v1/completions" and server.bodies[-1]["min_p"] == 0.1
    assert "seed" not in server.bodies[-1]
    plain.close()


def test_addresses_that_are_none_are_refused():
    for url in ("localhost:8000", "ftp://a", "http://"):
        with pytest.raises(CounterfactoryError, match="no address"):
            backends.openai(url, "stub")
    with pytest.raises(CounterfactoryError, match="unknown endpoint"):
        backends.openai("http://localhost", "stub", endpoint="chats")
