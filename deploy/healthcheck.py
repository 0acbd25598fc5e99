"""Whether the process in this container makes progress and has all it needs: `/healthz` and `/readyz` of `HTTP_PORT` answer 200.
With `smtp PORT`: whether a mail server greets there.

It runs every few seconds in every container, so that it imports next to nothing."""

import os
import socket
import sys

TIMEOUT_S = 3.0


def first_line(port: int, request: bytes) -> bytes:
    """What whoever listens on the port says first."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        if request:
            connection.sendall(request)
        return connection.recv(200).split(b"\r\n", 1)[0]


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    line = first_line(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return line.split(b" ")[1:2] == [b"200"]


def main(arguments: list[str]) -> int:
    """0: healthy."""
    try:
        if arguments[:1] == ["smtp"]:
            return 0 if first_line(int(arguments[1]), b"").startswith(b"220") else 1
        port = int(os.environ["HTTP_PORT"])
        return 0 if answers(port, "/healthz") and answers(port, "/readyz") else 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
