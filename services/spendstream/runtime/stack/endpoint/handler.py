"""The HTTP application: requests in, answers out, and a query that its client left is cancelled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import TypeVar

from aiohttp import web

from spendstream.runtime.stack.endpoint import answers, request
from spendstream.runtime.stack.endpoint.bodies import Spool, Statement
from spendstream.runtime.stack.endpoint.engine import Engine
from spendstream.runtime.stack.endpoint.errors import ClickHouseError
from spendstream.runtime.stack.endpoint.multipart import read_form
from spendstream.runtime.stack.endpoint.request import Access, Ask
from spendstream.runtime.stack.endpoint.run import Run
from spendstream.runtime.stack.endpoint.sessions import Session, Sessions

T = TypeVar("T")
_KILL_AGAIN_S = 0.2
_LARGE_BODY_BYTES = 1 << 16


class Endpoint:
    """The handlers and what they share."""

    def __init__(self, engine: Engine, spool: Spool, access: Access, concurrency: int = 32) -> None:
        self._engine, self._spool, self._access = engine, spool, access
        self._server = answers.Server(engine.version, engine.timezone, socket.gethostname())
        self._sessions = Sessions(engine)
        self._workers = ThreadPoolExecutor(concurrency, thread_name_prefix="query")
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="kill")
        self._bodies = asyncio.Semaphore(16)
        self._cleaning: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=0)
        for path in ("/ping", "/replicas_status"):
            app.router.add_get(path, self._ok)
        app.router.add_route("*", "/", self._query)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        app.cleanup_ctx.append(self._housekeeping)
        return app

    async def _ok(self, _: web.Request) -> web.Response:
        return web.Response(body=b"Ok.\n", headers={"Content-Type": "text/html; charset=UTF-8"})

    async def _unknown(self, http: web.Request) -> web.Response:
        text = f"There is no handle {http.path}\n\nUse / or /ping for health checks.\nOr POST queries to /.\n"
        return web.Response(status=404, text=text)

    async def _query(self, http: web.Request) -> web.StreamResponse:
        query_id = http.query.get("query_id", "")
        try:
            self._access.check(http.query, http.headers)
            if http.method == "GET" and not http.query:
                return await self._ok(http)
            ask = request.read(http.method, http.query, http.headers)
            query_id = ask.query_id
            return await self._serve(http, ask)
        except ClickHouseError as error:
            if http.content.at_eof():
                return self._server.error(error, query_id)
            answer = self._server.error(error, query_id)
            answer.force_close()  # the rest of the body is not worth reading
            return answer

    async def _serve(self, http: web.Request, ask: Ask) -> web.StreamResponse:
        # Long queries must not keep inserts waiting: only what may fill tmpfs takes one of the places.
        large = http.content_length is None or http.content_length > _LARGE_BODY_BYTES
        async with self._bodies if http.body_exists and large else nullcontext():
            form, statement = None, None
            if http.content_type == "multipart/form-data":
                form = await read_form(http, ask, self._spool)
                ask, statement = form.ask, Statement(form.ask.query.encode())
            else:
                body = http.content.iter_any()
                statement = await self._spool.read(ask.query.encode(), body, ask.content_encoding, ask.default_format)
            tag = ask.settings.get("log_comment", f"http:{ask.query_id}")
            try:
                async with self._session(ask) as (session, occupied):
                    run = Run(session, ask, statement.sql, tag)
                    job = _Job(self, run, occupied)
                    if form:
                        await job.in_engine(partial(form.create_tables, session.connection))
                    return await self._answer(http, ask, run, job)
            finally:
                statement.done()
                if form:
                    form.done()

    async def _answer(self, http: web.Request, ask: Ask, run: Run, job: _Job) -> web.StreamResponse:
        pieces = await job.in_engine(run.begin)
        if run.finished:
            large = sum(map(len, pieces)) > 1 << 18
            pack = partial(answers.whole, self._server, run, ask.query_id, pieces, ask.accept_encoding)
            return await job.in_engine(pack) if large else pack()
        return await self._stream(http, ask, run, job, pieces)

    async def _stream(
        self, http: web.Request, ask: Ask, run: Run, job: _Job, pieces: list[bytes]
    ) -> web.StreamResponse:
        packer, aborted = answers.StreamPacker(ask.accept_encoding), answers.Aborted()
        answer = web.StreamResponse(headers=self._server.headers(ask.query_id, run.format))
        answer.headers["X-ClickHouse-Exception-Tag"] = aborted.tag
        if packer.encoding:
            answer.headers["Content-Encoding"] = packer.encoding
        answer.enable_chunked_encoding()
        await answer.prepare(http)
        try:
            for piece in pieces:
                await answer.write(await job.in_engine(partial(packer.pack, piece)))
            while (more := await job.in_engine(run.more)) is not None:
                await answer.write(await job.in_engine(partial(packer.pack, more)))
        except ClickHouseError as error:
            await answer.write(packer.pack(aborted.block(error, self._server.version)) + packer.close())
            if http.transport:
                http.transport.close()  # no last chunk: curl, too, sees that the answer is not whole
            return answer
        except BaseException:
            await asyncio.shield(job.in_engine(run.abandon))
            raise
        await answer.write_eof(packer.close())
        return answer

    @asynccontextmanager
    async def _session(self, ask: Ask) -> AsyncIterator[tuple[Session, list[asyncio.Future[object]]]]:
        """A session for the request; it goes back when the engine has let go of it, not when the client has."""
        session = self._sessions.take(ask.session_id, ask.session_timeout_s, ask.session_check)
        occupied: list[asyncio.Future[object]] = []

        def give_back(_: object = None) -> None:
            self._sessions.give_back(ask.session_id, session, ask.close_session)

        try:
            yield session, occupied
        finally:
            running = next((future for future in occupied if not future.done()), None)
            if running is None:
                give_back()
            else:
                running.add_done_callback(give_back)

    async def _housekeeping(self, _: web.Application) -> AsyncIterator[None]:
        async def forget() -> None:
            while True:
                await asyncio.sleep(1)
                self._sessions.drop_idle()

        task = asyncio.create_task(forget())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._workers.shutdown(wait=True)
        self._killer.shutdown(wait=True)
        self._sessions.close()

    def submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Run a blocking call on a worker thread."""
        return asyncio.get_running_loop().run_in_executor(self._workers, call)

    def kill_until_done(self, tag: str, running: asyncio.Future[T]) -> None:
        """Cancel a query, again and again: it may not have reached the engine's list yet."""

        async def kill() -> None:
            loop = asyncio.get_running_loop()
            while not running.done():
                await loop.run_in_executor(self._killer, self._engine.kill, tag)
                await asyncio.wait([running], timeout=_KILL_AGAIN_S)
            running.exception()

        task = asyncio.create_task(kill())
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)


class _Job:
    """One request's calls into the engine, and who still occupies its connection."""

    def __init__(self, endpoint: Endpoint, run: Run, occupied: list[asyncio.Future[object]]) -> None:
        self._endpoint, self._run, self._occupied = endpoint, run, occupied

    async def in_engine(self, call: Callable[[], T]) -> T:
        """Await a blocking call; when the client goes away, a reading query is killed, a writing one runs on."""
        future = self._endpoint.submit(call)
        self._occupied[:] = [future]  # type: ignore[list-item]
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if self._run.reads and not future.done():
                self._endpoint.kill_until_done(self._run.tag, future)
            raise
