"""Ends TLS before another server: `python tests/tls_proxy.py HOST PORT TARGET_PORT [CERTIFICATE KEY]`.

Without a certificate it speaks plain text. A process of its own, because handshakes that fail leave sockets behind.
"""

import asyncio
import ssl
import sys


async def serve(host: str, port: int, target: int, context: ssl.SSLContext | None) -> None:
    """Forward connections to a port of the loopback, for ever."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError as error:
            sys.stderr.write(f"a connection ended: {error}\n")
        finally:
            writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pipe(reader, there), pipe(back, writer))

    server = await asyncio.start_server(forward, host, port, ssl=context)
    await server.serve_forever()


def main() -> None:
    """Read the command line."""
    host, port, target, *files = sys.argv[1:]
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    asyncio.run(serve(host, int(port), int(target), context))


if __name__ == "__main__":
    main()
