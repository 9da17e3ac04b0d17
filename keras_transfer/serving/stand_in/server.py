"""Both APIs on two ports of this machine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import pathlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc
from aiohttp import web

from keras_transfer.serving.stand_in.grpc_services import add_services
from keras_transfer.serving.stand_in.rest import answer
from keras_transfer.serving.stand_in.served_models import ServedModels

_HOST = "127.0.0.1"
_THREADS = 32
# What TF Serving takes on gRPC; nobody sends that much by mistake.
_MOST_BYTES = 2**31 - 1
_SECONDS_TO_END = 5
_Result = TypeVar("_Result")


class StandIn:
    """Serves a folder of models as TF Serving does, for tests and laptops. Use it with `with`.

    A stand-in: it has TF Serving's REST and gRPC APIs, its way of finding versions and its way of
    running them (TensorFlow's C API), and nothing that production needs: no batching, no limits,
    no monitoring. It listens on this machine alone.

    Args:
        folder: of models, such as models/, or of the versions of one, such as models/flowers.
        rest_port: int; 0 takes a free one.
        grpc_port: int; 0 takes a free one.
        poll_seconds: float, between two looks at the folders.

    Attributes:
        rest_url: str, such as "http://127.0.0.1:8501".
        grpc_address: str, such as "127.0.0.1:8500".

    Raises:
        FileNotFoundError: if there is no model.
        OSError: if a port is taken.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        rest_port: int = 8501,
        grpc_port: int = 8500,
        poll_seconds: float = 1.0,
    ):
        self.models = ServedModels(pathlib.Path(folder), poll_seconds)
        self._rest_port, self._grpc_port = rest_port, grpc_port

    def __enter__(self) -> StandIn:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.models)
            self._threads = stack.enter_context(concurrent.futures.ThreadPoolExecutor(_THREADS))
            self._loop = asyncio.new_event_loop()
            self._serving = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._serving.start()
            stack.callback(self._end_loop)
            self.rest_url = self._in_loop(self._start_rest())
            stack.callback(lambda: self._in_loop(self._runner.cleanup()))
            self.grpc_address = self._start_grpc()
            stack.callback(lambda: self._grpc.stop(_SECONDS_TO_END).wait())
            self._running = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._running.close()

    def _in_loop(self, task: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._serving.join()
        self._loop.close()

    async def _start_rest(self) -> str:
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, self._rest_port)
        await site.start()
        _, port = self._runner.addresses[0][:2]
        return f"http://{_HOST}:{port}"

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        status, text = await self._loop.run_in_executor(
            self._threads, answer, self.models, request.method, request.rel_url.raw_path, body
        )
        return web.Response(status=status, body=text, content_type="application/json")

    def _start_grpc(self) -> str:
        options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        self._grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(_THREADS), options=options)
        add_services(self._grpc, self.models)
        try:
            port = self._grpc.add_insecure_port(f"{_HOST}:{self._grpc_port}")
        except RuntimeError as error:
            raise OSError(
                f"Expected a free port. Received: grpc_port={self._grpc_port}."
            ) from error
        self._grpc.start()
        return f"{_HOST}:{port}"
