"""Connections to the stores lose replies, break, half-close or become slow, on every kind of command."""

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from daybook.stores.connection import SCRIPTS
from support.mongo_server import Fate, MongoProxy, MongoServer
from support.redis_server import KINDS, Endpoint
from support.service import Service, Setting
from support.tcp_proxy import Fault, TcpProxy, Words
from torture.case import SHORT, Case, Kind
from torture.stores import Stores, own_redis, some_archive
from torture.verify import check

COMMANDS = ("BLMOVE", "HGET", "HMGET", "HGETALL", "SMEMBERS", "INFO", "CONFIG", "TIME", "ZRANGE", "HLEN")
TARGETS = tuple(itertools.product((*SCRIPTS, *COMMANDS), Fault))
RARE = frozenset({"restore", "register", "update_source", "release", "acquire"})
SHARE, MONGO_SHARE = 0.3, 0.04
"""Probability of the fault at each command of its kind until it happens, and at each command to MongoDB. Rare commands
get the fault at once.
"""
DELAY_SECONDS, GIVEN_UP_SECONDS = 0.4, 10.6
"""A delay within Daybook's timeout, and a longer one."""
SLOW = frozenset({Fault.SLOW_REPLY, Fault.SLOW_REQUEST})
CASES_PER_GIVING_UP = 5
LIVES, LIFE_SECONDS = 4, 1.5
SETTINGS: dict[str, Setting] = {
    "LeaseSeconds": 0.6,
    "DumperTaskScheduleInterval": 0.1,
    "CutOffDays": 0,
    "ReplaySpeed": 1,
    "TransactionCkeckTimeout": 0.1,
}


class Plan:
    """Faults that wait for the next command of their kind."""

    def __init__(self, chance: random.Random, targets: list[tuple[str, Fault]], names: dict[bytes, str]) -> None:
        self._chance, self._left, self._names = chance, targets, names

    @property
    def done(self) -> bool:
        return not self._left

    def choose(self, words: Words) -> Fault | None:
        """Return the fault of a request or None. Runs in the proxy's thread."""
        name = words[0].decode()
        if name == "EVALSHA":
            name = self._names.get(words[1], name)
        for target in self._left:
            if target[0] == name and (name in RARE or self._chance.random() < SHARE):
                self._left.remove(target)
                return target[1]
        return None


def on_every_command(case: Case) -> None:
    """Inject a part of all pairs of command and fault. The next case goes on with the following pairs."""
    server = own_redis(case, case.chance.choice(KINDS))
    stores = Stores(server, some_archive(case))
    file = case.file(SHORT)
    gives_up = case.number % CASES_PER_GIVING_UP == CASES_PER_GIVING_UP - 1
    names = {script.sha.encode(): name for name, script in server.endpoint.connect()._scripts.items()}
    loop = case.stack.enter_context(_loop())
    slow_seconds = GIVEN_UP_SECONDS if gives_up else DELAY_SECONDS
    proxy = case.stack.enter_context(_proxied(loop, server.endpoint, slow_seconds))
    settings: dict[str, Setting] = {"RedisHost": "127.0.0.1", "RedisPort": proxy.endpoint.port}
    if stores.mongo is not None:
        place = MongoServer(stores.mongo.uri, "127.0.0.1", stores.mongo.port)
        settings["MongoDbUri"] = case.stack.enter_context(_mongo_proxied(loop, place, case)).uri
    service = case.service({**SETTINGS, **settings, "CsvFilePath": file.path})
    plan = Plan(random.Random(case.number), _targets(case, one_slow=gives_up), names)
    proxy.choose = plan.choose
    with case.readers([service], [file]):
        _live(case, service, plan)
        proxy.pass_all()
        case.outcome.faults += len(proxy.faults)
        for fault, _ in proxy.faults:
            case.outcome.count(fault.name.lower().replace("_", " "))
        check(case, service, stores, [file])


def _targets(case: Case, *, one_slow: bool) -> list[tuple[str, Fault]]:
    """Return the pairs of this case. `one_slow` allows one slow fault, because it lasts ten seconds."""
    order = case.in_order(TARGETS)
    own = [order[(case.first_fault + place) % len(order)] for place in range(case.faults)]
    if not one_slow:
        return own
    slow = [target for target in own if target[1] in SLOW]
    return [target for target in own if target[1] not in SLOW] + slow[:1]


def _live(case: Case, service: Service, plan: Plan) -> None:
    """Run several lives, so that the commands of starts and stops are sent too."""
    for life in range(LIVES):
        service.launch(ReplaySpeed=1 if life < LIVES - 1 else 0)
        end = time.monotonic() + LIFE_SECONDS
        while time.monotonic() < end and not plan.done:
            time.sleep(0.02)
        if life < LIVES - 1:
            service.wait(lambda: service.address, "it answers")
            code = service.stop()
            case.expect(code == 0, f"exit code {code} at SIGTERM")
    with case.timed():
        service.wait_until_ready()


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=10)


@contextmanager
def _proxied(loop: asyncio.AbstractEventLoop, server: Endpoint, slow_seconds: float) -> Iterator[TcpProxy]:
    proxy = TcpProxy(server, slow_seconds)
    _run(loop, proxy.__aenter__())
    try:
        yield proxy
    finally:
        _run(loop, proxy.__aexit__())


@contextmanager
def _mongo_proxied(loop: asyncio.AbstractEventLoop, server: MongoServer, case: Case) -> Iterator[MongoProxy]:
    """Lose some commands before they reach MongoDB, and the replies of others."""
    chance = random.Random(case.number)
    left = [case.faults]

    async def decide(_: str) -> Fate:
        if left[0] and chance.random() < MONGO_SHARE:
            left[0] -= 1
            return chance.choice([Fate.LOSE_REQUEST, Fate.LOSE_REPLY])
        return Fate.PASS

    proxy = MongoProxy(server, decide)
    _run(loop, proxy.__aenter__())
    try:
        yield proxy
    finally:
        _run(loop, proxy.__aexit__(None, None, None))
        case.outcome.count("on the way to MongoDB", case.faults - left[0])


NETWORK = Kind("network", "reply lost, reset, half-closed, delayed", 500, 25, on_every_command)
