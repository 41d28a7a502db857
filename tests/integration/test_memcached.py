"""The shared cache against a real memcached, and finding memcached by a name server."""

import os
import random
import shutil
import socket
import subprocess
import threading
import time

import pytest
from dns_standin import NameServer

from agent.registry import memcached_servers
from agent.registry.memcached import COOL_DOWN, TELL_EVERY, SharedCache
from agent.registry.memcached_servers import LOOK_EVERY, MemcachedSettings, Servers
from agent.registry.records import Manifest, RepositoryState, TagState


def digest_of(number):
    return f"sha256:{number:064x}"


def manifest_of(number):
    return Manifest(digest_of(number), "image", digest_of(number), float(number % 1_000_000))


STATE = RepositoryState("quay.io/acme/shop", {"1": TagState(digest_of(1), 5.0, 60.0), "2": TagState()}, 7.0)
SRV = "_memcached._tcp.memcached.flux.svc.cluster.test."


class Memcached:
    """A real memcached on a port that stays the same over restarts."""

    def __init__(self, *options):
        self.options = options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        user = ("-u", "root") if os.geteuid() == 0 else ()
        command = ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", "1", *user, *self.options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, "memcached does not start"
                time.sleep(0.01)

    def stop(self):
        self.process.kill()
        self.process.wait(30)

    def stat(self, name):
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(b"stats\r\n")
            text = b""
            while not text.endswith(b"END\r\n"):
                text += connection.recv(65536)
        (line,) = (line for line in text.splitlines() if line.startswith(f"STAT {name} ".encode()))
        return int(line.split()[2])


@pytest.fixture
def new_memcached():
    if shutil.which("memcached") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("memcached is not installed", pytrace=False)
        pytest.skip("memcached is not installed (Debian: memcached)")
    started = []

    def start(*options):
        started.append(Memcached(*options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def memcached(new_memcached):
    return new_memcached()


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def new_cache(warnings, clock):
    made = []

    def make(port, hostname="127.0.0.1", resolver=None, timeout=30.0):
        settings = MemcachedSettings(hostname, port, timeout=timeout)
        made.append(SharedCache(settings, warnings.append, resolver, lambda: clock[0]))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def name_server():
    server = NameServer()
    yield server
    server.close()


def test_what_one_agent_keeps_another_finds(memcached, new_cache, warnings):
    one, other = new_cache(memcached.port), new_cache(memcached.port)
    one.put_repository(STATE)
    for number in range(250):
        one.put_manifest(manifest_of(number))
    assert other.repository(STATE.name) == STATE
    assert list(other.repository(STATE.name).tags) == ["1", "2"]
    assert other.repository("quay.io/acme/other") is None
    found = other.manifests(frozenset(digest_of(number) for number in range(300)))
    assert found == {digest_of(number): manifest_of(number) for number in range(250)}
    assert not warnings


def test_repositories_of_every_size_fit(memcached, new_cache, warnings):
    cache, chance = new_cache(memcached.port), random.Random(1)
    for count in (10_000, 60_000):
        tags = {
            f"1.{n}": TagState(f"sha256:{chance.getrandbits(256):064x}", chance.random(), 60.0) for n in range(count)
        }
        state = RepositoryState(f"quay.io/acme/{count}", tags, 7.0)
        cache.put_repository(state)
        assert cache.repository(state.name) == state
    assert memcached.stat("curr_items") > 2, "the large one did not need parts"
    assert not warnings


def test_what_is_evicted_is_absent(new_memcached, new_cache):
    memcached = new_memcached("-m", "2")
    cache, chance = new_cache(memcached.port), random.Random(1)
    manifests = [manifest_of(chance.getrandbits(256)) for _ in range(15_000)]
    for manifest in manifests:
        cache.put_manifest(manifest)
    assert memcached.stat("evictions") > 0
    found = cache.manifests(frozenset(manifest.digest for manifest in manifests))
    assert 0 < len(found) < len(manifests)
    assert all(found.get(manifest.digest, manifest) == manifest for manifest in manifests)
    tags = {str(n): TagState(f"sha256:{chance.getrandbits(256):064x}", chance.random(), 1.0) for n in range(90_000)}
    cache.put_repository(RepositoryState("large", tags))  # larger than memcached is: some part is gone
    assert cache.repository("large") is None
    cache.put_manifest(manifests[0])
    assert cache.manifests(frozenset({manifests[0].digest}))


def test_a_restart_costs_what_was_kept_and_nothing_else(memcached, new_cache, warnings):
    cache = new_cache(memcached.port)
    cache.put_repository(STATE)
    pool = cache._servers["127.0.0.1", memcached.port]._client.client_pool
    connections = [pool.get() for _ in range(3)]
    for connection in connections:  # as threads leave them behind that asked at the same time
        connection.version()
        pool.release(connection)
    memcached.stop()
    memcached.start()
    assert cache.repository(STATE.name) is None
    cache.put_repository(STATE)
    assert cache.repository(STATE.name) == STATE
    assert not warnings


def test_a_server_that_is_away_is_told_once_and_left_alone_for_a_while(memcached, new_cache, warnings, clock):
    cache = new_cache(memcached.port)
    cache.put_repository(STATE)
    memcached.stop()
    for _ in range(1000):
        assert cache.repository(STATE.name) is None
        assert cache.manifests(frozenset({digest_of(1)})) == {}
        cache.put_manifest(manifest_of(1))
    (warning,) = warnings
    where = f"memcached 127.0.0.1:{memcached.port}"
    assert warning == f"{where} cannot be used, images cost more requests: Connection refused"
    memcached.start()
    cache.put_repository(STATE)
    assert memcached.stat("curr_items") == 0, "it was not left alone"
    clock[0] += COOL_DOWN
    cache.put_repository(STATE)
    assert cache.repository(STATE.name) == STATE
    memcached.stop()
    assert cache.repository(STATE.name) is None and len(warnings) == 1
    clock[0] += TELL_EVERY
    assert cache.repository(STATE.name) is None and len(warnings) == 2


def test_a_server_that_hangs_costs_one_timeout(new_cache, warnings):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = new_cache(silent.getsockname()[1], timeout=0.2)
        for _ in range(1000):  # of a whole timeout each, this would run into the test's own
            cache.put_repository(STATE)
            assert cache.repository(STATE.name) is None
    assert len(warnings) == 1 and "does not answer in time" in warnings[0]


def test_something_else_behind_the_port_is_told(new_cache, warnings):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"VALUE other 0 1\r\nx\r\nHTTP/1.1 400 Bad Request\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert new_cache(server.getsockname()[1]).repository(STATE.name) is None
        thread.join()
    assert len(warnings) == 1 and "its answers are not memcached's" in warnings[0]


def test_an_item_that_is_refused_stops_nothing(new_memcached, new_cache, warnings):
    memcached, chance = new_memcached("-I", "64k", "-o", "slab_chunk_max=32768"), random.Random(1)
    cache = new_cache(memcached.port)
    tags = {str(n): TagState(f"sha256:{chance.getrandbits(256):064x}", 1.0, 1.0) for n in range(5_000)}
    for _ in range(3):
        cache.put_repository(RepositoryState("large", tags))
    assert len(warnings) == 1 and "does not take an item: object too large for cache" in warnings[0]
    cache.put_repository(STATE)
    assert cache.repository(STATE.name) == STATE


def test_many_threads_may_use_it_while_it_comes_and_goes(memcached, new_cache, clock):
    cache, wrong = new_cache(memcached.port), []

    def work(number):
        state = RepositoryState(f"r{number}", {"1": TagState()}, 1.0)
        for _ in range(300):
            cache.put_repository(state)
            if cache.repository(state.name) not in (state, None):
                wrong.append(number)
            clock[0] += COOL_DOWN

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    memcached.stop()
    memcached.start()
    for thread in threads:
        thread.join()
    assert not wrong
    clock[0] += COOL_DOWN
    cache.put_repository(STATE)
    assert cache.repository(STATE.name) == STATE


def test_after_closing_nothing_is_asked(memcached, new_cache):
    cache = new_cache(memcached.port)
    cache.put_repository(STATE)
    cache.close()
    assert cache.repository(STATE.name) is None
    cache.put_repository(STATE)
    assert memcached.stat("cmd_set") == 1


def test_agents_agree_on_the_servers_that_a_service_names(new_memcached, new_cache, name_server, clock, warnings):
    servers = [new_memcached(), new_memcached()]
    name_server.records[SRV] = [f"0 0 {server.port} localhost." for server in servers]
    one, other = (new_cache(1, "memcached", name_server.resolver()) for _ in range(2))
    for number in range(100):
        one.put_manifest(manifest_of(number))
    assert all(server.stat("curr_items") > 20 for server in servers)
    wanted = frozenset(digest_of(number) for number in range(100))
    assert len(other.manifests(wanted)) == 100
    name_server.records[SRV] = [f"0 0 {servers[0].port} localhost."]
    clock[0] += LOOK_EVERY
    kept = servers[0].stat("curr_items")
    one.manifests(wanted)
    if one._places._looker is not None:  # the lookup is another thread's
        one._places._looker.join()
    assert len(one.manifests(wanted)) == kept
    assert not warnings


class Place:
    """`Servers` with a clock of its own, waiting for each lookup."""

    def __init__(self, hostname, name_server, warnings):
        self.now = 0.0
        self.settings = MemcachedSettings(hostname, 4711)
        self.servers = Servers(self.settings, warnings.append, name_server.resolver(), lambda: self.now)

    def look(self, seconds=0.0):
        self.now += seconds
        self.servers.current()
        looker = self.servers._looker
        if looker is not None:
            looker.join()
        return self.servers.current()


def test_a_service_is_looked_up_once_a_minute(name_server, warnings):
    name_server.records[SRV] = ["0 0 5 localhost.", "0 0 3 127.0.0.1."]
    place = Place("memcached", name_server, warnings)
    assert place.look() == (("127.0.0.1", 3), ("127.0.0.1", 5))
    asked = len(name_server.asked)
    name_server.records[SRV] = ["0 0 6 localhost."]
    assert place.look(LOOK_EVERY - 1) == (("127.0.0.1", 3), ("127.0.0.1", 5))
    assert len(name_server.asked) == asked
    assert place.look(1) == (("127.0.0.1", 6),)
    assert not warnings


def test_without_a_service_the_host_and_port_count(name_server, warnings):
    assert Place("localhost", name_server, warnings).look() == (("127.0.0.1", 4711),)
    assert name_server.asked
    name_server.asked.clear()
    assert Place("127.0.0.1", name_server, warnings).look() == (("127.0.0.1", 4711),)
    assert not name_server.asked and not warnings


def test_a_name_server_that_is_silent_changes_nothing(name_server, warnings, monkeypatch):
    name_server.records["_memcached._tcp.localhost."] = ["0 0 5 localhost."]
    place = Place("localhost", name_server, warnings)
    assert place.look() == (("127.0.0.1", 5),)
    name_server.silent = True
    monkeypatch.setattr(memcached_servers, "SRV_TIMEOUT", 0.2)
    assert place.look(LOOK_EVERY) == (("127.0.0.1", 5),)
    assert Place("localhost", name_server, warnings).look() == (("127.0.0.1", 4711),), "at first, the port must do"
    assert not warnings


def test_a_name_that_nobody_knows_is_told(name_server, warnings):
    place = Place("nowhere.invalid", name_server, warnings)
    assert place.look() == ()
    assert len(warnings) == 1 and warnings[0].startswith("memcached nowhere.invalid cannot be found: ")
