"""Jobs and the network: what they reach through the proxy, and that there is no way around it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import ipaddress
import socket
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sandbox import network, proxy
from sandbox.api import Connection, Job, JobStatus, Limits, Policy, Rung
from sandbox.boxes import Box
from sandbox.canaries import probe

Open = Callable[..., Any]
LIMITS = Limits(wall_s=100)
FETCH = "import urllib.request as r; print(r.urlopen('http://{}/page', timeout=60).read().decode())"


class Site(http.server.BaseHTTPRequestHandler):
    """Answers every GET with what was asked for; a wheel and its index lie below /simple."""

    wheels: Path
    seen: ClassVar[list[tuple[str, str]]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Host", "")))
        if self.path.endswith(".whl"):
            return self._say((self.wheels / self.path.rpartition("/")[2]).read_bytes(), "application/zip")
        if self.path.startswith("/simple/"):
            links = "".join(f'<a href="/{file.name}">{file.name}</a>' for file in self.wheels.glob("*.whl"))
            return self._say(links.encode(), "text/html")
        return self._say(f"you asked for {self.path}".encode(), "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with contextlib.suppress(OSError):  # a client that is cut off
            self._say(b"got " + body, "text/plain")

    def _say(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site(tmp_path: Path) -> Iterator[int]:
    Site.wheels = tmp_path
    Site.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server.server_port
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of our own: `*.test` is this machine, `*.public` a public address that is not there."""
    whole = proxy.resolve

    async def resolve(place: Any) -> Any:
        if place.host.endswith(".test"):
            return [ipaddress.ip_address("127.0.0.1")]
        return await whole(place)

    monkeypatch.setattr(proxy, "resolve", resolve)


@pytest.fixture(params=["best", "C"])
def open_box(request: pytest.FixtureRequest, folder: Path) -> Open:
    @asynccontextmanager
    async def opened(**policy: Any) -> AsyncIterator[Box]:
        rung = await probe() if request.param == "best" else Rung("C", "Landlock")
        async with Box("s-1", folder, Policy(**policy), rung) as box:
            yield box

    return opened


async def test_a_program_reaches_a_host_that_it_declared(open_box: Open, site: int):
    told: list[Connection] = []
    async with open_box(private_hosts=("*.test:*",), tool_hosts=("*:*",), on_connection=told.append) as box:
        job = Job("python", FETCH.format(f"a.test:{site}"), net=(f"a.test:{site}",), limits=LIMITS)
        result = await box.run(job)
    assert result.stdout.text == "you asked for /page\n", result.stderr.text
    [made] = result.connections
    assert told == [made]
    assert (made.session, made.host, made.port, made.address, made.allowed) == (
        "s-1",
        "a.test",
        site,
        "127.0.0.1",
        True,
    )
    assert made.received > 100
    assert made.sent > 50
    assert Site.seen == [("/page", f"a.test:{site}")]


async def test_the_usual_clients_find_the_proxy_by_themselves(open_box: Open, site: int):
    url = f"http://a.test:{site}"
    code = (
        f"import httpx, requests, subprocess as s\nprint(httpx.get('{url}/1').text)\nprint(requests.get('{url}/2').text)\n"
        f"print(requests.post('{url}/3', data='x' * 300_000).text[:8])\n"
        f"print(s.run(['curl', '-sS', '{url}/4'], capture_output=True, text=True).stdout)\n"
        f"print(s.run(['curl', '-sSp', '{url}/5'], capture_output=True, text=True).stdout)\n"
    )
    async with open_box(private_hosts=("*.test:*",), allow_hosts=("*.test:*",)) as box:
        result = await box.run(Job("python", code, limits=LIMITS))
    assert result.stdout.text.splitlines() == [
        *("you asked for /1", "you asked for /2", "got xxxx", "you asked for /4", "you asked for /5")
    ], result.stderr.text


async def test_a_host_that_was_not_declared_is_refused_by_name_with_the_way_on(open_box: Open, site: int):
    async with open_box(private_hosts=("*.test:*",), tool_hosts=("*:*",)) as box:
        result = await box.run(Job("python", FETCH.format(f"b.test:{site}"), net=(f"a.test:{site}",), limits=LIMITS))
    assert "b.test" in result.stderr.text
    assert any(f"b.test:{site}" in warning for warning in result.warnings)
    assert any("sandbox.allow_hosts" in warning for warning in result.warnings)
    assert Site.seen == []


async def test_an_inner_address_is_refused_unless_the_owner_names_the_host(open_box: Open, site: int):
    async with open_box(allow_hosts=("*:*",)) as box:
        for host in ("a.test", "127.0.0.1.", "[::ffff:127.0.0.1]"):
            job = Job(
                "python", f"import os; os.environ['no_proxy'] = ''\n{FETCH.format(f'{host}:{site}')}", limits=LIMITS
            )
            result = await box.run(job)
            assert "not on the public internet" in result.stderr.text, result.stderr.text
    assert Site.seen == []


async def test_this_machines_own_outer_address_is_refused(monkeypatch: pytest.MonkeyPatch):
    """What listens here for its own users is not the public's, whatever the number of the address."""
    from sandbox import addresses
    from sandbox.places import Place, Places

    monkeypatch.setattr(addresses, "is_public", lambda _: True)
    with pytest.raises(proxy.Refused):
        proxy.check(Place("me.example", 80), [ipaddress.ip_address("127.0.0.1")], Places())


async def test_a_job_without_leave_has_no_way_to_the_proxy(open_box: Open, site: int):
    find = (
        "import os, re, socket\n"
        "ports = [int(l.split()[1].split(':')[1], 16) for l in open('/proc/net/tcp').readlines()[1:] if l.split()[3] == '0A']\n"
        "print([k for k in os.environ if 'proxy' in k.lower()], len(ports) < 2)\n"
        "for port in ports:\n"
        "    try: s = socket.create_connection(('127.0.0.1', port), 2)\n"
        "    except OSError: print('walled'); continue\n"
        f"    s.sendall(b'GET http://a.test:{site}/ HTTP/1.1\\r\\n\\r\\n'); print(s.recv(99)[:12].decode())\n"
    )
    async with open_box(private_hosts=("*.test:*",), tool_hosts=("*:*",)) as box:
        await box.run(Job("python", FETCH.format(f"a.test:{site}"), net=(f"a.test:{site}",), limits=LIMITS))
        result = await box.run(Job("python", find, limits=LIMITS))
        assert (await box.run(Job("shell", "env", limits=LIMITS))).stdout.text.count("PROXY") == 0
    lines = result.stdout.text.splitlines()
    assert lines[0] == "[] True", result.stderr.text
    assert lines[1:] in ([], ["walled"], ["HTTP/1.1 407"])
    assert len(Site.seen) == 1


async def test_one_job_cannot_use_the_leave_of_another(open_box: Open, site: int, folder: Path):
    """Both are in one box at once, and one port serves both: the token tells them apart."""
    steal = (
        "import os, glob, time\nwhile not os.path.exists('up'): time.sleep(0.01)\nfound = 0\n"
        "for path in glob.glob('/proc/[0-9]*/environ'):\n"
        "    if path.split('/')[2] == str(os.getpid()): continue\n"
        "    try: found += 'job:' in open(path).read()\n"
        "    except OSError: pass\n"
        f"import urllib.request as r\nprint(found)\ntry: r.urlopen('http://a.test:{site}/stolen', timeout=60)\n"
        "except OSError as error: print(error)\nopen('go', 'w').close()"
    )
    hold = "import os, time\nopen('up', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.01)"
    async with open_box(private_hosts=("*.test:*",), tool_hosts=("*:*",)) as box:
        holding = asyncio.create_task(box.run(Job("python", hold, net=(f"a.test:{site}",), limits=LIMITS)))
        result = await box.run(Job("python", steal, net=(f"b.test:{site}",), limits=LIMITS))
        await holding
    assert result.stdout.text.splitlines()[0] == "0"
    assert "not among the hosts" in result.stdout.text
    assert Site.seen == []


async def test_there_is_no_other_way_out(open_box: Open, site: int):
    code = (
        "import socket\n"
        "def tries(what, action):\n"
        "    try: action()\n"
        "    except OSError: return\n"
        "    print('escaped', what)\n"
        f"tries('loopback', lambda: socket.create_connection(('127.0.0.1', {site}), 2))\n"
        "tries('direct', lambda: socket.create_connection(('1.1.1.1', 443), 2))\n"
        "tries('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)))\n"
        "tries('dns', lambda: socket.getaddrinfo('example.org', 80))\n"
        "tries('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))\n"
        "tries('vsock', lambda: socket.socket(40, socket.SOCK_STREAM))\n"
        "tries('packet', lambda: socket.socket(17, socket.SOCK_RAW))\n"
        "print('tried')"
    )
    async with open_box(allow_hosts=("*:*",)) as box:
        result = await box.run(Job("python", code, limits=LIMITS))
    assert result.stdout.text == "tried\n", result.stderr.text


async def test_traffic_is_bounded(open_box: Open, site: int):
    code = (
        f"import urllib.request as r\nfor n in range(40):\n"
        f"    try: r.urlopen(r.Request('http://a.test:{site}/', data=b'x' * 100_000), timeout=60).read()\n"
        f"    except OSError: print(n); break"
    )
    async with open_box(private_hosts=("*.test:*",), allow_hosts=("*.test:*",), traffic_mb=1) as box:
        result = await box.run(Job("python", code, limits=LIMITS))
    assert int(result.stdout.text) == 5  # each goes out and comes back
    assert any("sandbox.traffic_mb" in warning for warning in result.warnings)
    assert any("all that it may" in c.reason for c in result.connections)


async def test_a_jobs_connections_end_with_it(open_box: Open):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = (
            "import os, socket, urllib.parse as p\n"
            "u = p.urlsplit(os.environ['HTTP_PROXY'])\n"
            "import base64\n"
            "named = base64.b64encode(f'{u.username}:{u.password}'.encode()).decode()\n"
            "s = socket.create_connection((u.hostname, u.port))\n"
            f"s.sendall(f'CONNECT a.test:{port} HTTP/1.1\\r\\nProxy-Authorization: Basic {{named}}\\r\\n\\r\\n'.encode())\n"
            "print(s.recv(99)[:12].decode(), flush=True)\ns.sendall(b'hello')\nif os.fork() == 0: s.recv(1)\n"
        )
        async with open_box(private_hosts=("*.test:*",), allow_hosts=("*.test:*",)) as box:
            result = await box.run(Job("python", code, limits=LIMITS))
            far, _ = await asyncio.get_running_loop().run_in_executor(None, listener.accept)
            with far:
                far.settimeout(60)
                assert far.recv(99) == b"hello"
                assert far.recv(99) == b""
    assert result.stdout.text == "HTTP/1.1 200\n", result.stderr.text
    assert result.connections[0].sent == 5


async def test_the_proxy_withstands_a_client_that_says_nothing_and_one_that_never_ends(open_box: Open, site: int):
    code = (
        "import os, socket, urllib.parse as p\nu = p.urlsplit(os.environ['HTTP_PROXY'])\n"
        "idle = [socket.create_connection((u.hostname, u.port)) for _ in range(40)]\n"
        "s = socket.create_connection((u.hostname, u.port))\n"
        "try:\n    while True: s.sendall(b'GET http://a/ HTTP/1.1\\r\\n' + b'x' * 65536)\nexcept OSError: print('cut off')\n"
        + FETCH.format(f"a.test:{site}")
    )
    async with open_box(private_hosts=("*.test:*",), allow_hosts=("*.test:*",)) as box:
        result = await box.run(Job("python", code, limits=LIMITS))
    assert result.stdout.text.splitlines() == ["cut off", "you asked for /page"], result.stderr.text


async def test_a_rule_that_is_no_host_is_named(open_box: Open):
    from sandbox.api import SandboxError

    async with open_box(allow_hosts=("http://example.org/",)) as box:
        with pytest.raises(SandboxError, match=r"sandbox\.allow_hosts"):
            await box.run(Job("shell", "true"))


async def test_without_a_network_of_its_own_a_box_refuses_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Landlock tells ports apart, not addresses: a server anywhere could listen on the proxy's port."""
    async with Box("s", folder, Policy(allow_hosts=("b.test",)), Rung("C", "Landlock", own_spaces=False)) as box:
        result = await box.run(Job("shell", "true", net=("a.test:443",)))
        assert result.status is JobStatus.REFUSED
        assert "a.test:443" in result.warnings[0]
        assert "bubblewrap" in result.warnings[0]
        assert (await box.run(Job("shell", "true"))).ok


async def test_pip_installs_into_the_session(
    open_box: Open, site: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _wheel(tmp_path)
    settings = {"PIP_INDEX_URL": f"http://index.test:{site}/simple/", "PIP_TRUSTED_HOST": "index.test"}
    monkeypatch.setattr(network, "pip_settings", lambda: settings)
    plugin = tmp_path / "plugins" / "uses.py"
    plugin.parent.mkdir()
    plugin.write_text('"""P."""\ndef use() -> int:\n    import sevenfold\n    return sevenfold.times(6)\n')
    hosts = (f"index.test:{site}",)
    async with open_box(private_hosts=hosts, allow_hosts=hosts, plugin_folders=(plugin.parent,)) as box:
        installed = await box.run(Job("shell", "pip install sevenfold", limits=Limits(wall_s=60)))
        assert installed.ok, installed.stderr.text
        assert "Successfully installed sevenfold-1.0" in installed.stdout.text
        assert installed.changes == ()
        program = await box.run(Job("python", "import sevenfold; print(sevenfold.times(6))"))
        command = await box.run(Job("shell", "sevenfold; python3 -c 'import sevenfold as s; print(s.times(2))'"))
        from sandbox.api import ToolCall

        tool = await box.run(Job("tool", tool=ToolCall(str(plugin), "use")))
    assert (program.stdout.text, command.stdout.text) == ("42\n", "7\n14\n"), command.stderr.text
    assert tool.value == 42
    assert (folder / ".packages").is_dir()


def _wheel(folder: Path) -> None:
    with zipfile.ZipFile(folder / "sevenfold-1.0-py3-none-any.whl", "w") as wheel:
        info = "sevenfold-1.0.dist-info"
        wheel.writestr("sevenfold.py", "def times(n): return 7 * n\ndef main(): print(7)\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: sevenfold\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nsevenfold = sevenfold:main\n")
        names = ("METADATA", "WHEEL", "entry_points.txt", "RECORD")
        wheel.writestr(f"{info}/RECORD", "".join(f"{n},,\n" for n in ("sevenfold.py", *(f"{info}/{n}" for n in names))))


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[global]\nindex-url = https://index.test/simple\n", {"PIP_INDEX_URL": "https://index.test/simple"}),
        (
            "[install]\nextra-index-url =\n  https://a.test\n  file:///opt/x\n",
            {"PIP_EXTRA_INDEX_URL": "https://a.test"},
        ),
        ("[global]\nindex-url = https://me:secret@index.test/simple\n", {}),
        ("not a file of settings", {}),
        ("[global]\nfind-links = /opt/wheels\n", {}),
    ],
)
def test_pip_looks_where_this_machines_pip_looks_and_no_password_goes_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, found: dict[str, str]
):
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pip.conf").write_text(written)
    monkeypatch.setattr(network, "_pip_files", lambda: [tmp_path / "missing", tmp_path / "pip.conf"])
    assert network.pip_settings.__wrapped__() == found


def test_a_token_is_in_no_log_line(capsys: pytest.CaptureFixture[str]):
    given = proxy.Grant("s", proxy.Rules(*[proxy.Places()] * 4), 100)
    given.note(Connection("s", "a.test", 80))
    said = capsys.readouterr()
    assert given.token not in said.out + said.err
    assert base64.b64encode(given.token.encode()).decode() not in said.out + said.err
