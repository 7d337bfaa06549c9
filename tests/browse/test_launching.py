"""Where the App can listen."""

from __future__ import annotations

import socket

import pytest

from nirgen.browse.launching import check_port
from nirgen.errors import NirgenError


def test_a_port_that_is_taken_is_said_to_be_and_a_free_one_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            NirgenError, match=rf"127\.0\.0\.1:{port}: another program listens there; .*--port \d+ is free"
        ):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


@pytest.mark.parametrize("address", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_refused(address: str) -> None:
    with pytest.raises(
        NirgenError, match=rf"{address}: can't be listened at \(.*\); --address is one of this machine's"
    ):
        check_port(address, 5151)
